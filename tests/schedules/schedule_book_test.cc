// The recurring jobs' book: what it keeps, and what a keeper's death leaves.
#include "core/schedules/schedule_book.h"

#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fcntl.h>
#include <algorithm>
#include <fstream>
#include <random>
#include <set>
#include <string>
#include <thread>

#include "ipc/file.h"
#include "tests/support/await.h"
#include "tests/support/child.h"
#include "tests/support/log_capture.h"
#include "tests/support/must.h"
#include "tests/support/random.h"
#include "tests/support/scratch.h"

namespace ringmill::test {
namespace {

using namespace std::chrono;
using namespace std::chrono_literals;

constexpr TickTime created = sys_days(2026y / June / 1) + 10h;

Schedule every(const std::string& name, milliseconds interval, MissedTicks missed = MissedTicks::once) {
  Schedule schedule{.name = name, .times = EveryTimes{interval}};
  schedule.kind = "beat";
  schedule.level = "default";
  schedule.missed = missed;
  return schedule;
}

Schedule by_cron(const std::string& name, const char* expression, const char* zone) {
  Schedule schedule = every(name, 1s);
  schedule.times = CronTimes{must(Cron::parse(expression)), must(Zone::load(zone))};
  return schedule;
}

std::vector<std::string> names_of(const std::vector<DueSchedule>& due) {
  std::vector<std::string> names;
  for (const DueSchedule& one : due) names.push_back(one.schedule.name);
  return names;
}

using Names = std::vector<std::string>;

class ScheduleBookInProcess : public testing::Test {
 protected:
  std::filesystem::path file() const { return folder_.path() / schedules_file; }
  /// Runs SQL on the file that ringmill never runs.
  void tamper(const char* sql) const {
    sqlite3* connection = nullptr;
    ASSERT_EQ(sqlite3_open(file().c_str(), &connection), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(connection, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(connection);
    sqlite3_close(connection);
  }

  ScratchFolder folder_;
  ScheduleBook book_{folder_.path()};
};

TEST_F(ScheduleBookInProcess, an_engine_without_schedules_has_no_file) {
  EXPECT_TRUE(must(book_.list()).empty());
  EXPECT_TRUE(must(book_.due(created)).empty());
  EXPECT_EQ(book_.next_due(), std::nullopt);
  EXPECT_EQ(code_of(book_.find("beat")), ErrorCode::not_found);
  EXPECT_EQ(code_of(book_.remove("beat")), ErrorCode::not_found);
  EXPECT_FALSE(must(book_.mark_ticked("beat", created)));
  EXPECT_TRUE(folder_.names().empty());
}

TEST_F(ScheduleBookInProcess, a_schedule_comes_back_as_it_was_added) {
  Schedule report = by_cron("report", "30 2 * * mon-fri", "Europe/Berlin");
  report.kind = "mail/report";
  report.level = "low";
  report.payload = std::string("a\0b\xff\n'", 6);
  report.missed = MissedTicks::all;
  must(book_.add(report, created));
  must(book_.add(every("beat", 1500ms), created + 1s));

  ScheduleBook other(folder_.path());
  const auto schedules = must(other.list());
  ASSERT_EQ(schedules.size(), 2U);
  EXPECT_EQ(std::get<EveryTimes>(schedules[0].times).interval, 1500ms);
  EXPECT_EQ(schedules[0].created_at, created + 1s);
  const Schedule& stored = schedules[1];
  EXPECT_EQ(stored.name, "report");
  EXPECT_EQ(std::get<CronTimes>(stored.times).cron.text(), "30 2 * * mon-fri");
  EXPECT_EQ(std::get<CronTimes>(stored.times).zone.name(), "Europe/Berlin");
  EXPECT_EQ(stored.kind, report.kind);
  EXPECT_EQ(stored.level, report.level);
  EXPECT_EQ(stored.payload, report.payload);
  EXPECT_EQ(stored.missed, MissedTicks::all);
  EXPECT_FALSE(stored.paused);
  EXPECT_EQ(stored.created_at, created);
  EXPECT_EQ(stored.begins_after, created);
  EXPECT_EQ(stored.last_tick, std::nullopt);
}

TEST_F(ScheduleBookInProcess, a_name_is_given_once) {
  must(book_.add(every("beat", 10s), created));
  EXPECT_EQ(code_of(book_.add(every("beat", 20s), created)), ErrorCode::already_exists);
  EXPECT_EQ(std::get<EveryTimes>(must(book_.find("beat")).times).interval, 10s);
  must(book_.remove("beat"));
  must(book_.add(every("beat", 20s), created));
  EXPECT_EQ(std::get<EveryTimes>(must(book_.find("beat")).times).interval, 20s);
}

TEST_F(ScheduleBookInProcess, what_cannot_be_a_schedule_is_refused_and_makes_no_file) {
  EXPECT_EQ(code_of(book_.add(every("", 10s), created)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(book_.add(every("a b", 10s), created)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(book_.add(every("beat", 99ms), created)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(book_.add(every("beat", EveryTimes::most + 1ms), created)), ErrorCode::invalid_argument);
  Schedule nameless = every("beat", 10s);
  nameless.kind = "";
  EXPECT_EQ(code_of(book_.add(nameless, created)), ErrorCode::invalid_argument);
  EXPECT_TRUE(folder_.names().empty());
}

TEST_F(ScheduleBookInProcess, a_due_tick_is_named_until_it_is_marked) {
  Schedule beat = every("beat", 10s);
  beat.payload = "x";
  must(book_.add(beat, created));
  EXPECT_TRUE(must(book_.due(created + 9s)).empty());
  EXPECT_EQ(book_.next_due(), created + 10s);
  for (int asked = 0; asked < 2; ++asked) {
    const auto due = must(book_.due(created + 12s));
    ASSERT_EQ(due.size(), 1U);
    EXPECT_EQ(due[0].schedule.payload, "x");
    EXPECT_EQ(due[0].ticks, std::vector<TickTime>{created + 10s});
  }
  EXPECT_TRUE(must(book_.mark_ticked("beat", created + 10s)));
  EXPECT_TRUE(must(book_.due(created + 12s)).empty());
  EXPECT_EQ(book_.next_due(), created + 20s);
  EXPECT_EQ(must(book_.find("beat")).last_tick, created + 10s);
}

TEST_F(ScheduleBookInProcess, marks_only_go_forward) {
  must(book_.add(every("beat", 10s), created));
  EXPECT_TRUE(must(book_.mark_ticked("beat", created + 20s)));
  EXPECT_FALSE(must(book_.mark_ticked("beat", created + 20s)));
  EXPECT_FALSE(must(book_.mark_ticked("beat", created + 10s)));
  EXPECT_TRUE(must(book_.mark_ticked("beat", created + 30s)));
  EXPECT_FALSE(must(book_.mark_ticked("other", created + 40s)));
  EXPECT_EQ(must(book_.find("beat")).last_tick, created + 30s);
}

TEST_F(ScheduleBookInProcess, a_late_mark_does_not_touch_a_schedule_of_the_same_name) {
  must(book_.add(every("beat", 10s), created));
  must(book_.remove("beat"));
  must(book_.add(every("beat", 10s), created + 15s));
  EXPECT_FALSE(must(book_.mark_ticked("beat", created + 10s)));
  EXPECT_EQ(must(book_.find("beat")).last_tick, std::nullopt);
}

TEST_F(ScheduleBookInProcess, what_another_process_changes_is_seen_at_the_next_call) {
  ScheduleBook other(folder_.path());
  EXPECT_TRUE(must(book_.due(created + 12s)).empty());
  must(other.add(every("beat", 10s), created));
  EXPECT_EQ(names_of(must(book_.due(created + 12s))), Names{"beat"});
  must(other.mark_ticked("beat", created + 10s));
  EXPECT_TRUE(must(book_.due(created + 12s)).empty());
  must(other.pause("beat"));
  EXPECT_TRUE(must(book_.due(created + 22s)).empty());
  EXPECT_EQ(book_.next_due(), std::nullopt);
  must(other.resume("beat", created + 25s));
  EXPECT_TRUE(must(book_.due(created + 25s)).empty());
  EXPECT_EQ(book_.next_due(), created + 30s);
  EXPECT_EQ(names_of(must(book_.due(created + 30s))), Names{"beat"});
  must(other.remove("beat"));
  EXPECT_TRUE(must(book_.due(created + 32s)).empty());
}

TEST_F(ScheduleBookInProcess, pausing_and_resuming_twice_change_nothing) {
  must(book_.add(every("beat", 10s, MissedTicks::all), created));
  must(book_.resume("beat", created + 25s));  // it was not paused: its ticks stay due
  EXPECT_EQ(must(book_.due(created + 25s)).at(0).ticks.size(), 2U);
  must(book_.pause("beat"));
  must(book_.pause("beat"));
  EXPECT_TRUE(must(book_.find("beat")).paused);
  must(book_.resume("beat", created + 25s));
  must(book_.resume("beat", created + 55s));
  EXPECT_EQ(must(book_.due(created + 55s)).at(0).ticks.size(), 3U);
  EXPECT_EQ(code_of(book_.pause("other")), ErrorCode::not_found);
}

TEST_F(ScheduleBookInProcess, skipped_ticks_are_passed_over) {
  must(book_.add(every("beat", 10s, MissedTicks::skip), created));
  EXPECT_TRUE(must(book_.due(created + 35s)).empty());
  EXPECT_EQ(book_.next_due(), created + 40s);
  EXPECT_EQ(names_of(must(book_.due(created + 40s))), Names{"beat"});
}

TEST_F(ScheduleBookInProcess, a_schedule_that_cannot_be_understood_is_said_once_and_stops_no_other) {
  must(book_.add(by_cron("report", "* * * * *", "UTC"), created));
  must(book_.add(every("beat", 10s), created));
  tamper("UPDATE schedule SET zone = 'Europe/Atlantis' WHERE name = 'report'");
  const LogCapture log;
  EXPECT_EQ(names_of(must(book_.due(created + 2min))), Names{"beat"});
  tamper("UPDATE schedule SET kind = 'other' WHERE name = 'beat'");
  EXPECT_EQ(names_of(must(book_.due(created + 2min))), Names{"beat"});
  EXPECT_EQ(log.count("schedule report has no ticks"), 1U);
  EXPECT_EQ(must(book_.list()).size(), 2U);
}

TEST_F(ScheduleBookInProcess, a_damaged_file_is_an_error_that_names_it) {
  must(book_.add(every("beat", 10s), created));
  std::ofstream(file(), std::ios::trunc) << std::string(8192, 'x');
  ScheduleBook other(folder_.path());
  const auto listed = other.list();
  ASSERT_FALSE(listed);
  EXPECT_EQ(listed.error().code(), ErrorCode::corrupt);
  EXPECT_NE(listed.error().message().find(file().string()), std::string::npos) << listed.error().message();
  EXPECT_EQ(code_of(other.due(created)), ErrorCode::corrupt);
  EXPECT_EQ(code_of(other.add(every("other", 10s), created)), ErrorCode::corrupt);
}

TEST_F(ScheduleBookInProcess, the_file_of_a_later_version_is_left_alone) {
  must(book_.add(every("beat", 10s), created));
  tamper("PRAGMA user_version = 2");
  ScheduleBook other(folder_.path());
  EXPECT_EQ(code_of(other.list()), ErrorCode::incompatible);
  EXPECT_EQ(code_of(other.add(every("other", 10s), created)), ErrorCode::incompatible);
}

TEST_F(ScheduleBookInProcess, a_symbolic_link_in_its_place_is_refused) {
  const ScratchFolder elsewhere;
  std::filesystem::create_symlink(elsewhere.path() / "theirs", file());
  EXPECT_EQ(code_of(book_.add(every("beat", 10s), created)), ErrorCode::permission_denied);
  EXPECT_TRUE(elsewhere.names().empty());
}

TEST_F(ScheduleBookInProcess, the_directorys_users_may_use_the_file_whatever_the_umask_says) {
  ASSERT_EQ(::chmod(folder_.path().c_str(), 0770), 0);
  const mode_t before = ::umask(0077);
  must(book_.add(every("beat", 10s), created));
  ::umask(before);
  struct stat facts {};
  ASSERT_EQ(::stat(file().c_str(), &facts), 0);
  EXPECT_EQ(facts.st_mode & 07777U, 0660U);
}

TEST_F(ScheduleBookInProcess, a_writer_that_stands_still_is_waited_for_and_then_named_as_the_reason) {
  must(book_.add(every("beat", 10s), created));
  sqlite3* writer = nullptr;
  ASSERT_EQ(sqlite3_open(file().c_str(), &writer), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(writer, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr), SQLITE_OK);
  ScheduleBook hasty(folder_.path(), 10ms);
  EXPECT_EQ(code_of(hasty.mark_ticked("beat", created + 10s)), ErrorCode::busy);
  EXPECT_EQ(names_of(must(hasty.due(created + 10s))), Names{"beat"});  // looking does not need the lock
  ASSERT_EQ(sqlite3_exec(writer, "COMMIT", nullptr, nullptr, nullptr), SQLITE_OK);
  sqlite3_close(writer);
  EXPECT_TRUE(must(hasty.mark_ticked("beat", created + 10s)));
}

TEST_F(ScheduleBookInProcess, marks_and_troubles_of_many_are_stored_together) {
  for (const char* name : {"a", "b", "c"}) must(book_.add(every(name, 10s), created));
  const std::vector<TickMark> marks{{"a", created + 10s}, {"b", created + 10s}, {"gone", created + 10s}};
  const std::vector<TickTrouble> troubles{{"c", "no such level"}, {"gone", "no such level"}};
  EXPECT_EQ(must(book_.mark_ticked(marks, troubles, created + 12s)), 2U);
  ScheduleBook other(folder_.path());
  EXPECT_EQ(must(other.find("a")).last_tick, created + 10s);
  EXPECT_EQ(must(other.find("b")).last_tick, created + 10s);
  EXPECT_EQ(must(other.find("c")).last_tick, std::nullopt);
  EXPECT_EQ(must(other.find("c")).last_error, "no such level");
  EXPECT_EQ(must(other.find("c")).failing_since, created + 12s);
}

TEST_F(ScheduleBookInProcess, a_trouble_keeps_its_beginning_until_a_tick_is_marked) {
  must(book_.add(every("beat", 10s), created));
  const auto trouble = [this](const char* error, TickTime now) {
    const TickTrouble one{"beat", error};
    must(book_.mark_ticked({}, std::span(&one, 1), now));
  };
  EXPECT_EQ(names_of(must(book_.due(created + 12s))), Names{"beat"});
  trouble("one", created + 12s);
  EXPECT_EQ(book_.next_due(), std::nullopt) << "it is tried with the next look, not at once";
  EXPECT_EQ(names_of(must(book_.due(created + 13s))), Names{"beat"});
  trouble("other", created + 13s);
  EXPECT_EQ(must(book_.find("beat")).last_error, "other");
  EXPECT_EQ(must(book_.find("beat")).failing_since, created + 12s);
  EXPECT_TRUE(must(book_.mark_ticked("beat", created + 10s)));
  EXPECT_EQ(must(book_.find("beat")).failing_since, std::nullopt);
  EXPECT_EQ(book_.next_due(), created + 20s);
}

TEST_F(ScheduleBookInProcess, a_file_from_before_troubles_were_kept_takes_them) {
  must(book_.add(every("beat", 10s), created));
  tamper("DROP TABLE trouble");
  ScheduleBook other(folder_.path());
  EXPECT_EQ(must(other.list()).size(), 1U);
  const TickTrouble trouble{"beat", "no such level"};
  must(other.mark_ticked({}, std::span(&trouble, 1), created + 12s));
  EXPECT_EQ(must(other.find("beat")).last_error, "no such level");
  must(other.remove("beat"));
  must(other.add(every("beat", 10s), created));
  EXPECT_EQ(must(other.find("beat")).last_error, "");
}

TEST_F(ScheduleBookInProcess, due_goes_on_behind_what_it_had_no_room_for) {
  constexpr int count = 10;  // each has a thousand ticks
  for (int n = 0; n < count; ++n) must(book_.add(every("s" + std::to_string(n), 1s, MissedTicks::all), created));
  const auto first = names_of(must(book_.due(created + 2000s)));
  EXPECT_TRUE(book_.has_more());
  const auto second = names_of(must(book_.due(created + 2000s)));
  EXPECT_FALSE(book_.has_more());
  EXPECT_EQ(first.size() + second.size(), static_cast<std::size_t>(count));
  EXPECT_EQ(second.back(), "s9");
  EXPECT_EQ(names_of(must(book_.due(created + 2000s))), first);
}

TEST_F(ScheduleBookInProcess, a_schedule_whose_mark_lies_ahead_begins_anew_when_it_is_resumed) {
  must(book_.add(every("beat", 10s, MissedTicks::all), created));
  must(book_.mark_ticked("beat", created + days(1000)));  // the clock was ahead, and was set back
  const TickTime now = created + 5s;
  EXPECT_TRUE(lies_ahead(must(book_.find("beat")), now));
  EXPECT_TRUE(must(book_.due(now + 1h)).empty());
  must(book_.resume("beat", now));
  EXPECT_FALSE(lies_ahead(must(book_.find("beat")), now));
  EXPECT_EQ(must(book_.due(now + 10s)).at(0).ticks, std::vector<TickTime>{created + 10s});
  must(book_.add(every("early", 10s), created + days(1000)));  // made while it was ahead
  must(book_.resume("early", now));
  EXPECT_EQ(coming_tick(must(book_.find("early")), now), now + 10s);
}

TEST_F(ScheduleBookInProcess, names_that_are_none_make_a_schedule_unusable_not_obeyed) {
  must(book_.add(every("beat", 10s), created));
  tamper("UPDATE schedule SET kind = 'a' || char(27) || '[31m' || char(10) || 'b'");
  ScheduleBook other(folder_.path());
  EXPECT_TRUE(must(other.due(created + 12s)).empty());
  EXPECT_TRUE(std::holds_alternative<BrokenTimes>(must(other.find("beat")).times));
}

class ScheduleBooks : public ScheduleBookInProcess {};

TEST_F(ScheduleBooks, two_keepers_that_mark_the_same_ticks_win_each_once) {
  must(book_.add(every("beat", 1s), created));
  constexpr int ticks = 60;
  const auto mark_all = [this] {
    ScheduleBook book(folder_.path());
    int won = 0;
    for (int n = 1; n <= ticks; ++n) won += must(book.mark_ticked("beat", created + seconds(n))) ? 1 : 0;
    return won;
  };
  Child one(mark_all);
  Child other(mark_all);
  const int won_by_one = one.wait();
  const int won_by_other = other.wait();
  ASSERT_GE(won_by_one, 0);
  ASSERT_GE(won_by_other, 0);
  EXPECT_GT(won_by_one + won_by_other, 0);
  EXPECT_LE(won_by_one + won_by_other, ticks);
  EXPECT_EQ(must(book_.find("beat")).last_tick, created + seconds(ticks));
}

/// Stands for the engine: keys that were enqueued, each line in one write.
int keep_until(const std::filesystem::path& folder, const std::filesystem::path& enqueued, TickTime now) {
  ScheduleBook book(folder);
  const File keys = must(open_file(enqueued, O_WRONLY | O_CREAT | O_APPEND, 0600));
  while (true) {
    const auto due = must(book.due(now));
    if (due.empty()) return 0;
    for (const DueSchedule& one : due) {
      for (const TickTime tick : one.ticks) {
        const std::string line = unique_key_of(one.schedule.name, tick) + "\n";
        if (::write(keys.descriptor(), line.data(), line.size()) != static_cast<ssize_t>(line.size())) return 1;
        static_cast<void>(must(book.mark_ticked(one.schedule.name, tick)));
      }
    }
  }
}

TEST_F(ScheduleBooks, each_tick_comes_and_under_one_key_however_often_the_keeper_is_killed) {
  constexpr int ticks = 200;
  must(book_.add(every("beat", 1s, MissedTicks::all), created));
  const ScratchFolder outside;
  const auto enqueued = outside.path() / "keys";
  const TickTime now = created + seconds(ticks);
  std::mt19937_64 random(printed_seed());
  std::size_t kills = 0;
  const auto last = [this] { return must(book_.find("beat")).last_tick; };
  for (; kills < 30 && last() != now; ++kills) {
    Child keeper([&] { return keep_until(folder_.path(), enqueued, now); });
    std::this_thread::sleep_for(microseconds(random() % 30'000));
    keeper.kill();
  }
  Child keeper([&] { return keep_until(folder_.path(), enqueued, now); });
  EXPECT_EQ(keeper.wait(), 0);

  std::set<std::string> expected;
  for (int n = 1; n <= ticks; ++n) expected.insert(unique_key_of("beat", created + seconds(n)));
  std::set<std::string> seen;
  std::size_t lines = 0;
  std::ifstream keys(enqueued);
  for (std::string key; std::getline(keys, key); ++lines) seen.insert(key);
  EXPECT_EQ(seen, expected);
  EXPECT_LE(lines, expected.size() + kills) << "a kill repeats at most the tick that it hits";
  EXPECT_EQ(last(), now);
}

TEST_F(ScheduleBooks, a_mark_that_was_told_outlives_a_kill) {
  must(book_.add(every("beat", 1s), created));
  const ScratchFolder outside;
  const auto told = outside.path() / "told";
  std::mt19937_64 random(printed_seed());
  int before = 0;
  for (int kills = 0; kills < 20; ++kills) {
    Child marker([&] {
      ScheduleBook book(folder_.path());
      const File file = must(open_file(told, O_WRONLY | O_CREAT, 0600));
      for (int n = before + 1; n < 1'000'000; ++n) {
        if (!must(book.mark_ticked("beat", created + seconds(n)))) return 1;
        if (::pwrite(file.descriptor(), &n, sizeof n, 0) != sizeof n) return 1;
      }
      return 0;
    });
    std::this_thread::sleep_for(microseconds(random() % 30'000));
    marker.kill();
    int n = 0;
    std::ifstream(told, std::ios::binary).read(reinterpret_cast<char*>(&n), sizeof n);
    const TickTime marked = must(book_.find("beat")).last_tick.value_or(created);
    const auto count = static_cast<int>(duration_cast<seconds>(marked - created).count());
    EXPECT_GE(count, n);
    EXPECT_LE(count, std::max(n, before) + 1);
    before = count;
  }
  EXPECT_GT(before, 0);
}

TEST_F(ScheduleBooks, two_processes_that_make_the_book_at_once_make_one) {
  for (int round = 0; round < 10; ++round) {
    const ScratchFolder folder;
    const auto add = [&folder](const char* name) {
      ScheduleBook book(folder.path());
      return book.add(every(name, 10s), created) ? 0 : 1;
    };
    Child one([&] { return add("one"); });
    Child other([&] { return add("other"); });
    EXPECT_EQ(one.wait(), 0);
    EXPECT_EQ(other.wait(), 0);
    ScheduleBook book(folder.path());
    EXPECT_EQ(must(book.list()).size(), 2U);
  }
}

}  // namespace
}  // namespace ringmill::test
