#include "core/keeper/parked.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "core/flow_control/permits.h"
#include "core/flow_control/token_bucket.h"

namespace ringmill {

namespace {

/// Of a kind without limits.
constexpr std::uint32_t all = std::numeric_limits<std::uint32_t>::max();

}  // namespace

void Parked::add(OfKind& kind, const Entry& entry) {
  kind.waiting.push_back(entry);
  std::ranges::push_heap(kind.waiting, std::greater<>());
}

void Parked::note(const JobTable& table, CellIndex index, StateWord word) {
  const CellHeader& header = table.header(index);
  const auto number = header.kind.load_once().below(most_kinds);
  if (!number) return;
  const Entry entry{header.level.load_once().unbounded(), header.enqueued_at_ns.load(), job_id_of(word, index).value()};
  add(kinds_[*number], entry);
  if (rebuilding_) add(next_kinds_[*number], entry);
}

std::uint32_t Parked::allowed(const JobTable& table, std::uint32_t number, OfKind& kind) const {
  const KindRule& rule = segment_->kind_rule(number);
  kind.due_ns = no_due;
  if (rule.paused_since_ns.load() != 0) return 0;
  const std::uint32_t limit = rule.concurrency.load_once().at_most(most_concurrency);
  const std::uint32_t row = rule.permit_row.load_once().below(most_permit_rows + 1).value_or(0);
  const bool has_limit = limit != 0 && row != 0;
  const TokenRate rate = TokenRate::of(rule);
  if (!has_limit && rate.count == 0) return all;
  std::erase_if(kind.brought_back, [&table](std::uint64_t id) {
    const StateWord word = table.word(index_of(JobId(id)));
    return word.state() != CellState::queued || word.generation() != generation_of(JobId(id));
  });
  std::uint32_t most = all;
  if (has_limit) {
    const std::uint64_t busy = Permits(segment_->permit_row(row - 1), table, number, Permits::end_of(rule)).taken() +
                               std::uint64_t{kind.brought_back.size()};
    if (busy >= limit) return 0;
    most = limit - static_cast<std::uint32_t>(busy);
  }
  if (rate.count == 0) return most;
  const std::uint64_t now_ns = lease_clock_ns();
  const std::uint64_t bucket = rule.next_token_ns.load();
  const std::uint64_t back = kind.brought_back.size();
  const std::uint64_t tokens = tokens_at(bucket, now_ns, rate);
  const auto free = static_cast<std::uint32_t>(tokens - std::min(tokens, back));
  // The one after those that come back now. With as many back as a full bucket has, the next one that begins rings.
  const std::uint64_t next = back + std::min(free, most) + 1;
  if (free < most && next <= rate.most_at_once()) {
    kind.due_ns = tokens_due_ns(bucket, now_ns, static_cast<std::uint32_t>(next), rate);
  }
  return std::min(free, most);
}

bool Parked::bring_back(Settling& settling, std::uint32_t number, OfKind& kind, std::uint32_t& most) {
  const JobTable& table = settling.table();
  KindRule& rule = segment_->kind_rule(number);
  rule.waiting.store(kind.waiting.empty() ? 0 : 1);  // park.Q2
  if (kind.waiting.empty()) return false;
  std::uint32_t left = allowed(table, number, kind);
  while (left != 0 && most != 0 && !kind.waiting.empty()) {
    std::ranges::pop_heap(kind.waiting, std::greater<>());
    const std::uint64_t id = kind.waiting.back().id;
    kind.waiting.pop_back();
    const CellIndex index = index_of(JobId(id));
    const StateWord word = table.word(index);
    if (word.generation() != generation_of(JobId(id))) continue;
    if (WaitMark::of_parked(table.header(index).cause.load(), word) == WaitMark::Reason::none) continue;
    if (!settling.promote(index, word)) continue;  // park.Q3
    kind.brought_back.push_back(id);
    if (left != all) --left;
    --most;
  }
  if (left == all) kind.brought_back.clear();
  if (kind.waiting.empty()) rule.waiting.store(0);
  return left != 0 && !kind.waiting.empty();
}

bool Parked::bring_back(Settling& settling, std::uint32_t most) {
  bool more = false;
  for (auto place = kinds_.begin(); place != kinds_.end();) {
    OfKind& kind = place->second;
    more = bring_back(settling, place->first, kind, most) || more;
    const bool is_done = kind.waiting.empty() && kind.brought_back.empty();
    place = is_done ? kinds_.erase(place) : std::next(place);
  }
  return more;
}

std::uint64_t Parked::next_due_ns() const noexcept {
  std::uint64_t next_ns = no_due;
  for (const auto& [number, kind] : kinds_) {
    if (!kind.waiting.empty()) next_ns = std::min(next_ns, kind.due_ns);
  }
  return next_ns;
}

void Parked::begin_rebuild() {
  rebuilding_ = true;
  next_kinds_.clear();
}

void Parked::end_rebuild() {
  if (!rebuilding_) return;
  rebuilding_ = false;
  for (auto& [number, kind] : kinds_) {
    if (!kind.brought_back.empty()) next_kinds_[number].brought_back = std::move(kind.brought_back);
    if (const auto next = next_kinds_.find(number); next != next_kinds_.end()) next->second.due_ns = kind.due_ns;
  }
  kinds_.swap(next_kinds_);
  next_kinds_.clear();
}

}  // namespace ringmill
