// The C interface: codes, structs of other sizes, leases as numbers, and what misuse is told.
#include <sys/wait.h>

#include <array>
#include <cstdint>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <ringmill/ringmill.h>

#include "clients/c/call.h"
#include "clients/c/codes.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

rm_bytes c_bytes(std::string_view text) { return {text.data(), text.size()}; }
std::string c_text(const rm_bytes& bytes) { return {static_cast<const char*>(bytes.data), bytes.size}; }

/// An engine that is open by the C interface, and the shorthands of a producer and worker.
struct CWorld {
  explicit CWorld(std::uint32_t flags = RM_OPEN_NO_KEEPER) {
    const rm_open_options options{.size = sizeof options, .flags = flags};
    expect_ok(rm_open(scratch.directory().c_str(), &options, &engine, &error));
    expect_ok(rm_kind(engine, c_bytes("test"), &kind, &error));
    expect_ok(rm_level(engine, c_bytes("default"), &level, &error));
  }
  CWorld(const CWorld&) = delete;
  CWorld& operator=(const CWorld&) = delete;
  ~CWorld() { rm_engine_release(engine); }

  void expect_ok(rm_code code) const { EXPECT_EQ(code, RM_OK) << error.message; }
  rm_participant* attach(std::uint32_t flags = 0) {
    rm_participant* participant = nullptr;
    expect_ok(rm_attach(engine, RM_WORKER, flags, &participant, &error));
    return participant;
  }
  rm_request request(std::string_view payload) const {
    return {.size = sizeof(rm_request),
            .kind = kind,
            .level = level,
            .durability = RM_JOURNALED,
            .payload = c_bytes(payload),
            .lease_ms = 0,
            .options = nullptr};
  }
  rm_id enqueue(rm_participant* participant, std::string_view payload) {
    const rm_request asked = request(payload);
    rm_id id = 0;
    expect_ok(rm_enqueue(participant, &asked, 1, &id, nullptr, 0, &error));
    return id;
  }
  rm_claimed claim(rm_participant* participant) {
    rm_claimed job{};
    job.size = sizeof job;
    std::uint32_t got = 0;
    expect_ok(rm_claim(participant, &job, 1, &got, 0, &error));
    EXPECT_EQ(got, 1U);
    return job;
  }
  rm_code settle(rm_participant* participant, rm_lease lease, std::uint32_t what = RM_COMPLETE) {
    rm_settlement settlement = settlement_of(lease, what);
    return rm_settle(participant, &settlement, 1, &error);
  }
  static rm_settlement settlement_of(rm_lease lease, std::uint32_t what, std::string_view text = {}) {
    rm_settlement settlement{};
    settlement.size = sizeof settlement;
    settlement.what = what;
    settlement.lease = lease;
    settlement.text = c_bytes(text);
    return settlement;
  }
  std::uint32_t state_of(rm_id id) {
    rm_job* job = nullptr;
    expect_ok(rm_look(engine, id, &job, &error));
    rm_job_fields fields{};
    fields.size = sizeof fields;
    expect_ok(rm_job_read(job, &fields));
    rm_job_free(job);
    return fields.state;
  }

  ScratchEngine scratch{small_engine_with_room()};
  rm_error error{sizeof(rm_error), 0, 0, {}};
  rm_engine* engine = nullptr;
  std::uint32_t kind = 0;
  std::uint32_t level = 0;
};

TEST(CCodesInProcess, every_code_has_a_number_and_a_name_of_its_own) {
  std::set<rm_code> numbers;
  for (int value = 0; value <= static_cast<int>(ErrorCode::system); ++value) {
    const auto code = static_cast<ErrorCode>(value);
    const rm_code number = c::code_of(code);
    EXPECT_TRUE(numbers.insert(number).second) << name_of(code) << " shares its number";
    EXPECT_EQ(c::error_code_of(number), code);
    EXPECT_EQ(std::string_view(rm_code_name(number)), name_of(code));
  }
  EXPECT_FALSE(numbers.contains(RM_OK));
  EXPECT_EQ(static_cast<int>(numbers.size()), RM_NOT_DURABLE + 1)
      << "a code is missing in the header";  // and RM_NOT_HELD
  EXPECT_EQ(std::string_view(rm_code_name(4711)), "unknown");
  EXPECT_EQ(std::string_view(rm_code_name(RM_NOT_HELD)), "not_held");
}

