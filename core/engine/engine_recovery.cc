#include "core/engine/engine_recovery.h"

#include <unistd.h>

#include <fmt/format.h>

#include "core/base/log.h"
#include "core/durability/recovery.h"
#include "core/engine/alone.h"
#include "core/engine/engine_adoption.h"
#include "core/flow_control/flow_book.h"
#include "core/levels/dynamic_levels.h"
#include "ipc/clock.h"
#include "ipc/file_modes.h"
#include "ipc/random.h"
#include "ipc/registry.h"
#include "ipc/state_word.h"
#include "ipc/waking.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

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

Result<void> reserve_generations(const EngineFiles& files, std::uint64_t floor) {
  if (floor + generation_step > most_generation) {
    return std::unexpected(Error(ErrorCode::no_space, "this engine's job ids are used up", "make a new engine"));
  }
  return files.write_generation_limit(floor + generation_step);
}

Result<void> check_makeable(const EngineFiles& files, const File& locks) {
  if (!files.folder().is_named(engine_lock_file, locks) || !files.folder().has(configuration_file)) {
    return std::unexpected(Error(ErrorCode::not_found, "the engine was removed", files.path().string()));
  }
  if (::geteuid() != files.folder().owner()) {
    // Every process would refuse a segment of this user, the owner's included.
    return std::unexpected(Error(ErrorCode::permission_denied,
                                 "the engine's shared memory is gone, and only its owner can make it anew",
                                 files.path().string() + "; let its owner open it once"));
  }
  const auto journal = files.open_journal_folder();
  if (!journal && journal.error().code() != ErrorCode::not_found) return std::unexpected(journal.error());
  if (!journal) {
    return std::unexpected(Error(ErrorCode::not_found, "the engine's journal is missing",
                                 files.journal_path().string() +
                                     "; mount it or bring it back; or, to go on without the jobs "
                                     "that are in it, make an empty folder there"));
  }
  return {};
}

namespace {

/// Of an engine from before homes were noted.
Result<void> note_home_if_unknown(const EngineFiles& files) {
  if (files.configuration().home.inode != 0) return {};
  EngineConfiguration noted = files.configuration();
  noted.home = files.home().home;
  return EngineFiles(files.folder(), std::move(noted), files.home()).write_configuration();
}

/// `arena_wanted`: raised where the arena is too small for what comes back.
Result<void> fill_from_journal(const EngineFiles& files, Segment& fresh, std::uint64_t floor, RecoveryReport& report,
                               std::uint64_t& arena_wanted) {
  const auto folder = files.open_journal_folder();
  if (!folder) return std::unexpected(folder.error());
  auto device = open_journal_device(*folder, DeviceChoice::pwritev2, mode_with_locks(files.config().mode));
  if (!device) return std::unexpected(device.error());
  RecoveryOptions options{.progress = {}, .segment_bytes = files.journal_geometry().segment_bytes};
  options.progress = [&files](const RecoveryProgress& progress) {
    log().info("recovering {}: {:.0f} of {:.0f} MiB of the journal read in {:.0f} s", files.path().string(),
               in_mib(progress.bytes_read), in_mib(progress.bytes), in_seconds(progress.elapsed));
  };
  const auto levels = LevelList::read(files.folder(), fresh.geometry().level_ring_slots);
  if (!levels) return std::unexpected(levels.error());
  restore_levels(fresh, *levels);
  TableRebuild table(fresh);
  table.set_most_cells(files.configuration().most_cells);
  auto journal = read_into(table, **device, files.journal_id(), options);
  if (!journal) return std::unexpected(journal.error());
  report.journal = *std::move(journal);
  report.kept_aside = keep_aside(report.journal.damage, **device, *folder, files.config().mode);
  if (table.highest_generation() > floor) {
    log().warn("the file `generation` in {} is older than the journal: was it copied back from somewhere?",
               files.path().string());
    const std::uint64_t higher = table.highest_generation();
    if (auto reserved = reserve_generations(files, higher); !reserved) return reserved;
    fresh.header().first_generation.store(higher + 1);
    fresh.signals().generation_limit.store(higher + generation_step);
  }
  if (auto finished = table.finish(); !finished) {
    arena_wanted = table.arena_wanted();
    return finished;
  }
  // A file that cannot be used must not keep the engine from coming back: the keeper says what is wrong with it.
  if (const auto rules = read_flow_rules(files.folder())) static_cast<void>(apply_flow_rules(fresh, *rules));
  report.jobs = table.jobs();
  report.kinds = table.kinds();
  report.epoch = report.journal.last_epoch;
  fresh.journal().epoch.store(report.epoch);
  fresh.journal().segments.store(static_cast<std::uint32_t>(report.journal.segments));
  for (JournalDamage& damage : table.take_damage()) report.journal.damage.push_back(std::move(damage));
  return {};
}

Result<RecoveryReport> make_segment_anew(const EngineFiles& files) {
  const std::uint64_t begin_ns = steady_clock_ns();
  const auto floor = files.read_generation_limit();
  if (!floor) return std::unexpected(floor.error());
  if (auto reserved = reserve_generations(files, *floor); !reserved) return std::unexpected(reserved.error());
  if (auto noted = note_home_if_unknown(files); !noted) return std::unexpected(noted.error());
  const auto making = random_number();
  if (!making) return std::unexpected(making.error());
  const auto folder = files.open_memory_folder();
  if (!folder) return std::unexpected(folder.error());
  const auto name = files.free_segment_name(*folder);
  if (!name) return std::unexpected(name.error());
  SegmentConfig fresh = files.config();
  fresh.owner = FileOwner{files.folder().owner(), files.folder().group()};
  RecoveryReport report;
  const std::uint64_t usual = fresh.arena_bytes;
  std::uint64_t wanted = usual;
  const auto fill = [&](Segment& segment) -> Result<void> {
    if (auto filled = fill_from_journal(files, segment, *floor, report, wanted); !filled) return filled;
    MemorySigns{.making = *making, .home = files.home().word}.put_into(segment);
    // All of it is there but its name. A kill from here on leaves a note without a segment: made anew once more.
    return files.write_memory_note(*making, *name);
  };
  while (true) {
    auto made = Segment::create(*folder, *name, fresh, *floor + 1, *floor + generation_step, fill);
    if (made) break;
    if (wanted <= fresh.arena_bytes) return std::unexpected(made.error());
    fresh.arena_bytes = wanted;
  }
  if (fresh.arena_bytes != usual) {
    log().warn(
        "the arena of {} has {:.0f} MiB instead of {:.0f} until it is made anew: so much came back from its journal",
        files.path().string(), in_mib(fresh.arena_bytes), in_mib(usual));
  }
  report.elapsed = std::chrono::nanoseconds(steady_clock_ns() - begin_ns);
  return report;
}

}  // namespace

