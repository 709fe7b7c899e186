// Payloads that stand in the journal in parts: which parts of which cell's latest life were read.
//
// A job may be written several times, and each time its parts may come in between those of others. What they say is the
// same each time, so it does not matter of which time a part is. A life ends all that were before it in its cell.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <unordered_map>
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
    const JobId id(record.id);
    Payload& payload = cells_[index_of(id)];
    if (generation_of(payload.id) > generation_of(id)) return;
    if (payload.id != id || payload.bytes != record.payload_bytes) {
      payload = {.id = id, .bytes = record.payload_bytes, .missing = parts_of(record.payload_bytes)};
      payload.has.resize(payload.missing);
      if (keep_bytes_) payload.kept.resize(record.payload_bytes);
    }
    if (!payload.has[record.number]) --payload.missing;
    payload.has[record.number] = true;
    if (keep_bytes_)
      std::memcpy(payload.kept.data() + record.number * std::size_t{most_part_bytes}, part.data(), part.size());
  }

  /// All lives of the cell before this generation are over.
  void end_below(CellIndex index, std::uint64_t generation) {
    const auto found = cells_.find(index);
    if (found != cells_.end() && generation_of(found->second.id) < generation) cells_.erase(found);
  }

  bool is_whole(JobId id, std::uint64_t bytes) const {
    if (bytes == 0) return true;
    const auto found = cells_.find(index_of(id));
    return found != cells_.end() && found->second.id == id && found->second.bytes == bytes &&
           found->second.missing == 0;
  }
  /// Of a job that is whole.
  std::span<const std::byte> payload(JobId id) const {
    const auto found = cells_.find(index_of(id));
    if (found == cells_.end()) return {};
    return found->second.kept;
  }
  bool is_empty() const noexcept { return cells_.empty(); }

 private:
  struct Payload {
    JobId id;
    std::uint64_t bytes = 0;
    std::uint64_t missing = 0;  // parts
    std::vector<bool> has{};
    std::vector<std::byte> kept{};
  };
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
