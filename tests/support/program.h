// Runs the programs of the build, and listens to them.
#pragma once

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ipc/file.h"

namespace ringmill::test {

/// What a program did.
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

/// A program that was started; killed at the end of its scope if it still runs.
class Program {
 public:
  /// `name` stands beside the test's own program; an absolute path is taken as it is.
  explicit Program(const std::string& name, const std::vector<std::string>& words = {}, std::string_view input = "")
      : input_(memory_file()), out_(memory_file()), err_(memory_file()) {
    if (::write(input_.descriptor(), input.data(), input.size()) != static_cast<ssize_t>(input.size())) {
      throw std::runtime_error("cannot write the input");
    }
    ::lseek(input_.descriptor(), 0, SEEK_SET);
    const std::string program = std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
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
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() {
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

}  // namespace ringmill::test
