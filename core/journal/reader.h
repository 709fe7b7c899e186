// Reading a journal: every segment that counts, block by block in order, each checked; torn ends told from damage.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/job.h>

#include "core/journal/device.h"
#include "core/journal/format.h"

namespace ringmill {

/// The place of a record.
struct JournalPlace {
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;  // of its block in the segment
  std::uint64_t block = 0;   // its number
  std::uint64_t epoch = 0;
};

/// Receives what the journal says, in the order in which it was written. Views are valid during the call.
class JournalVisitor {
 public:
  virtual ~JournalVisitor() = default;
  virtual void on_block(const JournalPlace&, const BlockHead&) {}
  virtual void on_job(const JournalPlace&, const JobRecord&, std::span<const std::byte> payload) = 0;
  /// Every job that the cell of `id` had before the generation of `id` is over.
  virtual void on_ended(const JournalPlace&, JobId id) = 0;
  virtual void on_attempts(const JournalPlace&, JobId id, std::uint16_t attempts) = 0;
  virtual void on_kind(const JournalPlace&, std::uint32_t kind, std::string_view name) = 0;
  virtual void on_change(const JournalPlace&, const ChangeRecord&, std::string_view /*text*/) {}
  /// Follows the job's own record.
  virtual void on_options(const JournalPlace&, const OptionsRecord&) {}
  /// Follows the job's options.
  virtual void on_links(const JournalPlace&, const LinksRecord&) {}
  /// Follows the job's options, and its links.
  virtual void on_notes(const JournalPlace&, const NotesRecord&, std::string_view /*tag*/) {}
  virtual void on_part(const JournalPlace&, const PartRecord&, std::span<const std::byte> /*part*/) {}
  virtual void on_result_part(const JournalPlace&, const ResultPartRecord&, std::span<const std::byte> /*part*/) {}
  /// Follows the parts of its payload: it counts if all of them are there (core/journal/parts.h).
  virtual void on_large_job(const JournalPlace&, const LargeJobRecord&) {}
  virtual void on_retry_policy(const JournalPlace&, std::uint32_t /*policy*/, std::string_view /*text*/) {}
};

/// The most ids of a damaged block that are named.
inline constexpr std::size_t most_suspects = 1000;

/// The most places of damage that are named.
inline constexpr std::size_t most_named_damage = 10'000;

/// Bytes that were durable and are no longer right.
struct JournalDamage {
  std::uint64_t segment = 0;  // 0: not known
  SlotNumber slot = 0;
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::string reason;  // "checksum", "head", "missing", ...
  /// Ids that can still be read in the damaged bytes, and may be touched: not checked by anything, at most
  /// most_suspects.
  std::vector<JobId> suspects;
};

struct TornTail {
  std::uint64_t segment = 0;
  std::uint64_t offset = 0;
};

/// One file of the journal as it was found.
struct SlotFinding {
  SlotNumber slot = 0;
  std::optional<SegmentHead> head;  // nothing: never used, torn, or damaged
  bool counts = false;              // its blocks are part of the journal
};

struct JournalReport {
  std::vector<SlotFinding> slots;
  std::uint64_t segments = 0;  // that count
  std::uint64_t blocks = 0;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;  // read and checked
  std::optional<TornTail> torn_tail;
  /// At most most_named_damage; what is beyond is counted in the reason of the last.
  std::vector<JournalDamage> damage;
  std::uint64_t last_segment = 0;
  std::uint64_t last_block = 0;
  std::uint64_t last_epoch = 0;  // the highest that was seen anywhere, stale blocks included
  std::uint64_t oldest = 0;      // the oldest segment that counts
  std::uint64_t end_offset = 0;  // in last_segment: where the next block would stand
};

struct ReadOptions {
  /// The length of the engine's segments: no file is read beyond it.
  std::uint64_t segment_bytes = any_length;
  /// Called now and then with bytes read and bytes in all.
  std::function<void(std::uint64_t, std::uint64_t)> progress;
};

/// Reads the whole journal of one engine. Damage is no error: it is in the report, and everything else was visited.
/// Errors: incompatible (a newer format, or another engine's files), system (a read failed: which file, why).
Result<JournalReport> read_journal(JournalDevice& device, std::uint64_t engine_id, JournalVisitor& visitor,
                                   const ReadOptions& options = {});

}  // namespace ringmill
