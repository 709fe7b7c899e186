// Shared memory made anew from the journal: by whoever opens an engine whose segment is gone, or on demand.
//
// The structure lock is held all the while, and no keeper lives: nobody writes the journal. The segment is made under
// another name and put in place whole (ipc/segment.h), so a kill here leaves nothing that the next one minds.
#include <unistd.h>

#include <fmt/format.h>

#include "core/engine_directory.h"
#include "core/flow_control/flow_book.h"
#include "core/log.h"
#include "core/runtime_levels.h"
#include "core/waking.h"
#include "ipc/clock.h"
#include "ipc/registry.h"
#include "ipc/state_word.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

class LockedByte {
 public:
  LockedByte(const File& file, std::uint64_t byte) noexcept : file_(&file), byte_(byte) {}
  LockedByte(const LockedByte&) = delete;
  LockedByte& operator=(const LockedByte&) = delete;
  ~LockedByte() { unlock_byte(*file_, byte_); }

 private:
  const File* file_;
  std::uint64_t byte_;
};

double in_seconds(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }
double in_mib(std::uint64_t bytes) { return static_cast<double>(bytes) / (1U << 20); }

void log_findings(const RecoveryReport& report) {
  if (const auto& tail = report.journal.torn_tail) {
    log().info(
        "the journal's last write was torn (segment {}, offset {}), as a crash may leave it; nothing that was durable "
        "is lost",
        tail->segment, tail->offset);
  }
  for (const JournalDamage& damage : report.journal.damage) log().error("the journal is damaged: {}", text_of(damage));
  for (const fs::path& kept : report.kept_aside) log().error("a damaged block was kept aside in {}", kept.string());
}

}  // namespace

Result<Segment> EngineDirectory::open_segment(const File& locks, bool dump_in_core,
                                              std::optional<RecoveryReport>* recovered) const {
  auto segment = map_segment(Segment::Access::read_write, dump_in_core);
  const auto is_gone = [&segment] {
    return !segment && (segment.error().code() == ErrorCode::not_found || segment.error().code() == ErrorCode::stale);
  };
  if (!is_gone()) return segment;
  if (auto locked = lock_byte(locks, structure_lock_byte); !locked) return std::unexpected(locked.error());
  const LockedByte structure(locks, structure_lock_byte);
  // Somebody may have made it, or removed the engine, while we waited.
  segment = map_segment(Segment::Access::read_write, dump_in_core);
  if (!is_gone()) return segment;
  if (auto makeable = check_makeable(locks); !makeable) return std::unexpected(makeable.error());
  // Whoever still has the old segment goes on in it, keeper included: a second world beside it would split the jobs.
  if (is_in_use(locks)) {
    return std::unexpected(Error(ErrorCode::busy, "the engine's shared memory was removed while processes still use it",
                                 path().string() + "; end them (their jobs end with them), then open again"));
  }
  auto report = make_segment_anew();
  if (!report) return std::unexpected(report.error());
  if (report->journal.segments == 0) {
    log().warn(
        "the shared memory of {} was gone (a reboot, or somebody removed it) and was made anew, empty: its "
        "journal is empty",
        path().string());
  } else {
    log().warn(
        "the shared memory of {} was gone (a reboot, or somebody removed it) and was made anew: {} jobs came "
        "back from its journal in {:.3f} s",
        path().string(), report->jobs, in_seconds(report->elapsed));
  }
  log_findings(*report);
  if (recovered != nullptr) *recovered = *std::move(report);
  return map_segment(Segment::Access::read_write, dump_in_core);
}

Result<RecoveryReport> EngineDirectory::rebuild_segment(const File& locks) const {
  const auto in_use = [this] {
    return std::unexpected(Error(ErrorCode::busy, "the engine is in use",
                                 path().string() + "; end its producers, workers and keeper (`ringmill status` lists "
                                                   "them), then recover"));
  };
  if (auto locked = lock_byte(locks, structure_lock_byte); !locked) return std::unexpected(locked.error());
  const LockedByte structure(locks, structure_lock_byte);
  if (auto makeable = check_makeable(locks); !makeable) return std::unexpected(makeable.error());
  if (is_in_use(locks)) return in_use();
  // Whoever opens the old segment meanwhile stands by, and cannot become its keeper.
  const auto elected = try_lock_byte(locks, keeper_lock_byte);
  if (!elected) return std::unexpected(elected.error());
  if (!*elected) return in_use();
  const LockedByte keeper(locks, keeper_lock_byte);
  const auto old = open_segment_if_there();
  if (!old && old.error().code() == ErrorCode::permission_denied) return std::unexpected(old.error());
  if (old) old->signals().removed.store(1);
  auto report = make_segment_anew();
  if (!report) {
    if (old) old->signals().removed.store(0);
    return report;
  }
  if (old) mark_removed(*old);
  log().warn(
      "the shared memory of {} was made anew on demand: {} jobs came back from its journal in {:.3f} s; what only "
      "the memory knew is lost",
      path().string(), report->jobs, in_seconds(report->elapsed));
  log_findings(*report);
  return report;
}

