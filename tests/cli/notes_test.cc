// A job's tag and trace on the command line: given, shown, listed by, handed to commands, kept by dead letters.
#include "tests/cli/command_line.h"

namespace ringmill::test {
namespace {

const std::string cli_trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

class NotesCommand : public CommandLine {
 protected:
  std::string enqueue_noted(const std::vector<std::string>& more = {}, const std::string& kind = "k") {
    std::vector<std::string> words{"--kind", kind, "--tag", "order-17", "--traceparent", cli_trace};
    words.insert(words.end(), more.begin(), more.end());
    const Ran ran = on_engine("enqueue", words);
    EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
    return ran.lines().at(0);
  }
  nlohmann::ordered_json job(const std::string& id) { return on_engine("job", {id, "--json"}).json(); }
  std::size_t dumped(const std::vector<std::string>& filter) {
    std::vector<std::string> words{"--json"};
    words.insert(words.end(), filter.begin(), filter.end());
    return on_engine("dump", words).json_lines().size();
  }
};

TEST_F(NotesCommand, what_was_given_is_shown_and_what_was_not_is_not) {
  const auto noted = job(enqueue_noted());
  EXPECT_EQ(noted["tag"], "order-17");
  EXPECT_EQ(noted["traceparent"], cli_trace);
  const auto plain = job(enqueue("x"));
  EXPECT_FALSE(plain.contains("tag") || plain.contains("traceparent") || plain.contains("retried_from"));
  const std::string id = enqueue_noted();
  const std::string text = on_engine("job", {id}).out;
  EXPECT_NE(text.find("tag           order-17\n"), std::string::npos) << text;
  EXPECT_NE(text.find("traceparent   " + cli_trace), std::string::npos) << text;
}

TEST_F(NotesCommand, jobs_are_listed_by_their_tag_together_with_the_other_filters) {
  enqueue_noted();
  enqueue_noted({}, "other");
  enqueue("x", "k");
  EXPECT_EQ(dumped({"--tag", "order-17"}), 2U);
  EXPECT_EQ(dumped({"--tag", "order-17", "--kind", "k"}), 1U);
  EXPECT_EQ(dumped({"--tag", "order-17", "--state", "running"}), 0U);
  EXPECT_EQ(dumped({"--tag", "order-1"}), 0U) << "exactly";
}

TEST_F(NotesCommand, what_is_no_trace_or_no_tag_is_a_usage_error_that_says_why) {
  expect_error(on_engine("enqueue", {"--kind", "k", "--traceparent", "00-12"}), 2, "00-TRACE-PARENT-FLAGS");
  expect_error(on_engine("enqueue", {"--kind", "k", "--tag", std::string(32, 't')}), 2, "1 to 31 bytes");
  expect_error(on_engine("enqueue", {"--from-json", "-"}, R"({"kind":"k","tag":"a\nb"})"), 2, "control characters");
  EXPECT_EQ(dumped({}), 0U);
}

TEST_F(NotesCommand, lines_of_json_have_their_own_and_the_command_line_is_the_default) {
  const std::string lines =
      R"({"kind":"k","tag":"own","traceparent":")" + cli_trace + "\"}\n" + R"({"kind":"k"})" + "\n";
  EXPECT_EQ(on_engine("enqueue", {"--from-json", "-", "--tag", "default"}, lines).lines().size(), 2U);
  EXPECT_EQ(dumped({"--tag", "own"}), 1U);
  EXPECT_EQ(dumped({"--tag", "default"}), 1U);
}

TEST_F(NotesCommand, a_command_has_them_in_its_environment_and_not_those_of_its_worker) {
  enqueue_noted({}, "noted");
  enqueue("x", "plain");
  const std::string command =
      "env TRACEPARENT=of-the-worker RINGMILL_TAG=of-the-worker ringmill work " + directory() +
      " --drain --kind noted,plain --exec 'echo \"$RINGMILL_KIND [$RINGMILL_TAG] [$TRACEPARENT]\"'";
  const std::string programs = std::filesystem::read_symlink("/proc/self/exe").parent_path();
  const Ran ran = Program("/bin/sh", {"-c", "PATH=\"$1:$PATH\"; eval \"$2\"", "sh", programs, command}).end();
  EXPECT_NE(ran.out.find("noted [order-17] [" + cli_trace + "]\n"), std::string::npos) << testing::PrintToString(ran);
  EXPECT_NE(ran.out.find("plain [] []\n"), std::string::npos) << testing::PrintToString(ran);
}

TEST_F(NotesCommand, a_child_inherits_the_trace_and_not_the_tag) {
  const std::string parent = enqueue_noted();
  const std::string child = on_engine("enqueue", {"--kind", "k", "--after", parent}).lines().at(0);
  EXPECT_EQ(job(child)["traceparent"], cli_trace);
  EXPECT_FALSE(job(child).contains("tag"));
}

TEST_F(NotesCommand, a_dead_letter_keeps_them_and_the_job_that_it_becomes_says_where_it_comes_from) {
  const std::string old = enqueue_noted({"--max-attempts", "1"});
  EXPECT_EQ(on_engine("work", {"--exec", "exit 100", "--drain"}).exit_code, 0);
  const auto letters = on_engine("dead", {"list", "--tag", "order-17", "--json"}).json_lines();
  ASSERT_EQ(letters.size(), 1U);
  EXPECT_EQ(letters[0]["traceparent"], cli_trace);
  EXPECT_TRUE(on_engine("dead", {"list", "--tag", "order-1", "--json"}).json_lines().empty());
  const std::string shown = on_engine("dead", {"show", old}).out;
  EXPECT_NE(shown.find("order-17"), std::string::npos) << shown;
  const auto exported = on_engine("dead", {"export", "--all"}).json();
  EXPECT_EQ(exported["tag"], "order-17");
  EXPECT_EQ(exported["traceparent"], cli_trace);
  const auto retried = on_engine("dead", {"retry", "--tag", "order-17", "--json"}).json();
  const std::string again = retried["retried_as"];
  EXPECT_EQ(job(again)["retried_from"], old);
  EXPECT_EQ(job(again)["tag"], "order-17");
  EXPECT_EQ(job(old)["retried_as"], again);
  const std::string text = on_engine("job", {again}).out;
  EXPECT_NE(text.find("retried from  " + old), std::string::npos) << text;
  const std::string why = on_engine("explain", {old}).out;
  EXPECT_NE(why.find("retried as job " + again), std::string::npos) << why;
}

TEST_F(NotesCommand, the_journal_shows_them) {
  enqueue_noted({"--durability", "durable"});
  const auto lines = on_engine("dump", {"--journal", "--json"}).json_lines();
  const auto found = std::ranges::find_if(lines, [](const auto& line) { return line["type"] == "notes"; });
  ASSERT_NE(found, lines.end());
  EXPECT_EQ((*found)["tag"], "order-17");
  EXPECT_EQ((*found)["traceparent"], cli_trace);
  const std::string text = on_engine("dump", {"--journal"}).out;
  EXPECT_NE(text.find("tag order-17, traceparent " + cli_trace), std::string::npos) << text;
}

TEST_F(NotesCommand, the_jobs_of_a_schedule_have_its_tag) {
  const std::vector<std::string> add{"add", "often", "--every", "100ms", "--kind", "k", "--tag", "order-17"};
  ASSERT_EQ(on_engine("schedule", add).exit_code, 0);
  EXPECT_EQ(on_engine("schedule", {"list", "often", "--json"}).json()["tag"], "order-17");
  Command keeper(words_for("keeper", {"--foreground"}));
  EXPECT_TRUE(await([&] { return dumped({"--tag", "order-17"}) != 0; }));

  static_cast<void>(keeper.end_by(SIGTERM));
  ASSERT_EQ(on_engine("schedule", {"add", "often", "--every", "100ms", "--kind", "k", "--replace"}).exit_code, 0);
  EXPECT_FALSE(on_engine("schedule", {"list", "often", "--json"}).json().contains("tag"));
  expect_error(on_engine("schedule", {"add", "other", "--every", "1s", "--kind", "k", "--tag", std::string(40, 't')}),
               2, "1 to 31 bytes");
}

}  // namespace
}  // namespace ringmill::test
