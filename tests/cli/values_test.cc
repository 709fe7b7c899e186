// How values are written on the command line.
#include "core/base/values.h"

#include <gtest/gtest.h>

#include "core/base/base64.h"

namespace ringmill::cli {
namespace {

using namespace std::chrono_literals;

TEST(ValuesInProcess, a_duration_is_a_number_and_a_unit) {
  EXPECT_EQ(parse_duration("250us"), 250us);
  EXPECT_EQ(parse_duration("10ms"), 10ms);
  EXPECT_EQ(parse_duration("30s"), 30s);
  EXPECT_EQ(parse_duration("5m"), 5min);
  EXPECT_EQ(parse_duration("2h"), 2h);
  EXPECT_EQ(parse_duration("7d"), 168h);
  EXPECT_EQ(parse_duration("0s"), 0s);
}

TEST(ValuesInProcess, anything_else_is_no_duration) {
  for (const char* text : {"", "5", "s", "-1s", "+1s", "1.5s", " 1s", "1s ", "1 s", "1S", "1min", "1ns", "1s2"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(ValuesInProcess, a_duration_that_overflows_is_refused) {
  EXPECT_TRUE(parse_duration("106751d"));
  EXPECT_FALSE(parse_duration("106752d"));
  EXPECT_FALSE(parse_duration("99999999999999999999us"));
}

TEST(ValuesInProcess, a_size_is_a_number_with_or_without_a_binary_unit) {
  EXPECT_EQ(parse_size("4096"), 4096U);
  EXPECT_EQ(parse_size("64KiB"), 65536U);
  EXPECT_EQ(parse_size("1MiB"), 1U << 20);
  EXPECT_EQ(parse_size("2GiB"), std::uint64_t{2} << 30);
  for (const char* text : {"", "KiB", "1kb", "1K", "1 KiB", "-1", "0x10", "1.5MiB", "9999999999GiB"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
}

TEST(ValuesInProcess, a_list_keeps_its_empty_words) {
  EXPECT_EQ(split_list("a,b"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(split_list("a,,"), (std::vector<std::string>{"a", "", ""}));
  EXPECT_EQ(split_list(""), (std::vector<std::string>{""}));
}

TEST(ValuesInProcess, a_time_is_printed_in_utc_with_milliseconds) {
  const std::chrono::sys_days day = std::chrono::year(2024) / 2 / 29;
  EXPECT_EQ(format_time(day + 13h + 5min + 9s + 7ms + 900us), "2024-02-29T13:05:09.007Z");
  EXPECT_EQ(format_time(std::chrono::sys_days(std::chrono::year(1969) / 12 / 31) + 23h + 59min + 59s + 999ms),
            "1969-12-31T23:59:59.999Z");
}

TEST(ValuesInProcess, a_time_is_read_from_any_offset) {
  const std::chrono::sys_days day = std::chrono::year(2026) / 2 / 28;
  EXPECT_EQ(parse_time("2026-02-28T13:05:09Z"), day + 13h + 5min + 9s);
  EXPECT_EQ(parse_time("2026-02-28T14:05:09.25+01:00"), day + 13h + 5min + 9s + 250ms);
  EXPECT_EQ(parse_time("2026-02-28T00:35:09-12:30"), day + 13h + 5min + 9s);
  EXPECT_EQ(parse_time("2026-03-01T00:05:00+00:10"), day + 23h + 55min);
  EXPECT_EQ(parse_time("1969-12-31T23:59:59.999Z"), std::chrono::sys_days() - 1ms);
  EXPECT_EQ(parse_time("2026-02-28t13:05:09z"), day + 13h + 5min + 9s);
  EXPECT_EQ(parse_time("2024-02-29T00:00:00Z"), std::chrono::sys_days(std::chrono::year(2024) / 2 / 29));
}

TEST(ValuesInProcess, of_a_fraction_of_a_second_nine_digits_count) {
  const std::chrono::sys_days day = std::chrono::year(2026) / 1 / 1;
  EXPECT_EQ(parse_time("2026-01-01T00:00:00.000000001Z"), day + 1ns);
  EXPECT_EQ(parse_time("2026-01-01T00:00:00.1234567899Z"), day + 123'456'789ns);
}

TEST(ValuesInProcess, a_time_that_is_printed_is_read_again) {
  for (const auto time : {std::chrono::sys_time<std::chrono::milliseconds>(1'772'283'909'250ms),
                          std::chrono::sys_time<std::chrono::milliseconds>(-1ms)}) {
    EXPECT_EQ(parse_time(format_time(time)), time) << format_time(time);
  }
}

TEST(ValuesInProcess, anything_else_is_no_time) {
  for (const char* text : {"",
                           "tomorrow",
                           "2026-02-30T00:00:00Z",
                           "2025-02-29T00:00:00Z",
                           "2026-13-01T00:00:00Z",
                           "2026-00-01T00:00:00Z",
                           "2026-01-00T00:00:00Z",
                           "2026-1-01T00:00:00Z",
                           "2026-01-01 00:00:00Z",
                           "2026-01-01T24:00:00Z",
                           "2026-01-01T00:60:00Z",
                           "2026-01-01T00:00:60Z",
                           "2026-01-01T00:00:00",
                           "2026-01-01T00:00:00.Z",
                           "2026-01-01T00:00:00+0100",
                           "2026-01-01T00:00:00+01",
                           "2026-01-01T00:00:00+24:00",
                           "2026-01-01T00:00:00+01:60",
                           "2026-01-01T00:00:00Zx",
                           "2026-01-01T00:00:00+01:00x",
                           "-026-01-01T00:00:00Z",
                           "2026-01-01T00:00:0 Z",
                           "1677-12-31T23:59:59Z",
                           "2262-01-01T00:00:00Z"}) {
    EXPECT_FALSE(parse_time(text)) << text;
  }
}

TEST(ValuesInProcess, durations_and_sizes_are_printed_in_their_best_unit) {
  EXPECT_EQ(format_duration(250us), "250us");
  EXPECT_EQ(format_duration(1500ms), "1500ms");
  EXPECT_EQ(format_duration(30s), "30s");
  EXPECT_EQ(format_duration(300s), "5m");
  EXPECT_EQ(format_duration(168h), "7d");
  EXPECT_EQ(format_duration(0s), "0us");
  EXPECT_EQ(format_size(512), "512 B");
  EXPECT_EQ(format_size(1536), "1.5 KiB");
  EXPECT_EQ(format_size(std::uint64_t{40} << 20), "40.0 MiB");
}

TEST(ValuesInProcess, base64_goes_there_and_back) {
  std::string bytes;
  for (int n = 0; n < 256; ++n) {
    EXPECT_EQ(from_base64(to_base64(bytes)), bytes);
    bytes += static_cast<char>(n);
  }
  EXPECT_EQ(to_base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(to_base64("fo"), "Zm8=");
  EXPECT_EQ(to_base64("f"), "Zg==");
}

TEST(ValuesInProcess, damaged_base64_is_refused) {
  for (const char* text : {"Zg", "Zg=", "Z===", "====", "Zh==", "Zm9=", "Zm 9", "Zg==Zg=="}) {
    EXPECT_FALSE(from_base64(text)) << text;
  }
}

}  // namespace
}  // namespace ringmill::cli
