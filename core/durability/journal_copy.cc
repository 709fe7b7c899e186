#include "core/durability/journal_copy.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/journal/chain.h"
#include "core/journal/file_names.h"
#include "core/journal/records.h"
#include "ipc/file.h"
#include "ipc/file_modes.h"

namespace ringmill {

namespace {

constexpr std::uint64_t most_rounds = 100;
constexpr std::size_t copied_at_a_time = std::size_t{1} << 20;
/// Cells that are looked at while no memory is given back.
constexpr CellIndex cells_in_a_look = 4096;
/// At a cell that changes while it is read.
constexpr int most_reads = 4;

/// Copies the segments of one journal, round by round.
class SegmentCopies {
 public:
  SegmentCopies(JournalDevice& device, const Directory& to, std::uint32_t file_mode) noexcept
      : device_(&device), to_(&to), mode_(file_mode), buffer_(copied_at_a_time) {}

  /// True: the copy has all segments that counted when this round began.
  Result<bool> run_round(std::uint64_t journal_id, std::uint64_t segment_bytes) {
    ++copy_.rounds;
    auto chain = JournalChain::open(*device_, journal_id, segment_bytes);
    if (!chain) return std::unexpected(std::move(chain.error()));
    const auto newest = chain->find_end();
    if (!newest) return std::unexpected(newest.error());
    std::set<SlotNumber> wanted;
    const auto candidates = chain->candidates();
    for (std::size_t at = *newest ? chain->first() : candidates.size(); at < candidates.size(); ++at) {
      const SegmentCandidate& segment = candidates[at];
      wanted.insert(segment.slot);
      const bool is_newest = at + 1 == candidates.size();
      const auto copied = take(segment, is_newest ? (*newest)->end : segment.bytes, is_newest);
      if (!copied) return std::unexpected(copied.error());
      if (!*copied) return false;
    }
    copy_.segments = wanted.size();
    return remove_all_but(wanted);
  }
  const JournalCopy& copy() const noexcept { return copy_; }

 private:
  /// False: its file was used again meanwhile.
  Result<bool> take(const SegmentCandidate& segment, std::uint64_t end, bool is_newest) {
    if (!is_newest && whole_[segment.slot] == segment.head.segment) return true;
    whole_.erase(segment.slot);
    if (auto written = write(segment, end); !written) {
      // A file that is removed, or made anew, is one that counts no longer.
      if (written.error().code() == ErrorCode::not_found || written.error().code() == ErrorCode::corrupt) return false;
      return std::unexpected(written.error());
    }
    const auto same = has_same_head(segment);
    if (!same || !*same) return same;
    if (!is_newest) whole_[segment.slot] = segment.head.segment;
    return true;
  }

  Result<bool> has_same_head(const SegmentCandidate& segment) {
    const std::span<std::byte> unit = std::span(buffer_).first(journal_unit);
    if (auto read = device_->read(segment.slot, 0, unit); !read) return std::unexpected(read.error());
    const auto head = whole_head_in(unit);
    // One without a readable head is damaged already, and is copied as it is.
    if (!segment.has_head) return !head.has_value();
    return head && head->segment == segment.head.segment && head->epoch == segment.head.epoch;
  }

  /// The first `end` bytes, and zeros up to the segment's length.
  Result<void> write(const SegmentCandidate& segment, std::uint64_t end) {
    const std::string name = file_name_of(segment.slot);
    if (auto removed = to_->remove_if_there(name); !removed) return removed;
    const auto file = to_->make_file(name, mode_);
    if (!file) return std::unexpected(file.error());
    for (std::uint64_t offset = 0; offset < segment.bytes;) {
      const bool is_copied = offset < end;
      const std::uint64_t left = (is_copied ? end : segment.bytes) - offset;
      const std::span<std::byte> part = std::span(buffer_).first(std::min<std::uint64_t>(buffer_.size(), left));
      if (!is_copied) {
        std::ranges::fill(part, std::byte{0});
      } else if (auto read = device_->read(segment.slot, offset, part); !read) {
        return read;
      }
      const NoFileSizeSignal no_signal;
      const ssize_t written = ::pwrite(file->descriptor(), part.data(), part.size(), static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) return std::unexpected(system_error("cannot write", to_->path_of(name)));
      offset += static_cast<std::uint64_t>(written);
      copy_.bytes += static_cast<std::uint64_t>(written);
    }
    if (::fsync(file->descriptor()) != 0) return std::unexpected(system_error("cannot sync", to_->path_of(name)));
    return {};
  }

