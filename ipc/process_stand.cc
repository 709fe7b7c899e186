#include "ipc/process_stand.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <exception>
#include <filesystem>
#include <optional>
#include <ranges>
#include <string_view>

namespace ringmill {

namespace {

std::string folder_of(pid_t process) { return "/proc/" + std::to_string(process); }

/// The letter in /proc/PID/stat; 0: it cannot be read.
char state_of(const std::string& folder) {
  const auto text = read_file(folder + "/stat");
  if (!text) return 0;
  const std::size_t name_end = text->rfind(')');  // the program's name may hold anything
  return name_end != std::string::npos && name_end + 2 < text->size() ? (*text)[name_end + 2] : '\0';
}

bool has_line(const std::string& file, std::string_view line) {
  const auto text = read_file(file);
  return text && ("\n" + *text).find("\n" + std::string(line) + "\n") != std::string::npos;
}

/// Either hierarchy, where it is usually mounted.
bool is_in_frozen_group(const std::string& folder) {
  const auto groups = read_file(folder + "/cgroup");
  if (!groups) return false;
  for (const auto part : std::views::split(*groups, '\n')) {  // "0::/a/b", "7:freezer:/a/b"
    const std::string_view line(part);
    const std::size_t path = line.find(":/");
    if (path == std::string_view::npos) continue;
    const std::string place(line.substr(path + 1));
    if (line.starts_with("0::") && has_line("/sys/fs/cgroup" + place + "/cgroup.events", "frozen 1")) return true;
    if (line.find(":freezer:") != std::string_view::npos &&
        has_line("/sys/fs/cgroup/freezer" + place + "/freezer.state", "FROZEN")) {
      return true;
    }
  }
  return false;
}

/// Whether a line of /proc/PID/fdinfo says that this byte is locked: "lock: 1: OFDLCK ADVISORY  WRITE -1 08:01:42 0 3".
/// Locks of one kind on bytes side by side are one line.
bool names_byte(std::string_view line, const HeldByte& held) {
  if (!line.starts_with("lock:") || line.find(" OFDLCK ") == std::string_view::npos) return false;
  const std::size_t kind = line.find(held.is_exclusive ? " WRITE " : " READ ");
  if (kind == std::string_view::npos) return false;
  const std::size_t last_at = line.rfind(' ');
  const std::size_t first_at = line.rfind(' ', last_at - 1);
  if (first_at == std::string_view::npos || first_at < kind) return false;
  std::uint64_t first = 0;
  std::uint64_t last = ~std::uint64_t{0};  // "EOF"
  const auto read = [&line](std::size_t begin, std::size_t end, std::uint64_t& number) {
    return std::from_chars(line.data() + begin, line.data() + end, number).ec == std::errc();
  };
  if (!read(first_at + 1, last_at, first)) return false;
  if (line.substr(last_at + 1) != "EOF" && !read(last_at + 1, line.size(), last)) return false;
  return first <= held.byte && held.byte <= last;
}

bool has_locks(const std::string& fdinfo, const HeldByte& first, const HeldByte& second) {
  const auto text = read_file(fdinfo);
  if (!text) return false;
  bool has_first = false;
  bool has_second = false;
  for (const auto part : std::views::split(*text, '\n')) {
    const std::string_view line(part);
    has_first |= names_byte(line, first);
    has_second |= names_byte(line, second);
  }
  return has_first && has_second;
}

bool holds(pid_t process, const File& file, const HeldByte& first, const HeldByte& second) {
  struct stat ours {};
  if (::fstat(file.descriptor(), &ours) != 0) return false;
  std::error_code ignored;
  const std::string folder = folder_of(process);
  std::filesystem::directory_iterator entry(folder + "/fd", ignored);
  for (; !ignored && entry != std::filesystem::directory_iterator(); entry.increment(ignored)) {
    struct stat theirs {};
    if (::stat(entry->path().c_str(), &theirs) != 0 || theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino) {
      continue;
    }
    if (has_locks(folder + "/fdinfo/" + entry->path().filename().string(), first, second)) return true;
  }
  return false;
}

/// By a signal, a debugger or its control group.
bool is_stopped(pid_t process) {
  const std::string folder = folder_of(process);
  const char state = state_of(folder);
  return state == 'T' || state == 't' || is_in_frozen_group(folder);
}

}  // namespace

std::string sentence_of_stand(const ProcessName& name) {
  const std::string folder = folder_of(name.process);
  const char state = state_of(folder + "/task/" + std::to_string(name.thread));
  switch (state) {
    case 0:
      return "";
    case 'T':
      return "it is stopped (state T)";
    case 't':
      return "a debugger has stopped it (state t)";
    case 'D':
      return "it waits for a device, or for memory that was swapped out (state D)";
    default:
      break;
  }
  if (is_in_frozen_group(folder)) return "its control group is frozen";
  if (state == 'R') return "it is ready to run, and gets no processor time (state R)";
  return std::string("its state is ") + state;
}

std::optional<pid_t> kill_stopped_holder_of(const File& file, const HeldByte& first, const HeldByte& second) noexcept
    try {
  std::error_code ignored;
  std::filesystem::directory_iterator entry("/proc", ignored);
  for (; !ignored && entry != std::filesystem::directory_iterator(); entry.increment(ignored)) {
    const std::string name = entry->path().filename().string();
    pid_t process = 0;
    const auto [end, fault] = std::from_chars(name.data(), name.data() + name.size(), process);
    if (fault != std::errc() || end != name.data() + name.size() || process <= 1 || process == ::getpid()) continue;
    if (!holds(process, file, first, second)) continue;
    // It may have ended since, and its id be another's: what is seen with the descriptor open is of one process.
    const File handle = File::above_standard(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
    if (!handle || !holds(process, file, first, second) || !is_stopped(process)) continue;
    if (::syscall(SYS_pidfd_send_signal, handle.descriptor(), SIGKILL, nullptr, 0) == 0) return process;
  }
  return std::nullopt;
} catch (const std::exception&) {  // no memory: the caller looks again
  return std::nullopt;
}

}  // namespace ringmill
