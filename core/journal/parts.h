// Payloads, or results, that the journal holds in parts: the parts that were read, for the latest generation of each
// cell.
//
// A job may be written several times, its parts between those of others. Its parts hold the same bytes each time, so
// parts of different times can be joined. A generation ends all earlier ones of its cell; of one generation the results
// are told apart by their change, of which the latest counts.
//
// Memory is taken for the parts that came, never for what a record says of a payload's length: a record of 32 bytes may
// speak of gigabytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/journal/format.h"
#include "core/journal/reader.h"
#include "ipc/state_word.h"

namespace ringmill {

class JournalParts {
 public:
  /// `keep_bytes`: payload() is asked for; else only whether all is there.
  explicit JournalParts(bool keep_bytes) noexcept : keep_bytes_(keep_bytes) {}

  void add(const PartRecord& record, std::span<const std::byte> part) {
    add({.id = JobId(record.id), .bytes = record.payload_bytes}, record.number, part);
  }
  void add(const ResultPartRecord& record, std::span<const std::byte> part) {
    add({.id = JobId(record.id), .change = record.change, .bytes = record.result_bytes}, record.number, part);
  }

  /// All earlier generations of the cell are over.
  void end_below(CellIndex index, std::uint64_t generation) {
    const auto found = cells_.find(index);
    if (found != cells_.end() && generation_of(found->second.whole.id) < generation) cells_.erase(found);
  }

  bool is_whole(JobId id, std::uint64_t bytes) const {
    if (bytes == 0) return true;
    const auto found = cells_.find(index_of(id));
    return found != cells_.end() && found->second.whole.id == id && found->second.whole.bytes == bytes &&
           found->second.is_whole();
  }
  /// Returns the bytes of a whole result, and forgets them; nothing if a part is missing.
  std::optional<std::vector<std::byte>> take(JobId id, std::uint64_t change) {
    const auto found = cells_.find(index_of(id));
    if (found == cells_.end() || found->second.whole.id != id || found->second.whole.change != change) return {};
    if (payload(id).empty()) return {};
    std::vector<std::byte> bytes = std::move(found->second.joined);
    cells_.erase(found);
    return bytes;
  }
  /// Returns the payload of a whole job. The first call joins the parts; valid until the next call of add() or
  /// end_below().
  std::span<const std::byte> payload(JobId id) {
    const auto found = cells_.find(index_of(id));
    if (!keep_bytes_ || found == cells_.end() || found->second.whole.id != id || !found->second.is_whole()) return {};
    Payload& payload = found->second;
    if (payload.joined.empty()) {
      payload.joined.reserve(payload.whole.bytes);
      for (auto& [number, part] : payload.parts) {
        payload.joined.insert(payload.joined.end(), part.begin(), part.end());
        part = {};
      }
    }
    return payload.joined;
  }
  bool is_empty() const noexcept { return cells_.empty(); }

 private:
  /// What the parts are of.
  struct Whole {
    JobId id;
    std::uint64_t change = 0;  // of a result
    std::uint64_t bytes = 0;
    bool operator==(const Whole&) const noexcept = default;
  };
  struct Payload {
    Whole whole;
    std::map<std::uint16_t, std::vector<std::byte>> parts{};  // by number; no bytes if they are not kept, or are joined
    std::vector<std::byte> joined{};

    bool is_whole() const noexcept { return parts.size() == parts_of(whole.bytes); }
  };

  void add(const Whole& whole, std::uint16_t number, std::span<const std::byte> part) {
    Payload& payload = cells_[index_of(whole.id)];
    if (generation_of(payload.whole.id) > generation_of(whole.id)) return;
    if (payload.whole != whole) {
      // One that is whole stands: no writer gives the payload of one job two lengths.
      const bool is_other_length = payload.whole.id == whole.id && payload.whole.change == whole.change;
      if (is_other_length && payload.is_whole()) return;
      payload = {.whole = whole};
    }
    std::vector<std::byte>& kept = payload.parts[number];
    if (keep_bytes_ && payload.joined.empty()) kept.assign(part.begin(), part.end());
  }

  bool keep_bytes_;
  std::unordered_map<CellIndex, Payload> cells_;
};

/// Adapter: reassembles large jobs and passes them to on_job(), with the payload if that is kept. Large jobs that are
/// not whole are passed over.
class WholeJobsVisitor : public JournalVisitor {
 public:
  void on_part(const JournalPlace&, const PartRecord& record, std::span<const std::byte> part) override {
    parts_.add(record, part);
  }
  void on_large_job(const JournalPlace& place, const LargeJobRecord& record) override {
    const JobId id(record.job.id);
    if (parts_.is_whole(id, record.job.payload_bytes)) on_job(place, record.job, parts_.payload(id));
  }

 protected:
  /// `keep_bytes` as in JournalParts.
  explicit WholeJobsVisitor(bool keep_bytes) noexcept : parts_(keep_bytes) {}

 private:
  JournalParts parts_;
};

}  // namespace ringmill