TEST(CCodesInProcess, states_and_causes_have_the_names_numbers) {
  for (int value = 0; value <= static_cast<int>(JobState::ended); ++value) {
    EXPECT_EQ(c::number_of(static_cast<JobState>(value)), static_cast<std::uint32_t>(value));
  }
  std::set<std::uint32_t> causes;
  for (int value = 0; value <= static_cast<int>(DeathCause::parent_dead); ++value) {
    causes.insert(c::number_of(static_cast<DeathCause>(value)));
  }
  EXPECT_EQ(causes.size(), static_cast<std::size_t>(DeathCause::parent_dead) + 1);
  EXPECT_FALSE(causes.contains(RM_CAUSE_NONE));
}

TEST(CInterfaceInProcess, a_mixed_list_is_settled_each_in_its_way) {
  CWorld world;
  rm_participant* worker = world.attach();
  std::vector<rm_request> requests(6, world.request("x"));
  rm_job_options keeps{};
  keeps.size = sizeof keeps;
  keeps.max_attempts = 1;
  keeps.keep_result_ms = 60'000;
  requests[0].options = &keeps;
  std::array<rm_id, 6> ids{};
  std::uint32_t done = 0;
  world.expect_ok(rm_enqueue(worker, requests.data(), 6, ids.data(), &done, 0, &world.error));
  ASSERT_EQ(done, 6U);
  std::array<rm_claimed, 6> jobs{};
  jobs[0].size = sizeof(rm_claimed);
  std::uint32_t got = 0;
  world.expect_ok(rm_claim(worker, jobs.data(), 6, &got, 0, &world.error));
  ASSERT_EQ(got, 6U);
  std::array list{CWorld::settlement_of(jobs[0].lease, RM_COMPLETE, "result"),
                  CWorld::settlement_of(jobs[1].lease, RM_FAIL, "no luck"),
                  CWorld::settlement_of(jobs[2].lease, RM_REJECT),
                  CWorld::settlement_of(jobs[3].lease, RM_RELEASE),
                  CWorld::settlement_of(jobs[4].lease, RM_CANCEL),
                  CWorld::settlement_of(jobs[5].lease, 99)};
  EXPECT_EQ(rm_settle(worker, list.data(), 6, &world.error), RM_INVALID_ARGUMENT);
  for (std::size_t n = 0; n < 5; ++n) EXPECT_EQ(list[n].outcome, RM_OK) << n;
  EXPECT_EQ(list[1].settled, RM_WAITS);
  EXPECT_EQ(list[2].settled, RM_DEAD);
  EXPECT_EQ(list[5].outcome, RM_INVALID_ARGUMENT);
  EXPECT_EQ(rm_held(worker), 1U);
  rm_job* job = nullptr;
  world.expect_ok(rm_look(world.engine, ids[0], &job, &world.error));
  rm_job_fields fields{};
  fields.size = sizeof fields;
  world.expect_ok(rm_job_read(job, &fields));
  EXPECT_EQ(fields.state, RM_COMPLETED);
  EXPECT_EQ(c_text(fields.result), "result");
  EXPECT_EQ(c_text(fields.kind), "test");
  rm_job_free(job);
  EXPECT_EQ(world.state_of(ids[1]), RM_DELAYED);
  EXPECT_EQ(world.state_of(ids[3]), RM_QUEUED);
  rm_participant_release(worker);
}

