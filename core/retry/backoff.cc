#include "core/retry/backoff.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "core/base/durations.h"

namespace ringmill {

namespace {

using std::chrono::milliseconds;

constexpr std::uint32_t most_factor = 1000;

std::unexpected<Error> refused(const char* summary, std::string_view what) {
  return std::unexpected(Error(ErrorCode::invalid_argument, summary, fmt::format("'{}'", what)));
}

/// The word before the next comma; the rest begins behind it. Nothing is left: the rest is nullopt.
std::string_view next_word(std::optional<std::string_view>& rest) {
  const std::size_t comma = rest->find(',');
  const std::string_view word = rest->substr(0, comma);
  if (comma == std::string_view::npos) {
    rest.reset();
  } else {
    rest->remove_prefix(comma + 1);
  }
  return word;
}

Result<std::uint32_t> parse_delay(std::string_view word) {
  const auto duration = parse_duration(word);
  if (!duration) return refused("backoff: no duration like 250us, 10ms, 30s, 5m, 2h, 7d", word);
  const auto delay = std::chrono::ceil<milliseconds>(*duration);
  if (delay > Backoff::most_delay) return refused("backoff: a delay is at most 24 days", word);
  return static_cast<std::uint32_t>(delay.count());
}

std::string delay_text(std::uint32_t ms) { return format_duration(milliseconds(ms)); }

/// Decimal digits, with at most three behind a point: "2", "1.5", "1.125".
Result<std::uint32_t> parse_factor(std::string_view word) {
  const std::size_t point = word.find('.');
  const std::string_view decimals = point == std::string_view::npos ? "" : word.substr(point + 1);
  const auto whole = parse_number(word.substr(0, point));
  const auto part = point == std::string_view::npos ? std::optional<std::uint64_t>(0) : parse_number(decimals);
  if (!whole || !part || decimals.size() > 3) {
    return refused("backoff: no factor like 2 or 1.5, with at most three decimals", word);
  }
  if (*whole > most_factor) return refused("backoff: a factor is at least 1 and at most 1000", word);
  std::uint64_t thousandths = *part;
  for (std::size_t n = decimals.size(); n < 3; ++n) thousandths *= 10;
  thousandths += *whole * 1000;
  if (thousandths < 1000 || thousandths > most_factor * 1000) {
    return refused("backoff: a factor is at least 1 and at most 1000", word);
  }
  return static_cast<std::uint32_t>(thousandths);
}

std::string factor_text(std::uint32_t thousandths) {
  std::string text = std::to_string(thousandths / 1000);
  if (thousandths % 1000 == 0) return text;
  text += fmt::format(".{:03}", thousandths % 1000);
  text.erase(text.find_last_not_of('0') + 1);
  return text;
}

/// Uniform in [0, most]: the high half of a 128-bit product. Off from uniform by less than one part in 2^32.
std::uint64_t random_part(std::uint32_t most, std::uint64_t random) noexcept {
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<Wide>(random) * (std::uint64_t{most} + 1)) >> 64);
}

}  // namespace

Result<Backoff> Backoff::parse_fixed(std::string_view words) {
  const auto delay = parse_delay(words);
  if (!delay) return std::unexpected(delay.error());
  Backoff backoff;
  backoff.shape_ = Shape::fixed;
  backoff.full_jitter_ = false;
  backoff.factor_thousandths_ = 1000;
  backoff.count_ = 1;
  backoff.delays_ = {*delay};
  return backoff;
}

Result<Backoff> Backoff::parse_exponential(std::string_view words) {
  constexpr const char* shape = "backoff: an exponential one is exponential:BASE,FACTOR,CAP or ...,CAP,none";
  std::optional<std::string_view> rest = words;
  const auto base = parse_delay(next_word(rest));
  if (!base) return std::unexpected(base.error());
  if (*base == 0) return refused("backoff: the base is at least 1ms, nothing grows from zero", words);
  if (!rest) return refused(shape, words);
  const auto factor = parse_factor(next_word(rest));
  if (!factor) return std::unexpected(factor.error());
  if (!rest) return refused(shape, words);
  const auto cap = parse_delay(next_word(rest));
  if (!cap) return std::unexpected(cap.error());
  if (*cap < *base) return refused("backoff: the cap is less than the base", words);
  const std::string_view jitter = rest ? next_word(rest) : "full";
  if (jitter != "full" && jitter != "none") return refused("backoff: jitter is full or none", jitter);
  if (rest) return refused(shape, words);
  Backoff backoff;
  backoff.full_jitter_ = jitter == "full";
  backoff.factor_thousandths_ = *factor;
  backoff.delays_ = {*base, *cap};
  return backoff;
}

Result<Backoff> Backoff::parse_list(std::string_view words) {
  Backoff backoff;
  backoff.shape_ = Shape::list;
  backoff.full_jitter_ = false;
  backoff.factor_thousandths_ = 1000;
  backoff.count_ = 0;
  backoff.delays_ = {};
  for (std::optional<std::string_view> rest = words; rest;) {
    const auto delay = parse_delay(next_word(rest));
    if (!delay) return std::unexpected(delay.error());
    if (backoff.count_ == most_delays) return refused("backoff: the list is too long, at most 63 characters", words);
    backoff.delays_[backoff.count_++] = *delay;
  }
  // What was written short may be long in its canonical text (1000us is 1ms, but 61s is as long as it was).
  if (backoff.text().size() > most_text) return refused("backoff: the list is too long, at most 63 characters", words);
  return backoff;
}

Result<Backoff> Backoff::parse(std::string_view text) {
  const std::size_t colon = text.find(':');
  const std::string_view shape = text.substr(0, colon);
  const std::string_view words = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  if (colon != std::string_view::npos) {
    if (shape == "fixed") return parse_fixed(words);
    if (shape == "exponential") return parse_exponential(words);
    if (shape == "list") return parse_list(words);
  }
  return refused("backoff: not of the form fixed:100ms, exponential:1s,2,1h or list:1s,10s,5m", text);
}

std::string Backoff::text() const {
  switch (shape_) {
    case Shape::fixed:
      return "fixed:" + delay_text(delays_[0]);
    case Shape::exponential:
      return fmt::format("exponential:{},{},{}{}", delay_text(delays_[0]), factor_text(factor_thousandths_),
                         delay_text(delays_[1]), full_jitter_ ? "" : ",none");
    case Shape::list:
      break;
  }
  std::string text = "list:";
  for (std::size_t n = 0; n < count_; ++n) text += (n == 0 ? "" : ",") + delay_text(delays_[n]);
  return text;
}

std::uint64_t Backoff::delay_ms(std::uint64_t attempts_ended, std::uint64_t random) const noexcept {
  const std::uint64_t retries_before = attempts_ended == 0 ? 0 : attempts_ended - 1;
  if (shape_ != Shape::exponential) return delays_[std::min<std::uint64_t>(retries_before, count_ - 1U)];
  // In floating point, because it has an infinity to saturate at. A double holds every millisecond below the cap.
  const double factor = factor_thousandths_ / 1000.0;
  const double grown = delays_[0] * std::pow(factor, static_cast<double>(retries_before));
  const std::uint32_t delay = grown < delays_[1] ? static_cast<std::uint32_t>(grown) : delays_[1];
  return full_jitter_ ? random_part(delay, random) : delay;
}

bool is_valid_backoff(std::string_view text) {
  if (text.size() > Backoff::most_text) return false;
  const auto backoff = Backoff::parse(text);
  return backoff && backoff->text() == text;
}

}  // namespace ringmill
