// The names of kinds and retry policies: what is full is emptied by a recovery on demand, as the refusal says.
#include <string>

#include "core/engine/engine_recovery.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using std::chrono::seconds;

/// Takes names until there are no more; the refusal.
template <class Take>
Error take_all(const Take& take) {
  constexpr unsigned more_than_there_are = 2000;
  for (unsigned n = 1; n <= more_than_there_are; ++n) {
    if (const auto taken = take(n); !taken) return taken.error();
  }
  return Error(ErrorCode::system, "there is no end");
}

void expect_a_way_out(const Error& refusal) {
  EXPECT_EQ(refusal.code(), ErrorCode::no_space);
  EXPECT_NE(refusal.message().find("recover DIR --from-journal"), std::string::npos) << refusal.message();
}

TEST(Names, those_that_no_job_has_are_given_back_by_a_recovery_on_demand) {
  const ScratchEngine scratch(small_engine_with_room());
  JobId id;
  {
    Engine engine = scratch.open();
    const auto producer = must(engine.attach(Role::producer));
    const JobOptions options{.retry_policy = must(engine.retry_policy("fixed:7s"))};
    const JobRequest request{.kind = must(engine.kind("used")),
                             .level = must(engine.level("default")),
                             .durability = Durability::durable,
                             .options = options};
    id = must(producer->enqueue(request, seconds{20}));
    expect_a_way_out(take_all([&](unsigned n) { return engine.kind("typo" + std::to_string(n)); }));
    expect_a_way_out(take_all([&](unsigned n) { return engine.retry_policy("fixed:" + std::to_string(n) + "ms"); }));
  }
  const EngineFiles directory = must(EngineFiles::open(scratch.directory()));
  const File locks = must(directory.open_locks());
  EXPECT_EQ(must(rebuild_segment(directory, locks)).jobs, 1U);
  Engine engine = scratch.open(without_keeper);
  must(engine.kind("new"));
  must(engine.retry_policy("fixed:9h"));
  EXPECT_EQ(must(engine.job(id)).kind, "used");
  const auto worker = must(engine.attach(Role::worker));
  must(must(worker->claim()).fail("not now"));  // waits as its own policy says
  EXPECT_EQ(must(engine.job(id)).state, JobState::delayed);
}

}  // namespace
}  // namespace ringmill::test
