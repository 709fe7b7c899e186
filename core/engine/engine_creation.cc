#include "core/engine/engine_creation.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <vector>

#include "core/base/file_names.h"
#include "core/engine/engine_adoption.h"
#include "core/flow_control/flow_book.h"
#include "core/instance/engine_configuration.h"
#include "core/instance/engine_identity.h"
#include "core/journal/file_names.h"
#include "core/table/growth.h"
#include "ipc/directory.h"
#include "ipc/file_modes.h"
#include "ipc/random.h"
#include "ipc/registry.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

/// How often the lock file may be replaced while we take its lock, before we say that others are at it.
constexpr int most_replacements = 1000;

/// True for our files, and for what was to become one of them.
bool is_own_file(std::string_view name) {
  return std::ranges::any_of(own_files, [name](std::string_view own) {
    const bool is_of_an_older_version = name.ends_with(half_made_ending) && name.size() == own.size() + 4;
    return name == own || Directory::is_half_made(name, own) || (is_of_an_older_version && name.starts_with(own));
  });
}

/// What a directory holds besides the journal's folder.
struct Contents {
  std::vector<std::string> ours;
  std::optional<std::string> foreign;  // the first name, here or in the journal, that is not ours
};

/// The first name in the journal's folder that is not ours.
Result<std::optional<std::string>> foreign_in_journal(const Directory& folder) {
  const auto journal = folder.open_folder(journal_folder);
  const auto files = journal ? journal->names() : std::unexpected(journal.error());
  if (!files) return std::unexpected(files.error());
  const auto foreign = std::ranges::find_if_not(*files, is_journal_file);
  if (foreign == files->end()) return std::nullopt;
  return std::string(journal_folder) + "/" + *foreign;
}

Result<Contents> contents_of(const Directory& folder) {
  const auto names = folder.names();
  if (!names) return std::unexpected(names.error());
  Contents contents;
  for (const std::string& name : *names) {
    if (is_own_file(name)) {
      contents.ours.push_back(name);
    } else if (name != journal_folder || !folder.has_folder(name)) {
      if (!contents.foreign) contents.foreign = name;
    } else if (!contents.foreign) {
      auto foreign = foreign_in_journal(folder);
      if (!foreign) return std::unexpected(foreign.error());
      contents.foreign = *std::move(foreign);
    }
  }
  return contents;
}

/// A directory that is there is used if it is ours and holds nothing but what a creation leaves. Error not_found: it
/// was removed meanwhile.
Result<Directory> open_place(const fs::path& path) {
  auto folder = Directory::open(path);
  if (!folder) return folder;
  if (folder->owner() != ::geteuid()) {
    return std::unexpected(Error(ErrorCode::permission_denied, "the directory belongs to another user",
                                 path.string() + "; make the engine as that user, or name a new directory"));
  }
  const auto contents = contents_of(*folder);
  if (!contents) return std::unexpected(contents.error());
  if (contents->foreign) {
    return std::unexpected(Error(ErrorCode::already_exists, "the directory is not empty and holds no engine",
                                 path.string() + " (found " + *contents->foreign + "); name a new directory"));
  }
  return folder;
}

/// What stands in `creating`: the segment's path, and the inode of the directory that it is made for. A copy of the
/// directory has another one, and no right to the segment.
struct CreationNote {
  fs::path segment;
  ino_t directory = 0;

  std::string to_text() const { return segment.string() + "\n" + std::to_string(directory) + "\n"; }
  static std::optional<CreationNote> of(std::string_view text) {
    const std::size_t line_end = text.find('\n');
    if (line_end == std::string_view::npos) return std::nullopt;
    CreationNote note{.segment = text.substr(0, line_end)};
    const auto [end, error] = std::from_chars(text.data() + line_end + 1, text.data() + text.size(), note.directory);
    if (error != std::errc{} || end == text.data() + text.size() || *end != '\n') return std::nullopt;
    // Only what we could have made is ever removed: a file named ringmill-<16 digits>.
    if (!note.segment.is_absolute() || !is_segment_name(note.segment.filename().string())) return std::nullopt;
    return note;
  }
};

