// ringmill watch, as a program.
#include <fstream>
#include <sstream>

#include "tests/cli/command_line.h"

namespace ringmill::test {
namespace {

class WatchCommand : public CommandLine {
 protected:
  Ran once(const std::vector<std::string>& more) {
    std::vector<std::string> words = words_for("watch", {"--once", "--interval", "50ms"});
    words.insert(words.end(), more.begin(), more.end());
    return ringmill(words);
  }
  static bool says(const Command& watch, const std::string& text) {
    return await([&] { return watch.out().find(text) != std::string::npos; });
  }
};

TEST_F(WatchCommand, once_it_ends_as_a_nagios_plugin_does) {
  EXPECT_EQ(once({"--when", "depth > 2"}).exit_code, 0);
  for (int n = 0; n < 4; ++n) enqueue("x", "mail", "high");
  const Ran warned = once({"--when", "depth(high) > 10", "--warn", "depth(high) > 2"});
  EXPECT_EQ(warned.exit_code, 1);
  EXPECT_NE(warned.out.find("raised warning: depth(high) > 2 (4)"), std::string::npos) << warned.out;
  EXPECT_EQ(once({"--when", "depth > 2", "--warn", "depth > 1"}).exit_code, 2);
  EXPECT_EQ(once({"--when", "keepers < 1"}).exit_code, 2);
  EXPECT_EQ(once({"--when", "oldest(none) > 1s"}).exit_code, 0);
  const auto json = once({"--when", "workers < 1", "--json"}).json();
  EXPECT_EQ(json["alert"], "raised");
  EXPECT_EQ(json["condition"], "workers < 1");
  expect_error(once({"--when", "none > 1"}), 2, "no such number");
  expect_error(once({}), 2, "--when");
  EXPECT_EQ(ringmill({"watch", "/nowhere", "--once", "--when", "dead > 1"}).exit_code, 2);
}

TEST_F(WatchCommand, an_episode_is_said_once_and_its_end_too_with_the_fields_in_the_commands_environment) {
  const std::string file = directory() + "-hook";
  Command watch(words_for("watch", {"--when", "depth(high) > 1", "--interval", "50ms", "--exec",
                                    "echo \"$RINGMILL_ALERT $RINGMILL_CONDITION $RINGMILL_VALUE\" >> '" + file + "'"}));
  enqueue("x", "mail", "high");
  enqueue("y", "mail", "high");
  ASSERT_TRUE(says(watch, "raised critical: depth(high) > 1 (2)"));
  ASSERT_EQ(on_engine("work", {"--exec", "cat", "--drain"}).exit_code, 0);
  ASSERT_TRUE(says(watch, "cleared critical: depth(high) > 1 (0)"));
  std::ostringstream hooks;
  ASSERT_TRUE(await([&] {
    hooks.str("");
    hooks << std::ifstream(file).rdbuf();
    return hooks.str().find("cleared") != std::string::npos;
  }));
  EXPECT_EQ(hooks.str(), "raised depth(high) > 1 2\ncleared depth(high) > 1 0\n");
  const Ran ran = watch.end_by(SIGTERM);
  EXPECT_EQ(ran.exit_code, 0);
  EXPECT_EQ(std::ranges::count(ran.out, '\n'), 2);
  std::filesystem::remove(file);
}

TEST_F(WatchCommand, an_engine_that_goes_is_an_alert_and_one_that_comes_is_watched) {
  Command watch(words_for("watch", {"--when", "depth > 0", "--interval", "50ms"}));
  std::filesystem::remove(segment_file());
  ASSERT_TRUE(says(watch, "raised critical: the engine can be looked at"));
  EXPECT_TRUE(place_.shm_names().empty());  // watching brought nothing back
  enqueue("x");
  ASSERT_TRUE(says(watch, "cleared critical: the engine can be looked at"));
  ASSERT_TRUE(says(watch, "raised critical: depth > 0 (1)"));
}

}  // namespace
}  // namespace ringmill::test
