#include "core/schedules/schedule_book.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "core/base/durations.h"
#include "core/base/log.h"
#include "core/base/shown_text.h"
#include "ipc/name_table.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

using std::chrono::milliseconds;

constexpr std::int64_t application_id = 0x524d5343;  // "RMSC"; `file` and others can tell by it what the file is
constexpr std::int64_t schema_version = 1;

// Times are milliseconds since 1970. Either cron and zone, or every_ms. A change of the tables needs a new
// schema_version, and an opening that brings the older ones there.
constexpr const char* make_schedules = R"sql(CREATE TABLE schedule(
  name TEXT PRIMARY KEY,
  cron TEXT,
  zone TEXT,
  every_ms INTEGER,
  kind TEXT NOT NULL,
  level TEXT NOT NULL,
  missed TEXT NOT NULL,
  paused INTEGER NOT NULL,
  created_at INTEGER NOT NULL,
  begins_after INTEGER NOT NULL,
  last_tick INTEGER,
  payload BLOB NOT NULL
) STRICT, WITHOUT ROWID)sql";
constexpr const char* make_signs = "PRAGMA application_id = 0x524d5343; PRAGMA user_version = 1";

// Files from before it have no such table: it is made when the first trouble comes.
constexpr const char* make_troubles =
    "CREATE TABLE IF NOT EXISTS trouble(name TEXT PRIMARY KEY, since INTEGER NOT NULL, error TEXT NOT NULL) STRICT, "
    "WITHOUT ROWID";
constexpr std::string_view trouble_table =
    "CREATE TABLE trouble(name TEXT PRIMARY KEY, since INTEGER NOT NULL, error TEXT NOT NULL) STRICT, WITHOUT ROWID";
constexpr const char* forget_trouble = "DELETE FROM trouble WHERE name = ?1";
constexpr std::size_t most_error_bytes = 500;

TickTime tick_time(ScheduleBook::Time time) { return std::chrono::floor<milliseconds>(time); }
TickTime tick_time(std::int64_t ms) { return TickTime(milliseconds(ms)); }
std::int64_t column_of(TickTime time) { return time.time_since_epoch().count(); }

Error invalid(const char* summary, std::string_view what) {
  return Error(ErrorCode::invalid_argument, summary, fmt::format("'{}'", what));
}

TickTimes times_of(std::string cron_text, std::string zone_name) {
  auto cron = Cron::parse(cron_text);
  if (!cron) return BrokenTimes{std::move(cron_text), std::move(zone_name), cron.error().message()};
  auto zone = Zone::load(zone_name);
  if (!zone) return BrokenTimes{std::move(cron_text), std::move(zone_name), zone.error().message()};
  return CronTimes{*std::move(cron), *std::move(zone)};
}

/// From 1970 to the year 2250: what can be reckoned with in the nanoseconds of system_clock.
constexpr std::int64_t most_time_ms = std::int64_t{280} * 365 * 24 * 3600 * 1000;

/// The longest text that a schedule may have, beside its payload: no cron expression or zone comes near it.
constexpr std::size_t most_text_bytes = 4096;

/// Whether the values are what an add() or a mark has written, by their types and bounds. (The tables are STRICT, but
/// only for what is written through SQLite.) `row` is of ScheduleBook::select().
bool is_sound(const SqlStatement& row) {
  const auto is_text = [&row](int column) {
    return row.is_text(column) && row.bytes(column).size() <= most_text_bytes && is_utf8(row.bytes(column));
  };
  const auto is_time = [&row](int column) {
    return row.is_integer(column) && row.integer(column) >= 0 && row.integer(column) <= most_time_ms;
  };
  return is_text(0) && (row.is_null(1) || is_text(1)) && (row.is_null(2) || is_text(2)) &&
         (row.is_null(3) || row.is_integer(3)) && is_text(4) && is_text(5) && is_text(6) && row.is_integer(7) &&
         is_time(8) && is_time(9) && (row.is_null(10) || is_time(10)) && (row.is_null(11) || is_time(11)) &&
         (row.is_null(12) || (row.is_text(12) && row.bytes(12).size() <= most_text_bytes));
}