  Result<bool> remove_all_but(const std::set<SlotNumber>& wanted) {
    const auto names = to_->names();
    if (!names) return std::unexpected(names.error());
    for (const std::string& name : *names) {
      const auto slot = slot_of(name);
      if (slot && wanted.contains(*slot)) continue;
      if (auto removed = to_->remove_if_there(name); !removed) return std::unexpected(removed.error());
    }
    if (auto synced = to_->sync(); !synced) return std::unexpected(synced.error());
    return true;
  }

  JournalDevice* device_;
  const Directory* to_;
  std::uint32_t mode_;
  std::vector<std::byte> buffer_;
  std::map<SlotNumber, std::uint64_t> whole_;  // which segment was copied from this file to its end
  JournalCopy copy_;
};

/// Writes the records of one job after another to a journal. Parts are written as they come; without the record behind
/// them they count for nothing.
class JobsToJournal : public JournalVisitor {
 public:
  JobsToJournal(const Segment& segment, JournalWriter& writer) noexcept : segment_(&segment), writer_(&writer) {}

  void on_job(const JournalPlace&, const JobRecord& record, std::span<const std::byte> payload) override {
    job_ = {.job = record, .first_segment = 0};
    payload_.assign(payload.begin(), payload.end());
  }
  void on_large_job(const JournalPlace&, const LargeJobRecord& record) override {
    job_ = record;
    job_.first_segment = first_segment_;
  }
  void on_options(const JournalPlace&, const OptionsRecord& record) override { options_ = record; }
  void on_links(const JournalPlace&, const LinksRecord& record) override { links_ = record; }
  void on_notes(const JournalPlace&, const NotesRecord& record, std::string_view tag) override {
    notes_ = record;
    tag_ = tag;
  }
  void on_change(const JournalPlace&, const ChangeRecord& record, std::string_view text) override {
    change_ = record;
    text_ = text;
  }
  void on_part(const JournalPlace&, const PartRecord& record, std::span<const std::byte> part) override {
    BlockBuilder* const block = room(BlockBuilder::bytes_of_part(record.part_bytes));
    if (block == nullptr) return;
    if (record.number == 0) first_segment_ = writer_->open_segment();
    std::memcpy(block->append_part(record).data(), part.data(), part.size());
  }
  void on_result_part(const JournalPlace&, const ResultPartRecord& record, std::span<const std::byte> part) override {
    BlockBuilder* const block = room(BlockBuilder::bytes_of_result_part(record.part_bytes));
    if (block != nullptr) std::memcpy(block->append_result_part(record).data(), part.data(), part.size());
  }
  void on_ended(const JournalPlace&, JobId) override {}
  void on_attempts(const JournalPlace&, JobId, std::uint16_t) override {}
  void on_kind(const JournalPlace&, std::uint32_t, std::string_view) override {}
  void on_retry_policy(const JournalPlace&, std::uint32_t, std::string_view) override {}

  void forget() {
    payload_.clear();
    links_.reset();
    notes_.reset();
    change_.reset();
  }
  /// The job that was given since forget().
  Result<void> write() {
    const bool is_large = job_.job.type == RecordType::large_job;
    const auto payload_bytes = static_cast<std::uint32_t>(payload_.size());
    const std::uint32_t own =
        is_large ? static_cast<std::uint32_t>(sizeof(LargeJobRecord)) : BlockBuilder::bytes_of_job(payload_bytes);
    const std::uint32_t beside = static_cast<std::uint32_t>(sizeof(OptionsRecord) + sizeof(LinksRecord)) +
                                 BlockBuilder::most_bytes_of_notes() +
                                 BlockBuilder::bytes_of_change(static_cast<std::uint32_t>(text_.size())) +
                                 2 * BlockBuilder::bytes_of_kind(name_bytes);
    BlockBuilder* const block = room(own + beside);  // all in one block
    if (block == nullptr) return std::unexpected(*error_);
    append_names(*block);
    if (is_large) {
      block->append_large_job(job_);
    } else {
      const std::span<std::byte> place = block->append_job(job_.job);
      if (!payload_.empty()) std::memcpy(place.data(), payload_.data(), payload_.size());
    }
    block->append_options(options_);
    if (links_) block->append_links(*links_);
    if (notes_) block->append_notes(*notes_, tag_);
    if (change_) {
      const std::span<std::byte> place = block->append_change(*change_);
      if (!text_.empty()) std::memcpy(place.data(), text_.data(), text_.size());
    }
    return {};
  }
  /// Durable when it returns.
  Result<void> finish() {
    const std::uint64_t last = writer_->flush();
    while (!writer_->error() && writer_->durable_block() < last) writer_->collect(std::chrono::seconds(1));
    if (writer_->error()) return std::unexpected(*writer_->error());
    return {};
  }
  const std::optional<Error>& error() const noexcept { return error_; }

