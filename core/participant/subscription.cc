#include "core/participant/subscription.h"

#include <algorithm>

#include "core/levels/dynamic_levels.h"

namespace ringmill {

Result<void> Subscription::subscribe(const ClaimOptions& options) {
  KindSet kinds;
  std::uint64_t interest = 0;
  for (const Kind kind : options.kinds) {
    const std::uint32_t number = check_.handles().number_of(kind);
    if (number >= most_kinds) return std::unexpected(RequestCheck::no_kind_of_this_engine());
    kinds.add(number);
    interest |= Arrival::kind_bit(number);
  }
  levels_version_ = context_.segment.signals().levels_version.load();  // before the levels are looked at
  if (auto taken = take_levels(options); !taken) return taken;
  kinds_ = kinds;
  policy_ = options.policy;
  claim_from_levels();
  context_.entry.interest_kinds.store(interest);
  context_.entry.interest_any_kind.store(kinds.is_all() ? 1 : 0);
  return {};
}

std::optional<Level> Subscription::dynamic_level_of(std::uint32_t number) const noexcept {
  const auto found = std::ranges::lower_bound(levels_, number, {}, &Subscribed::number);
  // A hint that stands in the wrong ring leads here as well: the job is for a participant that claims its level.
  if (found == levels_.end() || found->number != number || number >= context_.segment.geometry().level_numbers())
    return std::nullopt;
  const LevelWord word = context_.segment.level_word(number);
  if (!word.is_in_use() || word.epoch != LevelWord::of(found->word).epoch) return std::nullopt;
  return check_.handles().level(level_value(number, word.epoch));
}

Result<void> Subscription::take_levels(const ClaimOptions& options) {
  std::vector<Subscribed> taken;
  for (const Level level : options.levels) {
    const std::uint32_t value = check_.handles().value_of(level);
    if (value >= level_count_ && !check_.is_open(value)) return std::unexpected(check_.refusal_of_level(value));
    const std::uint32_t number = level_number(value);
    taken.push_back({number, context_.segment.level(number).dynamic_state.load()});
  }
  all_levels_ = options.levels.empty();
  for (std::uint32_t n = 0; all_levels_ && n < context_.segment.levels_end(); ++n) {
    if (context_.segment.has_level(n)) taken.push_back({n, context_.segment.level(n).dynamic_state.load()});
  }
  std::ranges::sort(taken, {}, &Subscribed::number);
  const auto doubled = std::ranges::unique(taken, {}, &Subscribed::number);
  taken.erase(doubled.begin(), doubled.end());
  levels_ = std::move(taken);
  return {};
}

void Subscription::claim_from_levels() {
  std::vector<std::uint32_t> numbers;
  std::vector<std::uint32_t> weights;
  std::uint64_t interest = 0;
  for (const Subscribed& level : levels_) {
    numbers.push_back(level.number);
    weights.push_back(std::max(context_.segment.level(level.number).weight.load_once().at_most(1000U), 1U));
    interest |= std::uint64_t{1} << (level.number % 64);
  }
  LevelChoice choice;
  choice.subscribe(numbers, weights, policy_);
  claiming_.subscribe(std::move(choice), kinds_, context_.segment.geometry().level_numbers());
  context_.entry.interest_levels.store(interest);
}

Result<void> Subscription::follow_levels() {
  const std::uint32_t version = context_.segment.signals().levels_version.load();
  if (all_levels_) {
    levels_version_ = version;
    if (auto taken = take_levels({}); !taken) return taken;
    claim_from_levels();
    return {};
  }
  std::string gone;
  const auto is_gone = [&](const Subscribed& level) {
    if (level.number < level_count_) return false;
    const LevelWord then = LevelWord::of(level.word);
    const LevelWord now = context_.segment.level_word(level.number);
    if (now.is_in_use() && now.epoch == then.epoch) return false;
    const bool is_named_still = now.epoch == then.epoch;
    const auto name = is_named_still ? decode_name(context_.segment.level(level.number).name) : std::nullopt;
    gone += (gone.empty() ? "" : ", ") + name.value_or("(its number is another level's by now)");
    return true;
  };
  std::erase_if(levels_, is_gone);
  // With nothing left to claim from, every call says so.
  if (!levels_.empty()) levels_version_ = version;
  if (gone.empty() && !levels_.empty()) return {};
  claim_from_levels();
  if (levels_.empty()) {
    return std::unexpected(Error(ErrorCode::level_removed, "no level is left to claim from: each was removed", gone));
  }
  return std::unexpected(
      Error(ErrorCode::level_removed, "a level was removed; the others are claimed from now on", gone));
}

}  // namespace ringmill
