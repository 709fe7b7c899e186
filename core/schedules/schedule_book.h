// The recurring jobs of one engine, durable in `schedules.db` in its directory (SQLite, docs/decisions/0014).
//
// How a tick becomes one job, whichever process keeps the engine, and across any death:
//
//   tick.T1  due() names the ticks that are to be enqueued: many schedules at once.
//   tick.T2  The keeper enqueues each under unique_key_of(), and waits once until all are durable. Killed in it, or
//            after it: the next keeper's due() names the ticks again; under the same keys they are the same jobs.
//   tick.T3  mark_ticked() with the last one of each: all in one transaction, durable, forward only.  Killed after it:
//            nothing is left to do.
// A keeper that was stopped between T1 and T3 and goes on enqueues under keys that are taken, and marks nothing.
//
// A book belongs to one thread, and to one process: the child of a fork must not even destroy it.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>

#include "core/base/file_names.h"
#include "core/schedules/database.h"
#include "core/schedules/schedule.h"

namespace ringmill {

/// A schedule, and its ticks that are to be enqueued now, in order. There is at least one.
struct DueSchedule {
  Schedule schedule;
  std::vector<TickTime> ticks;
};

/// Ticks of a schedule up to this one are over.
struct TickMark {
  std::string schedule;
  TickTime tick;
  /// The last of them that became a job, if any did: the others were passed over.
  std::optional<TickTime> job{};
};

/// Why the ticks of a schedule could not be enqueued.
struct TickTrouble {
  std::string schedule;
  std::string error;
};

class ScheduleBook {
 public:
  static constexpr std::size_t most_schedules = 10'000;
  /// due() stops at about so many; the next call goes on.
  static constexpr std::size_t most_ticks_in_turn = 8'192;
  static constexpr std::size_t most_payload_bytes_in_turn = std::size_t{16} << 20;
  using Time = std::chrono::system_clock::time_point;

  /// Opens nothing yet: the file is made by the first add(). `busy_wait`: how long a call may wait for a process that
  /// is changing the book. (One that died while it did so is not waited for.)
  ///
  /// Errors of all calls: busy (waited in vain), permission_denied, no_space, corrupt, incompatible, system.
  explicit ScheduleBook(const Directory& engine_directory,
                        std::chrono::milliseconds busy_wait = std::chrono::seconds(5));
  explicit ScheduleBook(const std::filesystem::path& engine_directory,
                        std::chrono::milliseconds busy_wait = std::chrono::seconds(5));

  /// A new schedule, created now: its ticks are those after `now`. Errors: already_exists, invalid_argument (a name,
  /// kind or level that is none, an interval out of bounds), no_space (most_schedules).
  Result<void> add(const Schedule& schedule, Time now);
  /// The same, in the place of one of this name: with the same times that one goes on where it is, with others it
  /// begins anew; it stays paused if it is.
  Result<void> put(const Schedule& schedule, Time now);
  static Error is_there_already(std::string_view name);
  /// By name.
  Result<std::vector<Schedule>> list();
  /// Returns those behind `name`, at most so many, without their payloads: "" begins.
  Result<std::vector<Schedule>> list_after(std::string_view name, std::size_t most);
  /// Error not_found, as for the following.
  Result<Schedule> find(std::string_view name);
  Result<void> remove(std::string_view name);
  /// A paused schedule has no ticks. Pausing one that is paused changes nothing.
  Result<void> pause(std::string_view name);
  /// Goes on with the first tick after `now`: those of the pause did not take place, so none was missed. Resuming one
  /// that is not paused changes nothing, but for one that lies_ahead(): it begins anew, paused or not, as if it were
  /// added now. A tick of a time that comes a second time is a job of its own when the first one's has been over for
  /// ten minutes.
  Result<void> resume(std::string_view name, Time now);

  /// T1. Cheap when nothing is due: it looks whether the file has changed, and at no schedule. Logs, once, what makes
  /// a schedule unusable.
  Result<std::vector<DueSchedule>> due(Time now);
  /// The last due() did not come to the end of the schedules; the next one begins where it stopped.
  bool has_more() const noexcept { return !goes_on_at_.empty(); }
  /// When due() will have something, unless another process changes the book. As of the last due(). What was
  /// due then and is in trouble does not count: it is tried again whenever due() is called.
  std::optional<TickTime> next_due() const noexcept;
  /// T3, in one transaction. A schedule that is marked has no trouble any more. The count is of those whose mark went
  /// forward: not of a tick that is marked already, nor of a schedule that is not there any more.
  Result<std::size_t> mark_ticked(std::span<const TickMark> marks, std::span<const TickTrouble> troubles, Time now);
  Result<bool> mark_ticked(std::string_view name, TickTime tick);

 private:
  /// What due() remembers of a schedule, without the payload.
  struct Entry {
    Schedule schedule;
    std::optional<TickTime> next;  // the first tick that may have to be enqueued; nothing while paused

    bool is_in_trouble() const noexcept { return schedule.failing_since.has_value(); }
  };

  /// Nothing: there are no schedules yet.
  Result<SqlConnection*> opened();
  Result<SqlConnection*> made();
  Result<SqlConnection> open_database(bool make);
  Result<void> write(const Schedule& schedule, Time now, bool may_replace);
  Result<void> replace(SqlConnection& database, const Schedule& former, const Schedule& schedule, TickTime now);
  Result<void> commit(SqlTransaction& transaction);
  Result<bool> has_tables(SqlConnection& database) const;
  Error no_schedule(std::string_view name) const;
  Error too_many() const;
  Result<void> change(const char* sql, std::string_view name, std::optional<std::int64_t> now = std::nullopt);
  /// SELECT of all columns, before WHERE.
  Result<std::string> select(SqlConnection& database, bool with_payload);
  Result<void> refresh_entries(SqlConnection& database);
  Entry* entry_of(std::string_view name) noexcept;
  Result<std::size_t> write_marks(SqlConnection& database, std::span<const TickMark> marks);
  Result<void> write_troubles(SqlConnection& database, std::span<const TickTrouble> troubles, TickTime now);
  void remember(std::span<const TickMark> marks, std::span<const TickTrouble> troubles, TickTime now);
  void warn_of_broken(const Schedule& schedule);

  std::filesystem::path file_;  // for messages
  std::optional<Directory> directory_;
  std::chrono::milliseconds busy_wait_;
  std::optional<SqlConnection> database_;
  bool has_troubles_ = false;                    // the table is there
  bool has_details_ = false;                     // likewise
  bool has_tags_ = false;                        // likewise
  std::vector<Entry> entries_;                   // by name
  TickTime due_until_{};                         // of the last due()
  std::string goes_on_at_;                       // a name; empty: at the beginning
  std::optional<std::int64_t> entries_version_;  // SQLite's data_version that they were read at
  std::vector<std::string> warned_;
};

}  // namespace ringmill
