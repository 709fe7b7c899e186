// The rows of the schedules' file: how a schedule is written, and read without being believed.
#pragma once

#include <cstdint>
#include <string_view>

#include <ringmill/error.h>

#include "core/base/sqlite.h"
#include "core/schedules/schedule.h"

namespace ringmill {

// What the jobs of a schedule ask for. Made when the first schedule asks for something.
inline constexpr const char* make_details =
    "CREATE TABLE IF NOT EXISTS detail(name TEXT PRIMARY KEY, lease_ms INTEGER NOT NULL, max_attempts INTEGER NOT "
    "NULL, backoff TEXT NOT NULL, expires_ms INTEGER NOT NULL, no_overlap INTEGER NOT NULL, last_job INTEGER) STRICT, "
    "WITHOUT ROWID";
inline constexpr std::string_view detail_table =
    "CREATE TABLE detail(name TEXT PRIMARY KEY, lease_ms INTEGER NOT NULL, max_attempts INTEGER NOT NULL, backoff TEXT "
    "NOT NULL, expires_ms INTEGER NOT NULL, no_overlap INTEGER NOT NULL, last_job INTEGER) STRICT, WITHOUT ROWID";
inline constexpr const char* forget_detail = "DELETE FROM detail WHERE name = ?1";
// Made when the first schedule with a tag is added.
inline constexpr const char* make_tags =
    "CREATE TABLE IF NOT EXISTS tagged(name TEXT PRIMARY KEY, tag TEXT NOT NULL) STRICT, WITHOUT ROWID";
inline constexpr std::string_view tag_table =
    "CREATE TABLE tagged(name TEXT PRIMARY KEY, tag TEXT NOT NULL) STRICT, WITHOUT ROWID";
inline constexpr const char* forget_tag = "DELETE FROM tagged WHERE name = ?1";
/// Of ScheduleBook::select(): the columns of the detail, the tag, and behind them the payload.
inline constexpr int detail_column = 13;
inline constexpr int last_job_column = 18;
inline constexpr int tag_column = 19;
inline constexpr int payload_column = 20;

inline std::int64_t column_of(TickTime time) { return time.time_since_epoch().count(); }

/// `row` is of ScheduleBook::select(). What cannot be is shown as it is, as far as it is short, and has no ticks.
Schedule schedule_of(const SqlStatement& row, bool with_payload);
/// Error invalid_argument: a name, a time.
Result<void> check(const Schedule& schedule);
/// Changes no row if there is one of this name.
Result<void> insert(SqlConnection& database, const Schedule& schedule, TickTime now);
/// After the schedule's row. `has_table`: there may be a detail of an earlier one.
Result<void> write_detail(SqlConnection& database, const Schedule& schedule, bool has_table);
/// Likewise.
Result<void> write_tag(SqlConnection& database, const Schedule& schedule, bool has_table);
bool have_same_times(const TickTimes& one, const TickTimes& other);

}  // namespace ringmill
