// Large payloads on the disk: engines whose shared memory is taken away, as a reboot does.
#include <chrono>
#include <random>
#include <string>
#include <thread>

#include "core/dead_letters/store.h"
#include "core/inspect/invariants.h"
#include "core/inspect/job_view.h"
#include "tests/support/core_test.h"
#include "tests/support/random.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

CreateOptions engine_that_reboots() {
  CreateOptions options = small_engine();
  options.max_payload = 100'000;
  options.arena = std::uint64_t{6} << 17;
  return options;
}

std::string random_bytes(std::mt19937_64& random, std::size_t bytes) {
  std::string text(bytes, '\0');
  for (char& letter : text) letter = static_cast<char>(random());
  return text;
}

struct LargeMachine {
  ScratchEngine scratch{engine_that_reboots()};
  std::optional<Engine> engine;
  std::unique_ptr<Participant> participant;
  std::mt19937_64 random{printed_seed()};

  LargeMachine() { start(); }
  void reboot() {
    must(participant->wait_durable(participant->ticket(), generous));
    participant.reset();
    engine.reset();
    std::filesystem::remove(scratch.segment_file());
    start();
  }
  JobId add(std::string_view payload, const JobOptions& options = {}) {
    return must(participant->enqueue({.kind = must(engine->kind("k")),
                                      .level = must(engine->level("default")),
                                      .payload = as_payload(payload),
                                      .options = options},
                                     generous));
  }
  void expect_sound() const {
    EXPECT_EQ(check_invariants(scratch.open_core()->segment, false), std::vector<std::string>());
  }

 private:
  void start() {
    engine.emplace(must(Engine::open(scratch.directory())));
    participant = must(engine->attach(Role::worker));
  }
};

TEST(LargeDurability, large_payloads_come_back_as_they_were) {
  LargeMachine machine;
  std::map<std::uint64_t, std::string> expected;
  for (const std::size_t bytes : {65U, 1000U, 32'768U, 32'769U, 65'536U, 100'000U}) {
    const std::string payload = random_bytes(machine.random, bytes);
    expected[machine.add(payload).value()] = payload;
  }
  for (int reboot = 0; reboot < 2; ++reboot) {
    machine.reboot();
    machine.expect_sound();
  }
  while (auto job = machine.participant->claim()) {
    EXPECT_TRUE(as_text(job->payload()) == expected.at(job->id().value()));
    expected.erase(job->id().value());
    must(job->complete());
  }
  EXPECT_TRUE(expected.empty());
  EXPECT_EQ(machine.engine->status().arena_used, 0U);
  machine.reboot();
  EXPECT_EQ(machine.engine->status().cells_used, 0U);
}

