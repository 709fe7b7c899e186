// An engine that is removed while it has participants.
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

TEST(RemovalInProcess, a_waiting_claim_is_told) {
  World world;
  const auto worker = world.attach();
  must(Engine::remove(world.scratch.directory(), true));
  EXPECT_EQ(code_of(worker->claim(30s)), ErrorCode::not_found);
}

TEST(RemovalInProcess, an_enqueue_that_waits_for_room_is_told) {
  World world;
  const auto producer = world.attach(Role::producer);
  while (producer->enqueue(world.request("x"))) {
  }
  must(Engine::remove(world.scratch.directory(), true));
  EXPECT_EQ(code_of(producer->enqueue(world.request("x"), 30s)), ErrorCode::not_found);
}

TEST(RemovalInProcess, wake_ends_an_enqueue_that_waits_as_it_ends_a_claim) {
  World world;
  const auto producer = world.attach(Role::producer);
  while (producer->enqueue(world.request("x"))) {
  }
  producer->wake();
  EXPECT_EQ(code_of(producer->enqueue(world.request("x"), 30s)), ErrorCode::would_block);
}

TEST(RemovalInProcess, is_refused_while_a_participant_lives) {
  World world;
  const auto worker = world.attach();
  EXPECT_EQ(code_of(Engine::remove(world.scratch.directory())), ErrorCode::busy);
  EXPECT_TRUE(std::filesystem::exists(world.scratch.segment_file()));
}

TEST(RemovalInProcess, leaves_no_file) {
  World world;
  must(Engine::remove(world.scratch.directory()));
  EXPECT_FALSE(std::filesystem::exists(world.scratch.directory()));
  EXPECT_TRUE(world.scratch.place().shm_names().empty());
}

TEST(RemovalInProcess, removes_the_journals_files_and_nothing_else_that_is_there) {
  World world;
  const auto journal = world.scratch.directory() / "journal";
  for (const char* name : {"0000.segment", "12345.segment", "0001.segment.new", "damaged-3-4096", "letter.txt",
                           "1.segment", "damaged-3", "0000.segment.old", "damaged-3-4096-1"}) {
    must(write_file_durably(journal / name, "x", 0600));
  }
  must(Engine::remove(world.scratch.directory()));
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(journal)) left.push_back(entry.path().filename());
  std::ranges::sort(left);
  EXPECT_EQ(left,
            (std::vector<std::string>{"0000.segment.old", "1.segment", "damaged-3", "damaged-3-4096-1", "letter.txt"}));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(world.scratch.directory()), {}), 1);
}

}  // namespace
}  // namespace ringmill::test