/// `row` is of ScheduleBook::select(). What cannot be is shown as it is, as far as it is short, and has no ticks.
Schedule schedule_of(const SqlStatement& row, bool with_payload) {
  const auto text = [&row](int column) { return std::string(row.bytes(column).substr(0, most_text_bytes)); };
  if (!is_sound(row)) {
    return {.name = text(0), .times = BrokenTimes{text(1), text(2), "what its file says of it cannot be"}};
  }
  Schedule schedule{.name = text(0), .times = BrokenTimes{text(1), text(2), "it has neither times nor an interval"}};
  if (!row.is_null(1)) {
    schedule.times = times_of(text(1), text(2));
  } else if (const milliseconds every(row.integer(3)); every >= EveryTimes::least && every <= EveryTimes::most) {
    schedule.times = EveryTimes{every};
  }
  schedule.kind = text(4);
  schedule.level = text(5);
  if (const auto missed = missed_ticks_of(row.bytes(6))) {
    schedule.missed = *missed;
  } else {
    schedule.times = BrokenTimes{text(1), text(2), fmt::format("'{}' is no policy for missed ticks", row.bytes(6))};
  }
  schedule.paused = row.integer(7) != 0;
  schedule.created_at = tick_time(row.integer(8));
  schedule.begins_after = tick_time(row.integer(9));
  if (!row.is_null(10)) schedule.last_tick = tick_time(row.integer(10));
  if (!row.is_null(11)) schedule.failing_since = tick_time(row.integer(11));
  schedule.last_error = text(12);
  if (with_payload) schedule.payload = row.bytes(13);
  if (!is_valid_name(schedule.name) || !is_valid_name(schedule.kind) || !is_valid_name(schedule.level)) {
    schedule.times = BrokenTimes{text(1), text(2), "its name, kind or level is none"};
  }
  return schedule;
}

Result<void> check(const Schedule& schedule) {
  constexpr const char* rule = "a schedule's name has 1 to 63 characters of [A-Za-z0-9._:/-]";
  if (!is_valid_name(schedule.name)) return std::unexpected(invalid(rule, schedule.name));
  if (!is_valid_name(schedule.kind)) return std::unexpected(invalid("no name of a kind", schedule.kind));
  if (!is_valid_name(schedule.level)) return std::unexpected(invalid("no name of a level", schedule.level));
  if (const auto* every = std::get_if<EveryTimes>(&schedule.times)) {
    if (every->interval < EveryTimes::least || every->interval > EveryTimes::most) {
      return std::unexpected(invalid("an interval is 1s to 3650d", format_duration(every->interval)));
    }
  }
  if (const auto* broken = std::get_if<BrokenTimes>(&schedule.times)) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "no times", broken->reason));
  }
  return {};
}

Result<void> insert(SqlConnection& database, const Schedule& schedule, TickTime now) {
  auto statement = database.prepare(
      "INSERT INTO schedule VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, NULL, ?10) ON CONFLICT DO NOTHING");
  if (!statement) return std::unexpected(statement.error());
  const auto* cron = std::get_if<CronTimes>(&schedule.times);
  const auto* every = std::get_if<EveryTimes>(&schedule.times);
  using Text = std::optional<std::string_view>;
  const Text cron_text = cron != nullptr ? Text(cron->cron.text()) : Text();
  const Text zone = cron != nullptr ? Text(cron->zone.name()) : Text();
  const auto every_ms = every != nullptr ? std::optional<std::int64_t>(every->interval.count()) : std::nullopt;
  return statement
      ->with(std::string_view(schedule.name), cron_text, zone, every_ms, std::string_view(schedule.kind),
             std::string_view(schedule.level), name_of(schedule.missed), std::int64_t{schedule.paused ? 1 : 0},
             column_of(now), std::as_bytes(std::span<const char>(schedule.payload)))
      .run();
}

}  // namespace

ScheduleBook::ScheduleBook(const fs::path& engine_directory, milliseconds busy_wait)
    : file_(engine_directory / schedules_file), busy_wait_(busy_wait) {}

