#include "core/engine/engine_resize.h"

#include <charconv>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <ringmill/engine.h>

#include "core/base/log.h"
#include "core/durability/table_copy.h"
#include "core/engine/alone.h"
#include "core/engine/engine_recovery.h"
#include "core/flow_control/flow_book.h"
#include "core/instance/engine_identity.h"
#include "core/levels/dynamic_levels.h"
#include "ipc/clock.h"
#include "ipc/file_modes.h"
#include "ipc/random.h"
#include "ipc/registry.h"
#include "ipc/waking.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

using std::chrono::steady_clock;

/// How long a keeper may take to hand over what the dead have left, and the journal to catch up.
constexpr std::chrono::seconds longest_preparation{30};
constexpr std::chrono::milliseconds preparation_pause{5};
constexpr std::size_t most_named = 5;

/// What stands in `resizing`: the new making in 16 digits, a line end, and the new engine.json.
struct ResizeNote {
  std::uint64_t making = 0;
  std::string configuration;

  std::string to_text() const { return JobId(making).to_string() + "\n" + configuration; }
  static std::optional<ResizeNote> of(const std::string& text) {
    constexpr std::size_t digits = 16;
    if (text.size() <= digits || text[digits] != '\n') return std::nullopt;
    const auto making = JobId::parse(std::string_view(text).substr(0, digits));
    if (!making) return std::nullopt;
    return ResizeNote{.making = making->value(), .configuration = text.substr(digits + 1)};
  }
};

/// Participants whose process lives, as far as it can be told.
std::vector<std::string> living_in(const EngineFiles& files, const File& locks) {
  std::vector<std::string> living;
  const auto segment = files.open_segment_to_read();
  if (!segment) return living;
  for_each_entry_in_use(*segment, [&](std::uint32_t number, ParticipantState) {
    if (!is_byte_locked_by_other(locks, participant_lock_byte + number)) return;
    living.push_back(
        fmt::format("participant {} (process {})", number, segment->participant(number).process_id.load()));
  });
  return living;
}

Error in_use(const EngineFiles& files, const File& locks) {
  std::vector<std::string> living = living_in(files, locks);
  const std::size_t more = living.size() - std::min(living.size(), most_named);
  living.resize(living.size() - more);
  const std::string named = living.empty() ? ""
                                           : fmt::format("{}{}; ", fmt::join(living, ", "),
                                                         more == 0 ? "" : fmt::format(" and {} more", more));
  return Error(ErrorCode::busy, "the engine is in use, and this needs it alone",
               named +
                   "end its producers, workers and keeper (`ringmill status` lists them), try again, then start them "
                   "again: jobs wait meanwhile, none is lost");
}

/// Hands over what the dead have left, and brings the journal up to date.
Result<void> prepare(const fs::path& path) {
  auto engine = Engine::open(path, {.embedded_keeper = true});
  if (!engine) return std::unexpected(engine.error());
  const auto participant = engine->attach(Role::tool);
  if (!participant) return std::unexpected(participant.error());
  const auto end = steady_clock::now() + longest_preparation;
  const auto has_strangers = [&] {
    bool found = false;
    const EngineStatus status = engine->status();
    for (const ParticipantStatus& one : status.participants) {
      found |= one.number != (*participant)->number() && one.role != name_of(Role::keeper);
    }
    return found;
  };
  while (has_strangers() && steady_clock::now() < end) std::this_thread::sleep_for(preparation_pause);
  return (*participant)->wait_durable((*participant)->ticket(), longest_preparation);
}

