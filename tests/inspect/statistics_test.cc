// Statistics: what is counted and timed, by which rule, and what reading it costs.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <map>
#include <random>
#include <thread>

#include "core/inspect/statistics_view.h"
#include "core/table/run_sampler.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

const LevelStatistics& level_in(const EngineStatistics& statistics, std::string_view name) {
  const auto place = std::ranges::find(statistics.levels, name, &LevelStatistics::name);
  EXPECT_NE(place, statistics.levels.end()) << name;
  return *place;
}

KindStatistics kind_in(const EngineStatistics& statistics, std::string_view name) {
  const auto place = std::ranges::find(statistics.kinds, name, &KindStatistics::name);
  return place != statistics.kinds.end() ? *place : KindStatistics{};
}

JobTotals pair_in(const EngineStatistics& statistics, std::string_view level, std::string_view kind) {
  for (const PairStatistics& pair : statistics.pairs) {
    if (pair.level == level && pair.kind == kind) return pair.totals;
  }
  return {};
}

TEST(StatisticsInProcess, jobs_are_counted_by_level_and_kind_also_by_a_participant_with_many_kinds) {
  World world;
  const auto worker = world.attach();
  constexpr std::uint64_t kinds = 7;  // more than a participant has lines of its own
  static_assert(kinds > own_pairs);
  for (const char* level : {"high", "low"}) {
    for (std::uint64_t n = 0; n < kinds; ++n) {
      const Kind kind = must(world.engine.kind("kind-" + std::to_string(n)));
      const JobRequest request{.kind = kind, .level = must(world.engine.level(level)), .payload = as_payload("x")};
      for (std::uint64_t count = 0; count <= n; ++count) must(worker->enqueue(request));
    }
  }
  while (auto job = worker->claim()) must(job->complete());
  const EngineStatistics statistics = world.engine.statistics();
  for (const char* level : {"high", "low"}) {
    for (std::uint64_t n = 0; n < kinds; ++n) {
      const JobTotals totals = pair_in(statistics, level, "kind-" + std::to_string(n));
      EXPECT_EQ(totals.enqueued, n + 1);
      EXPECT_EQ(totals.attempts, n + 1);
      EXPECT_EQ(totals.completed, n + 1);
    }
    EXPECT_EQ(level_in(statistics, level).totals.completed, kinds * (kinds + 1) / 2);
    EXPECT_EQ(level_in(statistics, level).depth, 0U);
    EXPECT_EQ(level_in(statistics, level).oldest, std::nullopt);
  }
  EXPECT_EQ(kind_in(statistics, "kind-6").totals.completed, 2 * kinds);
  EXPECT_EQ(statistics.totals.completed, kinds * (kinds + 1));
}

TEST(StatisticsInProcess, batches_are_counted_job_by_job) {
  World world;
  const auto worker = world.attach();
  std::array<JobId, 10> ids;
  std::vector<JobRequest> requests;
  for (const char* level : {"high", "high", "low", "high", "low", "low", "low", "high", "high", "low"}) {
    requests.push_back({.kind = world.kind, .level = must(world.engine.level(level)), .payload = as_payload("x")});
  }
  ASSERT_EQ(must(worker->enqueue_batch(requests, ids)), 10U);
  std::array<Job, 10> jobs;
  ASSERT_EQ(must(worker->claim_batch(jobs)), 10U);
  ASSERT_EQ(worker->complete_batch(jobs), 10U);
  const EngineStatistics statistics = world.engine.statistics();
  for (const char* level : {"high", "low"}) {
    const JobTotals totals = pair_in(statistics, level, kind_name);
    EXPECT_EQ(totals.enqueued, 5U);
    EXPECT_EQ(totals.attempts, 5U);
    EXPECT_EQ(totals.completed, 5U);
  }
}

