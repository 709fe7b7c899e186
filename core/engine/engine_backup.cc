#include "core/engine/engine_backup.h"

#include <fcntl.h>

#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <utility>

#include <ringmill/engine.h>

#include "core/base/file_names.h"
#include "core/dead_letters/schema.h"
#include "core/dead_letters/store.h"
#include "core/durability/journal_copy.h"
#include "core/durability/live_jobs.h"
#include "core/durability/open_journal.h"
#include "core/durability/recovery.h"
#include "core/engine/engine_recovery.h"
#include "core/instance/engine_files.h"
#include "core/journal/file_names.h"
#include "core/journal/read_only_device.h"
#include "core/schedules/database.h"
#include "ipc/clock.h"
#include "ipc/file_modes.h"
#include "ipc/random.h"
#include "ipc/registry.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

using namespace std::chrono_literals;

/// How long what was enqueued before may take to become durable, and dead letters that are retried to be done.
constexpr std::chrono::seconds longest_wait{60};
constexpr std::chrono::milliseconds pause_between_tries{50};
/// Levels may be made and removed while the journal is copied.
constexpr int most_tries = 5;

Result<void> remove_files_of(const Directory& folder) {
  const auto names = folder.names();
  if (!names) return std::unexpected(names.error());
  for (const std::string& name : *names) {
    if (auto removed = folder.remove_if_there(name); !removed) return removed;
  }
  return {};
}

/// The folder of a backup that is not whole.
class HalfMade {
 public:
  explicit HalfMade(Directory folder) noexcept : folder_(std::move(folder)) {}
  HalfMade(const HalfMade&) = delete;
  HalfMade& operator=(const HalfMade&) = delete;
  ~HalfMade() {
    if (!is_kept_) remove_all(folder_);
  }
  const Directory& folder() const noexcept { return folder_; }
  void keep() noexcept { is_kept_ = true; }

  /// engine.json first. What cannot be removed stays.
  static void remove_all(const Directory& folder) {
    static_cast<void>(folder.remove_if_there(configuration_file));
    if (folder.has_folder(journal_folder)) {
      if (const auto journal = folder.open_folder(journal_folder)) static_cast<void>(remove_files_of(*journal));
      static_cast<void>(folder.remove_folder(journal_folder));
    }
    static_cast<void>(remove_files_of(folder));
    static_cast<void>(folder.remove_itself());
  }

 private:
  Directory folder_;
  bool is_kept_ = false;
};

/// What killed backups to this place have left.
void remove_left_ones(const Directory& parent, const std::string& name) {
  const auto names = parent.names();
  if (!names) return;
  for (const std::string& left : *names) {
    if (!Directory::is_half_made(left, name) || !parent.has_folder(left)) continue;
    const auto folder = parent.open_folder(left);
    if (!folder) continue;
    const auto locks = folder->open_file(engine_lock_file, O_RDWR, Directory::Owners::directorys);
    // Killed before it made its lock. One that lives, and is about to, gets an error: two to one place at a moment.
    if (!locks && locks.error().code() == ErrorCode::not_found) static_cast<void>(parent.remove_folder(left));
    if (!locks) continue;
    const auto is_dead = try_lock_byte(*locks, structure_lock_byte);
    if (is_dead && *is_dead) HalfMade::remove_all(*folder);
  }
}

Result<void> check_free(const Directory& parent, const std::string& name) {
  if (!parent.has(name)) return {};
  const Error taken(ErrorCode::already_exists, "there is something at the place of the backup",
                    parent.path_of(name).string() + "; name a new directory");
  if (!parent.has_folder(name)) return std::unexpected(taken);
  const auto folder = parent.open_folder(name);
  if (!folder) return std::unexpected(folder.error());
  const auto names = folder->names();
  if (!names) return std::unexpected(names.error());
  if (!names->empty()) return std::unexpected(taken);
  return {};
}

/// backup.K2: retry.T1 of core/dead_letters/store.h.
Result<File> hold_retries(const EngineFiles& files) {
  auto locks = files.open_locks();
  if (!locks) return locks;
  const std::uint64_t end_ns = steady_clock_ns() + std::chrono::nanoseconds(longest_wait).count();
  while (true) {
    const auto locked = try_lock_byte(*locks, retry_lock_byte);
    if (!locked) return std::unexpected(locked.error());
    if (*locked) return locks;
    if (steady_clock_ns() > end_ns) {
      return std::unexpected(Error(ErrorCode::busy, "another process retries dead letters of this engine",
                                   files.path().string() + "; wait for it, or end it, then try again"));
    }
    std::this_thread::sleep_for(pause_between_tries);
  }
}

