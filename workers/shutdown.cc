// SIGTERM and SIGINT as calls on a thread.
//
// A signal may reach any thread of the process, also those that were started before us, so blocking it everywhere and
// reading it from a signalfd cannot be relied on. Instead:
//   1. the signal handler writes one byte into a pipe
//   2. a thread of ours reads it and calls back
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <thread>

#include <ringmill/worker.h>

#include "core/base/exceptions.h"
#include "ipc/file.h"

namespace ringmill {

namespace {

constexpr std::array<int, 2> stop_signals{SIGTERM, SIGINT};
constexpr char signal_byte = 's';
constexpr char quit_byte = 'q';

/// What a signal handler can reach must be global. The pipe is made once and stays open until the process ends: a
/// handler that is delayed on another thread can never write into a descriptor that means something else by then.
struct SignalPipe {
  int read_end = -1;
  std::atomic<int> write_end{-1};
  /// The processes that made the pipe and that have a SignalStop: after a fork both name the parent.
  std::atomic<pid_t> maker{0};
  std::atomic<pid_t> user{0};
};
SignalPipe signal_pipe;

void on_stop_signal(int signal) {
  const int saved_errno = errno;
  if (signal_pipe.maker.load() == ::getpid()) {
    // A full pipe already holds enough signals: one more changes nothing.
    [[maybe_unused]] const ssize_t written = ::write(signal_pipe.write_end.load(), &signal_byte, 1);
  } else {
    // The child of a fork shares the pipe with its parent. It ends as if we had never been here, when this handler
    // returns.
    ::signal(signal, SIG_DFL);
    ::raise(signal);
  }
  errno = saved_errno;
}

Result<void> open_pipe() {
  if (signal_pipe.maker.load() == ::getpid()) return {};
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return std::unexpected(system_error("pipe2", "signals"));
  File read_end = File::above_standard(ends[0]);
  File write_end = File::above_standard(ends[1]);
  if (!read_end || !write_end) return std::unexpected(system_error("fcntl F_DUPFD_CLOEXEC", "signals"));
  ::fcntl(write_end.descriptor(), F_SETFL, O_NONBLOCK);
  signal_pipe.read_end = read_end.release();
  signal_pipe.write_end.store(write_end.release());
  signal_pipe.maker.store(::getpid());
  return {};
}

/// Bytes of an earlier SignalStop are not for the next one.
void empty_pipe() noexcept {
  pollfd waiting{.fd = signal_pipe.read_end, .events = POLLIN, .revents = 0};
  while (::poll(&waiting, 1, 0) == 1) {
    std::array<char, 64> bytes{};
    if (::read(signal_pipe.read_end, bytes.data(), bytes.size()) <= 0) return;
  }
}

}  // namespace

class SignalStop::Implementation {
 public:
  explicit Implementation(std::function<void(std::uint32_t)> on_signal)
      : on_signal_(std::move(on_signal)), thread_([this] { read_signals(); }) {
    struct sigaction action {};
    action.sa_handler = &on_stop_signal;
    action.sa_flags = SA_RESTART;
    ::sigemptyset(&action.sa_mask);
    for (std::size_t n = 0; n < stop_signals.size(); ++n) ::sigaction(stop_signals[n], &action, &former_[n]);
  }
  Implementation(const Implementation&) = delete;
  Implementation& operator=(const Implementation&) = delete;
  ~Implementation() {
    for (std::size_t n = 0; n < stop_signals.size(); ++n) ::sigaction(stop_signals[n], &former_[n], nullptr);
    while (::write(signal_pipe.write_end.load(), &quit_byte, 1) < 0) std::this_thread::yield();
    thread_.join();
    signal_pipe.user.store(0);
  }

 private:
  void read_signals() {
    ::prctl(PR_SET_NAME, "ringmill-signal");
    // Here the signals get through even where every other thread blocks them.
    sigset_t ours;
    ::sigemptyset(&ours);
    for (const int signal : stop_signals) ::sigaddset(&ours, signal);
    ::pthread_sigmask(SIG_UNBLOCK, &ours, nullptr);
    std::uint32_t count = 0;
    while (true) {
      char byte = 0;
      const ssize_t got = ::read(signal_pipe.read_end, &byte, 1);
      if (got < 0 && errno == EINTR) continue;
      if (got != 1 || byte == quit_byte) return;
      on_signal_(++count);
    }
  }

  std::function<void(std::uint32_t)> on_signal_;
  std::array<struct sigaction, stop_signals.size()> former_{};
  std::thread thread_;
};

Result<SignalStop> SignalStop::install(std::function<void(std::uint32_t count)> on_signal) {
  if (!on_signal) return std::unexpected(Error(ErrorCode::invalid_argument, "nothing to call on a signal"));
  pid_t user = signal_pipe.user.load();
  if (user == ::getpid() || !signal_pipe.user.compare_exchange_strong(user, ::getpid())) {
    return std::unexpected(Error(ErrorCode::busy, "this process has a SignalStop already"));
  }
  auto opened = open_pipe();
  if (opened) {
    empty_pipe();
    try {
      return SignalStop(std::make_unique<Implementation>(std::move(on_signal)));
    } catch (const std::exception& thrown) {
      opened = std::unexpected(error_of(thrown));
    }
  }
  signal_pipe.user.store(0);
  return std::unexpected(opened.error());
}

Result<SignalStop> SignalStop::install(Worker& worker) {
  return install([&worker](std::uint32_t) { worker.stop(); });
}

SignalStop::SignalStop(std::unique_ptr<Implementation> implementation) noexcept
    : implementation_(std::move(implementation)) {}
SignalStop::SignalStop(SignalStop&&) noexcept = default;
SignalStop& SignalStop::operator=(SignalStop&&) noexcept = default;
SignalStop::~SignalStop() = default;

}  // namespace ringmill