/// resize.Z4: everything but its making.
Result<void> fill_from(const Segment& old, const EngineFiles& files, Segment& fresh, ResizeReport& report,
                       std::uint64_t& arena_wanted) {
  const auto list = LevelList::read(files.folder(), fresh.geometry().level_ring_slots);
  if (!list) return std::unexpected(list.error());
  restore_levels(fresh, *list);
  TableCopy copy(old, fresh);
  if (auto copied = copy.run(); !copied) {
    arena_wanted = copy.arena_wanted();
    return copied;
  }
  if (const auto rules = read_flow_rules(files.folder())) static_cast<void>(apply_flow_rules(fresh, *rules));
  fresh.journal().epoch.store(old.journal().epoch.load());
  fresh.journal().segments.store(old.journal().segments.load());
  report.jobs = copy.jobs();
  report.bytes = fresh.geometry().bytes;
  return {};
}

/// resize.Z4 to resize.Z6.
Result<void> make_segment(const EngineFiles& files, const Segment& old, const SegmentConfig& wanted,
                          std::uint64_t making, std::uint64_t floor, ResizeReport& report) {
  const auto folder = files.open_memory_folder();
  if (!folder) return std::unexpected(folder.error());
  const std::string name = files.segment_path().filename().string();
  SegmentConfig fresh = wanted;
  fresh.owner = FileOwner{files.folder().owner(), files.folder().group()};
  std::uint64_t arena_wanted = 0;
  const auto fill = [&](Segment& segment) -> Result<void> {
    if (auto filled = fill_from(old, files, segment, report, arena_wanted); !filled) return filled;
    MemorySigns{.making = making, .home = files.home().word}.put_into(segment);
    return {};
  };
  const auto commit = [&](Segment&) { return files.write_memory_note(making, name); };  // resize.Z5
  while (true) {
    auto made = Segment::create(*folder, name, fresh, floor + 1, floor + generation_step, fill, commit);
    if (made || arena_wanted <= fresh.arena_bytes) return made;
    fresh.arena_bytes = arena_wanted;  // a recovery has made the old one larger than engine.json says
  }
}

/// resize.Z7 and resize.Z8.
Result<void> write_new_configuration(const EngineFiles& files, const std::string& text) {
  const std::uint32_t mode = owners_file_mode(files.config().mode);
  if (auto written = files.write_durably(configuration_file, text, mode); !written) return written;  // resize.Z7
  return files.folder().remove_if_there(resize_note_file);                                           // resize.Z8
}

/// Goes on at resize.Z6: the file of the new making gets its name, if the machine was not restarted since. Removes what
/// stands half-made otherwise.
Result<void> name_segment(const EngineFiles& files, std::uint64_t making, bool is_committed) {
  const auto folder = files.open_memory_folder();
  if (!folder) return std::unexpected(folder.error());
  const std::string name = files.segment_path().filename().string();
  const auto names = folder->names();
  if (!names) return std::unexpected(names.error());
  for (const std::string& file : *names) {
    if (!is_half_made_segment(file, name)) continue;
    const auto segment = Segment::open(folder->path_of(file), files.config().engine_id, files.folder().owner(),
                                       files.config().mode, Segment::Access::read_only, false);
    const bool is_ours = segment && MemorySigns::of(*segment).making == making;
    if (is_committed && is_ours) return folder->rename(file, name);
    if (!is_committed) static_cast<void>(folder->remove_if_there(file));
  }
  return {};
}

}  // namespace

