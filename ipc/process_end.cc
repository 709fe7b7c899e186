#include "ipc/process_end.h"

#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <string_view>
#include <utility>

namespace ringmill {

namespace {

// The kernel's interface; the headers of the oldest system that we build on do not have it yet.
struct PidfdInfo {
  std::uint64_t mask;
  std::uint64_t cgroup_id;
  std::uint32_t ids[11];
  std::int32_t exit_code;
};
static_assert(sizeof(PidfdInfo) == 64);
constexpr std::uint64_t pidfd_info_exit = 1U << 3;
constexpr unsigned long pidfd_get_info = _IOWR(0xff, 11, PidfdInfo);

/// Flags of a task in /proc/PID/stat: it ends; it was killed.
constexpr std::uint64_t task_ends = 0x4 | 0x400;
/// The most threads of a process that are looked at.
constexpr int most_threads_looked_at = 16;

/// The fields of /proc/PID/stat that we need.
struct TaskFacts {
  std::uint64_t flags = 0;
  std::uint64_t started_ticks = 0;
  int exit_code = 0;
};

std::optional<TaskFacts> read_task(const std::string& folder) {
  const auto text = read_file(folder + "/stat");
  if (!text) return std::nullopt;
  // The second field is the program's name in parentheses and may hold spaces; count from its end.
  const char* at = text->data() + std::min(text->rfind(')'), text->size());
  const char* const end = text->data() + text->size();
  TaskFacts facts;
  bool is_whole = false;
  for (int field = 3; at != end; ++field) {
    at = std::find(at, end, ' ');
    if (at == end) break;
    ++at;
    if (field == 9) std::from_chars(at, end, facts.flags);
    if (field == 22) std::from_chars(at, end, facts.started_ticks);
    if (field == 52) is_whole = std::from_chars(at, end, facts.exit_code).ec == std::errc();
  }
  if (!is_whole) return std::nullopt;
  return facts;
}

std::string folder_of(pid_t process) { return "/proc/" + std::to_string(process); }

/// The code of a group that is stopped, not ended.
bool is_stop(int code) noexcept { return code == SIGSTOP || code == SIGTSTP || code == SIGTTIN || code == SIGTTOU; }

/// Returns whether SIGKILL is pending, so that the process ends within moments. Read before the flags: once the signal
/// is taken, the flags show it.
bool has_kill_pending(const std::string& folder) {
  const auto text = read_file(folder + "/status");
  if (!text) return false;
  constexpr std::string_view name = "\nSigPnd:\t";
  const std::size_t at = text->find(name);
  std::uint64_t pending = 0;
  if (at != std::string::npos) {
    std::from_chars(text->data() + at + name.size(), text->data() + text->size(), pending, 16);
  }
  return (pending >> (SIGKILL - 1) & 1) != 0;
}

bool lives_on(const std::string& folder) {
  if (has_kill_pending(folder)) return false;
  const auto facts = read_task(folder);
  return facts && (facts->flags & task_ends) == 0;
}

bool another_thread_lives(const ProcessName& name) {
  std::error_code ignored;
  const std::string own = std::to_string(name.thread);
  std::filesystem::directory_iterator task(folder_of(name.process) + "/task", ignored);
  for (int looks = 0; !ignored && task != std::filesystem::directory_iterator() && looks < most_threads_looked_at;
       task.increment(ignored), ++looks) {
    if (task->path().filename() != own && lives_on(task->path())) return true;
  }
  return false;
}

/// Returns nothing if this kernel does not support the call.
std::optional<PidfdInfo> ask_descriptor(int process_descriptor) noexcept {
  PidfdInfo info{};
  info.mask = pidfd_info_exit;
  if (::ioctl(process_descriptor, pidfd_get_info, &info) != 0) return std::nullopt;
  return info;
}

/// Returns whether this process may see the exit code: to others the kernel shows zero.
bool may_see(pid_t process) noexcept {
  struct stat facts {};
  return ::stat(folder_of(process).c_str(), &facts) == 0 && (::geteuid() == 0 || facts.st_uid == ::geteuid());
}

}  // namespace

ProcessEnd process_end_of(int wait_status) noexcept {
  if (WIFSIGNALED(wait_status)) return {ProcessEnd::How::killed, WTERMSIG(wait_status)};
  return {ProcessEnd::How::exited, WEXITSTATUS(wait_status)};
}

std::string sentence_of(const ProcessEnd& end, const ProcessName& name) {
  const std::string process = "process " + std::to_string(name.process);
  const std::string number = std::to_string(end.number);
  switch (end.how) {
    case ProcessEnd::How::killed: {
      const char* const signal = ::sigabbrev_np(end.number);
      return process + " was killed by signal " + number +
             (signal != nullptr ? std::string(" (SIG").append(signal).append(")") : "");
    }
    case ProcessEnd::How::exited:
      return process + " exited with status " + number;
    case ProcessEnd::How::thread_ended:
      return "thread " + std::to_string(name.thread) + " ended, " + process + " goes on";
    case ProcessEnd::How::replaced:
      return process + " went over to another program (exec)";
    case ProcessEnd::How::unknown:
      break;
  }
  return process + " is gone, how is not known";
}

std::uint64_t own_start_ticks() {
  const auto facts = read_task("/proc/self");
  return facts ? facts->started_ticks : 0;
}

std::uint64_t own_pid_namespace() noexcept {
  struct stat facts {};
  return ::stat("/proc/self/ns/pid", &facts) == 0 ? facts.st_ino : 0;
}

ProcessEnd end_by_proc(const ProcessName& name) {
  const auto process = read_task(folder_of(name.process));
  if (!process || process->started_ticks != name.started_ticks) return {};
  // Not zero: all of the process ends. It is there as soon as its first thread is killed.
  if (process->exit_code != 0 && !is_stop(process->exit_code)) return process_end_of(process->exit_code);
  const auto thread = read_task(folder_of(name.process) + "/task/" + std::to_string(name.thread));
  if (thread && (thread->flags & task_ends) == 0) return {ProcessEnd::How::replaced, 0};
  if (another_thread_lives(name)) return {ProcessEnd::How::thread_ended, 0};
  return may_see(name.process) ? ProcessEnd{ProcessEnd::How::exited, 0} : ProcessEnd{};
}

ProcessEnd end_by_descriptor(int process_descriptor) noexcept {
  const auto info = ask_descriptor(process_descriptor);
  return info && (info->mask & pidfd_info_exit) != 0 ? process_end_of(info->exit_code) : ProcessEnd{};
}

bool descriptors_tell_ends() noexcept {
  const File own(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
  return own && ask_descriptor(own.descriptor());
}

std::optional<ProcessHandle> ProcessHandle::open(const ProcessName& name) {
  File file = File::above_standard(static_cast<int>(::syscall(SYS_pidfd_open, name.process, 0)));
  if (!file || !ask_descriptor(file.descriptor())) return std::nullopt;
  // Behind the opening: a pid is not used again while its process lives.
  const auto process = read_task(folder_of(name.process));
  if (!process || process->started_ticks != name.started_ticks) return std::nullopt;
  return ProcessHandle(std::move(file));
}

ProcessEnd ProcessHandle::end() const noexcept { return end_by_descriptor(file_.descriptor()); }

std::optional<OutOfMemoryCount> OutOfMemoryCount::of(pid_t process) {
  const auto text = read_file(folder_of(process) + "/cgroup");
  if (!text) return std::nullopt;
  // A line per hierarchy: number, controllers between commas, path. The unified one has the number 0.
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const std::size_t controllers = line.find(':') + 1;
    const std::size_t path = line.find(':', controllers) + 1;
    if (controllers == 0 || path == 0) continue;
    const std::string list = "," + std::string(line.substr(controllers, path - 1 - controllers)) + ",";
    std::optional<OutOfMemoryCount> found;
    if (line.starts_with("0::")) {
      found = in("/sys/fs/cgroup" + std::string(line.substr(path)) + "/memory.events");
    } else if (list.find(",memory,") != std::string::npos) {
      found = in("/sys/fs/cgroup/memory" + std::string(line.substr(path)) + "/memory.oom_control");
    }
    if (found) return found;
  }
  return std::nullopt;
}

std::optional<OutOfMemoryCount> OutOfMemoryCount::in(std::string file) {
  OutOfMemoryCount count(std::move(file));
  const auto now = count.read();
  if (!now) return std::nullopt;
  count.before_ = count.seen_ = *now;
  return count;
}

std::optional<std::uint64_t> OutOfMemoryCount::read() const {
  const auto text = read_file(file_);
  if (!text) return std::nullopt;
  constexpr std::string_view name = "oom_kill ";
  for (std::size_t at = text->find(name); at != std::string::npos; at = text->find(name, at + 1)) {
    if (at != 0 && (*text)[at - 1] != '\n') continue;
    std::uint64_t count = 0;
    std::from_chars(text->data() + at + name.size(), text->data() + text->size(), count);
    return count;
  }
  return std::nullopt;
}

void OutOfMemoryCount::look() {
  before_ = seen_;
  if (const auto now = read()) seen_ = *now;
}

bool OutOfMemoryCount::has_risen() const {
  const auto now = read();
  return now && *now > before_;
}

}  // namespace ringmill
