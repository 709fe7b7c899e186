#include "tests/crash/single_step.h"

#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <fstream>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#if defined(__x86_64__)
// The markers are breakpoints at known addresses: the tracer tells them by where the child stands.
asm(R"(
.text
.globl ringmill_step_begin
.type ringmill_step_begin, @function
ringmill_step_begin:
  int3
  ret
.size ringmill_step_begin, . - ringmill_step_begin
.globl ringmill_step_end
.type ringmill_step_end, @function
ringmill_step_end:
  int3
  ret
.size ringmill_step_end, . - ringmill_step_end
)");
#else
// Stepping is written for x86-64. Elsewhere the programs and tests that step build, and say that they cannot.
extern "C" {
void ringmill_step_begin() {}
void ringmill_step_end() {}
}
#endif

namespace ringmill::crash {
namespace {

std::uintptr_t address_of(void (*marker)()) { return reinterpret_cast<std::uintptr_t>(marker); }
std::uintptr_t behind(void (*marker)()) { return address_of(marker) + 1; }  // int3 is one byte

/// Interrupts a blocking waitpid() after a while, and again and again, so that none is entered too late.
class Patience {
 public:
  explicit Patience(std::chrono::milliseconds limit) {
    struct sigaction action {};
    action.sa_handler = [](int) {};  // without SA_RESTART: its work is the EINTR
    ::sigaction(SIGALRM, &action, &before_);
    const itimerval timer{{0, 50'000}, {limit.count() / 1000, limit.count() % 1000 * 1000}};
    ::setitimer(ITIMER_REAL, &timer, nullptr);
  }
  Patience(const Patience&) = delete;
  Patience& operator=(const Patience&) = delete;
  ~Patience() {
    const itimerval off{};
    ::setitimer(ITIMER_REAL, &off, nullptr);
    ::sigaction(SIGALRM, &before_, nullptr);
  }

 private:
  struct sigaction before_ {};
};

void* data_of(std::uint64_t value) { return reinterpret_cast<void*>(value); }  // ptrace takes its word as a pointer

struct AddressRange {
  std::uintptr_t begin = 0;
  std::uintptr_t end = 0;
  bool contains(std::uintptr_t address) const noexcept { return begin <= address && address < end; }
};

/// The code that the kernel gives to each process for reading clocks. A fork has it at the same place.
const AddressRange& clock_code() {
  static const AddressRange found = [] {
    AddressRange range;
    std::ifstream maps("/proc/self/maps");
    for (std::string line; std::getline(maps, line);) {
      if (line.find("[vdso]") == std::string::npos) continue;
      const std::size_t dash = line.find('-');
      range = {std::stoull(line.substr(0, dash), nullptr, 16), std::stoull(line.substr(dash + 1), nullptr, 16)};
    }
    return range;
  }();
  return found;
}

/// The registers of a stopped child.
#if defined(__x86_64__)
constexpr std::size_t debug_register(std::size_t number) {
  return offsetof(struct user, u_debugreg) + number * sizeof(std::uint64_t);
}
std::uint64_t peek(pid_t child, std::size_t offset) {
  return static_cast<std::uint64_t>(::ptrace(PTRACE_PEEKUSER, child, offset, nullptr));
}
std::uint64_t instruction_of(pid_t child) { return peek(child, offsetof(user_regs_struct, rip)); }
void move_instruction_of(pid_t child, std::uint64_t address) {
  ::ptrace(PTRACE_POKEUSER, child, offsetof(user_regs_struct, rip), data_of(address));
}
std::uint64_t stack_of(pid_t child) { return peek(child, offsetof(user_regs_struct, rsp)); }
bool break_at(pid_t child, std::uint64_t address) {
  return ::ptrace(PTRACE_POKEUSER, child, debug_register(0), data_of(address)) == 0 &&
         ::ptrace(PTRACE_POKEUSER, child, debug_register(7), data_of(1)) == 0;
}
void break_nowhere(pid_t child) { ::ptrace(PTRACE_POKEUSER, child, debug_register(7), data_of(0)); }
#else
std::uint64_t instruction_of(pid_t) { return 0; }
void move_instruction_of(pid_t, std::uint64_t) {}
std::uint64_t stack_of(pid_t) { return 0; }
bool break_at(pid_t, std::uint64_t) { return false; }
void break_nowhere(pid_t) {}
#endif

}  // namespace

StepPath::StepPath(std::vector<std::uintptr_t> addresses) : addresses_(std::move(addresses)) {
  std::unordered_map<std::uintptr_t, std::uint64_t> visits;
  visits[addresses_[0]] = 1;  // the child stands there without having been stopped by the breakpoint
  anchors_.emplace_back();
  for (std::uint64_t n = 1; n < addresses_.size(); ++n) {
    const std::uint64_t stops = ++visits[addresses_[n]];
    const Anchor before = anchors_.back();
    const std::uint64_t cost_from_before = before.visits + (n - before.position);
    const bool is_first = addresses_[n] == addresses_[0];
    anchors_.push_back(!is_first && stops < cost_from_before ? Anchor{n, stops} : before);
  }
}

std::vector<std::uint64_t> StepPath::first_visits() const {
  std::unordered_set<std::uintptr_t> met;
  std::vector<std::uint64_t> visits;
  for (std::uint64_t n = 0; n < addresses_.size(); ++n) {
    if (met.insert(addresses_[n]).second) visits.push_back(n);
  }
  return visits;
}

SteppedProcess::SteppedProcess(const std::function<void()>& body, std::chrono::milliseconds patience)
    : patience_(patience), process_id_(::fork()) {
  if (process_id_ == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);  // the tracer sets its options here
    body();
    ::_exit(0);
  }
  if (process_id_ < 0 || ::waitpid(process_id_, &wait_status_, 0) != process_id_ || !WIFSTOPPED(wait_status_)) {
    state_ = State::ended;
    return;
  }
  ::ptrace(PTRACE_SETOPTIONS, process_id_, nullptr, data_of(PTRACE_O_EXITKILL));
}

SteppedProcess::~SteppedProcess() { kill(); }

SteppedProcess::State SteppedProcess::wait_for_stop() {
  const pid_t answer = ::waitpid(process_id_, &wait_status_, 0);
  if (answer < 0 && errno == EINTR) return state_ = State::silent;
  if (answer != process_id_ || !WIFSTOPPED(wait_status_)) return state_ = State::ended;
  stop_signal_ = WSTOPSIG(wait_status_) == SIGTRAP ? 0 : WSTOPSIG(wait_status_);
  const std::uintptr_t at = address_ = standing_at();
  return state_ =
             at == address_of(ringmill_step_end) || at == behind(ringmill_step_end) ? State::at_end : State::between;
}

SteppedProcess::State SteppedProcess::resume(int request) {
  if (::ptrace(static_cast<__ptrace_request>(request), process_id_, nullptr,
               data_of(static_cast<std::uint64_t>(stop_signal_))) != 0) {
    return state_ = State::ended;
  }
  return wait_for_stop();
}

SteppedProcess::State SteppedProcess::run_to_begin() {
  if (state_ == State::ended) return state_;
  const Patience patience(patience_);
  while (resume(PTRACE_CONT) == State::between && address() != behind(ringmill_step_begin)) {
  }
  return state_;
}

/// The trap comes after each repetition of a repeated string instruction; all of them are one step.
void SteppedProcess::step_once() {
  const std::uintptr_t before = address();
  do resume(PTRACE_SINGLESTEP);
  while (state_ == State::between && address() == before);
  if (state_ != State::between || !clock_code().contains(address())) return;
  // It was called just now: where it returns to lies on the stack.
  const long caller = ::ptrace(PTRACE_PEEKDATA, process_id_, data_of(stack_of(process_id_)), nullptr);
  go_on_to(static_cast<std::uintptr_t>(caller));
}

SteppedProcess::State SteppedProcess::step(std::uint64_t count) {
  const Patience patience(patience_);
  for (std::uint64_t n = 0; n < count && state_ == State::between; ++n) step_once();
  return state_;
}

SteppedProcess::State SteppedProcess::step_calls(std::uint64_t count) {
  const Patience patience(patience_);
  for (std::uint64_t n = 0; n < count && state_ == State::between; ++n) {
    // The first stop is at the call's entry, the second at its return.
    if (resume(PTRACE_SYSCALL) == State::between) resume(PTRACE_SYSCALL);
  }
  return state_;
}

SteppedProcess::State SteppedProcess::follow(const StepPath& path, std::uint64_t n) {
  // Not at the end's own marker, which is a breakpoint itself: there from the one before it.
  const StepPath::Anchor anchor = path.anchor(n == path.instructions() && n > 0 ? n - 1 : n);
  const std::uintptr_t target = path.address(anchor.position);
  if (anchor.visits == 0 || !set_breakpoint(target)) return step(n);
  {
    const Patience patience(patience_);
    for (std::uint64_t visit = 0; visit < anchor.visits && state_ == State::between;) {
      if (resume(PTRACE_CONT) == State::between && address() == target) ++visit;
    }
  }
  if (state_ != State::between) return state_;
  clear_breakpoint();
  return step(n - anchor.position);
}

SteppedProcess::State SteppedProcess::run_to(std::uintptr_t address) {
  const Patience patience(patience_);
  go_on_to(address);
  return state_;
}

void SteppedProcess::go_on_to(std::uintptr_t address) {
  if (state_ != State::between || !set_breakpoint(address)) return;
  while (resume(PTRACE_CONT) == State::between && this->address() != address) {
  }
  if (state_ == State::between) clear_breakpoint();
}

std::optional<StepPath> SteppedProcess::record() {
  const Patience patience(patience_);
  std::vector<std::uintptr_t> addresses;
  while (state_ == State::between) {
    addresses.push_back(address());
    step_once();
  }
  if (state_ != State::at_end) return std::nullopt;
  addresses.push_back(address());
  return StepPath(std::move(addresses));
}

SteppedProcess::State SteppedProcess::run_to_end() {
  const Patience patience(patience_);
  while (state_ == State::between) resume(PTRACE_CONT);
  return state_;
}

SteppedProcess::State SteppedProcess::wait_longer() {
  if (state_ != State::silent) return state_;
  const Patience patience(patience_);
  return wait_for_stop();
}

bool SteppedProcess::is_asleep() const {
  std::ifstream file(fmt::format("/proc/{}/stat", process_id_));
  std::string text;
  std::getline(file, text);
  // "PID (NAME) S ...": the name may have anything in it, parentheses too.
  const std::size_t name_end = text.rfind(')');
  return name_end + 2 < text.size() && text[name_end + 2] == 'S';
}

SteppedProcess::State SteppedProcess::let_go() {
  if (state_ != State::between && state_ != State::at_end) return state_;
  clear_breakpoint();
  if (address() == address_of(ringmill_step_end)) {
    // Without a tracer the marker would be a deadly signal.
    move_instruction_of(process_id_, behind(ringmill_step_end));
  }
  ::ptrace(PTRACE_DETACH, process_id_, nullptr, data_of(static_cast<std::uint64_t>(stop_signal_)));
  const Patience patience(patience_);
  return wait_for_stop();
}

void SteppedProcess::kill() {
  if (state_ == State::ended || process_id_ <= 0) return;
  ::kill(process_id_, SIGKILL);
  while (::waitpid(process_id_, &wait_status_, 0) == process_id_ && WIFSTOPPED(wait_status_)) {
  }
  state_ = State::ended;
}

std::uintptr_t SteppedProcess::standing_at() const { return instruction_of(process_id_); }

bool SteppedProcess::set_breakpoint(std::uintptr_t address) const { return break_at(process_id_, address); }

void SteppedProcess::clear_breakpoint() const { break_nowhere(process_id_); }

std::string SteppedProcess::ending() const {
  if (state_ != State::ended) return {};
  if (WIFEXITED(wait_status_)) return fmt::format("exit {}", WEXITSTATUS(wait_status_));
  if (WIFSIGNALED(wait_status_)) return fmt::format("signal {}", WTERMSIG(wait_status_));
  return "could not be started or traced";
}

bool SteppedProcess::ended_well() const noexcept {
  return state_ == State::ended && WIFEXITED(wait_status_) && WEXITSTATUS(wait_status_) == 0;
}

}  // namespace ringmill::crash
