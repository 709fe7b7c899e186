#include "workers/command.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>

#include "core/base/kept_text.h"
#include "ipc/clock.h"
#include "ipc/process_end.h"

namespace ringmill {

namespace {

// The kernel's interface; the headers of the oldest system that we build on do not have it yet.
constexpr unsigned pidfd_signal_process_group = 1U << 2;

struct Pipe {
  File read_end;
  File write_end;
};

/// Both ends are above standard error, so that none of them is overwritten when they are put in place in the child.
Result<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return std::unexpected(system_error("pipe2", "a command's pipes"));
  File read_end = File::above_standard(ends[0]);
  File write_end = File::above_standard(ends[1]);
  if (!read_end || !write_end) return std::unexpected(system_error("fcntl F_DUPFD_CLOEXEC", "a command's pipes"));
  return Pipe{std::move(read_end), std::move(write_end)};
}

void make_nonblocking(const File& file) noexcept { ::fcntl(file.descriptor(), F_SETFL, O_NONBLOCK); }

/// The child's data, made before the fork: between fork and exec it may not allocate.
struct Launch {
  const char* text;
  char* const* environment;
  int input;
  int output;
  int error;
  int handed_over;  // -1: none
  pid_t parent;
  std::atomic<int>* exec_errno;
};

/// The child's way to exec. Only calls that are safe after a fork in a process of many threads, signals blocked.
[[noreturn]] void become_shell(const Launch& launch) noexcept {
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != launch.parent) ::_exit(127);  // it died before the line above
  ::dup2(launch.input, STDIN_FILENO);
  ::dup2(launch.output, STDOUT_FILENO);
  ::dup2(launch.error, STDERR_FILENO);
  // All of ours are close-on-exec; those of the program around us may not be. Closing them at exec needs no list.
  ::syscall(SYS_close_range, STDERR_FILENO + 1, UINT_MAX, CLOSE_RANGE_CLOEXEC);
  if (launch.handed_over >= 0) {
    ::dup2(launch.handed_over, STDERR_FILENO + 1);
    ::fcntl(STDERR_FILENO + 1, F_SETFD, 0);  // it may have been that one before
  }
  // An ignored signal would stay ignored, a handler of ours would run before exec.
  struct sigaction fresh {};
  fresh.sa_handler = SIG_DFL;
  for (int signal = 1; signal < NSIG; ++signal) ::sigaction(signal, &fresh, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  const char* const arguments[] = {"sh", "-c", launch.text, nullptr};
  ::execve("/bin/sh", const_cast<char* const*>(arguments), launch.environment);
  launch.exec_errno->store(errno);
  ::_exit(127);
}

/// Starts a process. Returns minus one on failure; errno says why.
struct Forked {
  pid_t process = -1;
  int descriptor = -1;
};

/// Forks with every signal blocked, so that no handler of the parent runs in the child. The kernel makes the pidfd with
/// the process: where no descriptor is to be had nothing has begun, and a child that does not stay as a zombie (SIGCHLD
/// ignored) cannot be gone before it is opened. glibc's fork() has no way to ask for that. The handlers of
/// pthread_atfork() do not run: the child makes only system calls before exec.
Forked fork_shell(const Launch& launch) noexcept {
  sigset_t all;
  sigset_t former;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &former);
  Forked forked;
  forked.process =
      static_cast<pid_t>(::syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, nullptr, &forked.descriptor, nullptr, nullptr));
  if (forked.process == 0) become_shell(launch);
  const int fork_errno = errno;
  ::pthread_sigmask(SIG_SETMASK, &former, nullptr);
  errno = fork_errno;
  return forked;
}

/// Returns the end of a child that other code of the process reaped. The kernel may be just about to note it.
ProcessEnd end_of_reaped(const File& process_descriptor) noexcept {
  constexpr int most_tries = 100;
  constexpr int try_every_ms = 10;
  ProcessEnd end = end_by_descriptor(process_descriptor.descriptor());
  for (int n = 0; n < most_tries && end.how == ProcessEnd::How::unknown; ++n) {
    pollfd reaped{.fd = process_descriptor.descriptor(), .events = 0, .revents = 0};
    const bool is_over = ::poll(&reaped, 1, try_every_ms) == 1;  // POLLHUP, which needs no asking for
    end = end_by_descriptor(process_descriptor.descriptor());
    if (is_over) break;
  }
  return end;
}