Result<ResizeReport> remake_alone(const EngineFiles& files, const File& locks, const EngineConfiguration& wanted,
                                  const std::function<Result<Segment>()>& open_old) {
  const std::uint64_t begin_ns = steady_clock_ns();
  if (auto locked = lock_byte(locks, structure_lock_byte); !locked) return std::unexpected(locked.error());
  const LockedByte structure(locks, structure_lock_byte);
  if (auto makeable = check_makeable(files, locks); !makeable) return std::unexpected(makeable.error());
  LivingLockedOut alone(locks);
  const auto locked_out = alone.try_lock();  // resize.Z1
  if (!locked_out) return std::unexpected(locked_out.error());
  if (!*locked_out) return std::unexpected(in_use(files, locks));
  auto old = open_old();
  if (!old) return std::unexpected(old.error());
  const auto floor = files.read_generation_limit();
  if (!floor) return std::unexpected(floor.error());
  if (auto reserved = reserve_generations(files, *floor); !reserved)
    return std::unexpected(reserved.error());  // resize.Z2
  const auto making = random_number();
  if (!making) return std::unexpected(making.error());
  ResizeReport report{.before = files.configuration(), .after = wanted};
  const ResizeNote note{.making = *making, .configuration = to_json(wanted)};
  auto noted = files.write_durably(resize_note_file, note.to_text(), owners_file_mode(files.config().mode));
  if (!noted) return std::unexpected(noted.error());  // resize.Z3
  if (auto made = make_segment(files, *old, wanted.segment, *making, *floor, report); !made) {
    if (files.check_memory(*old)) static_cast<void>(files.folder().remove_if_there(resize_note_file));
    return std::unexpected(made.error());
  }
  mark_removed(*old);
  if (auto written = write_new_configuration(files, note.configuration); !written) {
    return std::unexpected(written.error());
  }
  report.elapsed = std::chrono::nanoseconds(steady_clock_ns() - begin_ns);
  return report;
}

Result<ResizeReport> resize_alone(const EngineFiles& files, const File& locks, const ResizeWish& wish) {
  const auto wanted = resized(files.configuration(), wish);
  if (!wanted) return std::unexpected(wanted.error());
  return remake_alone(files, locks, *wanted, [&files] { return files.open_segment_if_there(); });
}

Result<ResizeReport> resize_engine(const fs::path& path, const ResizeWish& wish) {
  {
    const auto files = EngineFiles::open(path);
    if (!files) return std::unexpected(files.error());
    const auto locks = files->open_locks();
    if (!locks) return std::unexpected(locks.error());
    if (auto wanted = resized(files->configuration(), wish); !wanted) return std::unexpected(wanted.error());
    if (files->is_in_use(*locks)) return std::unexpected(in_use(*files, *locks));
  }
  if (auto prepared = prepare(path); !prepared) return std::unexpected(prepared.error());
  const auto files = EngineFiles::open(path);  // once more: opening may have ended an earlier resize
  if (!files) return std::unexpected(files.error());
  const auto locks = files->open_locks();
  if (!locks) return std::unexpected(locks.error());
  return resize_alone(*files, *locks, wish);
}

bool has_unfinished_resize(const EngineFiles& files) { return files.folder().has(resize_note_file); }

Result<void> finish_resize(const EngineFiles& files, const File& locks) {
  if (auto locked = lock_byte(locks, structure_lock_byte); !locked) return locked;
  const LockedByte structure(locks, structure_lock_byte);
  const auto text = files.folder().read_small_file(resize_note_file, Directory::Owners::alone);
  if (!text && text.error().code() == ErrorCode::not_found) return {};  // it has ended
  if (!text) return std::unexpected(text.error());
  const auto note = ResizeNote::of(*text);
  if (!note) {
    return std::unexpected(Error(ErrorCode::corrupt, "the note of a resize cannot be read",
                                 files.folder().path_of(resize_note_file).string() + "; remove it"));
  }
  if (auto makeable = check_makeable(files, locks); !makeable) return makeable;
  const auto making = files.noted_making();
  if (!making) return std::unexpected(making.error());
  if (*making != note->making) {  // not committed
    static_cast<void>(name_segment(files, note->making, false));
    return files.folder().remove_if_there(resize_note_file);
  }
  if (auto configuration = from_json(note->configuration, files.folder().path_of(resize_note_file)); !configuration) {
    return std::unexpected(configuration.error());
  }
  if (auto named = name_segment(files, note->making, true); !named) return named;  // resize.Z6
  if (auto written = write_new_configuration(files, note->configuration); !written) return written;
  log().warn("a resize of {} had been cut off behind its decision, and was ended", files.path().string());
  return {};
}

}  // namespace ringmill
