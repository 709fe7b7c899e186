// ringmill metrics and ringmill top, as programs.
#include <fstream>
#include <regex>
#include <sstream>

#include "core/base/shown_text.h"
#include "server/metrics_text.h"
#include "tests/cli/command_line.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

class MetricsCommand : public CommandLine {
 protected:
  std::string bytes_of_segment() const {
    std::ifstream file(segment_file(), std::ios::binary);
    std::ostringstream bytes;
    bytes << file.rdbuf();
    return std::move(bytes).str();
  }
  std::string metrics() const {
    const Ran ran = ringmill({"metrics", directory()});
    EXPECT_EQ(ran.exit_code, 0) << ran.err;
    return ran.out;
  }
};

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST_F(MetricsCommand, counts_what_happened_by_level_kind_and_outcome) {
  enqueue("x", "mail", "high");
  enqueue("y", "mail", "high");
  enqueue("z", "greet");
  ASSERT_EQ(ringmill({"work", directory(), "--exec", "cat >/dev/null", "--kind", "mail", "--drain"}).exit_code, 0);
  const std::string text = metrics();
  for (const char* line : {
           "ringmill_up 1",
           R"(ringmill_jobs{level="high",state="queued"} 0)",
           R"(ringmill_jobs{level="default",state="queued"} 1)",
           R"(ringmill_jobs_enqueued_total{level="high",kind="mail"} 2)",
           R"(ringmill_attempts_total{level="high",kind="mail"} 2)",
           R"(ringmill_jobs_finished_total{kind="mail",outcome="completed"} 2)",
           R"(ringmill_jobs_finished_total{kind="greet",outcome="completed"} 0)",
           R"(ringmill_job_wait_seconds_count{level="high"} 2)",
           R"(ringmill_job_run_seconds_count{kind="mail"} 2)",
           R"(ringmill_job_run_seconds_bucket{kind="mail",le="+Inf"} 2)",
           "ringmill_dead_letters 0",
           "ringmill_capacity_jobs 256",
           R"(ringmill_level_paused{level="low"} 0)",
       }) {
    EXPECT_TRUE(has_line(text, line)) << line << "\n" << text;
  }
}

TEST_F(MetricsCommand, follows_the_rules_of_the_format) {
  enqueue("x", "mail", "high");
  const std::string text = metrics();
  std::istringstream lines(text);
  std::string family;
  std::string type;
  std::vector<std::string> families;
  const std::regex sample(R"(([a-z_]+?)(_bucket|_sum|_count)?(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [-+.0-9e]+)");
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# HELP ")) {
      family = line.substr(7, line.find(' ', 7) - 7);
      EXPECT_EQ(std::ranges::count(families, family), 0) << family;
      families.push_back(family);
    } else if (line.starts_with("# TYPE ")) {
      type = line.substr(line.rfind(' ') + 1);
      EXPECT_EQ(line, "# TYPE " + family + " " + type);
      EXPECT_EQ(family.ends_with("_total"), type == "counter") << family;
    } else {
      std::smatch parts;
      ASSERT_TRUE(std::regex_match(line, parts, sample)) << line;
      EXPECT_TRUE(line.starts_with(family)) << line;
    }
  }
  EXPECT_GT(families.size(), 25U);
}

TEST_F(MetricsCommand, changes_no_byte_of_shared_memory_and_works_without_any_process) {
  enqueue("x");
  const std::string before = bytes_of_segment();
  metrics();
  ASSERT_EQ(ringmill({"top", directory(), "--once", "--interval", "50ms"}).exit_code, 0);
  ASSERT_EQ(ringmill({"top", directory(), "--once", "--json", "--interval", "50ms"}).exit_code, 0);
  EXPECT_EQ(bytes_of_segment(), before);
}

