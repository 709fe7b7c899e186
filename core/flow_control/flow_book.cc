#include "core/flow_control/flow_book.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "core/base/log.h"
#include "core/flow_control/permits.h"
#include "core/levels/level_names.h"
#include "core/table/level_bound.h"
#include "core/table/level_counts.h"
#include "core/table/room.h"
#include "ipc/registry.h"
#include "ipc/waking.h"

namespace ringmill {

namespace {

class FlowLock {
 public:
  FlowLock(const File& file) noexcept : file_(&file) {}
  FlowLock(const FlowLock&) = delete;
  FlowLock& operator=(const FlowLock&) = delete;
  ~FlowLock() { unlock_byte(*file_, flow_lock_byte); }

 private:
  const File* file_;
};

Error too_many_rows() {
  return Error(ErrorCode::no_space, "64 kinds have a concurrency limit already, the most",
               "`ringmill limit` lists them; take one off");
}

/// Stores a word of a rule. Returns true if it changed.
template <class Word>
bool put(std::atomic<Word>& word, Word value) noexcept {
  if (word.load() == value) return false;
  word.store(value);
  return true;
}
bool put(SharedWord<std::uint32_t>& word, std::uint32_t value) noexcept {
  if (word.load_once() == value) return false;
  word.store(value);
  return true;
}

/// Returns a row that no kind has, or 0 if all are in use. Words of an earlier kind in it do not count.
std::uint32_t free_row(const Segment& segment) noexcept {
  std::array<bool, most_permit_rows + 1> is_used{};
  for (std::uint32_t kind = 0; kind < most_kinds; ++kind) {
    is_used[segment.kind_rule(kind).permit_row.load_once().at_most(most_permit_rows)] = true;
  }
  for (std::uint32_t row = 1; row <= most_permit_rows; ++row) {
    if (!is_used[row]) return row;
  }
  return 0;
}

/// Gives a permit to each job of the kind that runs when the limit is set, as far as there are permits. Returns the end
/// of those that are taken.
std::uint32_t give_permits_to_running(const Segment& segment, std::uint32_t kind, std::uint32_t row) noexcept {
  const auto look = segment.look();
  const JobTable table(segment);
  Permits permits(segment.permit_row(row - 1), table, kind, most_concurrency);
  bool has_room = true;
  table.for_each_cell([&](CellIndex index) {
    const StateWord word = table.word(index);
    if (!has_room || word.state() != CellState::running || table.header(index).kind.load_once() != kind) return;
    has_room = permits.take(index, word, most_concurrency).has_value();
  });
  return permits.taken_end();
}

/// Returns true if a word changed.
Result<bool> apply_to_kind(const Segment& segment, std::uint32_t kind, const KindRules& wanted) {
  KindRule& rule = segment.kind_rule(kind);
  bool changed = false;
  if (wanted.limits.concurrency == 0) {
    changed = put(rule.concurrency, 0U);
    changed = put(rule.permit_row, 0U) || changed;
  } else {
    if (const auto row = rule.permit_row.load_once().below(most_permit_rows + 1); !row || *row == 0) {
      const std::uint32_t free = free_row(segment);
      if (free == 0) return std::unexpected(too_many_rows());
      rule.permits_end.store(give_permits_to_running(segment, kind, free));
      rule.permit_row.store(free);
      changed = true;
    }
    rule.permits_end.raise_to(wanted.limits.concurrency);
    changed = put(rule.concurrency, wanted.limits.concurrency) || changed;
  }
  const Rate& rate = wanted.limits.rate;
  const bool has_rate = rate.count != 0;
  bool rate_changed = put(rule.rate_period_ns, has_rate ? static_cast<std::uint64_t>(rate.period.count()) : 0);
  rate_changed = put(rule.burst, has_rate ? wanted.limits.burst : 0U) || rate_changed;
  rate_changed = put(rule.rate_count, rate.count) || rate_changed;
  if (rate_changed) rule.next_token_ns.store(0);  // a full bucket
  changed = put(rule.paused_since_ns, wanted.paused_since_ns) || changed || rate_changed;
  return changed;
}

/// The most jobs that a level may hold; 0: no bound.
std::uint32_t most_of(const Segment& segment, const LevelLimits& limits) noexcept {
  if (limits.most_percent == 0) return limits.most;
  const std::uint64_t capacity = Room(segment).plain_capacity();
  return static_cast<std::uint32_t>(std::max<std::uint64_t>(1, (capacity * limits.most_percent + 99) / 100));
}

bool apply_to_levels(const Segment& segment, const FlowRules& rules) {
  bool changed = false;
  bool is_newly_bounded = false;
  // Dynamic levels, too; unused numbers are not paused.
  for (std::uint32_t n = 0; n < segment.geometry().level_numbers(); ++n) {
    const auto paused = rules.paused_levels.find(level_name(segment, n));
    const std::uint64_t since_ns = paused == rules.paused_levels.end() ? 0 : paused->second;
    changed = put(segment.level(n).paused_since_ns, since_ns) || changed;
    const auto limited = rules.level_limits.find(level_name(segment, n));
    const std::uint32_t most = limited == rules.level_limits.end() ? 0 : most_of(segment, limited->second);
    const bool was_bounded = LevelCount(segment, n).is_bounded();
    const bool changed_bound = put(segment.level(n).most_cells, most);
    is_newly_bounded = is_newly_bounded || (changed_bound && !was_bounded);
    changed = changed || changed_bound;
  }
  if (is_newly_bounded) count_all_jobs(segment);
  return changed;
}

}  // namespace

Result<void> write_flow_rules(const EngineFiles& directory, const FlowRules& rules) {
  // The keeper may be any user of the engine.
  return directory.folder().write_file_durably(flow_file, to_json(rules), directory.config().mode | 0444);
}

Result<bool> apply_flow_rules(const Segment& segment, const FlowRules& rules) {
  Signals& signals = segment.signals();
  const std::uint32_t wanted =
      (rules.kinds.empty() ? 0 : flow_bit::kinds) | (rules.paused_levels.empty() ? 0 : flow_bit::levels);
  signals.flow.fetch_or(wanted);  // before the rules: no claim that sees one passes it over
  bool changed = apply_to_levels(segment, rules);
  std::optional<Error> refused;
  std::array<const KindRules*, most_kinds> by_number{};
  for (const auto& [name, kind] : rules.kinds) {
    if (const auto number = segment.kinds().intern(name)) {
      by_number[*number] = &kind;
    } else {
      refused = Error(ErrorCode::no_space, "all 1024 names of kinds are in use", name);
    }
  }
  // First the kinds without a limit, so that their rows are free for the others.
  for (const bool with_rows : {false, true}) {
    for (std::uint32_t number = 0; number < most_kinds; ++number) {
      const KindRules kind = by_number[number] != nullptr ? *by_number[number] : KindRules{};
      if ((kind.limits.concurrency != 0) != with_rows) continue;
      const auto applied = apply_to_kind(segment, number, kind);
      if (!applied) refused = applied.error();
      changed = changed || (applied && *applied);
    }
  }
  changed = put(signals.flow, wanted) || changed;
  if (refused) return std::unexpected(*refused);
  return changed;
}

Result<void> change_flow_rules(const EngineFiles& directory, Segment& segment,
                               const std::function<Result<void>(FlowRules&)>& change) {
  // A file of its own: locks of one open file do not exclude each other, and any thread may be here.
  const auto locks = directory.open_locks();
  if (!locks) return std::unexpected(locks.error());
  if (auto locked = lock_byte(*locks, flow_lock_byte); !locked) return std::unexpected(locked.error());  // flow.F1
  const FlowLock held(*locks);
  const auto present = read_flow_rules(directory.folder());
  if (!present) return std::unexpected(present.error());
  FlowRules rules = *present;
  if (auto changed = change(rules); !changed) return changed;
  std::erase_if(rules.kinds, [](const auto& kind) { return kind.second.is_plain(); });
  const auto with_rows =
      std::ranges::count_if(rules.kinds, [](const auto& kind) { return kind.second.limits.concurrency != 0; });
  if (with_rows > std::ptrdiff_t{most_permit_rows}) return std::unexpected(too_many_rows());
  if (rules != *present) {
    if (auto written = write_flow_rules(directory, rules); !written) return written;  // flow.F2
  }
  const auto applied = apply_flow_rules(segment, rules);  // flow.F3
  if (!applied) return std::unexpected(applied.error());
  ring_keeper(segment);  // flow.F4
  wake_for_space(segment);
  Sleepers(segment, segment.signals().sleepers).wake_all();
  return {};
}

FlowRulesWatch::Sign FlowRulesWatch::sign_of(const EngineFiles& directory) {
  const auto facts = directory.folder().look(flow_file);
  if (!facts || !*facts) return {};
  const timespec& changed = (*facts)->st_mtim;
  return {.inode = (*facts)->st_ino, .changed_ns = changed.tv_sec * 1'000'000'000 + changed.tv_nsec};
}

void FlowRulesWatch::apply_if_changed(const EngineCore& engine) {
  const Sign sign = sign_of(engine.directory);
  if (applied_ == sign) return;
  const auto locks = engine.directory.open_locks();
  if (!locks) return;  // the engine was removed
  // The holder of the lock applies the rules; the keeper's next turn checks that it did.
  const auto locked = try_lock_byte(*locks, flow_lock_byte);
  if (!locked || !*locked) return;
  const FlowLock held(*locks);
  applied_ = sign;
  const auto rules = read_flow_rules(engine.directory.folder());
  if (!rules) {
    log().error("{}; the former rules stay in force", rules.error().message());
    return;
  }
  const auto applied = apply_flow_rules(engine.segment, *rules);
  if (!applied) log().error("some rules of flow control could not be applied: {}", applied.error().message());
  if (!applied || !*applied) return;
  Sleepers(engine.segment, engine.segment.signals().sleepers).wake_all();
  wake_for_space(engine.segment);
}

}  // namespace ringmill