TEST(StatisticsInProcess, each_way_to_end_has_its_count) {
  World world(small_engine_with_room());
  const auto worker = world.attach();
  const JobOptions once{.max_attempts = 1};
  const JobOptions kept{.keep_result = 1h};
  const auto enqueue = [&](const JobOptions& options) {
    JobRequest request = world.request("x");
    request.options = options;
    return must(worker->enqueue(request));
  };
  enqueue({});
  must(must(worker->claim()).retry_in(0ms, "again"));
  must(must(worker->claim()).complete());
  enqueue(once);
  must(must(worker->claim()).fail("for good"));
  enqueue({});
  must(must(worker->claim()).reject("never"));
  must(worker->cancel(enqueue({})));
  enqueue(kept);
  must(must(worker->claim()).complete(as_payload("result")));
  const JobTotals totals = pair_in(world.engine.statistics(), "default", kind_name);
  EXPECT_EQ(totals.enqueued, 5U);
  EXPECT_EQ(totals.attempts, 5U);
  EXPECT_EQ(totals.failed, 3U);
  EXPECT_EQ(totals.retried, 1U);
  EXPECT_EQ(totals.completed, 2U);
  EXPECT_EQ(totals.dead, 2U);
  EXPECT_EQ(totals.cancelled, 1U);
}

TEST(StatisticsInProcess, the_next_owner_of_an_entry_counts_on) {
  World world;
  for (std::uint64_t n = 1; n <= 5; ++n) {
    const auto worker = world.attach();
    world.enqueue(*worker, "x");
    must(must(worker->claim()).complete());
    EXPECT_EQ(pair_in(world.engine.statistics(), "default", kind_name).completed, n);
  }
}

TEST(Statistics, what_a_killed_worker_has_counted_stays_and_its_job_counts_as_retried) {
  World world;
  const auto producer = world.attach(Role::producer);
  for (int n = 0; n < 4; ++n) world.enqueue(*producer, "x");
  SharedBlock<std::atomic<int>> done;
  Child child([&] {
    Engine own = world.scratch.open(without_keeper);
    const auto worker = must(own.attach(Role::worker));
    for (int n = 0; n < 3; ++n) must(must(worker->claim()).complete());
    const Job held = must(worker->claim());
    *done = 1;
    while (true) ::pause();
    return 0;
  });
  ASSERT_TRUE(await([&] { return *done == 1; }));
  EXPECT_EQ(world.engine.statistics().levels[1].running, 1U);
  child.kill();
  Inside inside(world.scratch);
  ASSERT_TRUE(await([&] {
    inside.work().turn(true);
    return world.engine.statistics().totals.retried == 1;
  }));
  const JobTotals totals = pair_in(world.engine.statistics(), "default", kind_name);
  EXPECT_EQ(totals.enqueued, 4U);
  EXPECT_EQ(totals.attempts, 4U);
  EXPECT_EQ(totals.completed, 3U);
  EXPECT_EQ(totals.failed, 0U);
  EXPECT_EQ(totals.retried, 1U);
}

/// Works until it is killed.
int work_for_ever(const ScratchEngine& scratch, std::atomic<std::uint64_t>& rounds) {
  Engine own = scratch.open(without_keeper);
  const Kind kind = must(own.kind(kind_name));
  const Level level = must(own.level("default"));
  while (true) {
    const auto worker = must(own.attach(Role::worker));
    for (int n = 0; n < 100; ++n) {
      must(worker->enqueue({.kind = kind, .level = level, .payload = as_payload("x")}, 1s));
      if (auto job = worker->claim()) static_cast<void>(job->complete());
      ++rounds;
    }
  }
}

