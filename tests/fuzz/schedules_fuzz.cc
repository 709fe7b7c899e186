// The file of schedules as another user may have made it: an error, or schedules whose ticks go on, in bounded turns.
#include "core/base/logger.h"
#include "core/schedules/schedule_book.h"
#include "ipc/name_table.h"
#include "tests/fuzz/harmed_database.h"

namespace ringmill::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::system_clock;

const system_clock::time_point begin{seconds(1'764'000'000)};

const std::string& whole_file(const FuzzFolder& folder) {
  static const std::string bytes = [&] {
    {
      ScheduleBook book(folder.path());
      auto cron = Cron::parse("*/5 * * * *");
      check(cron.has_value(), "no expression");
      check(book.add({.name = "a", .times = CronTimes{*cron, Zone()}, .kind = "k", .level = "default"}, begin)
                .has_value(),
            "no file can be made");
      check(book.add({.name = "b", .times = EveryTimes{seconds(10)}, .kind = "k", .level = "default", .payload = "xyz"},
                     begin)
                .has_value(),
            "nothing can be added");
      const TickTrouble trouble{.schedule = "a", .error = "no such level"};
      static_cast<void>(book.due(begin + seconds(600)));
      check(book.mark_ticked({}, std::span(&trouble, 1), begin).has_value(), "no trouble can be noted");
    }
    return bytes_of_file(folder.path() / schedules_file);
  }();
  return bytes;
}

const std::vector<std::string_view> statements{
    "UPDATE schedule SET name = ?1 WHERE name = 'a'",
    "UPDATE schedule SET cron = ?1, zone = ?2",
    "UPDATE schedule SET cron = NULL, zone = NULL, every_ms = ?1",
    "UPDATE schedule SET kind = ?1, level = ?2",
    "UPDATE schedule SET missed = ?1",
    "UPDATE schedule SET missed = 'all', begins_after = 0, last_tick = NULL",
    "UPDATE schedule SET paused = ?1",
    "UPDATE schedule SET created_at = ?1",
    "UPDATE schedule SET begins_after = ?1",
    "UPDATE schedule SET last_tick = ?1",
    "UPDATE schedule SET payload = ?1",
    "UPDATE trouble SET name = ?1, since = ?2, error = ?3",
    "UPDATE sqlite_schema SET sql = replace(sql, ' STRICT,', '')",
    "UPDATE sqlite_schema SET sql = ?1 WHERE name = 'schedule'",
    "UPDATE sqlite_schema SET rootpage = ?1 WHERE name = 'trouble'",
    "CREATE VIEW more AS SELECT * FROM schedule",
    "CREATE TRIGGER more AFTER UPDATE ON schedule BEGIN DELETE FROM schedule; END",
    "DROP TABLE trouble",
    "PRAGMA user_version = 1",
};

}  // namespace

void run(Input input) {
  logger().set_level(spdlog::level::off);
  static const FuzzFolder folder;
  const std::string& bytes = whole_file(folder);
  const std::filesystem::path path = folder.path() / schedules_file;
  std::filesystem::remove(folder.path() / "schedules.db-journal");
  std::ofstream(path, std::ios::binary | std::ios::trunc)
      .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  change_by_statements(path, input, statements);
  change_bytes(path, input);

  ScheduleBook book(folder.path(), milliseconds(0));
  const auto now = begin + std::chrono::hours(24);
  if (const auto schedules = book.list()) {
    for (const Schedule& schedule : *schedules) {
      const TickTime at = std::chrono::floor<milliseconds>(now);
      static_cast<void>(coming_tick(schedule, at));
      static_cast<void>(lies_ahead(schedule, at));
      const auto ticks = due_ticks(schedule, at);
      check(ticks.size() <= most_ticks_at_once, "too many ticks at once");
      check(std::ranges::is_sorted(ticks), "ticks in disorder");
      check(ticks.empty() || is_valid_name(schedule.kind), "a tick of a kind that is none");
    }
  }
  const auto due = book.due(now);
  if (due) {
    std::vector<TickMark> marks;
    for (const DueSchedule& one : *due) marks.push_back({one.schedule.name, one.ticks.back()});
    static_cast<void>(book.mark_ticked(marks, {}, now));
  }
  static_cast<void>(book.next_due());
  static_cast<void>(book.resume("a", now));
  static_cast<void>(book.remove("b"));
}

}  // namespace ringmill::test