Result<Segment> open_segment(const EngineFiles& files, const File& locks, bool dump_in_core,
                             std::optional<RecoveryReport>* recovered) {
  bool is_out_of_date = false;
  auto segment = files.map_segment(Segment::Access::read_write, dump_in_core, &is_out_of_date);
  const auto is_gone = [&files, &segment] {
    if (segment) return false;
    const ErrorCode code = segment.error().code();
    // Another user has taken its name while it was gone: it gets another one.
    if (code == ErrorCode::permission_denied) return files.is_name_taken();
    return code == ErrorCode::not_found || code == ErrorCode::stale;
  };
  if (!is_gone()) return segment;
  if (auto locked = lock_byte(locks, structure_lock_byte); !locked) return std::unexpected(locked.error());
  const LockedByte structure(locks, structure_lock_byte);
  // Another process may have made it, or removed the engine, while we waited.
  is_out_of_date = false;
  segment = files.map_segment(Segment::Access::read_write, dump_in_core, &is_out_of_date);
  if (!is_gone()) return segment;
  if (auto makeable = check_makeable(files, locks); !makeable) return std::unexpected(makeable.error());
  // What still has the old segment goes on in it, keeper included: a second world beside it would split the jobs.
  LivingLockedOut alone(locks);
  const auto locked_out = alone.try_lock();
  if (!locked_out) return std::unexpected(locked_out.error());
  if (!*locked_out) {
    return std::unexpected(
        Error(ErrorCode::busy,
              "processes use another shared memory of this engine: it was removed, or is in another /dev/shm",
              files.path().string() +
                  "; let all share one --shm-dir, or end them (jobs of durability memory end with them)"));
  }
  const auto old =
      files.map_any_segment(Segment::Access::read_write, false);  // what has it open, and is not in it, may wait
  auto report = make_segment_anew(files);
  if (!report) return std::unexpected(report.error());
  if (old) mark_removed(*old);
  if (is_out_of_date) {
    log().warn(
        "the shared memory of {} was out of date (a container with its own /dev/shm has made another one, or the "
        "directory came back from a backup) and was made anew: {} jobs came back from its journal in {:.3f} s",
        files.path().string(), report->jobs, in_seconds(report->elapsed));
  } else if (report->journal.segments == 0) {
    log().warn(
        "the shared memory of {} was gone (a reboot, or it was removed) and was made anew, empty: its "
        "journal is empty",
        files.path().string());
  } else {
    log().warn(
        "the shared memory of {} was gone (a reboot, or it was removed) and was made anew: {} jobs came "
        "back from its journal in {:.3f} s",
        files.path().string(), report->jobs, in_seconds(report->elapsed));
  }
  log_findings(*report);
  if (recovered != nullptr) *recovered = *std::move(report);
  return files.map_segment(Segment::Access::read_write, dump_in_core);
}

Result<RecoveryReport> rebuild_segment(const EngineFiles& files, const File& locks) {
  const auto in_use = [&files] {
    return std::unexpected(Error(ErrorCode::busy, "the engine is in use",
                                 files.path().string() +
                                     "; end its producers, workers and keeper (`ringmill status` lists "
                                     "them), then recover"));
  };
  if (auto locked = lock_byte(locks, structure_lock_byte); !locked) return std::unexpected(locked.error());
  const LockedByte structure(locks, structure_lock_byte);
  if (auto makeable = check_makeable(files, locks); !makeable) return std::unexpected(makeable.error());
  LivingLockedOut alone(locks);
  const auto locked_out = alone.try_lock();
  if (!locked_out) return std::unexpected(locked_out.error());
  if (!*locked_out) return in_use();
  const auto old = files.map_any_segment(Segment::Access::read_write, false);
  const bool is_refused = !old && old.error().code() == ErrorCode::permission_denied && !files.is_name_taken();
  // Another directory's memory has this name: it is not replaced.
  if (is_refused || (!old && needs_adoption(files))) return std::unexpected(old.error());
  if (old) old->signals().removed.store(1);
  auto report = make_segment_anew(files);
  if (!report) {
    if (old) old->signals().removed.store(0);
    return report;
  }
  if (old) mark_removed(*old);
  log().warn(
      "the shared memory of {} was made anew on demand: {} jobs came back from its journal in {:.3f} s; what only "
      "the memory knew is lost",
      files.path().string(), report->jobs, in_seconds(report->elapsed));
  log_findings(*report);
  return report;
}

}  // namespace ringmill