TEST(Statistics, no_count_falls_while_participants_come_go_and_are_killed) {
  World world(small_engine(), {});
  JobTotals before;
  const auto look = [&] {
    const JobTotals now = pair_in(world.engine.statistics(), "default", kind_name);
    ASSERT_GE(now.enqueued, before.enqueued);
    ASSERT_GE(now.attempts, before.attempts);
    ASSERT_GE(now.completed, before.completed);
    ASSERT_GE(now.retried, before.retried);
    before = now;
  };
  std::uint64_t rounds_of_all = 0;
  for (int life = 0; life < 8; ++life) {
    SharedBlock<std::atomic<std::uint64_t>> rounds;
    Child child([&] { return work_for_ever(world.scratch, *rounds); });
    while (*rounds < 300) look();
    child.kill();
    look();
    rounds_of_all += *rounds;
  }
  look();
  // Each life may have lost its last event.
  EXPECT_GE(before.enqueued + 8, rounds_of_all);
}

TEST(StatisticsInProcess, reading_looks_at_no_cell_of_jobs_that_neither_run_nor_stand_in_front) {
  World world;
  const auto worker = world.attach();
  world.enqueue(*worker, "x");
  must(must(worker->claim()).complete());
  JobRequest later = world.request("later");
  const JobOptions delayed{.delay = 1h};
  later.options = delayed;
  must(worker->enqueue(later));
  Inside inside(world.scratch);
  const Segment& segment = inside.segment();
  const std::size_t bytes = segment.geometry().bytes - segment.geometry().cells;
  ASSERT_EQ(segment.geometry().cells % page_bytes, 0U);
  ASSERT_EQ(::mprotect(segment.cells(), bytes, PROT_NONE), 0);
  const EngineStatistics statistics = view_statistics(segment, [](std::uint32_t) { return true; });
  ASSERT_EQ(::mprotect(segment.cells(), bytes, PROT_READ | PROT_WRITE), 0);
  EXPECT_EQ(pair_in(statistics, "default", kind_name).enqueued, 2U);
}

TEST(StatisticsInProcess, depth_and_running_equal_the_status_of_an_engine_at_rest) {
  World world;
  const auto worker = world.attach();
  std::mt19937_64 random(7);
  std::vector<Job> held;
  for (int step = 0; step < 400; ++step) {
    switch (random() % 4) {
      case 0:
      case 1:
        static_cast<void>(worker->enqueue(world.request("x")));
        break;
      case 2:
        if (held.size() < 20) {
          if (auto job = worker->claim()) held.push_back(*std::move(job));
        }
        break;
      default:
        if (!held.empty()) must(held.back().complete());
        if (!held.empty()) held.pop_back();
    }
  }
  for (Job& job : held) must(job.complete());
  held.clear();
  must(worker->subscribe({.prefetch = 1}));  // gives back what was claimed in advance
  Job running = must(worker->claim());
  const EngineStatus status = world.engine.status();
  const EngineStatistics statistics = world.engine.statistics();
  EXPECT_EQ(statistics.levels[1].depth, status.levels[1].queued);
  EXPECT_EQ(statistics.levels[1].running, 1U);
  EXPECT_FALSE(statistics.levels[1].is_estimate);
  EXPECT_EQ(statistics.totals.enqueued, status.totals.enqueued);
  must(running.complete());
}

TEST(StatisticsInProcess, the_oldest_job_of_a_level_waits_since_its_enqueue) {
  World world;
  const auto worker = world.attach();
  world.enqueue(*worker, "x");
  std::this_thread::sleep_for(60ms);
  world.enqueue(*worker, "y");
  const auto oldest = world.engine.statistics().levels[1].oldest;
  ASSERT_TRUE(oldest.has_value());
  EXPECT_GE(*oldest, 50ms);
  must(must(worker->claim()).complete());
  EXPECT_LT(world.engine.statistics().levels[1].oldest.value_or(1h), *oldest);
}

