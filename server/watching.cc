#include "server/watching.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "core/base/durations.h"

namespace ringmill {

namespace {

using Unit = Condition::Unit;
using Value = std::optional<double>;

/// Bounds of counts below this have no margin for clearing.
constexpr double least_bound_with_margin = 10;

double seconds_of(std::chrono::nanoseconds time) noexcept { return std::chrono::duration<double>(time).count(); }

/// Calls `visit(level, rates)` for the named level, or for all. Returns false if there is none.
template <class Visit>
bool for_levels(const Look& look, const std::string& name, Visit&& visit) {
  bool found = false;
  for (std::size_t n = 0; n < look.now.levels.size(); ++n) {
    if (!name.empty() && look.now.levels[n].name != name) continue;
    visit(look.now.levels[n], look.levels[n]);
    found = true;
  }
  return found;
}

template <class Of>
Value sum_of_levels(const Look& look, const std::string& name, Of&& of) {
  double sum = 0;
  return for_levels(look, name, [&](const auto& level, const auto& rates) { sum += of(level, rates); }) ? Value(sum)
                                                                                                        : Value();
}
template <class Of>
Value most_of_levels(const Look& look, const std::string& name, Of&& of) {
  double most = 0;
  const bool found =
      for_levels(look, name, [&](const auto& level, const auto& rates) { most = std::max(most, of(level, rates)); });
  return found ? Value(most) : Value();
}

Value oldest(const Look& look, const std::string& name) {
  return most_of_levels(look, name, [](const LevelStatistics& level, const LevelRates&) {
    // A level that is paused waits on purpose: `paused` tells of it.
    return level.paused ? 0 : seconds_of(level.oldest.value_or(std::chrono::nanoseconds(0)));
  });
}
Value paused(const Look& look, const std::string& name) {
  return most_of_levels(look, name, [&look](const LevelStatistics& level, const LevelRates&) {
    return level.paused ? std::max(std::chrono::duration<double>(look.now.at - level.paused_since).count(), 0.0) : 0;
  });
}
Value depth(const Look& look, const std::string& name) {
  return sum_of_levels(
      look, name, [](const LevelStatistics& level, const LevelRates&) { return static_cast<double>(level.depth); });
}
Value running(const Look& look, const std::string& name) {
  return sum_of_levels(
      look, name, [](const LevelStatistics& level, const LevelRates&) { return static_cast<double>(level.running); });
}
Value in_rate(const Look& look, const std::string& name) {
  if (look.seconds <= 0) return std::nullopt;
  return sum_of_levels(look, name, [](const LevelStatistics&, const LevelRates& rates) { return rates.in_per_s; });
}
Value out_rate(const Look& look, const std::string& name) {
  if (look.seconds <= 0) return std::nullopt;
  return sum_of_levels(look, name, [](const LevelStatistics&, const LevelRates& rates) { return rates.out_per_s; });
}

/// Of the attempts of a kind that ended since the look before, the share that failed.
Value failures(const Look& look, const std::string& name) {
  double failed = 0;
  double ended = 0;
  for (std::size_t n = 0; n < look.now.kinds.size(); ++n) {
    if (!name.empty() && look.now.kinds[n].name != name) continue;
    failed += look.kinds[n].failed_per_s;
    ended += look.kinds[n].started_per_s;
  }
  return ended > 0 ? Value(failed / ended * 100) : Value();
}

Value run_p99(const Look& look, const std::string& name) {
  double most = 0;
  bool found = false;
  for (std::size_t n = 0; n < look.now.kinds.size(); ++n) {
    if (!name.empty() && look.now.kinds[n].name != name) continue;
    const auto time = look.kinds[n].run ? look.kinds[n].run->quantile(0.99) : std::nullopt;
    if (time) most = std::max(most, seconds_of(*time));
    found = found || time;
  }
  return found ? Value(most) : Value();
}

Value dead(const Look& look, const std::string&) {
  return look.dead_letters ? Value(static_cast<double>(look.dead_letters->count)) : Value();
}
Value dropped(const Look& look, const std::string&) {
  return look.dead_letters ? Value(static_cast<double>(look.dead_letters->dropped)) : Value();
}
Value workers(const Look& look, const std::string&) {
  return static_cast<double>(std::ranges::count_if(
      look.now.participants, [](const ParticipantStatistics& one) { return one.alive && one.role == "worker"; }));
}
Value keepers(const Look& look, const std::string&) { return look.now.keeper.alive ? 1 : 0; }
Value keeper_age(const Look& look, const std::string&) {
  return look.now.keeper.last_turn_ago ? Value(seconds_of(*look.now.keeper.last_turn_ago)) : Value();
}
Value lost(const Look& look, const std::string&) { return static_cast<double>(look.now.totals.worker_lost); }
Value lag(const Look& look, const std::string&) {
  return std::chrono::duration<double>(look.now.journal.durable_lag).count();
}
Value journal_failed(const Look& look, const std::string&) { return look.now.journal.last_error.empty() ? 0 : 1; }
Value full(const Look& look, const std::string&) {
  if (look.now.capacity == 0) return std::nullopt;
  const double taken = depth(look, "").value_or(0) + running(look, "").value_or(0);
  return taken / static_cast<double>(look.now.capacity) * 100;
}

struct Known {
  std::string_view name;
  Unit unit;
  const char* argument;  // what may stand in brackets; empty: nothing
  const char* meaning;
  Value (*value)(const Look&, const std::string&);
};

constexpr std::array<Known, 17> known_conditions{{
    {"oldest", Unit::seconds, "LEVEL", "how long the oldest job waits, unless the level is paused", &oldest},
    {"depth", Unit::count, "LEVEL", "jobs that wait", &depth},
    {"running", Unit::count, "LEVEL", "jobs that run", &running},
    {"in", Unit::count, "LEVEL", "jobs enqueued per second", &in_rate},
    {"out", Unit::count, "LEVEL", "jobs ended per second", &out_rate},
    {"paused", Unit::seconds, "LEVEL", "for how long a level is paused", &paused},
    {"failures", Unit::percent, "KIND", "of the attempts that ended since the last look, those that failed", &failures},
    {"run_p99", Unit::seconds, "KIND", "how long attempts take, the 99th percentile", &run_p99},
    {"dead", Unit::count, "", "dead letters", &dead},
    {"dropped", Unit::count, "", "dead letters that went for want of room", &dropped},
    {"workers", Unit::count, "", "living worker threads", &workers},
    {"keepers", Unit::count, "", "1 if a living process keeps", &keepers},
    {"keeper_age", Unit::seconds, "", "since the keeper's last turn", &keeper_age},
    {"lost", Unit::count, "", "jobs whose worker was lost, since the memory was made", &lost},
    {"lag", Unit::seconds, "", "the age of the oldest change that is not durable", &lag},
    {"journal_failed", Unit::count, "", "1 if the journal does not work, or does not keep up", &journal_failed},
    {"full", Unit::percent, "", "waiting and running jobs, of those that there is room for", &full},
}};

std::string_view trimmed(std::string_view text) noexcept {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

std::unexpected<Error> refused(const char* why, std::string_view text) {
  return std::unexpected(Error(ErrorCode::invalid_argument, why,
                               std::string(text) + "; a condition is like 'oldest(high) > 30s', 'dead > 10', "
                                                   "'failures(mail) > 50%'"));
}

std::optional<double> bound_of(std::string_view text, Unit unit) {
  if (unit == Unit::seconds) {
    const auto time = parse_duration(text);
    return time ? std::optional(seconds_of(*time)) : std::nullopt;
  }
  if (unit == Unit::percent) {
    if (!text.ends_with('%')) return std::nullopt;
    text = trimmed(text.substr(0, text.size() - 1));
  }
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_number = error == std::errc() && end == text.data() + text.size() && value >= 0 && value < 1e18;
  return is_number ? std::optional(value) : std::nullopt;
}

}  // namespace

std::vector<std::string> condition_names() {
  std::vector<std::string> lines;
  for (const Known& known : known_conditions) {
    const std::string name =
        std::string(known.name) + (*known.argument != '\0' ? fmt::format("({})", known.argument) : "");
    lines.push_back(fmt::format("  {:<16} {}", name, known.meaning));
  }
  return lines;
}

Result<Condition> Condition::parse(std::string_view given) {
  const std::size_t sign = given.find_first_of("<>");
  if (sign == std::string_view::npos) return refused("a condition has > or <", given);
  Condition condition;
  condition.text = std::string(trimmed(given));
  condition.is_above = given[sign] == '>';
  std::string_view left = trimmed(given.substr(0, sign));
  if (const std::size_t open = left.find('('); open != std::string_view::npos) {
    if (!left.ends_with(')')) return refused("a bracket is missing", given);
    condition.argument = std::string(trimmed(left.substr(open + 1, left.size() - open - 2)));
    left = trimmed(left.substr(0, open));
    if (condition.argument.empty()) return refused("nothing stands in the brackets", given);
  }
  const auto known = std::ranges::find(known_conditions, left, &Known::name);
  if (known == known_conditions.end()) return refused("no such number", given);
  if (!condition.argument.empty() && *known->argument == '\0') return refused("it takes nothing in brackets", given);
  condition.name = std::string(left);
  condition.unit = known->unit;
  const auto bound = bound_of(trimmed(given.substr(sign + 1)), known->unit);
  if (!bound) {
    return refused(known->unit == Unit::seconds   ? "the bound is a duration like 30s"
                   : known->unit == Unit::percent ? "the bound is a share like 50%"
                                                  : "the bound is a number",
                   given);
  }
  condition.bound = *bound;
  return condition;
}

std::optional<double> Condition::value_at(const Look& look) const {
  const auto known = std::ranges::find(known_conditions, name, &Known::name);
  return known != known_conditions.end() ? known->value(look, argument) : std::nullopt;
}

bool Condition::is_clear(double value) const noexcept {
  const bool has_margin = unit != Unit::count || bound >= least_bound_with_margin;
  if (!has_margin) return !holds(value);
  return is_above ? value <= bound * 0.75 : value >= bound * 1.25;
}

std::string Condition::shown_value(double value) const {
  if (unit == Unit::seconds) return fmt::format("{:.1f}s", value);
  if (unit == Unit::percent) return fmt::format("{:.1f}%", value);
  return fmt::format("{:.10g}", value);
}

Alert::Event Alert::update(Time now, std::optional<double> value) {
  if (!value) {
    if (!is_raised_) holds_since_.reset();
    return Event::none;
  }
  if (is_raised_) {
    if (condition_.is_clear(*value)) {
      is_raised_ = false;
      holds_since_.reset();
      return Event::cleared;
    }
    if (repeat_.count() == 0 || now - said_at_ < repeat_) return Event::none;
    said_at_ = now;
    return Event::repeated;
  }
  if (!condition_.holds(*value)) {
    holds_since_.reset();
    return Event::none;
  }
  if (!holds_since_) holds_since_ = now;
  if (now - *holds_since_ < holds_for_) return Event::none;
  is_raised_ = true;
  said_at_ = now;
  return Event::raised;
}

}  // namespace ringmill