 private:
  /// Nothing: error() says why.
  BlockBuilder* room(std::uint32_t bytes) {
    while (!error_) {
      const auto block = writer_->room(bytes);
      if (block) return *block;
      if (block.error() == JournalWriter::NoRoom::buffers) {
        writer_->collect(std::chrono::seconds(1));
      } else if (block.error() == JournalWriter::NoRoom::segments) {
        error_ = Error(ErrorCode::no_space, "the copied journal has no room for the jobs of durability memory",
                       "make room on the disk, or raise the engine's --journal-limit by `ringmill resize`");
      } else {
        error_ = writer_->error();
      }
    }
    return nullptr;
  }
  void append_names(BlockBuilder& block) {
    if (named_in_ != writer_->open_segment()) {
      named_in_ = writer_->open_segment();
      kinds_named_.clear();
      policies_named_.clear();
    }
    const std::uint32_t kind = job_.job.kind;
    const auto name = kind < most_kinds ? segment_->kinds().name_of(kind) : std::nullopt;
    if (name && kinds_named_.insert(kind).second) block.append_kind(kind, *name);
    const std::uint32_t policy = options_.retry_policy;
    const bool is_policy = policy != 0 && policy <= most_retry_policies;
    const auto text = is_policy ? segment_->retry_policies().name_of(policy - 1) : std::nullopt;
    if (text && policies_named_.insert(policy).second) block.append_retry_policy(policy, *text);
  }

  const Segment* segment_;
  JournalWriter* writer_;
  LargeJobRecord job_;
  std::vector<std::byte> payload_;
  OptionsRecord options_;
  std::optional<LinksRecord> links_;
  std::optional<NotesRecord> notes_;
  std::string tag_;
  std::optional<ChangeRecord> change_;
  std::string text_;
  std::uint64_t first_segment_ = 0;
  std::uint64_t named_in_ = 0;
  std::set<std::uint32_t> kinds_named_;
  std::set<std::uint32_t> policies_named_;
  std::optional<Error> error_;
};

/// Returns whether a job of durability memory was written.
Result<bool> append_if_in_memory(const JobTable& table, const TableRecords& records, CellIndex index,
                                 JobsToJournal& to) {
  for (int read = 0; read < most_reads; ++read) {
    const StateWord word = table.word(index);
    if (!word.has_job() || (table.header(index).flags.load() & cell_flag::memory_only) == 0) return false;
    to.forget();
    records.give_job(index, word, to);
    if (to.error()) return std::unexpected(*to.error());
    if (table.word(index) != word) continue;  // ORDER second-look
    if (auto written = to.write(); !written) return std::unexpected(written.error());
    return true;
  }
  return false;
}

}  // namespace

Result<JournalCopy> copy_journal(JournalDevice& from, std::uint64_t journal_id, const JournalGeometry& geometry,
                                 const Directory& to, std::uint32_t file_mode) {
  SegmentCopies copies(from, to, file_mode);
  for (std::uint64_t round = 0; round < most_rounds; ++round) {
    const auto whole = copies.run_round(journal_id, geometry.segment_bytes);
    if (!whole) return std::unexpected(whole.error());
    if (*whole) return copies.copy();
  }
  return std::unexpected(Error(ErrorCode::busy, "the journal is written faster than it can be copied",
                               to.path().string() + "; copy it to a faster disk, or when there is less load"));
}

Result<std::uint64_t> append_memory_jobs(const Segment& segment, JournalWriter& to) {
  const JobTable table(segment);
  const TableRecords records(segment);
  JobsToJournal jobs(segment, to);
  std::uint64_t count = 0;
  for (CellIndex begin = 0; begin < table.capacity(); begin += cells_in_a_look) {
    const auto look = segment.look();
    const CellIndex end = std::min(table.capacity(), begin + cells_in_a_look);
    const auto next = [&table](CellIndex from) { return table.chunks().next_there(from); };
    for (CellIndex index = next(begin); index < end; index = next(index + 1)) {
      const auto written = append_if_in_memory(table, records, index, jobs);
      if (!written) return std::unexpected(written.error());
      count += *written ? 1 : 0;
    }
  }
  if (auto finished = jobs.finish(); !finished) return std::unexpected(finished.error());
  return count;
}

}  // namespace ringmill
