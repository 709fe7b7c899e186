#include "core/instance/keeper_stand.h"

#include "ipc/clock.h"
#include "ipc/process_stand.h"

namespace ringmill {

std::optional<std::uint64_t> keeper_still_ns(const Segment& segment) noexcept {
  if (!number_of_keeper(segment)) return std::nullopt;
  const std::uint64_t turned_ns = segment.signals().keeper_turned_at_ns.load();
  const std::uint64_t now_ns = lease_clock_ns();
  if (turned_ns == 0 || now_ns < turned_ns || now_ns - turned_ns < keeper_stands_still_after_ns) return std::nullopt;
  return now_ns - turned_ns;
}

std::string keeper_trouble(const Segment& segment) {
  const auto number = number_of_keeper(segment);
  const auto still_ns = keeper_still_ns(segment);
  if (!number || !still_ns) return "";
  const ParticipantEntry& entry = segment.participant(*number);
  const ProcessName name{.process = static_cast<pid_t>(entry.process_id.load()),
                         .thread = static_cast<pid_t>(entry.thread_id.load()),
                         .started_ticks = entry.process_started.load()};
  std::string text = "process " + std::to_string(name.process) + " has stood still for " +
                     std::to_string(*still_ns / 1'000'000'000) + " s";
  if (entry.pid_namespace.load() != own_pid_namespace()) return text + ", in another pid namespace";
  const std::string stand = sentence_of_stand(name);
  return stand.empty() ? text : text + ": " + stand;
}

}  // namespace ringmill