ScheduleBook::ScheduleBook(const Directory& engine_directory, milliseconds busy_wait)
    : file_(engine_directory.path_of(schedules_file)), directory_(engine_directory), busy_wait_(busy_wait) {}

Error ScheduleBook::no_schedule(std::string_view name) const {
  return Error(ErrorCode::not_found, "no such schedule", fmt::format("'{}' in {}", name, file_.string()));
}

Error ScheduleBook::too_many() const {
  return Error(ErrorCode::corrupt, "the schedules' file holds more schedules than an engine may have",
               file_.string() + "; ringmill did not write it: move it away");
}

Result<bool> ScheduleBook::has_tables(SqlConnection& database) const {
  const auto version = database.number("PRAGMA user_version");
  if (!version) return std::unexpected(version.error());
  if (*version == 0) return false;  // its maker has not come that far, or was killed
  if (*version != schema_version) {
    return std::unexpected(Error(ErrorCode::incompatible, "the schedules were written by another version of ringmill",
                                 fmt::format("{}: version {}, not {}", file_.string(), *version, schema_version)));
  }
  const auto application = database.number("PRAGMA application_id");
  if (!application) return std::unexpected(application.error());
  const std::array<SqlTable, 2> ours{{{.name = "schedule", .texts = {make_schedules}},
                                      {.name = "trouble", .texts = {trouble_table}, .is_optional = true}}};
  const auto exact = holds_exactly(database, ours);
  if (!exact) return std::unexpected(exact.error());
  if (*application == application_id && *exact) return true;
  return std::unexpected(Error(ErrorCode::corrupt, "this file holds no schedules", file_.string() + "; move it away"));
}

Result<SqlConnection> ScheduleBook::open_database(bool make) {
  if (!directory_) {
    auto opened = Directory::open(file_.parent_path());
    if (!opened) return std::unexpected(opened.error());
    directory_ = *std::move(opened);
  }
  return open_schedules(*directory_, make, busy_wait_);
}

Result<SqlConnection*> ScheduleBook::opened() {
  if (!database_) {
    auto database = open_database(false);
    if (!database && database.error().code() == ErrorCode::not_found) return nullptr;
    if (!database) return std::unexpected(database.error());
    const auto ready = has_tables(*database);
    if (!ready) return std::unexpected(ready.error());
    if (!*ready) return nullptr;
    database_ = *std::move(database);
  }
  return &*database_;
}

Result<SqlConnection*> ScheduleBook::made() {
  if (auto there = opened(); !there || *there != nullptr) return there;
  auto database = open_database(true);
  if (!database) return std::unexpected(database.error());
  auto transaction = SqlTransaction::begin(*database);
  if (!transaction) return std::unexpected(transaction.error());
  const auto ready = has_tables(*database);  // another process was quicker
  if (!ready) return std::unexpected(ready.error());
  if (!*ready) {
    for (const char* const part : {make_schedules, make_troubles, make_signs}) {
      if (auto executed = database->execute(part); !executed) return std::unexpected(executed.error());
    }
  }
  if (auto committed = transaction->commit(); !committed) return std::unexpected(committed.error());
  database_ = *std::move(database);
  return &*database_;
}

Error ScheduleBook::is_there_already(std::string_view name) {
  return Error(ErrorCode::already_exists, "a schedule of this name exists already",
               fmt::format("'{}'; remove it before you add another one", name));
}

Result<void> ScheduleBook::add(const Schedule& schedule, Time now) {
  if (auto checked = check(schedule); !checked) return checked;
  const auto database = made();
  if (!database) return std::unexpected(database.error());
  const auto count = (*database)->number("SELECT count(*) FROM schedule");
  if (!count) return std::unexpected(count.error());
  if (*count >= static_cast<std::int64_t>(most_schedules)) {
    return std::unexpected(Error(ErrorCode::no_space, "the engine has the most schedules that it may have",
                                 fmt::format("{} in {}; remove some", *count, file_.string())));
  }
  if (auto inserted = insert(**database, schedule, tick_time(now)); !inserted) return inserted;
  if ((*database)->changes() == 0) {
    return std::unexpected(is_there_already(schedule.name));
  }
  entries_version_.reset();
  return {};
}

