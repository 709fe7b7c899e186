// What recovery makes of records of a job's later life: delays, attempts, deaths, what is kept.
#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "core/inspect/invariants.h"
#include "tests/durability/rebuild.h"

namespace ringmill::test {
namespace {

constexpr std::uint64_t ns_per_ms = 1'000'000;
constexpr std::uint64_t hour_ms = 3'600'000;

std::uint64_t wall_ms() { return exact_wall_clock_ns() / ns_per_ms; }

ChangeRecord change_of(JobId id, JournaledState state, std::uint64_t due = 0, std::uint16_t attempts = 0) {
  return {.attempts = attempts, .state = state, .id = id.value(), .due = due};
}

/// A job in cell 1, and what became of it.
struct Changed {
  JobId id = id_of(5, 1);
  Records records;
  Changed() {
    records.kind(0, "k");
    records.job({.id = id, .payload = "payload"});
  }
};

TEST(RebuildOptions, a_job_that_is_delayed_for_a_span_waits_for_what_is_left_of_it) {
  Changed job;
  const std::uint64_t lease_before = lease_clock_ns();
  job.records.change(change_of(job.id, JournaledState::delayed, wall_ms() + hour_ms));
  const Rebuilt rebuilt(job.records);
  EXPECT_EQ(rebuilt.state(job.id), CellState::delayed);
  EXPECT_FALSE(rebuilt.due(job.id).is_wall);
  EXPECT_GE(rebuilt.due(job.id).ns + 10 * ns_per_ms, lease_before + hour_ms * ns_per_ms);
  EXPECT_LE(rebuilt.due(job.id).ns, lease_clock_ns() + hour_ms * ns_per_ms);
  EXPECT_EQ(rebuilt.order(1), std::vector<CellIndex>{}) << "no worker can claim it";
  EXPECT_EQ(rebuilt.jobs, 1U);
  EXPECT_EQ(check_invariants(*rebuilt.segment, true), std::vector<std::string>{});
}

TEST(RebuildOptions, a_job_that_is_delayed_until_a_moment_waits_for_that_moment) {
  for (const std::uint64_t moment_ms : {wall_ms() + hour_ms, wall_ms() - hour_ms}) {
    Changed job;
    job.records.change(change_of(job.id, JournaledState::delayed, ChangeRecord::wall_bit | moment_ms));
    const Rebuilt rebuilt(job.records);
    EXPECT_EQ(rebuilt.state(job.id), CellState::delayed);
    EXPECT_TRUE(rebuilt.due(job.id).is_wall);
    EXPECT_EQ(rebuilt.due(job.id).ns, moment_ms * ns_per_ms);
  }
}

TEST(RebuildOptions, a_span_that_ended_while_the_machine_was_off_is_over) {
  Changed job;
  job.records.change(change_of(job.id, JournaledState::delayed, wall_ms() - hour_ms));
  const Rebuilt rebuilt(job.records);
  EXPECT_EQ(rebuilt.state(job.id), CellState::delayed) << "the keeper's first scan finds it";
  EXPECT_LE(rebuilt.due(job.id).ns, lease_clock_ns());
}

TEST(RebuildOptions, a_job_that_failed_waits_with_its_attempts_and_what_it_said) {
  Changed job;
  job.records.change(change_of(job.id, JournaledState::waits, 0, 4), "no such host");
  const Rebuilt rebuilt(job.records);
  EXPECT_EQ(rebuilt.info(job.id).state, JobState::queued);
  EXPECT_EQ(rebuilt.info(job.id).attempts, 4U);
  EXPECT_EQ(rebuilt.text_of(job.id), "no such host");
  EXPECT_EQ(rebuilt.payload(job.id), "payload");
  EXPECT_EQ(rebuilt.order(1), std::vector<CellIndex>{1});
}

TEST(RebuildOptions, what_is_kept_after_the_end_comes_back_and_runs_no_more) {
  for (const auto& [journaled, state] : {std::pair(JournaledState::completed, CellState::completed),
                                         std::pair(JournaledState::cancelled, CellState::cancelled)}) {
    Changed job;
    job.records.options({.cell_flags = cell_flag::has_options, .id = job.id.value(), .keep_ms = hour_ms});
    ChangeRecord change = change_of(job.id, journaled, wall_ms() + hour_ms, 2);
    change.started = std::uint64_t{3} << 48 | 1'700'000'000'001;
    change.ended_at_ms = 1'700'000'000'002;
    job.records.change(change, "a text");
    const Rebuilt rebuilt(job.records);
    EXPECT_EQ(rebuilt.state(job.id), state);
    EXPECT_EQ(rebuilt.text_of(job.id), "a text");
    EXPECT_GT(rebuilt.due(job.id).ns, lease_clock_ns() + hour_ms / 2 * ns_per_ms);
    EXPECT_EQ(rebuilt.order(1), std::vector<CellIndex>{});
    const CellOptions* const options = JobTable(*rebuilt.segment).options(1);
    ASSERT_NE(options, nullptr);
    EXPECT_EQ(options->started.load(), change.started);
    EXPECT_EQ(options->ended_at_ms.load(), change.ended_at_ms);
    EXPECT_EQ(options->keep_ms.load(), hour_ms);
    EXPECT_EQ(check_invariants(*rebuilt.segment, true), std::vector<std::string>{});
  }
}

TEST(RebuildOptions, a_job_on_its_way_to_the_dead_letters_is_still_on_it) {
  Changed job;
  ChangeRecord change = change_of(job.id, JournaledState::dead, 0, 3);
  change.cause = static_cast<std::uint8_t>(DeathCause::timeout);
  job.records.change(change, "too slow");
  const Rebuilt rebuilt(job.records);
  EXPECT_EQ(rebuilt.state(job.id), CellState::burying);
  EXPECT_EQ(rebuilt.header(job.id).cause.load(), change.cause);
  EXPECT_EQ(rebuilt.header(job.id).attempts.load(), 3U);
  EXPECT_EQ(rebuilt.text_of(job.id), "too slow");
  EXPECT_EQ(rebuilt.order(1), std::vector<CellIndex>{});
}

TEST(RebuildOptions, what_a_job_asks_for_comes_back) {
  Changed job;
  const UniqueKey key = UniqueKey::of("invoice 17");
  job.records.retry_policy(7, "fixed:5s");
  job.records.options({.cell_flags = cell_flag::has_options | cell_flag::bury_on_worker_lost | cell_flag::memory_only,
                       .retry_policy = 7,
                       .id = job.id.value(),
                       .expires_at_ms = 1'800'000'000'000,
                       .keep_ms = 5,
                       .unique_low = key.low,
                       .unique_high = key.high});
  const Rebuilt rebuilt(job.records);
  EXPECT_EQ(rebuilt.header(job.id).retry_policy.load_once(), 7U);
  EXPECT_EQ(rebuilt.segment->retry_policies().name_of(6), "fixed:5s");
  EXPECT_EQ(rebuilt.header(job.id).flags.load(), cell_flag::has_options | cell_flag::bury_on_worker_lost)
      << "what is in the journal is not memory_only";
  const CellOptions* const options = JobTable(*rebuilt.segment).options(1);
  ASSERT_NE(options, nullptr);
  EXPECT_EQ(options->expires_at_ms.load(), 1'800'000'000'000U);
  EXPECT_EQ(options->keep_ms.load(), 5U);
  EXPECT_EQ(UniqueJobs(*rebuilt.segment).find(key, JobId()), job.id);
}

TEST(RebuildOptions, of_as_many_attempts_the_later_record_stands_though_the_wall_clock_was_set_back) {
  const std::uint64_t now_ms = wall_ms();
  for (const std::uint64_t last : {1, 3}) {
    Changed job;
    for (const std::uint64_t hours : {std::uint64_t{2}, last}) {
      const std::uint64_t due = ChangeRecord::wall_bit | (now_ms + hours * hour_ms);
      job.records.change(change_of(job.id, JournaledState::delayed, due, 1), hours == 2 ? "before" : "after");
    }
    const Rebuilt rebuilt(job.records);
    EXPECT_EQ(rebuilt.due(job.id).ns, (now_ms + last * hour_ms) * ns_per_ms);
    EXPECT_EQ(rebuilt.text_of(job.id), "after");
  }
}

TEST(RebuildOptions, a_job_that_was_put_off_waits_when_a_later_record_says_so) {
  const std::uint64_t due = ChangeRecord::wall_bit | (wall_ms() + 2 * hour_ms);
  const auto state_with = [&](const std::function<void(Changed&)>& later) {
    Changed job;
    job.records.change(change_of(job.id, JournaledState::delayed, due, 1), "put off");
    later(job);
    return Rebuilt(job.records).info(job.id).state;
  };
  EXPECT_EQ(state_with([](Changed&) {}), JobState::delayed);
  EXPECT_EQ(state_with([](Changed& job) { job.records.change(change_of(job.id, JournaledState::waits, 0, 1)); }),
            JobState::queued);
  EXPECT_EQ(state_with([](Changed& job) { job.records.attempts(job.id, 1); }), JobState::queued);
  EXPECT_EQ(state_with([](Changed& job) { job.records.attempts(job.id, 0); }), JobState::delayed)
      << "that is of before";
}

TEST(RebuildOptions, a_retry_stands_before_the_later_time_of_an_earlier_attempt) {
  Changed job;
  job.records.change(change_of(job.id, JournaledState::delayed, ChangeRecord::wall_bit | 9000, 2));
  job.records.change(change_of(job.id, JournaledState::delayed, ChangeRecord::wall_bit | 9'000'000, 1));
  EXPECT_EQ(Rebuilt(job.records).due(job.id).ns, 9000 * ns_per_ms);
}

TEST(RebuildOptions, changes_in_any_order_and_again_give_the_same_job) {
  const std::uint64_t now_ms = wall_ms();
  const JobId id = Changed().id;
  const std::vector<std::pair<ChangeRecord, std::string>> changes{
      {change_of(id, JournaledState::delayed, ChangeRecord::wall_bit | (now_ms + hour_ms), 0), "zero"},
      {change_of(id, JournaledState::waits, 0, 1), "one"},
      {change_of(id, JournaledState::delayed, ChangeRecord::wall_bit | (now_ms + 9), 2), "two"},
      {change_of(id, JournaledState::cancelled, ChangeRecord::wall_bit | (now_ms + 7), 2), "over"},
  };
  for (std::size_t kept = 1; kept <= changes.size(); ++kept) {
    std::vector<std::size_t> order(kept);
    for (std::size_t n = 0; n < kept; ++n) order[n] = n;
    const auto write_all = [&](Records& records) {
      for (const std::size_t n : order) records.change(changes[n].first, changes[n].second);
    };
    do {
      Changed job;
      write_all(job.records);
      write_all(job.records);
      const Rebuilt rebuilt(job.records);
      EXPECT_EQ(rebuilt.text_of(id), changes[kept - 1].second) << testing::PrintToString(order);
      EXPECT_EQ(rebuilt.header(id).attempts.load(), changes[kept - 1].first.attempts) << testing::PrintToString(order);
      EXPECT_EQ(rebuilt.due(id).ns, changes[kept - 1].first.due_ms() * ns_per_ms) << testing::PrintToString(order);
    } while (std::ranges::next_permutation(order).found);
  }
}

TEST(RebuildOptions, changes_of_an_earlier_life_do_not_count) {
  Changed job;
  job.records.change(change_of(id_of(4, 1), JournaledState::dead, 0, 9), "of another");
  EXPECT_EQ(Rebuilt(job.records).info(job.id).state, JobState::queued);
  EXPECT_EQ(Rebuilt(job.records).info(job.id).attempts, 0U);
  EXPECT_EQ(Rebuilt(job.records).text_of(job.id), "");
}

TEST(RebuildOptions, a_new_life_has_nothing_of_the_one_before_it) {
  Changed job;
  job.records.options({.cell_flags = cell_flag::has_options, .retry_policy = 3, .id = job.id.value(), .keep_ms = 9});
  job.records.change(change_of(job.id, JournaledState::delayed, wall_ms() + hour_ms, 4), "of another");
  job.records.ended(id_of(6, 1));
  EXPECT_EQ(Rebuilt(job.records).header(job.id).due_at.load(), 0U) << "a free cell is due at no time";
  job.records.job({.id = id_of(6, 1)});
  const Rebuilt rebuilt(job.records);
  EXPECT_EQ(rebuilt.info(id_of(6, 1)).state, JobState::queued);
  const CellHeader& header = rebuilt.header(id_of(6, 1));
  EXPECT_EQ(header.attempts.load() + header.flags.load(), 0U);
  EXPECT_EQ(header.text_bytes.load_once(), 0U);
  EXPECT_EQ(header.retry_policy.load_once(), 0U);
  EXPECT_EQ(header.due_at.load(), 0U);
}

TEST(RebuildOptions, a_change_of_a_life_whose_record_was_lost_ends_those_before_it) {
  Changed job;
  job.records.change(change_of(id_of(6, 1), JournaledState::delayed, wall_ms() + hour_ms));
  EXPECT_TRUE(Rebuilt(job.records).is_free(1));
}

TEST(RebuildOptions, a_copy_in_a_later_segment_says_all_whether_or_not_the_older_is_there) {
  const OptionsRecord options{
      .cell_flags = cell_flag::has_options, .retry_policy = 7, .id = id_of(5, 1).value(), .keep_ms = 9};
  const ChangeRecord change = change_of(id_of(5, 1), JournaledState::delayed, ChangeRecord::wall_bit | 9'000'000, 2);
  for (const int copies : {1, 2}) {
    Records records;
    records.kind(0, "k");
    for (int n = 0; n < copies; ++n) {
      records.retry_policy(7, "fixed:5s");
      records.job({.id = id_of(5, 1), .attempts = 2});
      records.options(options);
      records.change(change, "said");
      records.next_segment();
    }
    const Rebuilt rebuilt(records);
    EXPECT_EQ(rebuilt.state(id_of(5, 1)), CellState::delayed);
    EXPECT_EQ(rebuilt.due(id_of(5, 1)).ns, 9'000'000 * ns_per_ms);
    EXPECT_EQ(rebuilt.text_of(id_of(5, 1)), "said");
    EXPECT_EQ(rebuilt.header(id_of(5, 1)).retry_policy.load_once(), 7U);
    EXPECT_EQ(JobTable(*rebuilt.segment).options(1)->keep_ms.load(), 9U);
  }
}

TEST(RebuildOptions, a_text_longer_than_the_cell_is_cut) {
  for (const bool has_options : {false, true}) {
    Changed job;
    if (has_options) job.records.options({.cell_flags = cell_flag::has_options, .id = job.id.value(), .keep_ms = 77});
    const std::string text(65'535, 'x');
    job.records.change(change_of(job.id, JournaledState::waits), text);
    const Rebuilt rebuilt(job.records);
    EXPECT_EQ(rebuilt.text_of(job.id), text.substr(0, has_options ? 8 : 56));
    EXPECT_EQ(rebuilt.payload(job.id), "payload");
    if (has_options) {
      EXPECT_EQ(JobTable(*rebuilt.segment).options(1)->keep_ms.load(), 77U);
    }
    EXPECT_EQ(JobTable(*rebuilt.segment).word(2).state(), CellState::free) << "the next cell is as it was";
  }
}

TEST(RebuildOptions, options_that_come_after_a_text_cut_it) {
  Changed job;
  job.records.change(change_of(job.id, JournaledState::waits), std::string(56, 'x'));
  job.records.options({.cell_flags = cell_flag::has_options, .id = job.id.value(), .keep_ms = 77});
  EXPECT_EQ(Rebuilt(job.records).text_of(job.id), std::string(8, 'x'));
}

TEST(RebuildOptions, a_time_beyond_all_clocks_is_the_last_one) {
  for (const std::uint64_t wall_bit : {std::uint64_t{0}, ChangeRecord::wall_bit}) {
    Changed job;
    job.records.change(change_of(job.id, JournaledState::delayed, wall_bit | (ChangeRecord::wall_bit - 1)));
    const Rebuilt rebuilt(job.records);
    EXPECT_EQ(rebuilt.due(job.id).is_wall, wall_bit != 0);
    EXPECT_GT(rebuilt.due(job.id).ns, exact_wall_clock_ns() + most_wait_ms * ns_per_ms);
  }
}

TEST(RebuildOptions, a_death_of_a_cause_that_cannot_be_is_reported_and_stays_a_death) {
  Changed job;
  ChangeRecord change = change_of(job.id, JournaledState::dead);
  change.cause = 7;
  job.records.change(change);
  const Rebuilt rebuilt(job.records);
  EXPECT_EQ(rebuilt.state(job.id), CellState::burying);
  EXPECT_EQ(rebuilt.header(job.id).cause.load(), static_cast<std::uint16_t>(DeathCause::failed));
  ASSERT_EQ(rebuilt.damage.size(), 1U);
  EXPECT_EQ(rebuilt.damage[0].suspects, std::vector<JobId>{job.id});
}

TEST(RebuildOptions, options_that_no_job_can_have_are_reported_and_left_out) {
  const std::vector<OptionsRecord> spoiled{
      {.cell_flags = 8, .id = id_of(5, 1).value()},
      {.retry_policy = most_retry_policies + 1, .id = id_of(5, 1).value()},
      {.cell_flags = cell_flag::has_options, .id = id_of(5, 2).value()},  // no room beside its payload
      {.id = id_of(5, capacity).value()},
  };
  for (std::size_t n = 0; n < spoiled.size(); ++n) {
    Changed job;
    job.records.job({.id = id_of(5, 2), .payload = "longer than 16 bytes"});
    job.records.options(spoiled[n]);
    const Rebuilt rebuilt(job.records);
    EXPECT_EQ(rebuilt.jobs, 2U) << n;
    ASSERT_EQ(rebuilt.damage.size(), 1U) << n;
    EXPECT_EQ(rebuilt.damage[0].suspects, std::vector<JobId>{JobId(spoiled[n].id)}) << n;
    for (const JobId id : {id_of(5, 1), id_of(5, 2)}) {
      EXPECT_EQ(rebuilt.header(id).flags.load(), 0U) << n;
      EXPECT_EQ(rebuilt.header(id).retry_policy.load_once(), 0U) << n;
    }
  }
}

TEST(RebuildOptions, changes_of_impossible_cells_and_policies_that_cannot_be_are_reported) {
  Records records;
  records.change(change_of(id_of(5, capacity), JournaledState::dead));
  records.retry_policy(0, "fixed:5s");
  records.retry_policy(most_retry_policies + 1, "fixed:5s");
  records.retry_policy(1, "with space");
  EXPECT_EQ(Rebuilt(records).damage.size(), 4U);
}

}  // namespace
}  // namespace ringmill::test
