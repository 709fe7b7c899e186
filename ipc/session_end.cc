#include "ipc/session_end.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "ipc/file.h"

namespace ringmill {

namespace {

/// A process that is killed may start another one before: so often is looked again.
constexpr int most_rounds = 20;

struct Member {
  pid_t process = 0;
  pid_t session = 0;
};

std::string folder_of(pid_t process) { return "/proc/" + std::to_string(process); }

/// Returns nothing for what has ended.
std::optional<Member> read_member(pid_t process) {
  const auto text = read_file(folder_of(process) + "/stat");
  if (!text) return std::nullopt;
  // Behind the program's name in parentheses: " S parent group session".
  const std::size_t name_end = text->rfind(')');
  if (name_end == std::string::npos || name_end + 2 >= text->size()) return std::nullopt;
  const char* at = text->data() + name_end + 2;
  const char* const end = text->data() + text->size();
  if (*at == 'Z' || *at == 'X') return std::nullopt;
  for (int field = 3; field < 6 && at != end; ++field) at = std::find(at + 1, end, ' ');
  Member member{.process = process};
  if (at == end || std::from_chars(at + 1, end, member.session).ec != std::errc()) return std::nullopt;
  return member;
}

bool was_started_with(pid_t process, std::string_view entry) {
  const auto text = read_file(folder_of(process) + "/environ");
  if (!text) return false;
  const std::string wanted = '\0' + std::string(entry) + '\0';
  return ('\0' + *text).find(wanted) != std::string::npos;
}

/// The living processes of the session, or of all.
std::vector<Member> members_of(pid_t session) {
  std::vector<Member> members;
  std::error_code ignored;
  std::filesystem::directory_iterator folder("/proc", ignored);
  for (; !ignored && folder != std::filesystem::directory_iterator(); folder.increment(ignored)) {
    const std::string name = folder->path().filename().string();
    pid_t process = 0;
    const auto [end, fault] = std::from_chars(name.data(), name.data() + name.size(), process);
    if (fault != std::errc() || end != name.data() + name.size() || process <= 1) continue;
    const auto member = read_member(process);
    if (member && (session == 1 || member->session == session)) members.push_back(*member);
  }
  return members;
}

int kill_all(std::span<const Member> members, pid_t session) noexcept {
  int killed = 0;
  for (const Member& member : members) {
    if (member.session == session && ::kill(member.process, SIGKILL) == 0) ++killed;
  }
  return killed;
}

}  // namespace

int end_session(pid_t session, std::string_view entry) noexcept try {
  int killed = 0;
  bool is_known = false;  // from the first proof on
  for (int round = 0; round < most_rounds; ++round) {
    const std::vector<Member> members = members_of(session);
    if (!is_known) {
      const auto proof = std::ranges::find_if(
          members, [entry](const Member& member) { return was_started_with(member.process, entry); });
      // Not our own session: its leader is no command.
      if (proof == members.end() || proof->session == ::getsid(0)) return killed;
      session = proof->session;
      is_known = true;
    }
    const int now_killed = kill_all(members, session);
    if (now_killed == 0) return killed;
    killed += now_killed;
  }
  return killed;
} catch (const std::exception&) {  // no memory: the job goes on all the same
  return 0;
}

}  // namespace ringmill