Result<std::string> ScheduleBook::select(SqlConnection& database, bool with_payload) {
  if (!has_troubles_) {
    const auto count = database.number("SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'trouble'");
    if (!count) return std::unexpected(count.error());
    has_troubles_ = *count != 0;
  }
  return fmt::format(
      "SELECT name, cron, zone, every_ms, kind, level, missed, paused, created_at, begins_after, last_tick, {}{} FROM "
      "schedule{}",
      has_troubles_ ? "since, error" : "NULL, NULL", with_payload ? ", payload" : "",
      has_troubles_ ? " LEFT JOIN trouble USING (name)" : "");
}

Result<std::vector<Schedule>> ScheduleBook::list() {
  std::vector<Schedule> schedules;
  const auto database = opened();
  if (!database) return std::unexpected(database.error());
  if (*database == nullptr) return schedules;
  const auto query = select(**database, true);
  if (!query) return std::unexpected(query.error());
  // A file can name the same bytes as the payload of each of its rows.
  const auto file_bytes = (*database)->number("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size");
  if (!file_bytes) return std::unexpected(file_bytes.error());
  auto rows = (*database)->prepare(*query + " ORDER BY name");
  if (!rows) return std::unexpected(rows.error());
  std::uint64_t payload_bytes = 0;
  while (true) {
    const auto row = rows->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) return schedules;
    payload_bytes += rows->bytes(13).size();
    if (schedules.size() == most_schedules || std::cmp_greater(payload_bytes, *file_bytes)) {
      return std::unexpected(too_many());
    }
    schedules.push_back(schedule_of(*rows, true));
  }
}

Result<Schedule> ScheduleBook::find(std::string_view name) {
  const auto database = opened();
  if (!database) return std::unexpected(database.error());
  if (*database == nullptr) return std::unexpected(no_schedule(name));
  const auto query = select(**database, true);
  if (!query) return std::unexpected(query.error());
  auto rows = (*database)->prepare(*query + " WHERE name = ?1");
  if (!rows) return std::unexpected(rows.error());
  const auto row = rows->with(name).step();
  if (!row) return std::unexpected(row.error());
  if (!*row) return std::unexpected(no_schedule(name));
  return schedule_of(*rows, true);
}

/// One statement with the name as ?1 and the time as ?2, which must change a row.
Result<void> ScheduleBook::change(const char* sql, std::string_view name, std::optional<std::int64_t> now) {
  const auto database = opened();
  if (!database) return std::unexpected(database.error());
  if (*database == nullptr) return std::unexpected(no_schedule(name));
  auto statement = (*database)->prepare(sql);
  if (!statement) return std::unexpected(statement.error());
  if (auto ran = (now ? statement->with(name, *now) : statement->with(name)).run(); !ran) return ran;
  if ((*database)->changes() == 0) return std::unexpected(no_schedule(name));
  entries_version_.reset();
  return {};
}

Result<void> ScheduleBook::remove(std::string_view name) {
  if (auto removed = change("DELETE FROM schedule WHERE name = ?1", name); !removed) return removed;
  // A trouble that stays, because of a kill here, is forgotten by the first mark of a schedule of this name.
  if (!has_troubles_) return {};
  if (auto forget = database_->prepare(forget_trouble)) static_cast<void>(forget->with(name).run());
  return {};
}

Result<void> ScheduleBook::pause(std::string_view name) {
  return change("UPDATE schedule SET paused = 1 WHERE name = ?1", name);
}

Result<void> ScheduleBook::resume(std::string_view name, Time now) {
  // The first that holds: the clock was set back; it is paused; it goes on already.
  return change(
      "UPDATE schedule SET (created_at, begins_after, last_tick, paused) = (SELECT "
      "CASE WHEN ahead THEN min(created_at, ?2) ELSE created_at END, "
      "CASE WHEN ahead THEN ?2 WHEN paused THEN max(begins_after, ?2) ELSE begins_after END, "
      "CASE WHEN ahead THEN NULL ELSE last_tick END, 0 "
      "FROM (SELECT max(begins_after, coalesce(last_tick, begins_after)) - 1000 > ?2 AS ahead)) "
      "WHERE name = ?1",
      name, column_of(tick_time(now)));
}

