#include "tools/cli/process_start.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <initializer_list>

namespace ringmill::cli {

namespace {

constexpr int status_of_signal = 128;  // as a shell tells that a signal ended a program

/// Takes over the ends of all children. Returns with the command's status.
int reap_until_end(pid_t command) noexcept {
  while (true) {
    int status = 0;
    const pid_t ended = ::waitpid(-1, &status, 0);
    if (ended == command) return WIFEXITED(status) ? WEXITSTATUS(status) : status_of_signal + WTERMSIG(status);
    if (ended < 0 && errno != EINTR) return status_of_signal;
  }
}

pid_t command_process = -1;

/// What the terminal sends goes to the whole group, and so to the command: only what a process has sent is forwarded.
void forward_signal(int signal, siginfo_t* facts, void*) noexcept {
  const int saved_errno = errno;
  if (facts->si_code <= 0) ::kill(command_process, signal);
  errno = saved_errno;
}

void forward_signals_to(pid_t command) noexcept {
  command_process = command;
  struct sigaction action {};
  action.sa_sigaction = &forward_signal;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  ::sigfillset(&action.sa_mask);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2}) ::sigaction(signal, &action, nullptr);
}

}  // namespace

bool fill_standard_descriptors() noexcept {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF) continue;
    // The lowest free number is the one that is missing: those below it are open.
    if (::open("/dev/null", O_WRONLY) == descriptor) continue;
    if (::open("/", O_PATH) != descriptor) return false;  // no /dev here: this one can be neither read nor written
  }
  return true;
}

void set_signal_actions() noexcept {
  std::signal(SIGCHLD, SIG_DFL);
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
}

void leave_first_process_behind() noexcept {
  if (::getpid() != 1) return;
  sigset_t all;
  sigset_t former;
  ::sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &former);
  const pid_t command = ::fork();
  if (command > 0) forward_signals_to(command);
  ::sigprocmask(SIG_SETMASK, &former, nullptr);
  if (command > 0) ::_exit(reap_until_end(command));
  // The child runs the command. If no process can be made, the command runs here, as the first process.
}

}  // namespace ringmill::cli
