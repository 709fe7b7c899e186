// Records of a journal, and the table that recovery makes of them, for tests.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/durability/live_jobs.h"
#include "core/durability/recovery.h"
#include "core/inspect/job_view.h"
#include "core/journal/note.h"
#include "core/table/unique_jobs.h"
#include "ipc/clock.h"
#include "tests/journal/written_journal.h"
#include "tests/support/core_test.h"
#include "tests/support/random.h"

namespace ringmill::test {

inline constexpr std::uint32_t capacity = 128;
inline constexpr std::uint64_t first_generation = 1000;

/// Records in the order in which they were written, each a call of the visitor.
class Records {
 public:
  void job(const TestJob& job) {
    add([job](JournalVisitor& visitor, const JournalPlace& place) {
      visitor.on_job(place, job.record(), as_payload(job.payload));
    });
  }
  void record(const JobRecord& record, std::string payload = {}) {
    add([record, payload](JournalVisitor& visitor, const JournalPlace& place) {
      visitor.on_job(place, record, as_payload(payload));
    });
  }
  void ended(JobId id) {
    add([id](JournalVisitor& visitor, const JournalPlace& place) { visitor.on_ended(place, id); });
  }
  void attempts(JobId id, std::uint16_t attempts) {
    add([id, attempts](JournalVisitor& visitor, const JournalPlace& place) {
      visitor.on_attempts(place, id, attempts);
    });
  }
  void kind(std::uint32_t number, std::string name) {
    add([number, name](JournalVisitor& visitor, const JournalPlace& place) { visitor.on_kind(place, number, name); });
  }
  void change(const ChangeRecord& record, std::string text = {}) {
    add([record, text](JournalVisitor& visitor, const JournalPlace& place) { visitor.on_change(place, record, text); });
  }
  /// Every part of the payload, but for one.
  void parts(JobId id, const std::string& payload, std::optional<std::uint64_t> missing = {}) {
    for (std::uint64_t n = 0; n < parts_of(payload.size()); ++n) {
      if (n == missing) continue;
      const std::string part = payload.substr(n * most_part_bytes, most_part_bytes);
      const PartRecord record{.number = static_cast<std::uint16_t>(n),
                              .part_bytes = static_cast<std::uint32_t>(part.size()),
                              .id = id.value(),
                              .payload_bytes = payload.size()};
      add([record, part](JournalVisitor& visitor, const JournalPlace& place) {
        visitor.on_part(place, record, as_payload(part));
      });
    }
  }
  void result_parts(JobId id, const std::string& result, std::optional<std::uint64_t> missing = {},
                    std::uint64_t change = 0) {
    for (std::uint64_t n = 0; n < parts_of(result.size()); ++n) {
      if (n == missing) continue;
      const std::string part = result.substr(n * most_part_bytes, most_part_bytes);
      const ResultPartRecord record{.number = static_cast<std::uint16_t>(n),
                                    .part_bytes = static_cast<std::uint32_t>(part.size()),
                                    .id = id.value(),
                                    .result_bytes = result.size(),
                                    .change = change};
      add([record, part](JournalVisitor& visitor, const JournalPlace& place) {
        visitor.on_result_part(place, record, as_payload(part));
      });
    }
  }
  /// The job is completed, with the result of the parts before it.
  void result(JobId id, std::uint64_t change = 0) {
    this->change({.attempts = 1,
                  .state = JournaledState::completed,
                  .id = id.value(),
                  .due = ChangeRecord::result_parts_bit | ChangeRecord::wall_bit | far_future_ms,
                  .started = change});
  }
  static constexpr std::uint64_t far_future_ms = std::uint64_t{1} << 42;
  void large_job(JobId id, std::size_t payload_bytes, std::uint64_t first_segment = 1) {
    LargeJobRecord record{.job = TestJob{.id = id}.record(), .first_segment = first_segment};
    record.job.type = RecordType::large_job;
    record.job.payload_bytes = static_cast<std::uint32_t>(payload_bytes);
    large_job(record);
  }
  void large_job(const LargeJobRecord& record) {
    add([record](JournalVisitor& visitor, const JournalPlace& place) { visitor.on_large_job(place, record); });
  }
  void options(const OptionsRecord& record) {
    add([record](JournalVisitor& visitor, const JournalPlace& place) { visitor.on_options(place, record); });
  }
  void links(const LinksRecord& record) {
    add([record](JournalVisitor& visitor, const JournalPlace& place) { visitor.on_links(place, record); });
  }
  void notes(const NotesRecord& record, const std::string& tag = {}) {
    add([record, tag](JournalVisitor& visitor, const JournalPlace& place) { visitor.on_notes(place, record, tag); });
  }
  void retry_policy(std::uint32_t number, std::string text) {
    add([number, text](JournalVisitor& visitor, const JournalPlace& place) {
      visitor.on_retry_policy(place, number, text);
    });
  }
  void next_segment() { ++place_.segment; }
  void segment(std::uint64_t number) { place_.segment = number; }

