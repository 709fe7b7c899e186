// A child process that is driven instruction by instruction, and killed or left standing between any two of them.
//
//   parent (tracer)                                   child
//   start(body)                                       fork; PTRACE_TRACEME; body runs
//   run_to_begin()                                    ... prepares, then calls ringmill_step_begin()
//   step(n) or follow(path, n)                        executes n instructions of the operation, and stands
//   or step_calls(n)                                  executes n system calls of the operation, and stands
//   kill()                                            gone, as by a power cut between two instructions
//   or run_to_end(), let_go()                         goes on to ringmill_step_end(), then to the end of body; _exit(0)
//
// Instruction n means: counted from the begin marker, in the child's own user code. A system call is one instruction,
// and so is a repeated string instruction with all its repetitions. So is a look at the clock: the kernel's code for it
// begins anew whenever a tick falls into it, and slow steps would never come out. When the tracer dies the kernel kills
// the child.
//
// Reaching instruction n by n traps costs n times about 10 us. follow() takes a path that was recorded once: it lets
// the child run to a hardware breakpoint on an address shortly before n that the path does not often meet, and traps
// only from there on.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

/// The child calls these around the operation that is stepped. Called without a tracer they end the process by SIGTRAP.
extern "C" {
void ringmill_step_begin();
void ringmill_step_end();
}

namespace ringmill::crash {

/// The addresses that one undisturbed run of an operation went through.
class StepPath {
 public:
  /// `addresses[n]` is the instruction that comes next after n instructions; the last one is the end marker.
  explicit StepPath(std::vector<std::uintptr_t> addresses);

  /// How many instructions the operation has: 0 to this many can be executed before a kill.
  std::uint64_t instructions() const noexcept { return addresses_.size() - 1; }
  std::uintptr_t address(std::uint64_t n) const noexcept { return addresses_[n]; }
  /// The instructions after which the path meets an address for the first time: all of the code, each loop once.
  std::vector<std::uint64_t> first_visits() const;
  /// The cheapest way to instruction n: run until address(position) is met for the `visits`-th time, then step.
  struct Anchor {
    std::uint64_t position = 0;
    std::uint64_t visits = 0;  // 0: step from the begin marker
  };
  Anchor anchor(std::uint64_t n) const noexcept { return anchors_[n]; }

 private:
  std::vector<std::uintptr_t> addresses_;
  std::vector<Anchor> anchors_;
};

class SteppedProcess {
 public:
  enum class State {
    running,  ///< before the begin marker, or let go
    between,  ///< stands between two instructions of the operation
    at_end,   ///< stands at the end marker
    ended,    ///< is gone; ending() says how
    silent,   ///< gave no sign within the patience: it blocks in a system call, or runs without an end
  };

  /// Forks. `body` runs in the child, which then ends with _exit(0); it must call the begin and the end marker once
  /// each. Each wait for the child below ends after `patience`.
  explicit SteppedProcess(const std::function<void()>& body,
                          std::chrono::milliseconds patience = std::chrono::seconds(10));
  SteppedProcess(const SteppedProcess&) = delete;
  SteppedProcess& operator=(const SteppedProcess&) = delete;
  /// Kills what still lives.
  ~SteppedProcess();

  State run_to_begin();
  /// Executes `count` instructions, fewer when the end comes first.
  State step(std::uint64_t count);
  /// Goes on until `count` system calls have returned, fewer when the end comes first. Where an operation leaves its
  /// traces in files only, these are all the points at which a kill makes a difference.
  State step_calls(std::uint64_t count);
  /// As step(n) from the begin marker on, along a path recorded before.
  State follow(const StepPath& path, std::uint64_t n);
  /// Goes on at full speed until it comes to the instruction at this address.
  State run_to(std::uintptr_t address);
  /// Steps to the end marker and notes every address. Nothing: the child did not get there.
  std::optional<StepPath> record();
  /// Lets it run to the end marker at full speed.
  State run_to_end();
  /// After `silent`: waits once more for what it has not come back from.
  State wait_longer();
  /// Whether it sleeps in the kernel, beyond the reach of steps.
  bool is_asleep() const;
  /// Ends the tracing and waits for the child's end.
  State let_go();
  /// SIGKILL, and waits until it is gone.
  void kill();

  State state() const noexcept { return state_; }
  pid_t process_id() const noexcept { return process_id_; }
  /// The address of the next instruction while it stands.
  std::uintptr_t address() const noexcept { return address_; }
  /// After `ended`: "exit 0", "signal 11". Empty before.
  std::string ending() const;
  bool ended_well() const noexcept;

 private:
  State resume(int request);
  State wait_for_stop();
  std::uintptr_t standing_at() const;
  void step_once();
  void go_on_to(std::uintptr_t address);
  bool set_breakpoint(std::uintptr_t address) const;
  void clear_breakpoint() const;

  std::chrono::milliseconds patience_;
  pid_t process_id_ = -1;
  State state_ = State::running;
  int stop_signal_ = 0;  // what stopped it last, other than our traps: delivered when it goes on
  int wait_status_ = 0;
  std::uintptr_t address_ = 0;  // read at each stop: a question to the kernel takes as long as a step
};

}  // namespace ringmill::crash
