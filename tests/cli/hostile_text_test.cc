// Text of others on its way to a terminal: no command lets a control through.
#include <sqlite3.h>

#include <array>
#include <string>

#include "tests/cli/command_line.h"
#include "tests/cli/hostile_text.h"
#include "tests/support/dead_letters.h"

namespace ringmill::test {
namespace {

class HostileText : public CommandLine {
 protected:
  HostileText() { init({"--capacity", "256", "--cell-size", "1024"}); }
};

TEST_F(HostileText, no_payload_error_or_result_reaches_the_terminal_as_it_is) {
  Command keeper(words_for("keeper", {"--foreground"}));
  for (const std::string& text : corpus()) {
    const std::string waits = on_engine("enqueue", {"--kind", "idle", "--payload", text}).lines().at(0);
    const std::string fails =
        on_engine("enqueue", {"--kind", "k", "--payload", text, "--max-attempts", "2", "--backoff", "fixed:1h"})
            .lines()
            .at(0);
    const std::string dies =
        on_engine("enqueue", {"--kind", "k", "--payload", text, "--max-attempts", "1"}).lines().at(0);
    const std::string ends =
        on_engine("enqueue", {"--kind", "r", "--payload", text, "--keep-result", "1h"}).lines().at(0);
    Command work(words_for("work", {"--exec", "cat >&2; exit 1", "--kind", "k"}));
    ASSERT_TRUE(await([&] { return state_of(fails) == "delayed" && state_of(dies) == "dead"; }));
    expect_escaped({0, "", work.end_by(SIGTERM).err}, text, "work");
    ASSERT_EQ(on_engine("work", {"--exec", "cat", "--kind", "r", "--drain"}).exit_code, 0);
    for (const std::string& id : {waits, fails, dies, ends}) {
      expect_escaped(on_engine("job", {id}), text, "job");
      expect_escaped(on_engine("job", {id, "--json"}), text, "job --json");
      expect_escaped(on_engine("explain", {id}), text, "explain");
    }
    expect_escaped(on_engine("wait", {dies}), text, "wait");
    expect_escaped(on_engine("dead", {"show", dies}), text, "dead show");
    EXPECT_NE(on_engine("dead", {"show", dies}).out.find("X"), std::string::npos);
    on_engine("cancel", {waits});
    on_engine("cancel", {fails});
  }
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"dump", "--payload"},
                                             {"dump", "--payload", "--json"},
                                             {"dump", "--journal", "--payload"},
                                             {"dump", "--journal", "--payload", "--json"},
                                             {"dump", "--dead", "--payload"},
                                             {"dead", "list"},
                                             {"dead", "list", "--json"},
                                             {"dead", "export", "--all"}}) {
    expect_escaped(on_engine(words[0], {words.begin() + 1, words.end()}), "", words[0] + " " + words[1]);
  }
  keeper.end_by(SIGTERM);
}

TEST_F(HostileText, no_word_of_the_command_line_comes_back_as_it_was) {
  for (const std::string& text : corpus()) {
    for (const std::vector<std::string>& words :
         std::vector<std::vector<std::string>>{{"enqueue", "--kind", text},
                                               {"enqueue", "--kind", "k", "--level", text},
                                               {"enqueue", "--kind", "k", "--timeout", text},
                                               {"enqueue", "--kind", "k", "--backoff", text},
                                               {"enqueue", "--kind", "k", "--lines", text},
                                               {"enqueue", "--kind", "k", "--after", text},
                                               {"job", text},
                                               {"wait", text},
                                               {"cancel", text},
                                               {"explain", text},
                                               {"pause", "--kind", text},
                                               {"pause", "--level", text},
                                               {"limit", "--kind", text, "--rate", "1/s"},
                                               {"level", "add", text},
                                               {"level", "remove", text},
                                               {"schedule", "add", text, "--every", "1m", "--kind", "k"},
                                               {"schedule", "add", "s", "--cron", text, "--kind", "k"},
                                               {"schedule", "remove", text},
                                               {"dead", "show", text},
                                               {"work", "--exec", "true", "--kind", text, "--drain"},
                                               {"work", "--exec", "true", "--levels", text, "--drain"},
                                               {"dump", "--limit", text},
                                               {text}}) {
      const Ran ran = on_engine(words[0], {words.begin() + 1, words.end()});
      EXPECT_NE(ran.exit_code, 0) << words[0];
      expect_escaped(ran, text, words[0]);
      EXPECT_EQ(ran.err.find('\n'), ran.err.size() - 1) << shown(ran.err);
    }
  }
}

TEST_F(HostileText, no_key_or_word_of_a_json_line_comes_back_as_it_was) {
  for (const std::string& text : corpus()) {
    if (!is_utf8(text)) continue;
    std::string quoted = nlohmann::json(text).dump();
    for (const std::string& line :
         {"{\"kind\":\"k\"," + quoted + ":1}", "{\"kind\":" + quoted + "}", "{\"kind\":\"k\",\"level\":" + quoted + "}",
          "{\"kind\":\"k\",\"timeout\":" + quoted + "}", "{\"kind\":\"k\",\"backoff\":" + quoted + "}",
          "{" + quoted + ":1," + quoted + ":2}", "{\"kind\":\"k\",\"payload\":" + text + "}"}) {
      const Ran ran = on_engine("enqueue", {"--from-json", "-"}, line + "\n");
      EXPECT_EQ(ran.exit_code, 2) << line;
      expect_escaped(ran, text, "enqueue");
    }
  }
}

TEST_F(HostileText, names_in_the_files_of_letters_and_schedules_are_no_words_for_a_terminal) {
  const auto tamper = [this](const char* file, const char* sql) {
    sqlite3* connection = nullptr;
    ASSERT_EQ(sqlite3_open((place_.directory() / file).c_str(), &connection), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(connection, sql, nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(connection);
    sqlite3_close(connection);
  };
  {
    auto store = open_store(place_.directory());
    must(store.bury(letters_from_to(1, 1)));
  }
  tamper("dead-letters.db", "UPDATE letter SET kind = 'a' || char(27) || '[31m' || char(155)");
  ASSERT_EQ(on_engine("schedule", {"add", "s", "--every", "1m", "--kind", "k"}).exit_code, 0);
  tamper(
      "schedules.db",
      "UPDATE schedule SET name = 's' || char(27), kind = char(155), level = char(10), cron = char(27) || '* * * * *', "
      "zone = char(8238)");
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{{"dead", "list"},
                                                                                     {"dead", "list", "--json"},
                                                                                     {"dead", "export", "--all"},
                                                                                     {"dump", "--dead"},
                                                                                     {"schedule", "list"},
                                                                                     {"schedule", "list", "--json"},
                                                                                     {"dump", "--check"}}) {
    expect_escaped(on_engine(words[0], {words.begin() + 1, words.end()}), "", words[0] + " " + words[1]);
  }
  EXPECT_NE(on_engine("dead", {"list"}).err.find("a dead letter cannot be read"), std::string::npos);
}

TEST_F(HostileText, a_folder_for_shared_memory_that_is_no_utf_8_is_refused_and_nothing_is_left) {
  const std::string made = place_.directory().parent_path() / "other";
  expect_error(ringmill({"init", made, "--shm-dir", place_.shm_dir().string() + "/\xff"}), 2, "must be UTF-8");
  EXPECT_FALSE(std::filesystem::exists(made));
}

}  // namespace
}  // namespace ringmill::test
