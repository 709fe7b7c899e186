// Runs the built command `ringmill`, which stands beside the test's own program.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "ipc/file.h"
#include "tests/support/await.h"
#include "tests/support/scratch.h"

namespace ringmill::test {

/// What a command did.
struct Ran {
  int exit_code = -1;  // minus the signal that ended it
  std::string out;
  std::string err;

  std::vector<std::string> lines() const {
    std::vector<std::string> lines;
    for (std::size_t begin = 0, end = 0; (end = out.find('\n', begin)) != std::string::npos; begin = end + 1) {
      lines.push_back(out.substr(begin, end - begin));
    }
    return lines;
  }
  nlohmann::ordered_json json() const { return nlohmann::ordered_json::parse(out); }
  std::vector<nlohmann::ordered_json> json_lines() const {
    std::vector<nlohmann::ordered_json> values;
    for (const std::string& line : lines()) values.push_back(nlohmann::ordered_json::parse(line));
    return values;
  }
};

/// Shown by GoogleTest when an expectation about it fails.
inline void PrintTo(const Ran& ran, std::ostream* to) {
  *to << "exit code " << ran.exit_code << "\n--- output\n" << ran.out << "--- errors\n" << ran.err;
}

/// A command that was started; killed at the end of its scope if it still runs.
class Command {
 public:
  explicit Command(const std::vector<std::string>& words, std::string_view input = "")
      : input_(memory_file()), out_(memory_file()), err_(memory_file()) {
    if (::write(input_.descriptor(), input.data(), input.size()) != static_cast<ssize_t>(input.size())) {
      throw std::runtime_error("cannot write the input");
    }
    ::lseek(input_.descriptor(), 0, SEEK_SET);
    const std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ringmill";
    std::vector<char*> arguments{const_cast<char*>(program.c_str())};
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));  // execv() changes none
    arguments.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ < 0) throw std::runtime_error("cannot fork");
    if (pid_ != 0) return;
    ::dup2(input_.descriptor(), STDIN_FILENO);
    ::dup2(out_.descriptor(), STDOUT_FILENO);
    ::dup2(err_.descriptor(), STDERR_FILENO);
    ::execv(program.c_str(), arguments.data());
    ::_exit(127);
  }
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;
  ~Command() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  pid_t pid() const noexcept { return pid_; }
  std::string out() const { return content(out_); }
  Ran end() {
    int status = 0;
    ::waitpid(std::exchange(pid_, 0), &status, 0);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status), content(out_), content(err_)};
  }
  Ran end_by(int signal) {
    ::kill(pid_, signal);
    return end();
  }

 private:
  static File memory_file() { return File(::memfd_create("ringmill-test", MFD_CLOEXEC)); }
  static std::string content(const File& file) {
    std::string text(static_cast<std::size_t>(::lseek(file.descriptor(), 0, SEEK_END)), '\0');
    const ssize_t got = ::pread(file.descriptor(), text.data(), text.size(), 0);
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    return text;
  }

  File input_;
  File out_;
  File err_;
  pid_t pid_ = 0;
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