void ScheduleBook::warn_of_broken(const Schedule& schedule) {
  const auto* broken = std::get_if<BrokenTimes>(&schedule.times);
  if (broken == nullptr || std::ranges::find(warned_, schedule.name) != warned_.end()) return;
  log().warn("schedule {} has no ticks: {}; remove it, and add it again", schedule.name, broken->reason);
  warned_.push_back(schedule.name);
}

Result<void> ScheduleBook::refresh_entries(SqlConnection& database) {
  // It changes with every commit of another connection; what this one changes resets the version that we remember.
  const auto version = database.number("PRAGMA data_version");
  if (!version) return std::unexpected(version.error());
  if (entries_version_ == *version) return {};
  const auto query = select(database, false);
  if (!query) return std::unexpected(query.error());
  auto rows = database.prepare(*query + " ORDER BY name");
  if (!rows) return std::unexpected(rows.error());
  std::vector<Entry> entries;
  while (true) {
    const auto row = rows->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) break;
    if (entries.size() == most_schedules) return std::unexpected(too_many());
    Schedule schedule = schedule_of(*rows, false);
    warn_of_broken(schedule);
    const auto next = schedule.paused ? std::nullopt : next_tick(schedule, schedule.done_until());
    entries.push_back({std::move(schedule), next});
  }
  entries_ = std::move(entries);
  entries_version_ = *version;
  return {};
}

Result<std::vector<DueSchedule>> ScheduleBook::due(Time now) {
  std::vector<DueSchedule> found;
  const auto database = opened();
  if (!database) return std::unexpected(database.error());
  if (*database == nullptr) return found;
  if (auto fresh = refresh_entries(**database); !fresh) return std::unexpected(fresh.error());
  const TickTime until = tick_time(now);
  due_until_ = until;
  std::size_t ticks_found = 0;
  std::size_t payload_bytes = 0;
  const auto by_name = [](const Entry& one) -> std::string_view { return one.schedule.name; };
  auto begin = std::ranges::lower_bound(entries_, std::string_view(goes_on_at_), {}, by_name);
  goes_on_at_.clear();
  for (Entry& entry : std::ranges::subrange(begin, entries_.end())) {
    if (ticks_found >= most_ticks_in_turn || payload_bytes >= most_payload_bytes_in_turn) {
      goes_on_at_ = entry.schedule.name;
      break;
    }
    if (!entry.next || *entry.next > until) continue;
    if (due_ticks(entry.schedule, until).empty()) {  // skipped; mark_ticked() does not hear of those
      entry.next = next_tick(entry.schedule, until);
      continue;
    }
    auto schedule = find(entry.schedule.name);
    if (!schedule && schedule.error().code() == ErrorCode::not_found) continue;  // removed since it was read
    if (!schedule) return std::unexpected(schedule.error());
    // Ask what is stored now: another process may have paused it, or marked a tick.
    if (auto ticks = due_ticks(*schedule, until); !ticks.empty()) {
      ticks_found += ticks.size();
      payload_bytes += schedule->payload.size();
      found.push_back({*std::move(schedule), std::move(ticks)});
    }
  }
  return found;
}

std::optional<TickTime> ScheduleBook::next_due() const noexcept {
  std::optional<TickTime> earliest;
  for (const Entry& entry : entries_) {
    if (!entry.next || (entry.is_in_trouble() && *entry.next <= due_until_)) continue;
    if (!earliest || *entry.next < *earliest) earliest = entry.next;
  }
  return earliest;
}

ScheduleBook::Entry* ScheduleBook::entry_of(std::string_view name) noexcept {
  const auto by_name = [](const Entry& one) -> std::string_view { return one.schedule.name; };
  const auto found = std::ranges::lower_bound(entries_, name, {}, by_name);
  return found != entries_.end() && found->schedule.name == name ? &*found : nullptr;
}

