#include "core/schedules/schedule_rows.h"

#include <fmt/format.h>

#include <span>
#include <utility>

#include "core/base/durations.h"
#include "core/base/shown_text.h"
#include "core/base/tag.h"
#include "ipc/name_table.h"

namespace ringmill {

namespace {

using std::chrono::milliseconds;

constexpr std::int64_t most_lease_ms = 24LL * 24 * 3600 * 1000;
constexpr std::int64_t most_expiry_ms = 3650LL * 24 * 3600 * 1000;

TickTime tick_time(std::int64_t ms) { return TickTime(milliseconds(ms)); }

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

bool has_sound_tag(const SqlStatement& row) {
  return row.is_null(tag_column) || (row.is_text(tag_column) && fault_of_tag(row.bytes(tag_column)) == nullptr);
}

bool has_sound_detail(const SqlStatement& row) {
  if (row.is_null(detail_column)) return true;
  const auto is_within = [&row](int column, std::int64_t most) {
    return row.is_integer(column) && row.integer(column) >= 0 && row.integer(column) <= most;
  };
  return is_within(detail_column, most_lease_ms) && is_within(detail_column + 1, 0xffff) &&
         row.is_text(detail_column + 2) && row.bytes(detail_column + 2).size() <= most_text_bytes &&
         is_within(detail_column + 3, most_expiry_ms) && is_within(detail_column + 4, 1) &&
         (row.is_null(last_job_column) || is_within(last_job_column, most_time_ms));
}

TickJob tick_job_of(const SqlStatement& row) {
  const std::string tag(row.is_null(tag_column) ? std::string_view() : row.bytes(tag_column));
  if (row.is_null(detail_column)) return {.tag = tag};
  return {.lease = milliseconds(row.integer(detail_column)),
          .max_attempts = static_cast<std::uint16_t>(row.integer(detail_column + 1)),
          .backoff = std::string(row.bytes(detail_column + 2)),
          .expires = milliseconds(row.integer(detail_column + 3)),
          .no_overlap = row.integer(detail_column + 4) != 0,
          .tag = tag};
}

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
         (row.is_null(12) || (row.is_text(12) && row.bytes(12).size() <= most_text_bytes)) && has_sound_detail(row) &&
         has_sound_tag(row);
}

}  // namespace

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
  schedule.job = tick_job_of(row);
  if (!row.is_null(last_job_column)) schedule.last_job = tick_time(row.integer(last_job_column));
  if (with_payload) schedule.payload = row.bytes(payload_column);
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
      return std::unexpected(invalid("an interval is 100ms to 3650d", format_duration(every->interval)));
    }
  }
  if (const auto* broken = std::get_if<BrokenTimes>(&schedule.times)) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "no times", broken->reason));
  }
  const auto is_time = [](milliseconds time, std::int64_t most) { return time.count() >= 0 && time.count() <= most; };
  if (!is_time(schedule.job.lease, most_lease_ms) || !is_time(schedule.job.expires, most_expiry_ms) ||
      schedule.job.backoff.size() > most_text_bytes) {
    return std::unexpected(Error(ErrorCode::invalid_argument,
                                 "a schedule's lease is up to 24 days, its expiry up to ten years", schedule.name));
  }
  const char* const fault = schedule.job.tag.empty() ? nullptr : fault_of_tag(schedule.job.tag);
  if (fault != nullptr) return std::unexpected(Error(ErrorCode::invalid_argument, "not a tag", fault));
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

Result<void> write_detail(SqlConnection& database, const Schedule& schedule, bool has_table) {
  const std::string_view name = schedule.name;
  if (schedule.job == TickJob{}) {
    if (!has_table) return {};
    auto forget = database.prepare(forget_detail);
    return forget ? forget->with(name).run() : std::unexpected(forget.error());
  }
  if (auto made = database.execute(make_details); !made) return made;
  auto write = database.prepare(
      "INSERT INTO detail VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL) ON CONFLICT DO UPDATE SET (lease_ms, max_attempts, "
      "backoff, expires_ms, no_overlap) = (?2, ?3, ?4, ?5, ?6)");
  if (!write) return std::unexpected(write.error());
  const TickJob& job = schedule.job;
  return write
      ->with(name, std::int64_t{job.lease.count()}, std::int64_t{job.max_attempts}, std::string_view(job.backoff),
             std::int64_t{job.expires.count()}, std::int64_t{job.no_overlap ? 1 : 0})
      .run();
}

Result<void> write_tag(SqlConnection& database, const Schedule& schedule, bool has_table) {
  const std::string_view name = schedule.name;
  if (schedule.job.tag.empty()) {
    if (!has_table) return {};
    auto forget = database.prepare(forget_tag);
    return forget ? forget->with(name).run() : std::unexpected(forget.error());
  }
  if (auto made = database.execute(make_tags); !made) return made;
  auto write = database.prepare("INSERT OR REPLACE INTO tagged VALUES (?1, ?2)");
  if (!write) return std::unexpected(write.error());
  return write->with(name, std::string_view(schedule.job.tag)).run();
}

bool have_same_times(const TickTimes& one, const TickTimes& other) {
  const auto* cron = std::get_if<CronTimes>(&one);
  const auto* other_cron = std::get_if<CronTimes>(&other);
  if (cron != nullptr && other_cron != nullptr) {
    return cron->cron.text() == other_cron->cron.text() && cron->zone.name() == other_cron->zone.name();
  }
  const auto* every = std::get_if<EveryTimes>(&one);
  const auto* other_every = std::get_if<EveryTimes>(&other);
  return every != nullptr && other_every != nullptr && every->interval == other_every->interval;
}

}  // namespace ringmill
