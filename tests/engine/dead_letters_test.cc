// Dead letters from a program.
#include <ringmill/dead_letters.h>

#include <string>
#include <vector>

#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

struct LetterWorld : World {
  explicit LetterWorld(const CreateOptions& options = small_engine()) : World(options, OpenOptions{}) {}

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

CreateOptions with_room_to_note() {
  CreateOptions options = small_engine();
  options.cell_size = 256;
  return options;
}

TEST(DeadLettersInProcess, a_letter_and_the_job_it_becomes_keep_tag_and_trace_and_the_job_says_where_it_comes_from) {
  constexpr std::string_view trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  LetterWorld world(with_room_to_note());
  JobRequest request = world.request("again");
  request.tag = "order-17";
  request.trace_parent = trace;
  JobId id = must(world.worker->enqueue(request));
  JobId before{};
  for (int tries = 0; tries < 3; ++tries) {
    must(must(world.worker->claim(generous)).reject("no"));
    ASSERT_TRUE(await([&] { return world.letters.find(id).has_value(); }));
    const DeadLetter letter = must(world.letters.find(id));
    EXPECT_EQ(letter.tag, "order-17");
    EXPECT_EQ(letter.trace_parent, trace);
    EXPECT_EQ(letter.retried_from, before);
    EXPECT_EQ(must(world.engine.job(id)).tag, "order-17") << "shown as a job";
    EXPECT_EQ(must(world.letters.count({.tag = "order-17"})), 1U);
    EXPECT_EQ(must(world.letters.count({.tag = "order-1"})), 0U);
    before = id;
    id = must(world.letters.retry(id));
    const JobInfo info = must(world.engine.job(id));
    EXPECT_EQ(info.tag, "order-17");
    EXPECT_EQ(info.trace_parent, trace);
    EXPECT_EQ(info.retried_from, before);
    EXPECT_EQ(must(world.engine.job(before)).retried_as, id);
  }
}

TEST(DeadLettersInProcess, a_letter_whose_job_has_no_room_for_its_id_is_retried_without) {
  LetterWorld world;  // the smallest cells
  const JobId id = must(world.letters.retry(world.bury("again")));
  EXPECT_FALSE(must(world.engine.job(id)).retried_from);
  EXPECT_EQ(as_text(must(world.worker->claim(generous)).payload()), "again");
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