Result<std::size_t> ScheduleBook::write_marks(SqlConnection& database, std::span<const TickMark> marks) {
  auto mark = database.prepare(
      "UPDATE schedule SET last_tick = ?2 "
      "WHERE name = ?1 AND ?2 > begins_after AND (last_tick IS NULL OR last_tick < ?2)");
  if (!mark) return std::unexpected(mark.error());
  std::optional<SqlStatement> forget;
  if (has_troubles_) {
    auto prepared = database.prepare(forget_trouble);
    if (!prepared) return std::unexpected(prepared.error());
    forget = *std::move(prepared);
  }
  std::size_t count = 0;
  for (const auto& [schedule, tick] : marks) {
    const std::string_view name = schedule;
    if (auto ran = mark->with(name, column_of(tick)).run(); !ran) return std::unexpected(ran.error());
    count += static_cast<std::size_t>(database.changes());
    if (!forget) continue;
    if (auto ran = forget->with(name).run(); !ran) return std::unexpected(ran.error());
  }
  return count;
}

Result<void> ScheduleBook::write_troubles(SqlConnection& database, std::span<const TickTrouble> troubles,
                                          TickTime now) {
  if (troubles.empty()) return {};
  if (auto made = database.execute(make_troubles); !made) return made;
  auto note = database.prepare(
      "INSERT INTO trouble SELECT name, ?2, ?3 FROM schedule WHERE name = ?1 ON CONFLICT DO UPDATE SET error = ?3");
  if (!note) return std::unexpected(note.error());
  for (const auto& [schedule, error] : troubles) {
    const std::string_view text = std::string_view(error).substr(0, most_error_bytes);
    if (auto ran = note->with(std::string_view(schedule), column_of(now), text).run(); !ran) return ran;
  }
  return {};
}

/// What this connection changes does not change its own data_version.
void ScheduleBook::remember(std::span<const TickMark> marks, std::span<const TickTrouble> troubles, TickTime now) {
  for (const auto& [schedule, tick] : marks) {
    Entry* const entry = entry_of(schedule);
    if (entry == nullptr) continue;
    entry->schedule.last_tick = std::max(entry->schedule.last_tick.value_or(tick), tick);
    entry->schedule.failing_since.reset();
    entry->schedule.last_error.clear();
    entry->next = next_tick(entry->schedule, entry->schedule.done_until());
  }
  for (const auto& [schedule, error] : troubles) {
    Entry* const entry = entry_of(schedule);
    if (entry == nullptr) continue;
    if (!entry->is_in_trouble()) entry->schedule.failing_since = now;
    entry->schedule.last_error = error.substr(0, most_error_bytes);
  }
}

Result<std::size_t> ScheduleBook::mark_ticked(std::span<const TickMark> marks, std::span<const TickTrouble> troubles,
                                              Time now) {
  const auto database = opened();
  if (!database) return std::unexpected(database.error());
  if (*database == nullptr) return 0;
  std::vector<TickTrouble> fresh;
  for (const TickTrouble& trouble : troubles) {
    const Entry* const entry = entry_of(trouble.schedule);
    const bool is_known = entry != nullptr && entry->is_in_trouble() &&
                          entry->schedule.last_error == std::string_view(trouble.error).substr(0, most_error_bytes);
    if (!is_known) fresh.push_back(trouble);
  }
  if (marks.empty() && fresh.empty()) return 0;
  auto transaction = SqlTransaction::begin(**database);
  if (!transaction) return std::unexpected(transaction.error());
  const auto count = write_marks(**database, marks);
  if (!count) return count;
  if (auto noted = write_troubles(**database, fresh, tick_time(now)); !noted) return std::unexpected(noted.error());
  if (auto committed = transaction->commit(); !committed) return std::unexpected(committed.error());
  remember(marks, fresh, tick_time(now));
  return count;
}

Result<bool> ScheduleBook::mark_ticked(std::string_view name, TickTime tick) {
  const TickMark mark{.schedule = std::string(name), .tick = tick};
  const auto count = mark_ticked(std::span(&mark, 1), {}, tick);
  if (!count) return std::unexpected(count.error());
  return *count != 0;
}

}  // namespace ringmill