TEST(StatisticsInProcess, waits_and_runs_are_timed_without_the_delay_that_was_asked_for) {
  World world;
  Inside inside(world.scratch);
  const auto worker = world.attach();
  JobRequest request = world.request("x");
  const JobOptions delayed{.delay = 100ms};
  request.options = delayed;
  must(worker->enqueue(request));
  ASSERT_TRUE(await([&] {
    inside.work().turn(true);
    return world.engine.statistics().levels[1].depth == 1;
  }));
  std::this_thread::sleep_for(40ms);
  Job job = must(worker->claim());
  std::this_thread::sleep_for(30ms);
  must(job.complete());
  const EngineStatistics statistics = world.engine.statistics();
  const Durations wait = level_in(statistics, "default").wait.value();
  const Durations run = kind_in(statistics, kind_name).run.value();
  ASSERT_EQ(wait.count(), 1U);
  ASSERT_EQ(run.count(), 1U);
  EXPECT_GE(wait.quantile(0.5).value(), 32ms);
  EXPECT_LT(wait.quantile(0.5).value(), 95ms);
  EXPECT_GE(run.quantile(0.5).value(), 26ms);
  EXPECT_GE(run.sum(), 30ms);
}

TEST(StatisticsInProcess, a_participant_shows_what_it_runs_and_how_long_it_was_busy) {
  World world;
  const auto worker = world.attach();
  const JobId id = world.enqueue(*worker, "x");
  Job job = must(worker->claim());
  std::this_thread::sleep_for(25ms);
  const ParticipantStatistics running = world.engine.statistics().participants.at(0);
  ASSERT_EQ(running.running.size(), 1U);
  EXPECT_EQ(running.running[0].id, id);
  EXPECT_EQ(running.running[0].kind, kind_name);
  EXPECT_EQ(running.running[0].level, "default");
  EXPECT_GE(running.running[0].running_for, 15ms);
  must(job.complete());
  EXPECT_EQ(code_of(worker->claim()), ErrorCode::would_block);
  const ParticipantStatistics idle = world.engine.statistics().participants.at(0);
  EXPECT_TRUE(idle.running.empty());
  EXPECT_GE(idle.busy, 25ms);
  EXPECT_EQ(idle.completed, 1U);
}

TEST(Statistics, the_keepers_loop_is_counted) {
  World world(small_engine(), {});
  ASSERT_TRUE(await([&] { return world.engine.keeps(); }));
  const std::uint64_t before = world.engine.statistics().keeper.turns;
  ASSERT_TRUE(await([&] { return world.engine.statistics().keeper.turns > before + 2; }));
  const KeeperStatistics keeper = world.engine.statistics().keeper;
  EXPECT_TRUE(keeper.alive);
  EXPECT_GT(keeper.busy.count(), 0);
  EXPECT_GE(keeper.busy, keeper.longest_turn);
  EXPECT_LT(keeper.last_turn_ago.value(), 10s);
}

TEST(StatisticsInProcess, a_removed_levels_counts_are_not_those_of_the_next_level_of_its_number) {
  World world(small_engine(), {});
  const auto worker = world.attach();
  const auto enqueue_in = [&](const char* name) {
    JobRequest request = world.request("x");
    request.level = must(world.engine.level(name));
    must(worker->enqueue(request));
    must(must(worker->claim(5s)).complete());
  };
  must(world.engine.add_level("first", {}));
  enqueue_in("first");
  must(world.engine.remove_level("first"));
  must(world.engine.add_level("second", {}));
  enqueue_in("second");
  const EngineStatistics statistics = world.engine.statistics();
  EXPECT_EQ(pair_in(statistics, "second", kind_name).completed, 1U);
  EXPECT_EQ(pair_in(statistics, "_removed", kind_name).completed, 1U);
  EXPECT_EQ(kind_in(statistics, kind_name).totals.completed, 2U);
}

