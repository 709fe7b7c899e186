// How long a job waits before its next attempt.
#include "core/retry/backoff.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "ipc/name_table.h"
#include "tests/support/must.h"
#include "tests/support/random.h"

namespace ringmill::test {
namespace {

constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t day_ms = 24ULL * 3600 * 1000;

std::vector<std::uint64_t> delays_of(const std::string& text, std::uint64_t count, std::uint64_t random = most) {
  const Backoff backoff = must(Backoff::parse(text));
  std::vector<std::uint64_t> delays;
  for (std::uint64_t n = 1; n <= count; ++n) delays.push_back(backoff.delay_ms(n, random));
  return delays;
}

using Delays = std::vector<std::uint64_t>;

TEST(BackoffInProcess, a_fixed_delay_is_always_the_same) {
  EXPECT_EQ(delays_of("fixed:100ms", 3), (Delays{100, 100, 100}));
  EXPECT_EQ(delays_of("fixed:0s", 2), (Delays{0, 0}));
  EXPECT_EQ(delays_of("fixed:24d", 1), (Delays{24 * day_ms}));
}

TEST(BackoffInProcess, an_exponential_delay_grows_by_its_factor_up_to_its_cap) {
  EXPECT_EQ(delays_of("exponential:1s,2,10s,none", 6), (Delays{1000, 2000, 4000, 8000, 10000, 10000}));
  EXPECT_EQ(delays_of("exponential:100ms,1.5,1s,none", 7), (Delays{100, 150, 225, 337, 506, 759, 1000}));
  EXPECT_EQ(delays_of("exponential:1s,1,1h,none", 3), (Delays{1000, 1000, 1000}));
  EXPECT_EQ(delays_of("exponential:1s,1000,24d,none", 4), (Delays{1000, 1'000'000, 1'000'000'000, 24 * day_ms}));
}

TEST(BackoffInProcess, a_list_is_gone_through_and_its_last_delay_repeats) {
  EXPECT_EQ(delays_of("list:1s,10s,5m", 5), (Delays{1000, 10000, 300000, 300000, 300000}));
  EXPECT_EQ(delays_of("list:0s", 2), (Delays{0, 0}));
}

TEST(BackoffInProcess, full_jitter_takes_a_part_of_the_delay_from_none_to_all) {
  EXPECT_EQ(delays_of("exponential:1s,2,1h", 3, most), (Delays{1000, 2000, 4000}));
  EXPECT_EQ(delays_of("exponential:1s,2,1h", 3, 0), (Delays{0, 0, 0}));
  EXPECT_EQ(delays_of("exponential:1s,2,1h", 3, most / 2), (Delays{500, 1000, 2000}));
}

TEST(BackoffInProcess, only_the_exponential_one_has_jitter) {
  EXPECT_EQ(delays_of("fixed:100ms", 1, 0), (Delays{100}));
  EXPECT_EQ(delays_of("list:1s,2s", 2, 0), (Delays{1000, 2000}));
  EXPECT_EQ(delays_of("exponential:1s,2,1h,none", 2, 0), (Delays{1000, 2000}));
}

TEST(BackoffInProcess, the_default_is_exponential_with_full_jitter_up_to_an_hour) {
  EXPECT_EQ(Backoff().text(), Backoff::default_text);
  EXPECT_EQ(Backoff(), must(Backoff::parse(Backoff::default_text)));
  EXPECT_EQ(Backoff().delay_ms(1, most), 1000U);
  EXPECT_EQ(Backoff().delay_ms(12, most), 2048U * 1000);
  EXPECT_EQ(Backoff().delay_ms(13, most), 3600U * 1000);
}

TEST(BackoffInProcess, a_policy_has_one_text) {
  const std::array<std::array<const char*, 2>, 13> cases{{
      {"fixed:100ms", "fixed:100ms"},
      {"fixed:60s", "fixed:1m"},
      {"fixed:0ms", "fixed:0us"},
      {"fixed:250us", "fixed:1ms"},
      {"fixed:1001us", "fixed:2ms"},
      {"exponential:1s,2,1h", "exponential:1s,2,1h"},
      {"exponential:1s,2,1h,full", "exponential:1s,2,1h"},
      {"exponential:1s,2,1h,none", "exponential:1s,2,1h,none"},
      {"exponential:1000ms,2.000,60m", "exponential:1s,2,1h"},
      {"exponential:1s,1.50,24h", "exponential:1s,1.5,1d"},
      {"exponential:1s,1.005,1h", "exponential:1s,1.005,1h"},
      {"exponential:1s,010.01,1h", "exponential:1s,10.01,1h"},
      {"list:1000ms,10s,300s", "list:1s,10s,5m"},
  }};
  for (const auto& [given, canonical] : cases) {
    const Backoff backoff = must(Backoff::parse(given));
    EXPECT_EQ(backoff.text(), canonical) << given;
    EXPECT_EQ(must(Backoff::parse(canonical)), backoff) << given;
    EXPECT_TRUE(is_valid_backoff(canonical)) << canonical;
    EXPECT_EQ(is_valid_backoff(given), std::string(given) == canonical) << given;
  }
}

TEST(BackoffInProcess, the_longest_texts_fit_an_entry_of_names_and_need_a_comma_besides) {
  const std::string longest_list = "list:1s,2s,3s,4s,5s,6s,7s,8s,9s,1s,2s,3s,4s,5s,6s,7s,8s,9s,1s";
  EXPECT_LE(longest_list.size(), Backoff::most_text);
  EXPECT_TRUE(is_valid_backoff(longest_list));
  const std::string longest_exponential = "exponential:2073599998ms,999.999,2073599999ms,none";
  EXPECT_TRUE(is_valid_backoff(longest_exponential));
  for (std::string text : {longest_list, longest_exponential}) {
    EXPECT_FALSE(is_valid_name(text));
    std::ranges::replace(text, ',', '-');
    EXPECT_TRUE(is_valid_name(text)) << "the comma is all that a name does not have";
  }
}

TEST(BackoffInProcess, what_is_no_policy_is_refused_with_the_part_that_is_wrong) {
  const std::array<std::array<const char*, 2>, 26> cases{{
      {"", "not of the form"},
      {"fixed", "not of the form"},
      {"linear:1s", "'linear:1s'"},
      {"Fixed:1s", "not of the form"},
      {" fixed:1s", "not of the form"},
      {"fixed:", "no duration"},
      {"fixed:1", "'1'"},
      {"fixed:1s,2s", "'1s,2s'"},
      {"fixed:-1s", "'-1s'"},
      {"fixed:25d", "at most 24 days"},
      {"fixed:99999999999999999999s", "no duration"},
      {"exponential:1s", "BASE,FACTOR,CAP"},
      {"exponential:1s,2", "BASE,FACTOR,CAP"},
      {"exponential:1s,2,1h,none,", "BASE,FACTOR,CAP"},
      {"exponential:1s,2,1h,half", "'half'"},
      {"exponential:0s,2,1h", "at least 1ms"},
      {"exponential:1h,2,1s", "the cap is less"},
      {"exponential:1s,0.5,1h", "at least 1"},
      {"exponential:1s,1000.001,1h", "at most 1000"},
      {"exponential:1s,1.2345,1h", "three decimals"},
      {"exponential:1s,1e3,1h", "'1e3'"},
      {"exponential:1s,2.,1h", "'2.'"},
      {"exponential:1s,nan,1h", "'nan'"},
      {"list:", "no duration"},
      {"list:1s,,2s", "no duration"},
      {"list:1s,2s,", "no duration"},
  }};
  for (const auto& [text, part] : cases) {
    const auto backoff = Backoff::parse(text);
    ASSERT_FALSE(backoff) << text;
    EXPECT_EQ(backoff.error().code(), ErrorCode::invalid_argument) << text;
    EXPECT_NE(backoff.error().message().find(part), std::string::npos) << backoff.error().message();
    EXPECT_FALSE(is_valid_backoff(text));
  }
}

TEST(BackoffInProcess, a_list_that_is_too_long_for_its_text_is_refused) {
  std::string many = "list:1s";
  for (int n = 1; n < 20; ++n) many += ",1s";
  EXPECT_NE(Backoff::parse(many).error().message().find("63 characters"), std::string::npos);
  EXPECT_TRUE(Backoff::parse(many.substr(0, many.size() - 3)));
  const std::string wide = "list:1001ms,1002ms,1003ms,1004ms,1005ms,1006ms,1007ms,1008ms,1009ms";
  EXPECT_NE(Backoff::parse(wide).error().message().find("63 characters"), std::string::npos);
}

TEST(BackoffInProcess, no_number_of_attempts_overflows) {
  for (const std::uint64_t attempts :
       {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{64}, std::uint64_t{1} << 32, most - 1, most}) {
    EXPECT_LE(must(Backoff::parse("exponential:1ms,1.001,24d,none")).delay_ms(attempts, most), 24 * day_ms);
    EXPECT_LE(must(Backoff::parse("exponential:24d,1000,24d")).delay_ms(attempts, most), 24 * day_ms);
    EXPECT_EQ(must(Backoff::parse("list:1s,5m")).delay_ms(attempts, 0), attempts <= 1 ? 1000U : 300'000U);
    EXPECT_EQ(must(Backoff::parse("exponential:1s,1,1h,none")).delay_ms(attempts, 0), 1000U);
  }
  EXPECT_EQ(must(Backoff::parse("exponential:1ms,1.001,24d,none")).delay_ms(most, 0), 24 * day_ms);
  EXPECT_EQ(must(Backoff::parse("exponential:1s,2,1h,none")).delay_ms(most, 0), 3'600'000U);
}

TEST(BackoffInProcess, no_delay_is_above_the_cap) {
  std::mt19937_64 random(printed_seed());
  const Backoff backoff = must(Backoff::parse("exponential:7ms,1.7,1s"));
  for (int n = 0; n < 100'000; ++n) EXPECT_LE(backoff.delay_ms(random() >> (random() % 64), random()), 1000U);
}

TEST(BackoffInProcess, jitter_is_uniform) {
  std::mt19937_64 random(printed_seed());
  const Backoff backoff = must(Backoff::parse("exponential:99ms,2,1h"));
  constexpr std::size_t values = 100;  // 0 to 99 ms
  constexpr double expected = 2000;
  std::array<double, values> seen{};
  for (int n = 0; n < static_cast<int>(values * expected); ++n) seen.at(backoff.delay_ms(1, random())) += 1;
  double chi_squared = 0;
  for (const double count : seen) chi_squared += (count - expected) * (count - expected) / expected;
  // 99 degrees of freedom: 99 on average, with a deviation of 14. One run in ten million is above 182.
  EXPECT_LT(chi_squared, 190);
}

}  // namespace
}  // namespace ringmill::test