/// Removes the segment, and what was to become it. Error permission_denied: another user's file stands there. Another
/// user's under a half-made name is in no way, and stays.
Result<void> unlink_segment(const fs::path& segment, uid_t owner) {
  const auto folder = Directory::open(segment.parent_path(), Directory::Links::followed);
  if (!folder && folder.error().code() == ErrorCode::not_found) return {};
  if (!folder) return std::unexpected(folder.error());
  const std::string name = segment.filename().string();
  const auto names = folder->names();
  if (!names) return std::unexpected(names.error());
  for (const std::string& file : *names) {
    if (file != name && !is_half_made_segment(file, name)) continue;
    const auto facts = folder->look(file);
    if (!facts) return std::unexpected(facts.error());
    if (!*facts) continue;
    if ((*facts)->st_uid != owner) {
      if (file != name) continue;
      return std::unexpected(Error(
          ErrorCode::permission_denied, "a file of another user stands where the engine's shared memory should be",
          folder->path_of(file).string() + "; find out which user owns it, and have it removed"));
    }
    if (auto removed = folder->remove_if_there(file); !removed) return removed;
  }
  return {};
}

/// Removes the journal's files, and its folder if nothing else is in it.
Result<void> unlink_journal(const Directory& folder) {
  if (!folder.has_folder(journal_folder)) return {};
  const auto journal = folder.open_folder(journal_folder);
  const auto files = journal ? journal->names() : std::unexpected(journal.error());
  if (!files) return std::unexpected(files.error());
  for (const std::string& file : *files) {
    if (!is_journal_file(file) || journal->has_folder(file)) continue;  // a folder is none of ours
    if (auto unlinked = journal->remove_if_there(file); !unlinked) return unlinked;
  }
  static_cast<void>(folder.remove_folder(journal_folder));
  return {};
}

Result<void> unlink_databases(const Directory& folder) {
  for (const std::string_view name : database_files) {
    if (auto unlinked = folder.remove_if_there(name); !unlinked) return unlinked;
  }
  return folder.remove_if_there(level_list_file);
}

/// Removes our files, which are `ours`, and the directory if nothing else is in it. The caller holds the structure
/// lock, and the segment is gone.
Result<void> unlink_own_files(const Directory& folder, const std::vector<std::string>& ours) {
  // engine.json first, so that there is no engine without its journal. While the journal is there others of our files
  // are, so that its folder does not need to tell the owner.
  if (auto unlinked = folder.remove_if_there(configuration_file); !unlinked) return unlinked;
  if (auto unlinked = unlink_journal(folder); !unlinked) return unlinked;
  for (const std::string& name : ours) {
    if (name == engine_lock_file) continue;
    if (auto unlinked = folder.remove_if_there(name); !unlinked) return unlinked;
  }
  if (auto unlinked = folder.remove_if_there(engine_lock_file); !unlinked) return unlinked;
  // Not if it holds other files, or is a mount point, or its parent is not ours to write.
  static_cast<void>(folder.remove_itself());
  return {};
}

/// make.C4. Its mode is the engine's directory's: the keeper may be any of the engine's users.
Result<void> make_journal_folder(const Directory& folder, std::uint32_t mode) {
  const auto made = folder.make_folder(journal_folder, mode);
  if (!made && made.error().code() != ErrorCode::already_exists) return made;
  const auto journal = folder.open_folder(journal_folder);
  if (!journal) return std::unexpected(journal.error());
  return journal->set_mode(mode);
}

/// Removes the segment that `creating` names, if there is a note and it is of this directory.
Result<void> unlink_noted_segment(const Directory& folder) {
  // What others may write names what they like.
  const auto text = folder.read_small_file(creation_note_file, Directory::Owners::alone);
  const auto note = text ? CreationNote::of(*text) : std::nullopt;
  if (!note || note->directory != folder.inode()) return {};
  return unlink_segment(note->segment, folder.owner());
}

/// make.C2. Error not_found: the directory, or the file, was removed meanwhile.
Result<File> open_or_make_lock(const Directory& folder, std::uint32_t file_mode) {
  auto made = folder.make_file(engine_lock_file, file_mode);
  if (made || made.error().code() != ErrorCode::already_exists) return made;
  return folder.open_file(engine_lock_file, O_RDWR, Directory::Owners::directorys);
}

Error others_are_at_it(const fs::path& path) {
  return Error(ErrorCode::busy, "others make and remove an engine at this place", path.string());
}