TEST_F(MetricsCommand, does_not_bring_back_memory_that_is_gone) {
  enqueue("x");
  const auto file = segment_file();
  std::filesystem::remove(file);
  expect_error(ringmill({"metrics", directory()}), 3, "shared memory is gone");
  expect_error(ringmill({"top", directory(), "--once", "--interval", "50ms"}), 3, "shared memory is gone");
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST_F(MetricsCommand, top_prints_the_object_of_the_contract) {
  enqueue("x", "mail", "high");
  const Ran ran = ringmill({"top", directory(), "--once", "--json", "--interval", "50ms"});
  ASSERT_EQ(ran.exit_code, 0) << ran.err;
  const auto json = nlohmann::ordered_json::parse(ran.out);
  for (const char* key : {"at", "levels", "kinds", "participants", "keeper", "journal"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  const auto& level = json["levels"][0];
  EXPECT_EQ(level["name"], "high");
  EXPECT_EQ(level["depth"], 1);
  EXPECT_GE(level["oldest_ms"], 0);
  for (const char* key : {"in_per_s", "out_per_s", "failed_per_s", "wait_p50_ms", "wait_p99_ms"}) {
    EXPECT_TRUE(level.contains(key)) << key;
  }
  const auto& kind = json["kinds"][0];
  EXPECT_EQ(kind["name"], "mail");
  EXPECT_EQ(kind["started"], 0);
  for (const char* key : {"completed", "failed", "run_p50_ms", "run_p99_ms"}) EXPECT_TRUE(kind.contains(key)) << key;
}

TEST_F(MetricsCommand, top_shows_rates_of_the_time_between_its_looks) {
  enqueue("before");
  Command top({"top", directory(), "--json", "--interval", "300ms"});
  std::uint64_t seen = 0;
  ASSERT_TRUE(await([&] {
    const std::string out = top.out();
    return std::ranges::count(out, '\n') >= 1;
  }));
  for (int n = 0; n < 5; ++n) enqueue("x");
  ASSERT_TRUE(await([&] {
    std::istringstream lines(top.out());
    seen = 0;
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, false);
      if (json.is_discarded()) break;
      seen += static_cast<std::uint64_t>(
          std::llround(json["levels"][1]["in_per_s"].get<double>() * json["seconds"].get<double>()));
    }
    return seen >= 5;
  }));
  EXPECT_EQ(seen, 5U);
}

TEST_F(MetricsCommand, an_interval_that_is_too_short_is_refused) {
  expect_error(ringmill({"top", directory(), "--interval", "1ms"}), 2, "at least 50ms");
}

TEST(MetricsTextInProcess, hostile_names_stay_within_their_label) {
  EngineStatistics statistics;
  KindStatistics kind;
  kind.name = "a\"} 1\nringmill_up 7 \\ \xff";
  statistics.kinds.push_back(kind);
  const std::string text = metrics_text(statistics, std::nullopt, "1");
  EXPECT_TRUE(has_line(text, R"(ringmill_attempts_failed_total{kind="a\"} 1\\nringmill_up 7 \\\\ \\xff"} 0)")) << text;
  EXPECT_FALSE(has_line(text, "ringmill_up 7"));
  EXPECT_TRUE(is_utf8(text));
}

TEST(MetricsTextInProcess, the_series_of_a_thousand_levels_and_kinds_add_up_and_do_not_multiply) {
  constexpr std::size_t most = 1024;
  EngineStatistics statistics;
  for (std::size_t n = 0; n < most; ++n) {
    LevelStatistics level;
    level.name = "level-" + std::to_string(n);
    KindStatistics kind;
    kind.name = "kind-" + std::to_string(n);
    // As the engine keeps them: 16 levels and 63 kinds have a histogram of their own.
    if (n < 16) level.wait = Durations(std::vector<std::uint64_t>(256, 1), 1s);
    if (n < 63) kind.run = Durations(std::vector<std::uint64_t>(256, 1), 1s);
    statistics.levels.push_back(level);
    statistics.kinds.push_back(kind);
  }
  const std::string text = metrics_text(statistics, std::nullopt, "1");
  std::size_t series = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) series += line.starts_with('#') ? 0 : 1;
  EXPECT_GT(series, 2 * most);
  EXPECT_LT(series, 16 * 2 * most);
}

TEST(MetricsTextInProcess, buckets_are_cumulative_and_end_with_the_count) {
  std::vector<std::uint64_t> counts(256, 2);
  EngineStatistics statistics;
  KindStatistics kind;
  kind.name = "k";
  kind.run = Durations(counts, 12s);
  statistics.kinds.push_back(kind);
  std::istringstream lines(metrics_text(statistics, std::nullopt, "1"));
  std::uint64_t last = 0;
  int buckets = 0;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("ringmill_job_run_seconds_bucket")) continue;
    const std::uint64_t value = std::stoull(line.substr(line.rfind(' ') + 1));
    EXPECT_GE(value, last);
    last = value;
    ++buckets;
  }
  EXPECT_EQ(buckets, 15);
  EXPECT_EQ(last, 512U);
}

}  // namespace
}  // namespace ringmill::test