Result<void> EngineDirectory::check_makeable(const File& locks) const {
  if (!folder_.is_named(engine_lock_file, locks) || !folder_.has(configuration_file)) {
    return std::unexpected(Error(ErrorCode::not_found, "the engine was removed", path().string()));
  }
  if (::geteuid() != folder_.owner() && ::geteuid() != 0) {
    // A segment of ours would be refused by everybody, the owner included.
    return std::unexpected(Error(ErrorCode::permission_denied,
                                 "the engine's shared memory is gone, and only its owner can make it anew",
                                 path().string() + "; let its owner open it once"));
  }
  const auto journal = open_journal_folder();
  if (!journal && journal.error().code() != ErrorCode::not_found) return std::unexpected(journal.error());
  if (!journal) {
    return std::unexpected(Error(ErrorCode::not_found, "the engine's journal is missing",
                                 journal_path().string() + "; mount it or bring it back; or, to go on without the jobs "
                                                           "that are in it, make an empty folder there"));
  }
  return {};
}

Result<RecoveryReport> EngineDirectory::make_segment_anew() const {
  const std::uint64_t begin_ns = steady_clock_ns();
  const auto floor = read_generation_limit();
  if (!floor) return std::unexpected(floor.error());
  if (auto reserved = reserve_generations(*floor); !reserved) return std::unexpected(reserved.error());
  SegmentConfig fresh = config();
  fresh.owner = FileOwner{folder_.owner(), folder_.group()};
  RecoveryReport report;
  const std::uint64_t usual = fresh.arena_bytes;
  std::uint64_t wanted = usual;
  const auto fill = [&](Segment& segment) { return fill_from_journal(segment, *floor, report, wanted); };
  while (true) {
    auto made = Segment::create(segment_path(), fresh, *floor + 1, *floor + generation_step, fill);
    if (made) break;
    if (wanted <= fresh.arena_bytes) return std::unexpected(made.error());
    fresh.arena_bytes = wanted;
  }
  if (fresh.arena_bytes != usual) {
    log().warn(
        "the arena of {} has {:.0f} MiB instead of {:.0f} until it is made anew: so much came back from its journal",
        path().string(), in_mib(fresh.arena_bytes), in_mib(usual));
  }
  report.elapsed = std::chrono::nanoseconds(steady_clock_ns() - begin_ns);
  return report;
}

Result<void> EngineDirectory::fill_from_journal(Segment& fresh, std::uint64_t floor, RecoveryReport& report,
                                                std::uint64_t& arena_wanted) const {
  const auto folder = open_journal_folder();
  if (!folder) return std::unexpected(folder.error());
  auto device = open_journal_device(*folder, DeviceChoice::pwritev2, config().mode);
  if (!device) return std::unexpected(device.error());
  RecoveryOptions options;
  options.progress = [this](const RecoveryProgress& progress) {
    log().info("recovering {}: {:.0f} of {:.0f} MiB of the journal read in {:.0f} s", path().string(),
               in_mib(progress.bytes_read), in_mib(progress.bytes), in_seconds(progress.elapsed));
  };
  const auto levels = LevelList::read(folder_, fresh.geometry().level_ring_slots);
  if (!levels) return std::unexpected(levels.error());
  restore_levels(fresh, *levels);
  TableRebuild table(fresh);
  auto journal = read_into(table, **device, config().engine_id, options);
  if (!journal) return std::unexpected(journal.error());
  report.journal = *std::move(journal);
  report.kept_aside = keep_aside(report.journal.damage, **device, *folder, config().mode);
  if (table.highest_generation() > floor) {
    log().warn("the file `generation` in {} is older than the journal: was it copied back from somewhere?",
               path().string());
    const std::uint64_t higher = table.highest_generation();
    if (auto reserved = reserve_generations(higher); !reserved) return reserved;
    fresh.header().first_generation.store(higher + 1);
    fresh.signals().generation_limit.store(higher + generation_step);
  }
  if (auto finished = table.finish(); !finished) {
    arena_wanted = table.arena_wanted();
    return finished;
  }
  // A file that cannot be used must not keep the engine from coming back: the keeper says what is wrong with it.
  if (const auto rules = read_flow_rules(folder_)) static_cast<void>(apply_flow_rules(fresh, *rules));
  report.jobs = table.jobs();
  report.kinds = table.kinds();
  report.epoch = report.journal.last_epoch;
  fresh.journal().epoch.store(report.epoch);
  fresh.journal().segments.store(static_cast<std::uint32_t>(report.journal.segments));
  for (JournalDamage& damage : table.take_damage()) report.journal.damage.push_back(std::move(damage));
  return {};
}

Result<void> EngineDirectory::reserve_generations(std::uint64_t floor) const {
  if (floor + generation_step > most_generation) {
    return std::unexpected(Error(ErrorCode::no_space, "this engine's job ids are used up", "make a new engine"));
  }
  return write_generation_limit(floor + generation_step);
}

}  // namespace ringmill
