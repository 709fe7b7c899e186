#include "core/keeper/parked.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "core/flow_control/permits.h"

namespace ringmill {

void Parked::add(OfKind& kind, const Entry& entry, WaitMark::Reason reason) {
  if (reason == WaitMark::Reason::rate) {
    kind.dated.push_back(entry);
    return;
  }
  kind.waiting.push_back(entry);
  std::ranges::push_heap(kind.waiting, std::greater<>());
}

void Parked::note(const JobTable& table, CellIndex index, StateWord word, WaitMark::Reason reason) {
  const CellHeader& header = table.header(index);
  const auto known_kind = header.kind.load_once().below(most_kinds);
  if (!known_kind) return;
  const std::uint32_t number = *known_kind;
  const Entry entry{header.level.load_once().unbounded(), header.enqueued_at_ns.load(), job_id_of(word, index).value()};
  const auto [place, is_new] = kinds_.try_emplace(number);
  if (is_new) place->second.revision = segment_->kind_rule(number).revision.load();
  // Its token is of an older rule, so claims would not accept it.
  const std::uint32_t mark_revision = WaitMark::of(header.cause.load()).revision;
  if (reason == WaitMark::Reason::rate && mark_revision != (segment_->kind_rule(number).revision.load() & 7)) {
    reason = WaitMark::Reason::paused;
  }
  add(place->second, entry, reason);
  if (!rebuilding_) return;
  OfKind& next = next_kinds_[number];
  next.revision = place->second.revision;
  add(next, entry, reason);
}

bool Parked::is_parked(const JobTable& table, std::uint64_t id) noexcept {
  const CellIndex index = index_of(JobId(id));
  const StateWord word = table.word(index);
  return word.generation() == generation_of(JobId(id)) &&
         WaitMark::of_parked(table.header(index).cause.load(), word) != WaitMark::Reason::none;
}

std::uint32_t Parked::allowed(const JobTable& table, std::uint32_t number, OfKind& kind) const {
  const KindRule& rule = segment_->kind_rule(number);
  if (rule.paused_since_ns.load() != 0) return 0;
  const std::uint32_t limit = rule.concurrency.load_once().at_most(most_concurrency);
  const std::uint32_t row = rule.permit_row.load_once().below(most_permit_rows + 1).value_or(0);
  if (limit == 0 || row == 0) return std::numeric_limits<std::uint32_t>::max();
  std::erase_if(kind.brought_back, [&table](std::uint64_t id) {
    const StateWord word = table.word(index_of(JobId(id)));
    return word.state() != CellState::queued || word.generation() != generation_of(JobId(id));
  });
  const std::uint64_t busy = Permits(segment_->permit_row(row - 1), table, number, Permits::end_of(rule)).taken() +
                             std::uint64_t{kind.brought_back.size()};
  return busy < limit ? limit - static_cast<std::uint32_t>(busy) : 0;
}

bool Parked::bring_back(Settling& settling, std::uint32_t number, OfKind& kind, std::uint32_t& most) {
  const JobTable& table = settling.table();
  KindRule& rule = segment_->kind_rule(number);
  if (const std::uint32_t revision = rule.revision.load(); revision != kind.revision) {
    for (const Entry& entry : kind.dated) add(kind, entry, WaitMark::Reason::paused);
    kind.dated.clear();
    kind.revision = revision;
  }
  if (kind.dated.size() > kind.dated_bound) {
    std::erase_if(kind.dated, [&table](const Entry& entry) { return !is_parked(table, entry.id); });
    kind.dated_bound = std::max<std::size_t>(1024, 2 * kind.dated.size());
  }
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
    --left;
    --most;
  }
  if (left == std::numeric_limits<std::uint32_t>::max() || rule.concurrency.load_once() == 0U)
    kind.brought_back.clear();
  if (kind.waiting.empty()) rule.waiting.store(0);
  return left != 0 && !kind.waiting.empty();
}

bool Parked::bring_back(Settling& settling, std::uint32_t most) {
  bool more = false;
  for (auto place = kinds_.begin(); place != kinds_.end();) {
    OfKind& kind = place->second;
    more = bring_back(settling, place->first, kind, most) || more;
    const bool is_done = kind.waiting.empty() && kind.dated.empty() && kind.brought_back.empty();
    place = is_done ? kinds_.erase(place) : std::next(place);
  }
  return more;
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
    if (const auto next = next_kinds_.find(number); next != next_kinds_.end()) next->second.revision = kind.revision;
  }
  kinds_.swap(next_kinds_);
  next_kinds_.clear();
}

}  // namespace ringmill
