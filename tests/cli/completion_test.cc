// ringmill completion: what it offers is what --help says.
#include <cstdlib>
#include <fstream>
#include <regex>
#include <set>

#include "tests/cli/command_line.h"

namespace ringmill::test {
namespace {

std::set<std::string> words_in(const std::string& text, const std::string& pattern) {
  std::set<std::string> words;
  const std::regex of(pattern);
  for (auto at = std::sregex_iterator(text.begin(), text.end(), of); at != std::sregex_iterator(); ++at) {
    words.insert((*at)[1]);
  }
  return words;
}

std::set<std::string> commands_of_help() { return words_in(ringmill({"--help"}).out, R"(\n  ([a-z]+)  +[A-Z])"); }

/// Runs a script of a shell that is installed; nothing: it is not.
std::optional<std::string> run_shell(const std::string& shell, const std::string& flag, const std::string& script) {
  const ScratchFolder folder;
  const auto file = folder.path() / "script";
  const auto out = folder.path() / "out";
  std::ofstream(file) << script;
  if (std::system(("command -v " + shell + " >/dev/null").c_str()) != 0) return std::nullopt;
  EXPECT_EQ(std::system((shell + " " + flag + " " + file.string() + " > " + out.string() + " 2>&1").c_str()), 0)
      << script;
  std::ifstream result(out);
  return std::string(std::istreambuf_iterator<char>(result), {});
}

TEST(CompletionCommand, offers_each_command_and_option_of_the_help_in_each_shell) {
  const std::set<std::string> commands = commands_of_help();
  ASSERT_GT(commands.size(), 20U);
  const std::string bash = ringmill({"completion", "bash"}).out;
  const std::string zsh = ringmill({"completion", "zsh"}).out;
  const std::string fish = ringmill({"completion", "fish"}).out;
  for (const std::string& command : commands) {
    const std::set<std::string> options =
        words_in(ringmill({command, "--help"}).out, R"(\n +(?:-[a-zA-Z],)?(--[a-z][a-z-]*))");
    EXPECT_TRUE(options.contains("--help")) << command;
    const std::size_t line = bash.find("    " + command + ") options='");
    ASSERT_NE(line, std::string::npos) << command;
    const std::string offered = bash.substr(line, bash.find('\n', line) - line);
    EXPECT_NE(zsh.find("    " + command + ") _arguments"), std::string::npos);
    EXPECT_NE(fish.find("-a " + command + " "), std::string::npos);
    EXPECT_EQ(words_in(offered, R"((--[a-z][a-z-]*))"), options) << command;
    for (const std::string& option : options) {
      EXPECT_NE(fish.find("from " + command + "' -l " + option.substr(2)), std::string::npos) << option;
      EXPECT_NE(zsh.find("'" + option + "["), std::string::npos) << option;
    }
  }
}

TEST(CompletionCommand, completes_in_bash) {
  const std::string script =
      ringmill({"completion", "bash"}).out +
      "COMP_WORDS=(ringmill wat); COMP_CWORD=1; _ringmill; echo \"${COMPREPLY[*]}\"\n"
      "COMP_WORDS=(ringmill enqueue /x --pay); COMP_CWORD=3; _ringmill; echo \"${COMPREPLY[*]}\"\n";
  const auto out = run_shell("bash", "", script);
  if (!out) GTEST_SKIP() << "no bash";
  EXPECT_EQ(*out, "watch\n--payload --payload-file\n");
}

TEST(CompletionCommand, the_scripts_of_zsh_and_fish_are_sound_where_these_are_installed) {
  for (const char* shell : {"zsh", "fish"}) {
    EXPECT_EQ(run_shell(shell, "-n", ringmill({"completion", shell}).out).value_or(""), "") << shell;
  }
}

TEST(ManualCommand, has_a_page_of_each_command_with_each_option_of_the_help) {
  for (const std::string& command : commands_of_help()) {
    const std::string page = ringmill({"manual", command}).out;
    std::set<std::string> options;
    for (const std::string& name : words_in(page, R"(Fl \\-([a-z][a-z\\-]*))")) {
      options.insert("--" + std::regex_replace(name, std::regex(R"(\\-)"), "-"));
    }
    EXPECT_EQ(options, words_in(ringmill({command, "--help"}).out, R"(\n +(?:-[a-zA-Z],)?(--[a-z][a-z-]*))"))
        << command;
    EXPECT_NE(ringmill({"manual"}).out.find(".It Cm " + command + "\n"), std::string::npos);
    EXPECT_EQ(run_shell("mandoc", "-T lint -W error", page).value_or(""), "") << command;
  }
  expect_error(ringmill({"manual", "none"}), 2, "no such command");
}

TEST(CompletionCommand, another_shell_is_refused) { expect_error(ringmill({"completion", "csh"}), 2, "csh"); }

}  // namespace
}  // namespace ringmill::test