/// The given texts, then those of our environment that have other names.
std::vector<char*> environment_with(std::span<const std::string> added) {
  std::vector<char*> texts;
  for (const std::string& text : added) texts.push_back(const_cast<char*>(text.c_str()));
  for (char** text = ::environ; text != nullptr && *text != nullptr; ++text) {
    const std::string_view present(*text);
    const bool replaced = std::ranges::any_of(added, [present](const std::string& ours) {
      return present.starts_with(std::string_view(ours).substr(0, ours.find('=') + 1));
    });
    if (!replaced) texts.push_back(*text);
  }
  texts.push_back(nullptr);
  return texts;
}

}  // namespace

Result<void> Command::can_learn_ends() {
  struct sigaction action {};
  ::sigaction(SIGCHLD, nullptr, &action);
  const bool kernel_reaps = action.sa_handler == SIG_IGN || (action.sa_flags & SA_NOCLDWAIT) != 0;
  if (!kernel_reaps || descriptors_tell_ends()) return {};
  return std::unexpected(Error(ErrorCode::system,
                               "this process ignores SIGCHLD, so it cannot learn how a command ended; set SIGCHLD to "
                               "its default action"));
}

Result<Command> Command::start(const std::string& text, std::span<const std::string> environment,
                               std::span<const std::byte> input, const CommandExtras& extras) {
  sigset_t broken_pipe;
  ::sigemptyset(&broken_pipe);
  ::sigaddset(&broken_pipe, SIGPIPE);
  ::sigaddset(&broken_pipe, SIGXFSZ);  // a temporary file that may not grow
  ::pthread_sigmask(SIG_BLOCK, &broken_pipe, nullptr);
  auto in = make_pipe();
  auto out = make_pipe();
  auto error = make_pipe();
  for (const auto* pipe : {&in, &out, &error}) {
    if (!*pipe) return std::unexpected(pipe->error());
  }
  Command command;
  command.exec_errno_ = make_exec_note();
  if (command.exec_errno_ == nullptr) return std::unexpected(system_error("mmap", "a command"));
  const std::vector<char*> texts = environment_with(environment);
  const Launch launch{.text = text.c_str(),
                      .environment = texts.data(),
                      .input = in->read_end.descriptor(),
                      .output = out->write_end.descriptor(),
                      .error = error->write_end.descriptor(),
                      .handed_over = extras.handed_over != nullptr ? extras.handed_over->descriptor() : -1,
                      .parent = ::getpid(),
                      .exec_errno = command.exec_errno_.get()};
  const Forked forked = fork_shell(launch);
  if (forked.process < 0) return std::unexpected(system_error("clone", "a command"));
  command.process_ = forked.process;
  command.process_descriptor_ = File::above_standard(forked.descriptor);
  command.input_pipe_ = std::move(in->write_end);
  command.output_pipe_ = std::move(out->read_end);
  command.error_pipe_ = std::move(error->read_end);
  for (const File* pipe : {&command.input_pipe_, &command.output_pipe_, &command.error_pipe_}) make_nonblocking(*pipe);
  command.input_ = input;
  command.end_.more_output = Spool(extras.most_spooled);
  return command;
}

Command::ExecNote Command::make_exec_note() noexcept {
  void* const page =
      ::mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return ExecNote(page == MAP_FAILED ? nullptr : new (page) std::atomic<int>(0));
}

void Command::Unmap::operator()(std::atomic<int>* page) const noexcept { ::munmap(page, sizeof *page); }

Command::Command(Command&& other) noexcept
    : process_(std::exchange(other.process_, -1)),
      exec_errno_(std::move(other.exec_errno_)),
      process_descriptor_(std::move(other.process_descriptor_)),
      input_pipe_(std::move(other.input_pipe_)),
      output_pipe_(std::move(other.output_pipe_)),
      error_pipe_(std::move(other.error_pipe_)),
      input_(other.input_),
      chunk_(std::move(other.chunk_)),
      end_(std::move(other.end_)) {}