TEST(CInterfaceInProcess, one_call_settles_and_claims_the_next) {
  CWorld world;
  rm_participant* worker = world.attach();
  world.enqueue(worker, "first");
  world.enqueue(worker, "second");
  rm_claimed job = world.claim(worker);
  rm_settlement settlement = CWorld::settlement_of(job.lease, RM_COMPLETE);
  std::uint32_t got = 0;
  world.expect_ok(rm_settle_and_claim(worker, &settlement, 1, &job, 1, &got, 0, &world.error));
  EXPECT_EQ(got, 1U);
  EXPECT_EQ(settlement.outcome, RM_OK);
  EXPECT_EQ(c_text(job.payload), "second");
  settlement.lease = job.lease;
  EXPECT_EQ(rm_settle_and_claim(worker, &settlement, 1, &job, 1, &got, 0, &world.error), RM_WOULD_BLOCK);
  EXPECT_EQ(settlement.outcome, RM_OK);
  EXPECT_EQ(got, 0U);
  rm_participant_release(worker);
}

TEST(CInterfaceInProcess, a_second_settlement_is_a_code_and_hurts_no_later_job) {
  CWorld world;
  rm_participant* worker = world.attach();
  world.enqueue(worker, "first");
  const rm_claimed first = world.claim(worker);
  EXPECT_EQ(world.settle(worker, first.lease), RM_OK);
  EXPECT_EQ(world.settle(worker, first.lease), RM_NOT_HELD);
  world.enqueue(worker, "second");
  const rm_claimed second = world.claim(worker);  // in the same place of the table
  EXPECT_NE(second.lease, first.lease);
  EXPECT_EQ(world.settle(worker, first.lease), RM_NOT_HELD);
  EXPECT_EQ(rm_extend(worker, first.lease, 1000, nullptr), RM_NOT_HELD);
  EXPECT_EQ(world.settle(worker, 0), RM_NOT_HELD);
  EXPECT_EQ(world.settle(worker, second.lease), RM_OK);
  rm_participant_release(worker);
}

TEST(CInterfaceInProcess, the_lease_of_another_participant_is_not_held) {
  CWorld world;
  rm_participant* one = world.attach();
  rm_participant* other = world.attach();
  world.enqueue(one, "x");
  world.enqueue(one, "y");
  const rm_claimed of_one = world.claim(one);
  const rm_claimed of_other = world.claim(other);
  EXPECT_EQ(world.settle(other, of_one.lease), RM_NOT_HELD);
  EXPECT_EQ(world.settle(one, of_other.lease), RM_NOT_HELD);
  EXPECT_EQ(world.settle(one, of_one.lease), RM_OK);
  rm_participant_release(one);
  rm_participant_release(other);
}

TEST(CInterfaceInProcess, a_revoked_lease_is_told_once_and_forgotten) {
  CWorld world(0);
  rm_participant* worker = world.attach();
  ASSERT_TRUE(await([&] { return rm_engine_keeps(world.engine) == 1; }));
  rm_request asked = world.request("x");
  asked.lease_ms = 1;
  rm_id id = 0;
  world.expect_ok(rm_enqueue(worker, &asked, 1, &id, nullptr, 0, &world.error));
  const rm_claimed job = world.claim(worker);
  ASSERT_TRUE(await([&] { return world.state_of(id) != RM_RUNNING; }));
  EXPECT_EQ(world.settle(worker, job.lease), RM_LEASE_LOST);
  EXPECT_NE(std::string_view(world.error.message), "");
  EXPECT_EQ(world.settle(worker, job.lease), RM_NOT_HELD);
  rm_participant_release(worker);
}