/// make.C1 and make.C2. A second creator waits here, then finds engine.json.
Result<LockedPlace> make_and_lock(const fs::path& path, std::uint32_t mode, std::uint32_t file_mode) {
  for (int n = 0; n < most_replacements; ++n) {
    const auto made = Directory::make(path, mode);
    if (!made && made.error().code() != ErrorCode::already_exists) return std::unexpected(made.error());
    const auto folder = open_place(path);
    if (!folder && folder.error().code() == ErrorCode::not_found) continue;
    if (!folder) return std::unexpected(folder.error());
    auto locks = open_or_make_lock(*folder, file_mode);
    if (!locks && locks.error().code() == ErrorCode::not_found) continue;  // removed since make.C1
    if (!locks) return std::unexpected(locks.error());
    if (auto locked = lock_byte(*locks, structure_lock_byte); !locked) return std::unexpected(locked.error());
    if (folder->is_named(engine_lock_file, *locks)) return LockedPlace{*folder, *std::move(locks)};
  }
  return std::unexpected(others_are_at_it(path));
}

/// The limits that the engine begins with.
Result<FlowRules> rules_of(const CreateOptions& options) {
  FlowRules rules;
  for (const LevelLimit& limit : options.level_limits) {
    if (std::ranges::find(options.levels, limit.level) == options.levels.end()) {
      return std::unexpected(
          Error(ErrorCode::invalid_argument, "a level that the engine does not have cannot be limited", limit.level));
    }
    if (auto checked = check_limits(limit.limits); !checked) return std::unexpected(checked.error());
    if (limit.limits != LevelLimits{}) rules.level_limits[limit.level] = limit.limits;
  }
  return rules;
}

/// make.C3 to make.C7.
Result<void> make_contents(const LockedPlace& place, EngineConfiguration configuration, std::uint32_t mode,
                           const FlowRules& rules) {
  const Directory& folder = place.folder;
  // Both may be there from before, with another mode. The mode alone would take the group's sign from a directory that
  // was prepared for a group.
  const std::uint32_t with_group = directory_mode(mode) | (folder.mode() & S_ISGID);
  if (auto set = folder.set_mode(with_group); !set) return set;
  // The lock file may be older than that. Only a member of the group may change it: for others it stays as it is.
  const Directory::Owner owner{.user = static_cast<uid_t>(-1), .group = folder.group()};
  if (auto given = give_file(place.locks, owner, folder.path_of(engine_lock_file)); !given) return given;
  if (::fchmod(place.locks.descriptor(), mode_with_locks(configuration.segment.mode)) != 0) {
    return std::unexpected(system_error("cannot set the mode of", folder.path_of(engine_lock_file)));
  }
  const auto home = find_home(folder);
  if (!home) return std::unexpected(home.error());
  configuration.home = home->home;
  const EngineFiles files(folder, std::move(configuration), *home);
  const auto memory = files.open_memory_folder();
  if (!memory) return std::unexpected(memory.error());
  const auto making = random_number();
  if (!making) return std::unexpected(making.error());
  const std::string name = segment_name(files.config().engine_id);
  SegmentConfig segment = files.config();
  segment.owner = FileOwner{folder.owner(), folder.group()};
  const auto fill = [&](Segment& fresh) -> Result<void> {
    if (auto made = Growth::make_first_cells(fresh); !made) return made;
    MemorySigns{.making = *making, .home = home->word}.put_into(fresh);
    if (auto applied = apply_flow_rules(fresh, rules); !applied) return std::unexpected(applied.error());
    return files.write_memory_note(*making, name);
  };
  const CreationNote note{files.configuration().shm_dir / name, folder.inode()};
  auto noted = files.write_durably(creation_note_file, note.to_text(), owners_file_mode(files.config().mode));
  if (!noted) return noted;  // make.C3
  if (auto limited = files.write_generation_limit(generation_step); !limited) return limited;
  if (rules != FlowRules{}) {
    if (auto ruled = write_flow_rules(files, rules); !ruled) return ruled;
  }
  if (auto made = make_journal_folder(folder, with_group); !made) return made;                            // make.C4
  if (auto made = Segment::create(*memory, name, segment, 1, generation_step, fill); !made) return made;  // make.C5
  if (auto written = files.write_configuration(); !written) return written;                               // make.C6
  static_cast<void>(folder.remove_if_there(creation_note_file));                                          // make.C7
  return {};
}

}  // namespace