/// One backup.
class Backup {
 public:
  Backup(const EngineFiles& from, const Segment& segment, Participant& participant, const Directory& to) noexcept
      : from_(&from), segment_(&segment), participant_(&participant), to_(to) {}

  Result<BackupReport> run() {
    const auto held = hold_retries(*from_);  // backup.K2
    if (!held) return std::unexpected(held.error());
    if (auto copied = copy_schedules(); !copied) return std::unexpected(copied.error());
    if (auto copied = copy_jobs(); !copied) return std::unexpected(copied.error());
    if (auto copied = copy_letters(); !copied) return std::unexpected(copied.error());
    if (auto written = write_configuration(); !written) return std::unexpected(written.error());
    if (auto read = read_back(); !read) return std::unexpected(read.error());
    return std::move(report_);
  }

 private:
  std::uint32_t owners_mode() const noexcept { return owners_file_mode(from_->config().mode); }

  /// backup.K3.
  Result<void> copy_schedules() {
    if (!from_->folder().has(schedules_file)) return {};
    auto source = open_schedules(from_->folder(), false, longest_wait);
    if (!source) return std::unexpected(source.error());
    auto copy = open_schedules(to_, true, longest_wait);
    if (!copy) return std::unexpected(copy.error());
    return source->copy_to(*copy);
  }

  /// backup.K4 to backup.K6, until no level was made or removed meanwhile.
  Result<void> copy_jobs() {
    for (int tries = 0; tries < most_tries; ++tries) {
      const auto before = level_list();
      if (!before) return std::unexpected(before.error());
      if (auto copied = copy_journal_now(); !copied) return copied;
      const auto after = level_list();
      if (!after) return std::unexpected(after.error());
      if (*before != *after) continue;
      if (*after) {
        if (auto written = to_.write_file_durably(level_list_file, **after, owners_mode()); !written) return written;
      }
      return copy_small_files();
    }
    return std::unexpected(Error(ErrorCode::busy, "levels are made and removed all the time", "try again"));
  }
  Result<std::optional<std::string>> level_list() const {
    if (!from_->folder().has(level_list_file)) return std::nullopt;
    auto text = from_->folder().read_small_file(level_list_file, Directory::Owners::directorys);
    if (!text) return std::unexpected(text.error());
    return std::optional(*std::move(text));
  }
  Result<void> copy_journal_now() {
    if (auto durable = participant_->wait_durable(participant_->ticket(), longest_wait); !durable) return durable;
    const auto source = from_->open_journal_folder();
    if (!source) return std::unexpected(source.error());
    const auto target = to_.open_folder(journal_folder);
    if (!target) return std::unexpected(target.error());
    const std::uint32_t mode = mode_with_locks(from_->config().mode);
    auto original = ReadOnlyDevice::open(*source);
    if (!original) return std::unexpected(std::move(original.error()));
    const auto copied = copy_journal(*original, from_->journal_id(), from_->journal_geometry(), *target, mode);
    if (!copied) return std::unexpected(copied.error());
    report_.segments = copied->segments;
    report_.bytes = copied->bytes;
    auto device = open_journal_device(*target, DeviceChoice::pwritev2, mode);
    if (!device) return std::unexpected(device.error());
    const auto writer =
        JournalWriter::open(std::move(*device), from_->journal_id(), from_->journal_geometry(), 0);  // backup.K5
    if (!writer) return std::unexpected(writer.error());
    const auto appended = append_memory_jobs(*segment_, **writer);
    if (!appended) return std::unexpected(appended.error());
    report_.memory_jobs = *appended;
    return {};
  }
  Result<void> copy_small_files() {
    for (const std::string_view name : {flow_file, std::string_view(generation_file)}) {
      if (!from_->folder().has(name)) continue;
      const auto text = from_->folder().read_small_file(name, Directory::Owners::directorys);
      if (!text) return std::unexpected(text.error());
      if (auto written = to_.write_file_durably(name, *text, owners_mode()); !written) return written;
    }
    return {};
  }