/// Jobs that are completed in one list go to the engine as one batch, which tells only how many it has completed.
TEST(CInterfaceInProcess, of_a_list_of_completions_each_has_its_own_outcome) {
  CWorld world(0);
  rm_participant* worker = world.attach();
  ASSERT_TRUE(await([&] { return rm_engine_keeps(world.engine) == 1; }));
  std::vector<rm_request> requests(4, world.request("x"));
  requests[1].lease_ms = 1;
  std::array<rm_id, 4> ids{};
  world.expect_ok(rm_enqueue(worker, requests.data(), 4, ids.data(), nullptr, 0, &world.error));
  std::array<rm_claimed, 4> jobs{};
  jobs[0].size = sizeof(rm_claimed);
  std::uint32_t got = 0;
  world.expect_ok(rm_claim(worker, jobs.data(), 4, &got, 0, &world.error));
  ASSERT_EQ(got, 4U);
  ASSERT_TRUE(await([&] { return world.state_of(ids[1]) != RM_RUNNING; }));
  std::array list{CWorld::settlement_of(jobs[0].lease, RM_COMPLETE), CWorld::settlement_of(jobs[1].lease, RM_COMPLETE),
                  CWorld::settlement_of(jobs[0].lease, RM_COMPLETE), CWorld::settlement_of(jobs[2].lease, RM_COMPLETE),
                  CWorld::settlement_of(jobs[3].lease, RM_COMPLETE, "a result")};
  EXPECT_EQ(rm_settle(worker, list.data(), 5, &world.error), RM_LEASE_LOST);
  EXPECT_EQ(list[0].outcome, RM_OK);
  EXPECT_EQ(list[1].outcome, RM_LEASE_LOST);
  EXPECT_EQ(list[2].outcome, RM_NOT_HELD) << "the same job once more";
  EXPECT_EQ(list[3].outcome, RM_OK);
  EXPECT_EQ(list[4].outcome, RM_OK);
  EXPECT_EQ(rm_held(worker), 0U);
  for (const int n : {0, 2, 3}) EXPECT_EQ(world.state_of(ids[static_cast<std::size_t>(n)]), RM_ENDED) << n;
  rm_participant_release(worker);
}

TEST(CInterfaceInProcess, leases_between_those_in_use_are_used_again) {
  CWorld world;
  rm_participant* worker = world.attach();
  std::array<rm_claimed, RM_MOST_LEASES> jobs{};
  jobs[0].size = sizeof(rm_claimed);
  std::uint32_t got = 0;
  for (int n = 0; n < 200; ++n) world.enqueue(worker, "x");
  world.expect_ok(rm_claim(worker, jobs.data(), RM_MOST_LEASES, &got, 0, &world.error));
  ASSERT_EQ(got, 64U);
  std::set<rm_lease> leases;
  for (const rm_claimed& job : jobs) leases.insert(job.lease);
  EXPECT_EQ(leases.size(), 64U);
  std::vector<rm_settlement> list;  // every third place, and a run of seven: 26 in all
  for (std::size_t n = 0; n < jobs.size(); ++n) {
    if (n % 3 == 0 || (n >= 30 && n < 37)) list.push_back(CWorld::settlement_of(jobs[n].lease, RM_COMPLETE));
  }
  const auto settled = static_cast<std::uint32_t>(list.size());
  world.expect_ok(rm_settle(worker, list.data(), settled, &world.error));
  EXPECT_EQ(rm_held(worker), 64 - settled);
  std::uint32_t most = 0;
  std::uint32_t claimed = 0;
  std::array<rm_claimed, RM_MOST_LEASES> more{};
  more[0].size = sizeof(rm_claimed);
  while (rm_claim(worker, more.data(), RM_MOST_LEASES, &got, 0, nullptr) == RM_OK) {
    most = std::max(most, got);
    claimed += got;
    for (std::uint32_t n = 0; n < got; ++n) EXPECT_TRUE(leases.insert(more[n].lease).second);
  }
  EXPECT_EQ(claimed, settled) << "each place was free";
  EXPECT_EQ(most, 7U) << "the longest run comes first";
  EXPECT_EQ(rm_held(worker), 64U);
  rm_participant_release(worker);
}