Result<void> create_engine(const fs::path& given, const CreateOptions& options) {
  auto configuration = checked_configuration(with_chosen_sizes(options));
  if (!configuration) return std::unexpected(configuration.error());
  const auto rules = rules_of(options);
  if (!rules) return std::unexpected(rules.error());
  const auto path = EngineFiles::full_path(given);
  if (!path) return std::unexpected(path.error());
  std::error_code failure;
  configuration->shm_dir = fs::absolute(options.shm_dir, failure);
  if (failure) return std::unexpected(system_error("cannot find", options.shm_dir, failure.value()));
  const auto locked = make_and_lock(*path, options.mode, mode_with_locks(configuration->segment.mode));
  if (!locked) return std::unexpected(locked.error());
  const Directory& folder = locked->folder;
  if (folder.has(configuration_file)) {
    return std::unexpected(Error(ErrorCode::already_exists, "there is an engine already", path->string()));
  }
  if (auto cleaned = unlink_noted_segment(folder); !cleaned) return cleaned;
  if (auto cleaned = unlink_journal(folder); !cleaned) return cleaned;
  if (auto cleaned = unlink_databases(folder); !cleaned) return cleaned;
  if (auto cleaned = folder.remove_if_there(flow_file); !cleaned) return cleaned;
  auto made = make_contents(*locked, *std::move(configuration), options.mode, *rules);
  if (!made) {
    // engine.json first: a kill from here on leaves a half-made engine, not a whole one without its segment.
    static_cast<void>(folder.remove_if_there(configuration_file));
    static_cast<void>(unlink_noted_segment(folder));
    if (const auto left = contents_of(folder)) static_cast<void>(unlink_own_files(folder, left->ours));
  }
  return made;
}

Result<LockedPlace> lock_to_remove(const fs::path& path) {
  for (int n = 0; n < most_replacements; ++n) {
    const auto folder = Directory::open(path);
    if (!folder) {
      const ErrorCode code = folder.error().code();
      const bool is_none = code == ErrorCode::not_found || code == ErrorCode::already_exists;
      return std::unexpected(is_none ? no_engine_at(path) : folder.error());
    }
    auto locks = folder->open_file(engine_lock_file, O_RDWR, Directory::Owners::directorys);
    if (!locks && locks.error().code() == ErrorCode::not_found && !folder->has(configuration_file)) {
      return std::unexpected(no_engine_at(path));
    }
    if (!locks) return std::unexpected(locks.error());
    const auto locked = try_lock_byte(*locks, structure_lock_byte);
    if (!locked) return std::unexpected(locked.error());
    if (!*locked) {
      return std::unexpected(Error(ErrorCode::busy, "another process makes or removes this engine right now",
                                   path.string() + "; wait for it, or end it, then try again"));
    }
    if (folder->is_named(engine_lock_file, *locks)) return LockedPlace{*folder, *std::move(locks)};
  }
  return std::unexpected(others_are_at_it(path));
}

Result<void> remove_half_made(const LockedPlace& locked) {
  const Directory& folder = locked.folder;
  struct stat facts {};
  if (::fstat(locked.locks.descriptor(), &facts) != 0) {
    return std::unexpected(system_error("cannot stat", folder.path_of(engine_lock_file)));
  }
  // Ours is an empty lock file, and beside it another file of ours, or nothing at all.
  const auto contents = contents_of(folder);
  if (!contents) return std::unexpected(contents.error());
  const bool has_more_of_ours = contents->ours.size() > 1;
  if (facts.st_size != 0 || (!has_more_of_ours && contents->foreign))
    return std::unexpected(no_engine_at(folder.path()));
  if (auto unlinked = unlink_noted_segment(folder); !unlinked) return unlinked;
  return unlink_own_files(folder, contents->ours);
}

Result<void> remove_files(const EngineFiles& files) {
  const auto contents = contents_of(files.folder());
  if (!contents) return std::unexpected(contents.error());
  // The segment first: without engine.json its name is lost. A copy has none: what stands at that name is the
  // original's.
  if (!needs_adoption(files)) {
    if (auto unlinked = unlink_segment(files.segment_path(), files.folder().owner()); !unlinked) return unlinked;
  }
  return unlink_own_files(files.folder(), contents->ours);
}

}  // namespace ringmill
