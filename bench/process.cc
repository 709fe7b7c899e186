#include "bench/process.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "bench/clock.h"

namespace ringmill::bench {
namespace {

void pin_to_slot(std::size_t slot) {
  const std::vector<int> cpus = allowed_cpus();
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(cpus[slot % cpus.size()]), &set);
  sched_setaffinity(0, sizeof set, &set);
}

}  // namespace

std::vector<int> allowed_cpus() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
      if (CPU_ISSET(static_cast<std::size_t>(cpu), &set)) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) cpus.push_back(0);
  return cpus;
}

ProcessGroup::~ProcessGroup() { kill_all(); }

void ProcessGroup::start(const std::function<int()>& body, std::optional<std::size_t> cpu_slot) {
  // What is still in a buffer would be printed by the child too.
  std::fflush(nullptr);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) {
    std::perror("ringmill-bench: fork");
    std::exit(3);
  }
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    // The parent may have died before the line above.
    if (getppid() != parent) _exit(3);
    if (cpu_slot) pin_to_slot(*cpu_slot);
    _exit(body());
  }
  children_.push_back({.id = child, .ended = false, .well = false});
}

void ProcessGroup::look(Child& child, bool block) {
  if (child.ended) return;
  int status = 0;
  const pid_t found = waitpid(child.id, &status, block ? 0 : WNOHANG);
  if (found != child.id) return;
  child.ended = true;
  child.well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool ProcessGroup::all_run() {
  for (Child& child : children_) look(child, false);
  return std::ranges::none_of(children_, &Child::ended);
}

bool ProcessGroup::join(std::chrono::milliseconds patience) {
  const bool in_time = wait_until(
      [this] {
        for (Child& child : children_) look(child, false);
        return std::ranges::all_of(children_, &Child::ended);
      },
      patience);
  if (!in_time) kill_all();
  const bool well = std::ranges::all_of(children_, &Child::well);
  children_.clear();
  return well;
}

void ProcessGroup::kill_all() {
  for (const Child& child : children_) {
    if (!child.ended) kill(child.id, SIGKILL);
  }
  for (Child& child : children_) look(child, true);
}

bool wait_until(const std::function<bool()>& condition, std::chrono::milliseconds patience,
                std::chrono::microseconds pause) {
  const std::uint64_t end = now_ns() + static_cast<std::uint64_t>(std::chrono::nanoseconds(patience).count());
  while (!condition()) {
    if (now_ns() > end) return false;
    std::this_thread::sleep_for(pause);
  }
  return true;
}

}  // namespace ringmill::bench