  /// backup.K6.
  Result<void> copy_letters() {
    using Access = DeadLetterStore::Access;
    auto source = open_dead_letters(from_->folder(), Access::read_only, {}, longest_wait);
    if (!source && source.error().code() == ErrorCode::not_found) return {};
    if (!source) return std::unexpected(source.error());
    {
      auto copy = open_dead_letters(to_, Access::read_write, {}, longest_wait);
      if (!copy) return std::unexpected(copy.error());
      if (auto copied = source->copy_to(*copy); !copied) return copied;
    }
    const auto letters = DeadLetterStore::open(to_, Access::read_only);
    const auto totals = letters ? letters->totals() : std::unexpected(letters.error());
    if (!totals) return std::unexpected(totals.error());
    report_.letters = totals->letters;
    return {};
  }

  /// backup.K7.
  Result<void> write_configuration() {
    const auto id = random_number();
    if (!id) return std::unexpected(id.error());
    const auto home = find_home(to_);
    if (!home) return std::unexpected(home.error());
    EngineConfiguration own = from_->configuration();
    own.segment.engine_id = *id;
    own.home = home->home;
    const EngineFiles files(to_, std::move(own), *home);
    report_.engine_id = files.engine_id();
    if (auto written = files.write_configuration(); !written) return written;
    return to_.sync();
  }

  /// backup.K8.
  Result<void> read_back() {
    const auto journal = to_.open_folder(journal_folder);
    if (!journal) return std::unexpected(journal.error());
    auto device = ReadOnlyDevice::open(*journal);
    if (!device) return std::unexpected(std::move(device.error()));
    LiveJobs jobs(from_->config().capacity);
    const auto read = read_journal(*device, from_->journal_id(), jobs,
                                   {.segment_bytes = from_->journal_geometry().segment_bytes, .progress = {}});
    if (!read) return std::unexpected(read.error());
    for (const JournalDamage& damage : read->damage) report_.damage.push_back(text_of(damage));
    report_.jobs = jobs.count();
    return {};
  }

  const EngineFiles* from_;
  const Segment* segment_;
  Participant* participant_;
  Directory to_;
  BackupReport report_;
};

/// backup.K1.
Result<File> make_lock(const Directory& folder, std::uint32_t mode) {
  auto locks = folder.make_file(engine_lock_file, mode_with_locks(mode));
  if (!locks) return locks;
  if (auto locked = lock_byte(*locks, structure_lock_byte); !locked) return std::unexpected(locked.error());
  return locks;
}

}  // namespace

Result<BackupReport> back_up_engine(const fs::path& from, const fs::path& to) {
  const std::uint64_t begin_ns = steady_clock_ns();
  const auto place = EngineFiles::full_path(to);
  if (!place) return std::unexpected(place.error());
  const auto parent = Directory::open(place->parent_path(), Directory::Links::followed);
  if (!parent) return std::unexpected(parent.error());
  const std::string name = place->filename().string();
  if (auto checked = check_free(*parent, name); !checked) return std::unexpected(checked.error());
  auto engine = Engine::open(from, {.embedded_keeper = true});
  if (!engine) return std::unexpected(engine.error());
  const auto participant = engine->attach(Role::tool);
  if (!participant) return std::unexpected(participant.error());
  const auto files = EngineFiles::open(from);
  if (!files) return std::unexpected(files.error());
  const auto segment = files->open_segment_to_read();
  if (!segment) return std::unexpected(segment.error());
  remove_left_ones(*parent, name);
  const auto half_made = Directory::half_made_name(name);
  if (!half_made) return std::unexpected(half_made.error());
  const std::uint32_t mode = files->folder().mode() & 0777;
  if (auto made = parent->make_folder(*half_made, mode); !made) return std::unexpected(made.error());
  const auto folder = parent->open_folder(*half_made);
  if (!folder) return std::unexpected(folder.error());
  HalfMade copy(*folder);
  const auto locks = make_lock(*folder, files->config().mode);
  if (!locks) return std::unexpected(locks.error());
  if (auto made = folder->make_folder(journal_folder, mode); !made) return std::unexpected(made.error());
  auto report = Backup(*files, *segment, **participant, *folder).run();
  if (!report) return report;
  if (auto renamed = parent->rename(*half_made, name); !renamed) return std::unexpected(renamed.error());  // backup.K9
  copy.keep();
  if (auto synced = parent->sync(); !synced) return std::unexpected(synced.error());
  report->elapsed = std::chrono::nanoseconds(steady_clock_ns() - begin_ns);
  return report;
}

}  // namespace ringmill