TEST(LargeDurability, results_in_the_arena_come_back_as_they_were_and_go_with_their_time) {
  LargeMachine machine;
  const JobOptions kept{.keep_result = 1h};
  std::map<std::uint64_t, std::string> expected;
  for (const std::size_t bytes : {100U, 1000U, 32'768U, 32'769U, 100'000U}) {
    const JobId id = machine.add(random_bytes(machine.random, bytes == 1000U ? 70'000 : 20), kept);
    expected[id.value()] = random_bytes(machine.random, bytes);
    must(must(machine.participant->claim(generous)).complete(as_payload(expected[id.value()])));
  }
  for (int reboot = 0; reboot < 2; ++reboot) {
    machine.reboot();
    machine.expect_sound();
    for (const auto& [id, result] : expected) {
      const JobInfo info = must(machine.engine->job(JobId(id)));
      EXPECT_EQ(info.state, JobState::completed);
      EXPECT_TRUE(info.result == result) << result.size();
      EXPECT_FALSE(info.result_cut);
    }
  }
}

TEST(LargeDurability, a_result_that_stands_for_long_is_copied_forward) {
  LargeMachine machine;
  const JobOptions kept{.keep_result = 1h};
  const JobId id = machine.add("payload", kept);
  const std::string result = random_bytes(machine.random, 90'000);
  must(must(machine.participant->claim(generous)).complete(as_payload(result)));
  const std::uint64_t limit = machine.engine->status().journal.limit;
  const std::string passing = random_bytes(machine.random, 100'000);
  while (machine.engine->status().journal.bytes_written < 2 * limit) {
    machine.add(passing);
    must(machine.participant->wait_durable(machine.participant->ticket(), generous));
    must(must(machine.participant->claim(generous)).complete());
  }
  machine.reboot();
  EXPECT_TRUE(must(machine.engine->job(id)).result == result);
}

TEST(LargeDurability, a_result_that_was_refused_is_still_refused_after_a_reboot) {
  LargeMachine machine;
  const JobOptions kept{.keep_result = 1h};
  const JobId id = machine.add("payload", kept);
  must(must(machine.participant->claim(generous)).complete(as_payload(std::string(100'001, 'x'))));
  machine.reboot();
  const JobInfo info = must(machine.engine->job(id));
  EXPECT_EQ(info.state, JobState::completed);
  EXPECT_EQ(info.result_refused, ResultRefusal::too_long);
}

TEST(LargeDurability, a_job_that_stands_for_long_is_copied_forward_with_its_payload) {
  LargeMachine machine;
  const JobOptions later{.delay = 1h};
  const std::string standing = random_bytes(machine.random, 90'000);
  const JobId id = machine.add(standing, later);
  // Several times the journal's limit goes by.
  const std::uint64_t limit = machine.engine->status().journal.limit;
  const std::string passing = random_bytes(machine.random, 100'000);
  while (machine.engine->status().journal.bytes_written < 2 * limit) {
    machine.add(passing);
    must(machine.participant->wait_durable(machine.participant->ticket(), generous));
    must(must(machine.participant->claim(generous)).complete());
  }
  machine.reboot();
  const auto core = machine.scratch.open_core();
  const auto view = view_job(core->segment, index_of(id));
  ASSERT_TRUE(view && view->info.id == id);
  EXPECT_EQ(view->info.state, JobState::delayed);
  EXPECT_TRUE(as_text(copy_payload(core->segment, *view).value()) == standing);
}

TEST(LargeDurability, a_large_job_that_dies_leaves_a_letter_with_its_whole_payload_and_error) {
  LargeMachine machine;
  const std::string payload = random_bytes(machine.random, 80'000);
  const std::string error(60, 'e');  // as much as a cell of 128 bytes has behind its header
  const JobId id = machine.add(payload);
  Job job = must(machine.participant->claim(generous));
  must(job.reject(error));
  await([&] { return machine.engine->status().cells_used == 0; });
  const auto store = must(DeadLetterStore::open(machine.scratch.directory(), DeadLetterStore::Access::read_only));
  const auto letter = must(store.find(id));
  EXPECT_TRUE(as_text(letter.payload) == payload);
  EXPECT_EQ(letter.last_error, error);
  EXPECT_EQ(machine.engine->status().arena_used, 0U);
}

TEST(LargeDurability, a_unique_large_job_and_its_result_come_back) {
  LargeMachine machine;
  const std::string payload = random_bytes(machine.random, 50'000);
  const JobOptions kept{.keep_result = 1h};
  const JobRequest asked{.kind = must(machine.engine->kind("k")),
                         .level = must(machine.engine->level("default")),
                         .payload = as_payload(payload),
                         .options = kept};
  const JobId id = must(machine.participant->enqueue_unique(asked, "key")).id;
  must(must(machine.participant->claim(generous)).complete(as_payload("done and dusted")));
  machine.reboot();
  EXPECT_EQ(must(machine.engine->job(id)).result, "done and dusted");
  EXPECT_EQ(must(machine.engine->job(id)).payload_size, 50'000U);
  machine.expect_sound();
}

}  // namespace
}  // namespace ringmill::test
