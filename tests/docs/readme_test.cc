// What README.md shows first is what happens.
#include <fstream>
#include <regex>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <ringmill/engine.h>

#include "tests/support/program.h"
#include "tests/support/scratch.h"

namespace ringmill::test {
namespace {

struct Shown {
  std::string command;
  std::string output;
};

/// The commands of the first console block, and what stands below each.
std::vector<Shown> first_session() {
  std::ifstream file(std::filesystem::path(RINGMILL_SOURCES) / "README.md");
  std::vector<Shown> session;
  bool is_inside = false;
  for (std::string line; std::getline(file, line);) {
    if (is_inside && line == "```") break;
    if (line == "```console") {
      is_inside = true;
    } else if (is_inside && line.starts_with("$ ")) {
      session.push_back({line.substr(2), {}});
    } else if (is_inside) {
      session.back().output += line + "\n";
    }
  }
  return session;
}

std::string replaced(const std::string& text, const std::string& pattern, const std::string& by) {
  return std::regex_replace(text, std::regex(pattern), by);
}

/// Each run has an engine id and times of its own.
std::string without_id_and_times(const std::string& text) {
  const std::string without_id = replaced(text, "made engine [0-9a-f]{16}", "made engine ID");
  return replaced(without_id, "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z", "TIME");
}

TEST(Readme, its_first_session_goes_as_it_shows) {
  const ScratchFolder folder;
  const std::string scratch = folder.path().string() + "/";
  const std::vector<Shown> session = first_session();
  ASSERT_GE(session.size(), 5U);
  for (const Shown& shown : session) {
    const std::string command = replaced(shown.command, "/tmp/", scratch);
    const Ran ran =
        Program("/bin/sh", {"-c", "PATH=\"$1:$PATH\"; eval \"$2\"", "sh", RINGMILL_PROGRAMS, command}).end();
    EXPECT_EQ(ran.exit_code, 0) << shown.command << "\n" << testing::PrintToString(ran);
    EXPECT_EQ(without_id_and_times(ran.out + ran.err), without_id_and_times(replaced(shown.output, "/tmp/", scratch)))
        << shown.command;
  }
  static_cast<void>(Engine::remove(folder.path() / "mill", true));
}

}  // namespace
}  // namespace ringmill::test