TEST(CInterfaceInProcess, all_leases_in_use_are_would_block) {
  CWorld world;
  rm_participant* worker = world.attach();
  for (int n = 0; n < RM_MOST_LEASES + 1; ++n) world.enqueue(worker, "x");
  std::array<rm_claimed, RM_MOST_LEASES> jobs{};
  jobs[0].size = sizeof(rm_claimed);
  std::uint32_t got = 0;
  world.expect_ok(rm_claim(worker, jobs.data(), RM_MOST_LEASES, &got, 0, &world.error));
  ASSERT_EQ(got, 64U);
  EXPECT_EQ(rm_claim(worker, jobs.data(), 1, &got, 0, &world.error), RM_WOULD_BLOCK);
  EXPECT_EQ(got, 0U);
  rm_participant_release(worker);
}

TEST(CMisuseInProcess, another_thread_is_told) {
  CWorld world;
  rm_participant* worker = world.attach();
  world.enqueue(worker, "x");
  const rm_claimed job = world.claim(worker);
  std::thread([&] {
    const rm_request asked = world.request("y");
    rm_id id = 0;
    rm_claimed other{};
    other.size = sizeof other;
    std::uint32_t got = 0;
    EXPECT_EQ(rm_enqueue(worker, &asked, 1, &id, nullptr, 0, nullptr), RM_WRONG_THREAD);
    EXPECT_EQ(rm_claim(worker, &other, 1, &got, 0, nullptr), RM_WRONG_THREAD);
    EXPECT_EQ(world.settle(worker, job.lease), RM_WRONG_THREAD);
    EXPECT_EQ(world.settle(worker, 0), RM_WRONG_THREAD);
    std::array<rm_settlement, 2> list{CWorld::settlement_of(job.lease, RM_COMPLETE),
                                      CWorld::settlement_of(job.lease, RM_COMPLETE)};
    EXPECT_EQ(rm_settle(worker, list.data(), 2, nullptr), RM_WRONG_THREAD);
    EXPECT_EQ(rm_detach(worker, nullptr), RM_WRONG_THREAD);
    EXPECT_EQ(rm_participant_check(worker), RM_WRONG_THREAD);
  }).join();
  EXPECT_EQ(world.settle(worker, job.lease), RM_OK);
  rm_participant_release(worker);
}

TEST(CMisuseInProcess, a_process_bound_participant_serves_any_thread) {
  CWorld world;
  rm_participant* worker = world.attach(RM_PROCESS_BOUND);
  rm_claimed job{};
  std::thread([&] {
    world.enqueue(worker, "x");
    job = world.claim(worker);
  }).join();
  EXPECT_EQ(world.settle(worker, job.lease), RM_OK);
  std::thread([&] { rm_participant_release(worker); }).join();
}

TEST(CMisuseInProcess, after_it_left_each_call_says_so) {
  CWorld world;
  rm_participant* worker = world.attach();
  const rm_id id = world.enqueue(worker, "x");
  const rm_claimed job = world.claim(worker);
  world.expect_ok(rm_detach(worker, &world.error));
  EXPECT_EQ(world.state_of(id), RM_QUEUED);
  EXPECT_EQ(world.settle(worker, job.lease), RM_DETACHED);
  EXPECT_EQ(rm_detach(worker, nullptr), RM_DETACHED);
  EXPECT_EQ(rm_extend(worker, job.lease, 1000, nullptr), RM_DETACHED);
  EXPECT_EQ(rm_cancel(worker, id, nullptr, nullptr), RM_DETACHED);
  EXPECT_EQ(rm_participant_check(worker), RM_DETACHED);
  EXPECT_EQ(rm_should_stop(worker, job.lease), 0);
  EXPECT_EQ(rm_held(worker), 0U);
  EXPECT_EQ(rm_participant_number(worker), -1);
  rm_wake(worker);
  rm_abandon(worker);
  rm_participant_release(worker);
}

TEST(CMisuseInProcess, an_abandoned_process_bound_participant_gives_its_jobs_back_at_once) {
  CWorld world;
  rm_participant* worker = world.attach(RM_PROCESS_BOUND);
  const rm_id id = world.enqueue(worker, "x");
  world.claim(worker);
  std::thread([&] { rm_abandon(worker); }).join();
  EXPECT_EQ(world.state_of(id), RM_QUEUED);
  EXPECT_EQ(rm_participant_check(worker), RM_DETACHED);
  rm_participant_release(worker);
}

