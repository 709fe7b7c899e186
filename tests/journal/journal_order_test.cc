// In which order the journal gets what came together, and what is kept until it has it.
#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "tests/cli/command_line.h"
#include "tests/journal/troubled_disk.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

/// Where the first record of this type, job and state stands among all of the journal; -1: nowhere.
long place_of(const std::filesystem::path& directory, std::string_view type, JobId id, std::string_view state = "") {
  long place = 0;
  for (const std::string& line : ringmill({"dump", directory, "--journal", "--json"}).lines()) {
    const auto record = nlohmann::json::parse(line);
    if (record.value("type", "") == type && record.contains("id") && record["id"] == id.to_string() &&
        (state.empty() || record["state"] == state)) {
      return place;
    }
    ++place;
  }
  return -1;
}

TEST(JournalOrder, follow_ups_stand_in_front_of_the_end_that_they_came_with) {
  const ScratchEngine scratch(small_engine_with_room());
  JobId first;
  std::vector<JobId> follow_ups;
  {
    Engine engine = scratch.open(OpenOptions{});
    auto worker = must(engine.attach(Role::worker));
    const JobRequest request{.kind = must(engine.kind("k")), .level = must(engine.level("default"))};
    first = must(worker->enqueue(request));  // in the first cell: a round looks at it first
    Job job = must(worker->claim(generous));
    for (int n = 0; n < 3; ++n) follow_ups.push_back(must(job.follow_up({.request = request})));
    ASSERT_LT(first.value() & index_mask, follow_ups[0].value() & index_mask);
    must(job.complete());
    must(worker->wait_durable(worker->ticket(), generous));
  }
  const long end = place_of(scratch.directory(), "change", first, "completed");
  ASSERT_GE(end, 0);
  for (const JobId id : follow_ups) {
    const long place = place_of(scratch.directory(), "job", id);
    EXPECT_GE(place, 0);
    EXPECT_LT(place, end);
    EXPECT_GE(place_of(scratch.directory(), "links", id), 0);
  }
}

/// The keeper would free the cell at once, and the journal would never say that the job was over with all that came.
TEST(JournalOrder, the_cell_of_a_leader_stays_until_its_records_are_durable) {
  const ScratchEngine scratch(small_engine_with_room());
  std::optional<TroubledKeeper> keeper(std::in_place, scratch);
  Engine engine = scratch.open(without_keeper);
  auto worker = must(engine.attach(Role::worker));
  JobRequest request{
      .kind = must(engine.kind("k")), .level = must(engine.level("default")), .durability = Durability::durable};
  const JobId first = must(worker->enqueue(request, generous));
  request.durability = Durability::journaled;
  keeper->disk().is_silent = true;
  Job job = must(worker->claim(generous));
  must(job.follow_up({.request = request}));
  must(job.complete());
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(must(engine.job(first)).state, JobState::completed);
  keeper->disk().is_silent = false;
  EXPECT_TRUE(await([&] { return must(engine.job(first)).state == JobState::ended; }));
}

}  // namespace
}  // namespace ringmill::test