  std::vector<std::function<void(JournalVisitor&)>> calls;

 private:
  void add(std::function<void(JournalVisitor&, const JournalPlace&)> call) {
    ++place_.block;
    place_.offset += journal_unit;
    calls.emplace_back([call = std::move(call), place = place_](JournalVisitor& visitor) { call(visitor, place); });
  }
  JournalPlace place_{.segment = 1, .epoch = 1};
};

/// The segment that comes of them.
struct Rebuilt {
  ScratchFolder folder{"/dev/shm"};
  std::vector<JournalDamage> damage;
  std::uint64_t jobs = 0;
  std::uint64_t highest_generation = 0;
  std::optional<Segment> segment;

  /// In an arena of so many bytes: chunks of 128 KiB.
  explicit Rebuilt(const Records& records, std::uint32_t cell_bytes = 128,
                   std::uint64_t arena_bytes = std::uint64_t{4} << 17) {
    SegmentConfig config;
    config.engine_id = 1;
    config.capacity = capacity;
    config.cell_bytes = cell_bytes;
    config.levels = {"high", "default", "low"};
    config.weights = {6, 3, 1};
    config.max_payload = 100'000;
    config.arena_bytes = arena_bytes;
    const auto path = folder.path() / "segment";
    must(Segment::create(path, config, first_generation, first_generation * 2, [&](Segment& fresh) -> Result<void> {
      TableRebuild table(fresh);
      for (const auto& call : records.calls) call(table);
      highest_generation = table.highest_generation();
      must(table.finish());
      jobs = table.jobs();
      damage = table.take_damage();
      return {};
    }));
    segment = must(Segment::open(path, 1, ::geteuid(), 0600, Segment::Access::read_write, false));
    if (!damage.empty()) return;  // `verify` does not look for jobs that do not fit the engine
    LiveJobs live;
    for (const auto& call : records.calls) call(live);
    EXPECT_EQ(live.count(), jobs) << "`ringmill verify` says what a recovery brings back";
  }

  JobInfo info(JobId id) const { return must(find_job(*segment, id)); }
  const CellHeader& header(JobId id) const { return JobTable(*segment).header(index_of(id)); }
  std::string payload(JobId id) const {
    std::string text(128, '\0');
    JobTable(*segment).copy_out(index_of(id), reinterpret_cast<std::byte*>(text.data()), 64);
    text.resize(header(id).payload_bytes.load_once().at_most(text.size()));
    return text;
  }
  CellState state(JobId id) const { return JobTable(*segment).word(index_of(id)).state(); }
  DueTime due(JobId id) const { return DueTime::of(header(id).due_at.load()); }
  std::string text_of(JobId id) const {
    const JobTable::TextPlace place = JobTable(*segment).text_place(index_of(id));
    const std::uint32_t bytes = header(id).text_bytes.load_once().at_most(place.room());
    std::string text(in_words(bytes) * 8, '\0');
    JobTable::copy_text_out(place, reinterpret_cast<std::byte*>(text.data()), bytes);
    text.resize(bytes);
    return text;
  }
  bool is_free(CellIndex index) const { return JobTable(*segment).word(index).state() == CellState::free; }
  /// The hints of a level, in the order in which workers find them.
  std::vector<CellIndex> order(std::uint32_t level) const {
    std::vector<CellIndex> cells;
    const Ring ring = segment->ring(level);
    for (std::uint64_t position = ring.head(); position < ring.tail(); ++position) {
      cells.push_back(JobTable::index_of_hint(Ring::hint_of(ring.slot(position))));
    }
    return cells;
  }
  /// Everything that recovery is to bring back, as text.
  std::string text() const {
    std::string all;
    for (CellIndex index = 0; index < capacity; ++index) {
      const StateWord word = JobTable(*segment).word(index);
      const JobId id = job_id_of(word, index);
      const CellHeader& cell = header(id);
      all += fmt::format("{} {:x} note {:x} {} {}", index, word.bits(), cell.revision.load(), cell.due_at.load(),
                         cell.extent.load_once().unbounded());
      if (word.state() == CellState::queued) {
        all += fmt::format(" level {} kind {} attempts {} lease {} at {} '{}'", cell.level.load_once().unbounded(),
                           cell.kind.load_once().unbounded(), cell.attempts.load(),
                           cell.lease_ms.load_once().unbounded(), cell.enqueued_at_ns.load(), payload(id));
      }
      all += fmt::format(" listed {}\n", segment->free_map().lists(index));
    }
    for (std::uint32_t level = 0; level < 3; ++level) {
      for (const CellIndex index : order(level)) all += fmt::format("{} ", index);
      all += "\n";
    }
    for (std::uint32_t kind = 0; kind < 20; ++kind) all += segment->kinds().name_of(kind).value_or("-") + "\n";
    return all;
  }
};

}  // namespace ringmill::test
