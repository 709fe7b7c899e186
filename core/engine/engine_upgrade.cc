#include "core/engine/engine_upgrade.h"

#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/dead_letters/dead_letter.h"
#include "core/levels/dynamic_levels.h"
#include "core/levels/level_list.h"
#include "core/table/job_table.h"
#include "ipc/former_layout.h"
#include "ipc/random.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

/// reap_rules.h, for the dead of a former version: there are no others.
Result<void> settle_the_dead(const FormerSegment& former, const Segment& copy) {
  const JobTable table(copy);
  const auto next = [&table](CellIndex from) { return table.chunks().next_there(from); };
  for (CellIndex index = next(0); index < table.capacity(); index = next(index + 1)) {
    const StateWord word = table.word(index);
    CellHeader& header = table.header(index);
    if (word.state() == CellState::completing) {
      return std::unexpected(Error(ErrorCode::busy, "a worker died while it ended a job, and no keeper has done it yet",
                                   job_id_of(word, index).to_string() +
                                       "; run `ringmill keeper` of the former version for a moment, end it, and try "
                                       "again"));
    }
    if (word.state() != CellState::running) continue;
    const std::uint16_t most = header.most_attempts.load();
    std::uint16_t attempts = header.attempts.load();
    const bool has_begun = former.had_begun(index);
    if (has_begun && attempts != UINT16_MAX) ++attempts;
    const bool is_to_be_buried = (header.flags.load() & cell_flag::bury_on_worker_lost) != 0;
    const bool is_dead = has_begun && (is_to_be_buried || (most != 0 && attempts >= most));
    header.attempts.store(attempts);
    header.text_bytes.store(0);
    header.due_at.store(0);
    header.cause.store(is_dead ? static_cast<std::uint16_t>(DeathCause::worker_lost) : std::uint16_t{0});
    header.state.store(word.next(is_dead ? CellState::burying : CellState::queued, 0).bits());
    // The journal has to hear of the attempt.
    const bool is_journaled = (header.flags.load() & cell_flag::memory_only) == 0;
    if (is_journaled) copy.marks().mark_changed(JournalMarks::word_of(index), JournalMarks::bit_of(index));
  }
  return {};
}

/// The old memory as a segment of this layout, without a name.
Result<Segment> read_as_present(const EngineFiles& files, const Directory& folder, const FormerSegment& former) {
  const std::string name = files.segment_path().filename().string();
  const auto half_made = Directory::half_made_name(name);
  if (!half_made) return std::unexpected(half_made.error());
  SegmentConfig config = files.config();
  config.owner = FileOwner{files.folder().owner(), files.folder().group()};
  config.arena_bytes = former.arena_bytes();
  const auto fill = [&](Segment& copy) -> Result<void> {
    const auto levels = LevelList::read(files.folder(), copy.geometry().level_ring_slots);
    if (!levels) return std::unexpected(levels.error());
    restore_levels(copy, *levels);
    if (auto copied = former.copy_into(copy); !copied) return copied;
    MemorySigns{.making = former.making(), .home = former.home()}.put_into(copy);
    return settle_the_dead(former, copy);
  };
  if (auto made = Segment::create(folder, *half_made, config, 1, generation_step, fill); !made) {
    return std::unexpected(made.error());
  }
  auto copy = Segment::open(folder.path_of(*half_made), config.engine_id, files.folder().owner(), config.mode,
                            Segment::Access::read_write, false);
  static_cast<void>(folder.remove_if_there(*half_made));
  if (!copy) return copy;
  if (auto current = files.check_memory(*copy); !current) return std::unexpected(current.error());
  return copy;
}

/// An upgrade that was cut off is ended, or undone.
Result<EngineFiles> open_files(const fs::path& path) {
  auto files = EngineFiles::open(path);
  if (!files) return files;
  if (!has_unfinished_resize(*files)) return files;
  const auto locks = files->open_locks();
  if (!locks) return std::unexpected(locks.error());
  if (auto finished = finish_resize(*files, *locks); !finished) return std::unexpected(finished.error());
  return EngineFiles::open(path);
}

}  // namespace

Result<UpgradeReport> upgrade_engine(const fs::path& path) {
  const auto files = open_files(path);
  if (!files) return std::unexpected(files.error());
  const auto present = files->open_segment_to_read();
  // Memory that is gone is made anew from the journal by the next opening, whatever version wrote that.
  if (present || present.error().code() == ErrorCode::not_found || present.error().code() == ErrorCode::stale) {
    return UpgradeReport{};
  }
  if (present.error().code() != ErrorCode::incompatible) return std::unexpected(present.error());
  const auto locks = files->open_locks();
  if (!locks) return std::unexpected(locks.error());
  const auto folder = files->open_memory_folder();
  if (!folder) return std::unexpected(folder.error());
  const auto open_old = [&]() -> Result<Segment> {
    const auto former = FormerSegment::open(*folder, files->segment_path().filename().string(), files->folder().owner(),
                                            files->config().engine_id);
    if (!former) return std::unexpected(former.error());
    return read_as_present(*files, *folder, *former);
  };
  auto report = remake_alone(*files, *locks, files->configuration(), open_old);
  if (!report) return std::unexpected(report.error());
  return UpgradeReport{.from = oldest_upgradable_layout, .resize = *std::move(report)};
}

}  // namespace ringmill
