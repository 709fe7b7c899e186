#include "tools/demo_program/children.h"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <utility>

namespace ringmill::demo {

Child Child::start(const std::vector<std::string>& command) {
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));  // execv() changes none
  words.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t pid = ::fork();
  if (pid < 0) throw std::runtime_error("cannot fork");
  if (pid == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() == parent) ::execv(words[0], words.data());
    ::_exit(127);
  }
  return Child(pid);
}

Child::Child(Child&& other) noexcept
    : pid_(std::exchange(other.pid_, 0)), ended_(std::exchange(other.ended_, true)), status_(other.status_) {}

Child::~Child() {
  if (pid_ == 0 || ended_) return;
  signal(SIGKILL);
  wait();
}

void Child::signal(int number) const noexcept {
  if (!ended_) ::kill(pid_, number);
}

bool Child::stop() noexcept {
  if (ended_) return false;
  signal(SIGSTOP);
  int status = 0;
  while (::waitpid(pid_, &status, WUNTRACED) < 0) {
    if (errno != EINTR) return false;
  }
  if (WIFSTOPPED(status)) return true;
  ended_ = true;
  status_ = status;
  return false;
}

bool Child::has_ended() noexcept {
  if (!ended_ && ::waitpid(pid_, &status_, WNOHANG) == pid_) ended_ = true;
  return ended_;
}

void Child::wait() noexcept {
  while (!ended_) {
    if (::waitpid(pid_, &status_, 0) == pid_ || errno != EINTR) ended_ = true;
  }
}

}  // namespace ringmill::demo
