#include "core/flow_control/flow_view.h"

#include <algorithm>
#include <utility>

#include "core/flow_control/permits.h"
#include "core/flow_control/token_bucket.h"
#include "ipc/clock.h"

namespace ringmill {

std::optional<KindStatus> view_kind_rule(const Segment& segment, std::uint32_t kind) {
  const KindRule& rule = segment.kind_rule(kind);
  KindStatus status;
  const std::uint64_t since_ns = rule.paused_since_ns.load();
  status.paused = since_ns != 0;
  if (status.paused) status.paused_since = wall_time(since_ns);
  status.limits.concurrency = rule.concurrency.load_once().unbounded();
  if (const std::uint32_t count = rule.rate_count.load(); count != 0) {
    const auto period_ns = std::min(rule.rate_period_ns.load(), TokenRate::most_period_ns);
    status.limits.rate = {.count = count, .period = std::chrono::nanoseconds(period_ns)};
    status.limits.burst = rule.burst.load();
  }
  if (!status.paused && status.limits == KindLimits{}) return std::nullopt;
  status.name = segment.kinds().name_of(kind).value_or("?");
  return status;
}

KindCounts::KindCounts(const Segment& segment) {
  if ((segment.signals().flow.load() & flow_bit::kinds) == 0) return;
  for (std::uint32_t kind = 0; kind < most_kinds; ++kind) {
    auto status = view_kind_rule(segment, kind);
    if (!status) continue;
    kinds_.push_back(*std::move(status));
    place_[kind] = static_cast<std::uint16_t>(kinds_.size());
  }
}

bool KindCounts::count(std::uint32_t kind, JobState state, bool is_parked) noexcept {
  if (kind >= most_kinds || place_[kind] == 0) return false;
  KindStatus& status = kinds_[place_[kind] - 1U];
  if (state == JobState::running) ++status.running;
  if (state != JobState::queued) return false;
  ++status.queued;
  if (is_parked && !status.paused) ++status.waiting;
  return status.paused;
}

std::vector<KindStatus> KindCounts::take() && { return std::move(kinds_); }

namespace {

/// Finds jobs in two permits: such a job would count twice towards the limit.
void check_row(const Segment& segment, std::uint32_t row, const std::string& name, std::vector<std::string>& findings) {
  std::vector<std::uint64_t> words;
  for (const auto& permit : segment.permit_row(row).permit) {
    if (const std::uint64_t word = permit.load(); word != 0) words.push_back(word);
  }
  std::ranges::sort(words);
  if (std::ranges::adjacent_find(words) != words.end()) findings.push_back(name + ": one run stands in two permits");
  const bool in_bounds = std::ranges::all_of(
      words, [&segment](std::uint64_t word) { return Permit::of(word).index < segment.geometry().capacity; });
  if (!in_bounds) findings.push_back(name + ": a permit names a cell that does not exist");
}

}  // namespace

std::vector<std::string> check_flow_rules(const Segment& segment) {
  std::vector<std::string> findings;
  const std::uint32_t flow = segment.signals().flow.load();
  std::array<bool, most_permit_rows + 1> is_used{};
  for (std::uint32_t kind = 0; kind < most_kinds; ++kind) {
    const KindRule& rule = segment.kind_rule(kind);
    const std::string name = "kind " + segment.kinds().name_of(kind).value_or(std::to_string(kind));
    const auto known_row = rule.permit_row.load_once().below(most_permit_rows + 1);
    const std::uint32_t limit = rule.concurrency.load_once().unbounded();
    if (view_kind_rule(segment, kind) && (flow & flow_bit::kinds) == 0) {
      findings.push_back(name + ": it has a rule, and no claim looks at it");
    }
    if (rule.rate_count.load() != 0 && (rule.rate_period_ns.load() == 0 || rule.burst.load() == 0)) {
      findings.push_back(name + ": its rate is impossible");
    }
    const std::uint32_t row = known_row.value_or(0);
    if (!known_row || limit > most_concurrency || (limit != 0) != (row != 0)) {
      findings.push_back(name + ": its concurrency limit and its row do not fit");
      continue;
    }
    if (row == 0) continue;
    if (std::exchange(is_used[row], true)) findings.push_back(name + ": it shares its row with another kind");
    check_row(segment, row - 1, name, findings);
  }
  for (std::uint32_t level = 0; level < segment.geometry().level_numbers(); ++level) {
    if (segment.level(level).paused_since_ns.load() != 0 && (flow & flow_bit::levels) == 0) {
      findings.push_back("level " + std::to_string(level) + ": it is paused, and no claim looks at it");
    }
  }
  return findings;
}

}  // namespace ringmill
