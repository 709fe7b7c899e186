#include "bench/standing_jobs.h"

#include <algorithm>
#include <array>
#include <span>

#include "bench/message.h"

namespace ringmill::bench {

std::expected<void, std::string> enqueue_standing_jobs(Subject& subject, std::string_view level_name,
                                                       std::uint64_t count) {
  auto level = subject.engine.level(level_name);
  if (!level) return std::unexpected(level.error().message());
  const Message message;
  std::array<JobRequest, Participant::most_in_batch> requests{};
  std::array<JobId, Participant::most_in_batch> ids{};
  requests.fill({.kind = subject.kind, .level = *level, .payload = message.bytes(), .durability = Durability::memory});
  while (count > 0) {
    const auto wanted = std::min<std::uint64_t>(count, requests.size());
    auto sent = subject.participant->enqueue_batch(std::span(requests).first(wanted), ids);
    if (!sent) return std::unexpected("standing jobs: " + sent.error().message());
    count -= *sent;
  }
  return {};
}

}  // namespace ringmill::bench
