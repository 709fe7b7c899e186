// Dead letters from a program.
#include <ringmill/dead_letters.h>

#include <string>
#include <vector>

#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

struct LetterWorld : World {
  LetterWorld() : World(small_engine(), OpenOptions{}) {}

  /// A job that its handler rejected, and that is a dead letter by now.
  JobId bury(std::string_view payload, std::string_view why = "no") {
    const JobId id = enqueue(*worker, payload);
    must(must(worker->claim(generous)).reject(why));
    EXPECT_TRUE(await([&] { return letters.find(id).has_value(); }));
    return id;
  }

  std::unique_ptr<Participant> worker = attach();
  DeadLetters letters{engine};
};

TEST(DeadLettersInProcess, an_engine_in_which_nothing_died_has_none) {
  LetterWorld world;
  EXPECT_EQ(must(world.letters.count()), 0U);
  EXPECT_EQ(must(world.letters.purge(DeadLetterFilter{})), 0U);
  EXPECT_EQ(code_of(world.letters.find(JobId(77))), ErrorCode::not_found);
  EXPECT_EQ(must(world.letters.retry(DeadLetterFilter{})).retried, 0U);
}

TEST(DeadLettersInProcess, letters_are_counted_listed_and_found) {
  LetterWorld world;
  const JobId first = world.bury("one", "bad address");
  const JobId second = world.bury("two");
  EXPECT_EQ(must(world.letters.count()), 2U);
  EXPECT_EQ(must(world.letters.count({.kind = "other"})), 0U);
  EXPECT_EQ(must(world.letters.count({.cause = DeathCause::rejected})), 2U);
  std::vector<JobId> seen;
  must(world.letters.list({}, [&](const DeadLetter& letter) {
    seen.push_back(letter.id);
    return true;
  }));
  EXPECT_EQ(seen, (std::vector{second, first}));
  const DeadLetter letter = must(world.letters.find(first));
  EXPECT_EQ(letter.last_error, "bad address");
  EXPECT_EQ(as_text(letter.payload), "one");
}

TEST(DeadLettersInProcess, a_letter_that_is_retried_says_where_it_went) {
  LetterWorld world;
  const JobId old = world.bury("again");
  const JobId job = must(world.letters.retry(old));
  EXPECT_NE(job, old);
  EXPECT_EQ(must(world.letters.count()), 0U);
  Job run = must(world.worker->claim(generous));
  EXPECT_EQ(run.id(), job);
  EXPECT_EQ(as_text(run.payload()), "again");
  must(run.complete());
  EXPECT_EQ(must(world.engine.job(old)).retried_as, job);
  EXPECT_EQ(must(world.engine.job(old)).state, JobState::ended);
  EXPECT_EQ(code_of(world.letters.retry(old)), ErrorCode::not_found);
}

TEST(DeadLettersInProcess, all_that_are_meant_are_retried_or_purged) {
  LetterWorld world;
  for (int n = 0; n < 3; ++n) world.bury(std::to_string(n));
  EXPECT_EQ(must(world.letters.retry(DeadLetterFilter{.level = "default"})).retried, 3U);
  for (int n = 0; n < 3; ++n) {
    Job job = must(world.worker->claim(generous));
    EXPECT_EQ(as_text(job.payload()), std::to_string(n));
    must(job.complete());
  }
  const JobId one = world.bury("x");
  world.bury("y");
  EXPECT_TRUE(must(world.letters.purge(one)));
  EXPECT_FALSE(must(world.letters.purge(one)));
  EXPECT_EQ(must(world.letters.purge(DeadLetterFilter{})), 1U);
}

TEST(OpenOrCreate, makes_an_engine_once_and_opens_it_ever_after) {
  const ScratchFolder folder;
  const std::filesystem::path directory = folder.path() / "engine";
  CreateOptions options = small_engine();
  {
    Engine made = must(Engine::open_or_create(directory, options));
    must(made.kind("first"));
    options.capacity *= 2;
    const Engine again = must(Engine::open_or_create(directory, options));
    EXPECT_EQ(again.status().capacity, made.status().capacity);
    made.close();
  }
  must(Engine::remove(directory, true));
}

}  // namespace
}  // namespace ringmill::test