TEST(StatisticsInProcess, arbitrary_bytes_in_their_words_harm_neither_reader_nor_engine) {
  World world;
  const auto worker = world.attach();
  Inside inside(world.scratch);
  const Geometry& geometry = inside.segment().geometry();
  auto* const words =
      reinterpret_cast<std::atomic<std::uint64_t>*>(inside.segment().cells() - geometry.cells + geometry.pair_counts);
  const std::size_t count = (geometry.chunk_bits - geometry.pair_counts) / 8;
  std::mt19937_64 random(11);
  for (int round = 0; round < 20; ++round) {
    for (int flip = 0; flip < 5'000; ++flip) {
      words[random() % count].store(random() % 3 == 0 ? random() : random() % 70'000);
    }
    const EngineStatistics statistics = world.engine.statistics();
    for (const KindStatistics& kind : statistics.kinds) {
      if (kind.run) static_cast<void>(kind.run->quantile(0.99));
    }
    world.enqueue(*worker, "x");
    Job job = must(worker->claim());
    EXPECT_EQ(as_text(job.payload()), "x");
    must(job.complete());
  }
}

TEST(DurationsInProcess, a_quantile_is_that_of_the_sorted_durations_within_an_eighth) {
  std::mt19937_64 random(3);
  std::lognormal_distribution<double> spread(13.0, 3.0);
  std::vector<std::uint64_t> sorted;
  std::vector<std::uint64_t> counts(duration_buckets);
  for (int n = 0; n < 20'000; ++n) {
    const auto ns = static_cast<std::uint64_t>(std::clamp(spread(random), 5e3, 4e12));
    sorted.push_back(ns);
    ++counts[duration_bucket(ns)];
  }
  std::ranges::sort(sorted);
  const Durations durations(counts, 0s);
  for (const double share : {0.01, 0.25, 0.5, 0.9, 0.99, 0.999, 1.0}) {
    const std::size_t rank = static_cast<std::size_t>(std::ceil(share * 20'000)) - 1;
    const auto exact = static_cast<double>(sorted[rank]);
    EXPECT_NEAR(static_cast<double>(durations.quantile(share).value().count()), exact, exact / 8) << share;
  }
  EXPECT_EQ(Durations().quantile(0.5), std::nullopt);
}

TEST(DurationsInProcess, buckets_begin_where_the_one_before_ends_and_count_below_a_power_of_two_exactly) {
  for (std::uint32_t bucket = 0; bucket < duration_buckets; ++bucket) {
    EXPECT_EQ(duration_bucket(duration_begin_ns(bucket)), bucket);
    EXPECT_EQ(duration_bucket(duration_begin_ns(bucket + 1) - 1), bucket);
  }
  std::vector<std::uint64_t> counts(duration_buckets, 1);
  std::uint64_t expected = 0;
  for (std::uint32_t bucket = 0; bucket < duration_buckets; ++bucket) {
    if (duration_begin_ns(bucket) < (1U << 20)) ++expected;
  }
  EXPECT_EQ(Durations(counts, 0s).count_below(std::chrono::nanoseconds(1U << 20)), expected);
}

TEST(DurationsInProcess, those_since_a_reading_of_a_memory_that_was_made_anew_are_all) {
  std::vector<std::uint64_t> old_counts(duration_buckets, 9);
  std::vector<std::uint64_t> new_counts(duration_buckets, 1);
  EXPECT_EQ(Durations(new_counts, 1s).since(Durations(old_counts, 5s)).count(), duration_buckets);
  EXPECT_EQ(Durations(old_counts, 5s).since(Durations(new_counts, 1s)).count(), 8 * duration_buckets);
}

/// Hands a sampler jobs of a pattern that repeats, and returns the weights that each place of the pattern got.
std::vector<double> weights_by_place(std::uint64_t seed, const std::vector<std::uint64_t>& pattern_ns, int repeats) {
  RunSampler sampler(seed);
  std::vector<double> weights(pattern_ns.size());
  std::uint64_t now_ns = 1'000'000'000;
  for (int repeat = 0; repeat < repeats; ++repeat) {
    for (std::uint32_t place = 0; place < pattern_ns.size(); ++place) {
      if (sampler.pass(1) == 0) weights[place] += static_cast<double>(sampler.begin(place, now_ns));
      now_ns += pattern_ns[place];
    }
  }
  return weights;
}

TEST(RunSamplerInProcess, each_job_of_a_mixed_batch_counts_as_often_as_it_came) {
  // The period is a power of two, as the weights are: a sample at a fixed place of each stratum would always meet the
  // same kinds of jobs.
  const std::vector<std::uint64_t> pattern{50, 50, 50, 9'000, 50, 50, 700, 50};
  constexpr int repeats = 400'000;
  const std::vector<double> weights = weights_by_place(5, pattern, repeats);
  double sum = 0;
  for (const double weight : weights) {
    // At a weight of w a share of 1/8 of n jobs has a deviation of about sqrt(n * w / 8).
    EXPECT_NEAR(weight, repeats, 5 * std::sqrt(double{repeats} * RunSampler::most_weight));
    sum += weight;
  }
  EXPECT_NEAR(sum, double{repeats} * 8, 2.0 * RunSampler::most_weight);
}

TEST(RunSamplerInProcess, slow_jobs_are_all_timed_and_fast_ones_seldom) {
  RunSampler slow(1);
  RunSampler fast(1);
  int slow_samples = 0;
  int fast_samples = 0;
  for (std::uint64_t n = 1; n <= 10'000; ++n) {
    if (slow.pass(1) == 0) {
      EXPECT_EQ(slow.begin(0, n * 1'000'000), 1U);
      ++slow_samples;
    }
    if (fast.pass(1) == 0) {
      fast.begin(0, n * 50);
      ++fast_samples;
    }
  }
  EXPECT_EQ(slow_samples, 10'000);
  EXPECT_LT(fast_samples, 10'000 / 100);
}

TEST(RunSamplerInProcess, after_a_sleep_the_next_job_is_timed) {
  RunSampler sampler(9);
  for (std::uint64_t n = 1; n <= 1'000; ++n) {
    if (sampler.pass(1) == 0) sampler.begin(0, n * 50);
  }
  sampler.restart();
  ASSERT_TRUE(sampler.pass(1) == 0);
  EXPECT_EQ(sampler.begin(0, 1'000'000'000), 1U);
}

TEST(StatisticsInProcess, timing_a_sample_counts_every_job_once_on_average) {
  World world;
  const auto worker = world.attach();
  constexpr std::uint64_t jobs = 20'000;
  for (std::uint64_t n = 0; n < jobs; ++n) {
    world.enqueue(*worker, "x");
    must(must(worker->claim()).complete());
  }
  const double counted = static_cast<double>(kind_in(world.engine.statistics(), kind_name).run.value().count());
  EXPECT_NEAR(counted, double{jobs}, 2.0 * RunSampler::most_weight);
}

TEST(StatisticsInProcess, timing_a_sample_of_batches_counts_every_job_once_on_average) {
  World world;
  const auto worker = world.attach();
  constexpr std::uint64_t batches = 500;
  std::array<JobRequest, 40> requests;
  requests.fill(world.request("x"));
  std::array<JobId, 40> ids;
  std::array<Job, 40> jobs;
  for (std::uint64_t n = 0; n < batches; ++n) {
    ASSERT_EQ(must(worker->enqueue_batch(requests, ids)), 40U);
    ASSERT_EQ(must(worker->claim_batch(jobs)), 40U);
    ASSERT_EQ(worker->complete_batch(jobs), 40U);
  }
  const EngineStatistics statistics = world.engine.statistics();
  const auto counted = static_cast<double>(kind_in(statistics, kind_name).run.value().count());
  EXPECT_NEAR(counted, double{batches} * 40, 2.0 * RunSampler::most_weight);
  EXPECT_EQ(kind_in(statistics, kind_name).totals.completed, batches * 40);
}

}  // namespace
}  // namespace ringmill::test
