#include "tests/support/child.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <utility>

#include <fmt/core.h>

namespace ringmill::test {

Child::Child(const std::function<int()>& body) {
  std::fflush(nullptr);
  const pid_t parent = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("fork failed");
  if (pid_ != 0) return;
  // A test that is ended from outside must not leave its children behind.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(97);
  int status = 98;
  try {
    status = body();
  } catch (const std::exception& failure) {
    fmt::print(stderr, "child: {}\n", failure.what());
  }
  std::fflush(nullptr);
  ::_exit(status);
}

Child::Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}

Child::~Child() {
  if (pid_ > 0) kill();
}

void Child::kill() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  wait();
}

void Child::stop() {
  ::kill(pid_, SIGSTOP);
  int status = 0;
  while (::waitpid(pid_, &status, WUNTRACED) < 0 && errno == EINTR) {
  }
  if (!WIFSTOPPED(status)) {
    pid_ = -1;
    throw std::runtime_error("the child ended before it could be stopped");
  }
}

void Child::go_on() { ::kill(pid_, SIGCONT); }

int Child::wait() {
  if (pid_ <= 0) throw std::runtime_error("this child was waited for before");
  int status = 0;
  pid_t got = 0;
  do {
    got = ::waitpid(pid_, &status, 0);
  } while (got < 0 && errno == EINTR);
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

std::optional<int> Child::has_ended(::rusage& used) {
  int status = 0;
  if (::wait4(pid_, &status, WNOHANG, &used) <= 0) return std::nullopt;
  pid_ = -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace ringmill::test