TEST(CMisuseInProcess, the_engine_stays_open_for_its_participants) {
  CWorld world;
  rm_participant* worker = world.attach();
  rm_engine_release(world.engine);
  world.enqueue(worker, "x");
  EXPECT_EQ(world.settle(worker, world.claim(worker).lease), RM_OK);
  rm_engine_retain(world.engine);  // the participant still has its reference
  rm_participant_release(worker);
}

TEST(CMisuseAfterFork, the_child_is_told_and_may_let_everything_go) {
  CWorld world;
  rm_participant* worker = world.attach(RM_PROCESS_BOUND);
  const rm_id id = world.enqueue(worker, "x");
  const rm_claimed job = world.claim(worker);
  Child child([&] {
    rm_participant* other = nullptr;
    std::uint32_t mark = 0;
    int may_claim = 0;
    const bool is_told = world.settle(worker, job.lease) == RM_AFTER_FORK && rm_held(worker) == 1 &&
                         rm_begin_wait(worker, &mark, &may_claim, nullptr) == RM_AFTER_FORK &&
                         rm_participant_check(worker) == RM_AFTER_FORK && rm_detach(worker, nullptr) == RM_AFTER_FORK &&
                         rm_attach(world.engine, RM_WORKER, 0, &other, nullptr) == RM_AFTER_FORK;
    rm_abandon(worker);
    rm_participant_release(worker);
    return is_told ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
  EXPECT_EQ(world.state_of(id), RM_RUNNING);
  EXPECT_EQ(world.settle(worker, job.lease), RM_OK);
  rm_participant_release(worker);
}

/// A struct of a later header: a field more than this library knows.
struct LaterOptions {
  rm_open_options known;
  std::uint64_t later;
};

TEST(CStructsInProcess, structs_of_other_sizes_are_taken_unless_they_ask_for_the_unknown) {
  CWorld world;
  const auto open_with = [&](const void* options) {
    rm_engine* opened = nullptr;
    const rm_code code =
        rm_open(world.scratch.directory().c_str(), static_cast<const rm_open_options*>(options), &opened, nullptr);
    rm_engine_release(opened);
    return code;
  };
  LaterOptions later{{sizeof later, RM_OPEN_NO_KEEPER}, 0};
  EXPECT_EQ(open_with(&later), RM_OK);
  later.later = 1;
  EXPECT_EQ(open_with(&later), RM_INVALID_ARGUMENT);
  const rm_open_options no_size{.size = 0, .flags = 0};
  EXPECT_EQ(open_with(&no_size), RM_INVALID_ARGUMENT);
  const rm_open_options unknown{.size = sizeof unknown, .flags = 1U << 20};
  EXPECT_EQ(open_with(&unknown), RM_INVALID_ARGUMENT);
}

TEST(CStructsInProcess, an_older_request_has_the_defaults_of_what_it_lacks) {
  CWorld world;
  rm_participant* worker = world.attach();
  std::array<rm_request, 2> requests{world.request("x"), world.request("y")};
  requests[0].options = reinterpret_cast<const rm_job_options*>(8);  // not read: beyond what the caller knows
  requests[0].size = offsetof(rm_request, options);
  std::array<rm_id, 2> ids{};
  world.expect_ok(rm_enqueue(worker, requests.data(), 1, ids.data(), nullptr, 0, &world.error));
  EXPECT_NE(ids[0], 0U);
  rm_participant_release(worker);
}

TEST(CStructsInProcess, elements_stand_as_far_apart_as_the_first_one_says) {
  struct LaterClaimed {
    rm_claimed known;
    std::uint64_t later;
  };
  CWorld world;
  rm_participant* worker = world.attach();
  world.enqueue(worker, "x");
  world.enqueue(worker, "y");
  std::array<LaterClaimed, 2> jobs{};
  jobs[0].known.size = sizeof(LaterClaimed);
  std::uint32_t got = 0;
  world.expect_ok(rm_claim(worker, &jobs[0].known, 2, &got, 0, &world.error));
  ASSERT_EQ(got, 2U);
  EXPECT_EQ(c_text(jobs[0].known.payload), "x");
  EXPECT_EQ(c_text(jobs[1].known.payload), "y");
  EXPECT_EQ(jobs[1].later, 0U);
  rm_participant_release(worker);
}

TEST(CInterfaceInProcess, a_wait_is_begun_here_and_slept_through_in_another_thread) {
  CWorld world;
  rm_participant* worker = world.attach(RM_PROCESS_BOUND);
  std::uint32_t mark = 0;
  int may_claim = 1;
  world.expect_ok(rm_begin_wait(worker, &mark, &may_claim, &world.error));
  ASSERT_EQ(may_claim, 0);
  int woken = 0;
  std::thread sleeper([&] { woken = rm_sleep(worker, mark, 1'000'000'000); });
  world.enqueue(worker, "x");
  sleeper.join();
  EXPECT_EQ(woken, 1);
  rm_end_wait(worker, 1);
  world.expect_ok(rm_begin_wait(worker, &mark, &may_claim, &world.error));
  EXPECT_EQ(may_claim, 1);
  EXPECT_EQ(world.settle(worker, world.claim(worker).lease), RM_OK);
  rm_wake(worker);
  EXPECT_EQ(rm_begin_wait(worker, &mark, &may_claim, &world.error), RM_WOULD_BLOCK);
  rm_participant_release(worker);
}

TEST(CInterfaceInProcess, a_graph_runs_in_its_order) {
  CWorld world(0);
  rm_participant* worker = world.attach();
  rm_graph* graph = nullptr;
  world.expect_ok(rm_graph_create(&graph, &world.error));
  const rm_request first = world.request("first");
  const rm_request second = world.request("second");
  std::uint32_t node = 0;
  world.expect_ok(rm_graph_add(graph, &first, nullptr, 0, RM_CANCEL_CHILD, &node, &world.error));
  world.expect_ok(rm_graph_add(graph, &second, &node, 1, RM_CANCEL_CHILD, nullptr, &world.error));
  const std::uint32_t unknown = 7;
  EXPECT_EQ(rm_graph_add(graph, &second, &unknown, 1, RM_CANCEL_CHILD, nullptr, &world.error), RM_INVALID_ARGUMENT);
  std::array<rm_id, 2> ids{};
  world.expect_ok(rm_graph_enqueue(graph, worker, ids.data(), 0, &world.error));
  rm_graph_free(graph);
  EXPECT_EQ(world.state_of(ids[1]), RM_BLOCKED);
  EXPECT_EQ(world.settle(worker, world.claim(worker).lease), RM_OK);
  EXPECT_TRUE(await([&] { return world.state_of(ids[1]) == RM_QUEUED; }));
  const rm_claimed last = world.claim(worker);
  std::array<rm_id, 2> parents{};
  EXPECT_EQ(rm_parents(worker, last.lease, parents.data(), 2), 1U);
  EXPECT_EQ(parents[0], ids[0]);
  rm_participant_release(worker);
}

TEST(CInterfaceInProcess, values_are_set_read_counted_and_removed) {
  CWorld world(0);
  rm_participant* worker = world.attach(RM_PROCESS_BOUND);
  rm_value* value = nullptr;
  EXPECT_EQ(rm_value_get(worker, c_bytes("k"), &value, &world.error), RM_NOT_FOUND);
  EXPECT_EQ(value, nullptr);
  int did = 0;
  world.expect_ok(rm_value_set(worker, c_bytes("k"), c_bytes("first"), nullptr, &did, &world.error));
  EXPECT_EQ(did, 1);
  world.expect_ok(rm_value_get(worker, c_bytes("k"), &value, &world.error));
  EXPECT_EQ(c_text(rm_value_bytes(value)), "first");
  rm_value_options options{};
  options.size = sizeof options;
  options.flags = RM_ONLY_IF_ABSENT;
  world.expect_ok(rm_value_set(worker, c_bytes("k"), c_bytes("no"), &options, &did, &world.error));
  EXPECT_EQ(did, 0);
  options.flags = RM_ONLY_IF_VERSION;
  options.version = rm_value_version(value);
  world.expect_ok(rm_value_set(worker, c_bytes("k"), c_bytes("second"), &options, &did, &world.error));
  EXPECT_EQ(did, 1);
  rm_value_free(value);
  world.expect_ok(rm_value_wait(worker, c_bytes("k"), options.version, 0, &value, &world.error));
  EXPECT_EQ(c_text(rm_value_bytes(value)), "second");
  EXPECT_NE(rm_value_version(value), options.version);
  rm_value* same = nullptr;
  EXPECT_EQ(rm_value_wait(worker, c_bytes("k"), rm_value_version(value), 1'000'000, &same, &world.error), RM_TIMED_OUT);
  rm_value_free(value);
  std::int64_t number = 0;
  world.expect_ok(rm_value_increment(worker, c_bytes("n"), 41, nullptr, &number, &world.error));
  world.expect_ok(rm_value_increment(worker, c_bytes("n"), 1, nullptr, &number, &world.error));
  EXPECT_EQ(number, 42);
  world.expect_ok(rm_value_expire(worker, c_bytes("n"), 60'000, &did, &world.error));
  EXPECT_EQ(did, 1);
  EXPECT_EQ(rm_value_expire(worker, c_bytes("n"), -1, &did, &world.error), RM_INVALID_ARGUMENT);
  world.expect_ok(rm_value_remove(worker, c_bytes("n"), &did, &world.error));
  EXPECT_EQ(did, 1);
  world.expect_ok(rm_value_remove(worker, c_bytes("n"), &did, &world.error));
  EXPECT_EQ(did, 0);
  options.flags = 64;
  EXPECT_EQ(rm_value_set(worker, c_bytes("k"), c_bytes("x"), &options, &did, &world.error), RM_INVALID_ARGUMENT);
  rm_detach(worker, nullptr);
  EXPECT_EQ(rm_value_get(worker, c_bytes("k"), &value, &world.error), RM_DETACHED);
  rm_participant_release(worker);
}

TEST(CInterfaceInProcess, an_error_says_what_and_where) {
  rm_error error{sizeof error, 0, 0, {}};
  rm_engine* engine = nullptr;
  EXPECT_EQ(rm_open("/nonexistent/engine", nullptr, &engine, &error), RM_NOT_FOUND);
  EXPECT_EQ(engine, nullptr);
  EXPECT_EQ(error.code, RM_NOT_FOUND);
  EXPECT_NE(std::string_view(error.message).find("/nonexistent/engine"), std::string_view::npos);
}

TEST(CInterfaceInProcess, the_status_has_each_level) {
  CWorld world;
  rm_participant* worker = world.attach();
  world.enqueue(worker, "x");
  rm_status* status = nullptr;
  world.expect_ok(rm_look_at_engine(world.engine, &status, &world.error));
  rm_status_fields fields{};
  fields.size = sizeof fields;
  world.expect_ok(rm_status_read(status, &fields));
  std::uint64_t queued = 0;
  for (std::uint32_t n = 0; n < fields.level_count; ++n) {
    rm_level_fields one{};
    one.size = sizeof one;
    world.expect_ok(rm_status_level(status, n, &one));
    if (c_text(one.name) == "default") queued = one.queued;
  }
  EXPECT_EQ(queued, 1U);
  rm_level_fields none{};
  EXPECT_EQ(rm_status_level(status, fields.level_count, &none), RM_NOT_FOUND);
  rm_status_free(status);
  rm_participant_release(worker);
}

}  // namespace
}  // namespace ringmill::test
