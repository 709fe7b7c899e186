#include "core/schedules/schedule_book.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "core/base/durations.h"
#include "core/base/log.h"
#include "core/base/shown_text.h"
#include "core/schedules/schedule_rows.h"

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
  const std::array<SqlTable, 4> ours{{{.name = "schedule", .texts = {make_schedules}},
                                      {.name = "trouble", .texts = {trouble_table}, .is_optional = true},
                                      {.name = "detail", .texts = {detail_table}, .is_optional = true},
                                      {.name = "tagged", .texts = {tag_table}, .is_optional = true}}};
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

Result<void> ScheduleBook::add(const Schedule& schedule, Time now) { return write(schedule, now, false); }

Result<void> ScheduleBook::put(const Schedule& schedule, Time now) { return write(schedule, now, true); }

Result<void> ScheduleBook::write(const Schedule& schedule, Time now, bool may_replace) {
  if (auto checked = check(schedule); !checked) return checked;
  const auto made_one = made();
  if (!made_one) return std::unexpected(made_one.error());
  SqlConnection& database = **made_one;
  auto transaction = SqlTransaction::begin(database);
  if (!transaction) return std::unexpected(transaction.error());
  if (may_replace) {
    const auto former = find(schedule.name);
    if (!former && former.error().code() != ErrorCode::not_found) return std::unexpected(former.error());
    if (former) {
      if (auto replaced = replace(database, *former, schedule, tick_time(now)); !replaced) return replaced;
      return commit(*transaction);
    }
  }
  const auto count = database.number("SELECT count(*) FROM schedule");
  if (!count) return std::unexpected(count.error());
  if (*count >= static_cast<std::int64_t>(most_schedules)) {
    return std::unexpected(Error(ErrorCode::no_space, "the engine has the most schedules that it may have",
                                 fmt::format("{} in {}; remove some", *count, file_.string())));
  }
  if (auto inserted = insert(database, schedule, tick_time(now)); !inserted) return inserted;
  if (database.changes() == 0) return std::unexpected(is_there_already(schedule.name));
  if (auto detail = write_detail(database, schedule, has_details_); !detail) return detail;
  if (auto tag = write_tag(database, schedule, has_tags_); !tag) return tag;
  return commit(*transaction);
}

Result<void> ScheduleBook::commit(SqlTransaction& transaction) {
  entries_version_.reset();
  return transaction.commit();
}

/// With the same times it goes on where it is, paused or not. With others it begins anew.
Result<void> ScheduleBook::replace(SqlConnection& database, const Schedule& former, const Schedule& schedule,
                                   TickTime now) {
  if (have_same_times(former.times, schedule.times)) {
    auto update =
        database.prepare("UPDATE schedule SET kind = ?2, level = ?3, missed = ?4, payload = ?5 WHERE name = ?1");
    if (!update) return std::unexpected(update.error());
    auto ran =
        update
            ->with(std::string_view(schedule.name), std::string_view(schedule.kind), std::string_view(schedule.level),
                   name_of(schedule.missed), std::as_bytes(std::span<const char>(schedule.payload)))
            .run();
    if (!ran) return ran;
  } else {
    auto remove = database.prepare("DELETE FROM schedule WHERE name = ?1");
    if (!remove) return std::unexpected(remove.error());
    if (auto ran = remove->with(std::string_view(schedule.name)).run(); !ran) return ran;
    Schedule anew = schedule;
    anew.paused = former.paused;
    if (auto inserted = insert(database, anew, now); !inserted) return inserted;
  }
  if (auto detail = write_detail(database, schedule, has_details_); !detail) return detail;
  return write_tag(database, schedule, has_tags_);
}

Result<std::string> ScheduleBook::select(SqlConnection& database, bool with_payload) {
  const auto look_for = [&database](const char* query, bool& is_there) -> Result<void> {
    if (is_there) return {};
    const auto count = database.number(query);
    if (!count) return std::unexpected(count.error());
    is_there = *count != 0;
    return {};
  };
  constexpr const char* troubles = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'trouble'";
  constexpr const char* details = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'detail'";
  if (auto looked = look_for(troubles, has_troubles_); !looked) return std::unexpected(looked.error());
  constexpr const char* tags = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'tagged'";
  if (auto looked = look_for(details, has_details_); !looked) return std::unexpected(looked.error());
  if (auto looked = look_for(tags, has_tags_); !looked) return std::unexpected(looked.error());
  return fmt::format(
      "SELECT name, cron, zone, every_ms, kind, level, missed, paused, created_at, begins_after, last_tick, {}, {}, "
      "{}{} FROM schedule{}{}{}",
      has_troubles_ ? "since, error" : "NULL, NULL",
      has_details_ ? "lease_ms, max_attempts, backoff, expires_ms, no_overlap, last_job"
                   : "NULL, NULL, NULL, NULL, NULL, NULL",
      has_tags_ ? "tag" : "NULL", with_payload ? ", payload" : "",
      has_troubles_ ? " LEFT JOIN trouble USING (name)" : "", has_details_ ? " LEFT JOIN detail USING (name)" : "",
      has_tags_ ? " LEFT JOIN tagged USING (name)" : "");
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
    payload_bytes += rows->bytes(payload_column).size();
    if (schedules.size() == most_schedules || std::cmp_greater(payload_bytes, *file_bytes)) {
      return std::unexpected(too_many());
    }
    schedules.push_back(schedule_of(*rows, true));
  }
}

Result<std::vector<Schedule>> ScheduleBook::list_after(std::string_view name, std::size_t most) {
  std::vector<Schedule> schedules;
  const auto database = opened();
  if (!database) return std::unexpected(database.error());
  if (*database == nullptr) return schedules;
  const auto query = select(**database, false);
  if (!query) return std::unexpected(query.error());
  auto rows = (*database)->prepare(*query + " WHERE name > ?1 ORDER BY name");
  if (!rows) return std::unexpected(rows.error());
  rows->with(name);
  while (schedules.size() < most) {
    const auto row = rows->step();
    if (!row) return std::unexpected(row.error());
    if (!*row) break;
    schedules.push_back(schedule_of(*rows, false));
  }
  return schedules;
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
  for (const auto& [is_there, sql] :
       {std::pair(has_troubles_, forget_trouble), {has_details_, forget_detail}, {has_tags_, forget_tag}}) {
    if (!is_there) continue;
    if (auto forget = database_->prepare(sql)) static_cast<void>(forget->with(name).run());
  }
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
  std::optional<SqlStatement> note_job;
  if (has_details_) {
    auto prepared = database.prepare("UPDATE detail SET last_job = ?2 WHERE name = ?1");
    if (!prepared) return std::unexpected(prepared.error());
    note_job = *std::move(prepared);
  }
  std::size_t count = 0;
  for (const auto& [schedule, tick, job] : marks) {
    const std::string_view name = schedule;
    if (note_job && job) {
      if (auto ran = note_job->with(name, column_of(*job)).run(); !ran) return std::unexpected(ran.error());
    }
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
  for (const auto& [schedule, tick, job] : marks) {
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
