// ringmill schedule.
#include "core/schedules/schedule_book.h"
#include "tests/cli/command_line.h"

namespace ringmill::test {
namespace {

class ScheduleCommand : public CommandLine {
 protected:
  Ran schedule(const std::vector<std::string>& words) { return on_engine("schedule", words); }
  void add_beat() { ASSERT_EQ(schedule({"add", "beat", "--every", "30s", "--kind", "beat"}).exit_code, 0); }
};

TEST_F(ScheduleCommand, a_schedule_is_listed_as_it_was_added) {
  const Ran added = schedule({"add", "report", "--cron", "30 2 * * mon-fri", "--zone", "Europe/Berlin", "--kind",
                              "mail", "--level", "low", "--payload", "q3", "--missed", "all"});
  ASSERT_EQ(added.exit_code, 0) << added.err;
  EXPECT_TRUE(added.out.starts_with("next tick 20")) << added.out;
  EXPECT_TRUE(added.out.ends_with(":30:00.000Z\n")) << added.out;
  add_beat();

  const auto lines = schedule({"list", "--json"}).json_lines();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(keys_of(lines[0]),
            (std::vector<std::string>{"name",      "cron",      "zone",       "every",      "kind",
                                      "level",     "payload",   "missed",     "timeout",    "max_attempts",
                                      "backoff",   "expires",   "no_overlap", "paused",     "created_at",
                                      "last_tick", "next_tick", "trouble",    "last_error", "failing_since"}));
  EXPECT_EQ(lines[0]["name"], "beat");
  EXPECT_EQ(lines[0]["every"], "30s");
  EXPECT_EQ(lines[0]["cron"], nullptr);
  EXPECT_EQ(lines[0]["level"], "default");
  EXPECT_EQ(lines[0]["missed"], "once");
  EXPECT_EQ(lines[0]["last_tick"], nullptr);
  EXPECT_EQ(lines[1]["cron"], "30 2 * * mon-fri");
  EXPECT_EQ(lines[1]["zone"], "Europe/Berlin");
  EXPECT_EQ(lines[1]["every"], nullptr);
  EXPECT_EQ(lines[1]["kind"], "mail");
  EXPECT_EQ(lines[1]["level"], "low");
  EXPECT_EQ(lines[1]["payload"], "q3");
  EXPECT_EQ(lines[1]["missed"], "all");
  EXPECT_EQ("next tick " + lines[1]["next_tick"].get<std::string>() + "\n", added.out);

  const Ran table = schedule({"list"});
  EXPECT_EQ(table.lines().size(), 3U) << table.out;
  EXPECT_NE(table.out.find("every 30s"), std::string::npos) << table.out;
  EXPECT_NE(table.out.find("30 2 * * mon-fri Europe/Berlin"), std::string::npos) << table.out;
  EXPECT_EQ(schedule({"list", "report", "--json"}).json()["name"], "report");
}

TEST_F(ScheduleCommand, a_paused_schedule_has_no_next_tick_until_it_is_resumed) {
  add_beat();
  EXPECT_EQ(schedule({"pause", "beat"}).exit_code, 0);
  EXPECT_EQ(schedule({"list", "--json"}).json()["paused"], true);
  EXPECT_EQ(schedule({"list", "--json"}).json()["next_tick"], nullptr);
  EXPECT_NE(schedule({"list"}).out.find("paused"), std::string::npos);
  EXPECT_EQ(schedule({"pause", "beat"}).exit_code, 0);
  EXPECT_EQ(schedule({"resume", "beat"}).exit_code, 0);
  EXPECT_EQ(schedule({"list", "--json"}).json()["paused"], false);
  EXPECT_NE(schedule({"list", "--json"}).json()["next_tick"], nullptr);
}

TEST_F(ScheduleCommand, a_removed_schedule_is_gone) {
  add_beat();
  EXPECT_EQ(schedule({"remove", "beat"}).exit_code, 0);
  EXPECT_EQ(schedule({"list", "--json"}).out, "");
  expect_error(schedule({"remove", "beat"}), 1, "no such schedule: 'beat'");
}

TEST_F(ScheduleCommand, the_answer_is_no_for_a_name_that_is_taken_or_unknown) {
  for (const std::string action : {"remove", "pause", "resume", "list"}) {
    expect_error(schedule({action, "beat"}), 1, "no such schedule");
  }
  add_beat();
  expect_error(schedule({"add", "beat", "--every", "1m", "--kind", "beat"}), 1, "already: 'beat'");
  EXPECT_EQ(schedule({"list", "--json"}).json()["every"], "30s");
}

TEST_F(ScheduleCommand, words_that_make_no_schedule_are_usage_errors_that_say_why) {
  init({"--capacity", "256", "--max-payload", "192"});
  const auto add = [this](std::vector<std::string> words) {
    words.insert(words.begin(), {"add", "beat"});
    return schedule(words);
  };
  expect_error(add({"--kind", "beat"}), 2, "one of --cron and --every");
  expect_error(add({"--kind", "beat", "--cron", "@daily", "--every", "1m"}), 2, "one of --cron and --every");
  expect_error(add({"--kind", "beat", "--every", "1m", "--zone", "UTC"}), 2, "--zone belongs to --cron");
  expect_error(add({"--every", "1m"}), 2, "--kind");
  expect_error(add({"--kind", "beat", "--every", "50ms"}), 2, "100ms to 3650d");
  expect_error(add({"--kind", "beat", "--every", "soon"}), 2, "'soon' is no duration");
  expect_error(add({"--kind", "beat", "--cron", "61 * * * *"}), 2, "minute: '61' is not from 0 to 59");
  expect_error(add({"--kind", "beat", "--cron", "0 0 30 2 *"}), 2, "never comes");
  expect_error(add({"--kind", "beat", "--cron", "@daily", "--zone", "Europe/Atlantis"}), 2, "no such time zone");
  expect_error(add({"--kind", "beat", "--every", "1m", "--missed", "some"}), 2, "skip, once or all");
  expect_error(add({"--kind", "beat", "--every", "1m", "--level", "none"}), 2, "this engine has");
  expect_error(add({"--kind", "a b", "--every", "1m"}), 2, "[A-Za-z0-9._:/-]");
  expect_error(add({"--kind", "beat", "--every", "1m", "--payload", std::string(500, 'x')}), 2,
               "500 bytes, at most 192");
  expect_error(schedule({"add", "a b", "--kind", "beat", "--every", "1m"}), 2, "a schedule's name");
  expect_error(schedule({"add", "--kind", "beat", "--every", "1m"}), 2, "NAME");
  expect_error(schedule({"pause"}), 2, "NAME");
  expect_error(schedule({"pause", "beat", "--every", "1m"}), 2, "only add");
  expect_error(schedule({"dance", "beat"}), 2, "dance");
  EXPECT_FALSE(std::filesystem::exists(place_.directory() / "schedules.db"));
}

TEST_F(ScheduleCommand, a_payload_that_is_no_utf_8_is_shown_as_base64) {
  ASSERT_EQ(schedule({"add", "beat", "--every", "1m", "--kind", "beat", "--payload", "\xff"}).exit_code, 0);
  EXPECT_EQ(schedule({"list", "--json"}).json()["payload_base64"], "/w==");
}

TEST_F(ScheduleCommand, schedules_outlive_shared_memory) {
  add_beat();
  std::filesystem::remove(segment_file());
  EXPECT_EQ(schedule({"list", "--json"}).json()["name"], "beat");
}

TEST_F(ScheduleCommand, an_engine_is_needed_and_its_removal_takes_the_schedules) {
  expect_error(ringmill({"schedule", "/nowhere", "list"}), 3, "no engine here");
  add_beat();
  EXPECT_EQ(on_engine("remove").exit_code, 0);
  EXPECT_FALSE(std::filesystem::exists(directory()));
}

TEST_F(ScheduleCommand, a_new_engine_does_not_take_over_what_a_killed_removal_left) {
  add_beat();
  const auto left = place_.directory() / "schedules.db";
  const auto kept = place_.directory().parent_path() / "kept";
  std::filesystem::copy_file(left, kept);
  ASSERT_EQ(on_engine("remove").exit_code, 0);
  std::filesystem::create_directory(place_.directory());
  std::filesystem::rename(kept, left);
  ASSERT_EQ(ringmill({"init", directory(), "--shm-dir", place_.shm_dir(), "--capacity", "256"}).exit_code, 0);
  EXPECT_EQ(schedule({"list", "--json"}).out, "");
}

TEST_F(ScheduleCommand, the_list_promises_no_tick_to_a_schedule_whose_level_is_gone_and_the_removal_names_it) {
  ASSERT_EQ(on_engine("level", {"add", "tenant-7"}).exit_code, 0);
  ASSERT_EQ(schedule({"add", "a-tenant", "--every", "30s", "--kind", "beat", "--level", "tenant-7"}).exit_code, 0);
  add_beat();
  const Ran removed = on_engine("level", {"remove", "tenant-7"});
  EXPECT_EQ(removed.exit_code, 0);
  EXPECT_NE(removed.err.find("until there is a level tenant-7 again: a-tenant\n"), std::string::npos) << removed.err;
  const auto lines = schedule({"list", "--json"}).json_lines();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[0]["name"], "a-tenant");
  EXPECT_TRUE(lines[0]["next_tick"].is_null());
  EXPECT_EQ(lines[0]["trouble"], "there is no level tenant-7");
  EXPECT_FALSE(lines[1]["next_tick"].is_null());
  EXPECT_TRUE(lines[1]["trouble"].is_null());
  EXPECT_NE(schedule({"list"}).out.find("there is no level tenant-7"), std::string::npos);
  ASSERT_EQ(on_engine("level", {"add", "tenant-7"}).exit_code, 0);
  EXPECT_FALSE(schedule({"list", "a-tenant", "--json"}).json()["next_tick"].is_null());
}

TEST_F(ScheduleCommand, after_the_clock_was_set_back_the_list_says_it_and_resume_begins_anew) {
  {
    ScheduleBook book(place_.directory());
    Schedule ahead{.name = "ahead", .times = EveryTimes{std::chrono::seconds(60)}, .kind = "k", .level = "default"};
    ASSERT_TRUE(book.add(ahead, std::chrono::system_clock::now() + std::chrono::days(3 * 365)));
  }
  const auto before = schedule({"list", "--json"}).json();
  EXPECT_NE(before["trouble"].get<std::string>().find("the clock was set back"), std::string::npos) << before;
  EXPECT_GT(before["next_tick"].get<std::string>(), before["created_at"].get<std::string>());
  ASSERT_EQ(schedule({"resume", "ahead"}).exit_code, 0);
  const auto after = schedule({"list", "--json"}).json();
  EXPECT_TRUE(after["trouble"].is_null()) << after;
  EXPECT_LT(after["next_tick"].get<std::string>(), before["created_at"].get<std::string>());
}

TEST_F(ScheduleCommand, a_schedule_that_is_there_already_takes_no_name_of_a_kind) {
  add_beat();
  const auto before = status()["names"];
  EXPECT_EQ(schedule({"add", "beat", "--every", "1m", "--kind", "typo"}).exit_code, 1);
  EXPECT_EQ(schedule({"add", "other", "--every", "1m", "--kind", "typo", "--level", "nosuch"}).exit_code, 2);
  EXPECT_EQ(status()["names"], before);
}

}  // namespace
}  // namespace ringmill::test