Command::~Command() {
  if (process_ < 0) return;
  signal_group(SIGKILL);
  while (::waitpid(process_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

void Command::signal_group(int signal) noexcept {
  if (process_ <= 0) return;
  // By the descriptor: where SIGCHLD is ignored the kernel may have given the process id to another process.
  const auto send = [this](int what, unsigned flags) {
    return ::syscall(SYS_pidfd_send_signal, process_descriptor_.descriptor(), what, nullptr, flags) == 0;
  };
  const auto send_group = [&](int what) {
    if (send(what, pidfd_signal_process_group)) return true;
    return errno == EINVAL && ::kill(-process_, what) == 0;  // a kernel before 6.9
  };
  // No such group: the child has not come to setsid() yet, and has started nothing.
  if (!send_group(signal)) send(signal, 0);
  if (signal != SIGKILL) send_group(SIGCONT);
}

Command::Event Command::wait(int interrupt, std::uint64_t until_ns) {
  while (true) {
    if (input_pipe_ && !write_input()) input_pipe_ = File();
    const std::uint64_t now_ns = steady_clock_ns();
    if (now_ns >= until_ns) return Event::time_over;
    // Rounded up, so that the clock has come to `until_ns` when poll returns for it.
    const auto timeout_ms = static_cast<int>(std::min<std::uint64_t>((until_ns - now_ns) / 1'000'000 + 1, INT_MAX));
    // poll() passes over entries whose descriptor is -1.
    std::array<pollfd, 5> watched{{{process_descriptor_.descriptor(), POLLIN, 0},
                                   {interrupt, POLLIN, 0},
                                   {input_pipe_.descriptor(), POLLOUT, 0},
                                   {output_pipe_.descriptor(), POLLIN, 0},
                                   {error_pipe_.descriptor(), POLLIN, 0}}};
    if (::poll(watched.data(), watched.size(), timeout_ms) <= 0) continue;
    if (watched[3].revents != 0) read_output();
    if (watched[4].revents != 0) read_error();
    if (watched[0].revents != 0) return Event::ended;
    if (watched[1].revents != 0) return Event::interrupted;
  }
}

/// Returns false when everything is written, or the command no longer reads: the pipe can be closed.
bool Command::write_input() noexcept {
  while (!input_.empty()) {
    const ssize_t written = ::write(input_pipe_.descriptor(), input_.data(), input_.size());
    if (written < 0) return errno == EAGAIN || errno == EINTR;
    input_ = input_.subspan(static_cast<std::size_t>(written));
  }
  return false;
}

/// Reads the next bytes into chunk_. Closes a pipe at its end.
Command::Read Command::read_chunk(File& pipe) {
  chunk_.resize(16 * 1024);
  ssize_t got = 0;
  do {
    got = ::read(pipe.descriptor(), chunk_.data(), chunk_.size());
  } while (got < 0 && errno == EINTR);
  const bool later = got < 0 && errno == EAGAIN;
  chunk_.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  if (got > 0) return Read::some;
  if (later) return Read::nothing_now;
  pipe = File();
  return Read::over;
}

Command::Read Command::read_output() {
  const Read read = read_chunk(output_pipe_);
  const std::size_t fitting = std::min(chunk_.size(), most_output - end_.output.size());
  end_.output.append(chunk_, 0, fitting);
  end_.more_output.add(std::string_view(chunk_).substr(fitting));
  end_.output_was_cut = end_.more_output.was_cut();
  return read;
}

Command::Read Command::read_error() {
  const Read read = read_chunk(error_pipe_);
  std::string& tail = end_.error_text;
  tail += chunk_;
  // Twice the bound is kept, so that the beginning of a line can be found; finish() cuts.
  if (tail.size() > 2 * most_error_text) tail.erase(0, tail.size() - 2 * most_error_text);
  return read;
}

/// Reads what the pipes hold when the shell has ended. Processes that have the other ends may go on writing, so it
/// reads at most as much as the largest pipe holds.
void Command::read_rest() {
  constexpr int most_reads = 128;
  for (int n = 0; n < most_reads && output_pipe_ && read_output() == Read::some; ++n) continue;
  for (int n = 0; n < most_reads && error_pipe_ && read_error() == Read::some; ++n) continue;
}

CommandEnd Command::finish() {
  read_rest();
  int status = 0;
  pid_t reaped = 0;
  do {
    reaped = ::waitpid(process_, &status, 0);
  } while (reaped < 0 && errno == EINTR);
  process_ = -1;
  // ECHILD: another part of this process has reaped it, or the kernel (SIGCHLD ignored).
  const ProcessEnd end = reaped > 0 ? process_end_of(status) : end_of_reaped(process_descriptor_);
  if (end.how == ProcessEnd::How::exited) end_.status = end.number;
  if (end.how == ProcessEnd::How::killed) end_.signal = end.number;
  end_.exec_errno = exec_errno_->load();
  end_.error_text = std::string(end_of(end_.error_text, most_error_text));
  return std::move(end_);
}

}  // namespace ringmill
