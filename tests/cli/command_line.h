// Runs the built command `ringmill`.
#pragma once

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/await.h"
#include "tests/support/program.h"
#include "tests/support/scratch.h"

namespace ringmill::test {

/// `ringmill` with words, started.
class Command : public Program {
 public:
  explicit Command(const std::vector<std::string>& words, std::string_view input = "")
      : Program("ringmill", words, input) {}
};

inline Ran ringmill(const std::vector<std::string>& words, std::string_view input = "") {
  return Command(words, input).end();
}

/// One line that names the command, and nothing on standard output.
inline void expect_error(const Ran& ran, int exit_code, std::string_view part) {
  EXPECT_EQ(ran.exit_code, exit_code) << testing::PrintToString(ran);
  EXPECT_EQ(ran.out, "");
  EXPECT_TRUE(ran.err.starts_with("ringmill")) << ran.err;
  EXPECT_EQ(ran.err.find('\n'), ran.err.size() - 1) << ran.err;
  EXPECT_NE(ran.err.find(part), std::string::npos) << ran.err;
}

inline std::vector<std::string> keys_of(const nlohmann::ordered_json& json) {
  std::vector<std::string> keys;
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  return keys;
}

/// An engine made by `ringmill init`.
class CommandLine : public testing::Test {
 protected:
  CommandLine() { init({"--capacity", "256"}); }

  Ran init(const std::vector<std::string>& more) {
    std::filesystem::remove_all(place_.directory());
    std::vector<std::string> words{"init", directory(), "--shm-dir", place_.shm_dir()};
    words.insert(words.end(), more.begin(), more.end());
    // What is full is full for all levels, unless a test is about that.
    if (std::ranges::find(more, "--reserve") == more.end()) words.insert(words.end(), {"--reserve", "none"});
    return ringmill(words);
  }
  /// `ringmill COMMAND DIR MORE...`
  Ran on_engine(const std::string& command, const std::vector<std::string>& more = {}, std::string_view input = "") {
    return ringmill(words_for(command, more), input);
  }
  std::vector<std::string> words_for(const std::string& command, const std::vector<std::string>& more = {}) const {
    std::vector<std::string> words{command, directory()};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::string enqueue(const std::string& payload, const std::string& kind = "greet",
                      const std::string& level = "default") {
    const Ran ran = on_engine("enqueue", {"--kind", kind, "--payload", payload, "--level", level});
    EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
    return ran.lines().at(0);
  }
  std::string state_of(const std::string& id) { return on_engine("job", {id, "--json"}).json()["state"]; }
  nlohmann::ordered_json status() { return on_engine("status", {"--json"}).json(); }

  std::string directory() const { return place_.directory(); }
  /// The one file in this test's tmpfs folder.
  std::filesystem::path segment_file() const { return place_.shm_dir() / place_.shm_names().at(0); }

  ScratchPlace place_;
};

}  // namespace ringmill::test
