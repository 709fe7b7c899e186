// A peer corrupts the shared memory: no other process may crash, hang, or read out of bounds.
#include <cstring>

#include "ipc/invariant.h"
#include "ipc/state_word.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/undestroyed.h"

namespace ringmill::test {
namespace {

/// Its tests write over shared memory: no invariant is asserted meanwhile.
struct HostileMemory : ::testing::Test {
  SharedMemoryDistrust distrust;
};

/// The entry of a participant as a hostile peer reaches it.
ParticipantEntry& entry_of(const EngineCore& core, const Participant& participant) {
  return core.segment.participant(static_cast<std::uint32_t>(participant.number()));
}

TEST_F(HostileMemory, a_participant_that_leaves_bounds_the_job_ids_of_its_lease_slots) {
  World world;
  const auto core = world.scratch.open_core();
  Child child([&world, &core] {
    Engine engine = world.scratch.open(without_keeper);
    auto worker = must(engine.attach(Role::worker));
    must(worker->enqueue(world.request("x")));
    // Never ended: leaving gives such jobs back.
    const Undestroyed<Job> job(must(worker->claim()));
    for (LeaseSlot& slot : entry_of(*core, *worker).leases) {
      if (slot.job_id.load() != 0) slot.job_id.store(JobId(std::uint64_t{1} << index_bits | index_mask).value());
    }
    worker.reset();
    return 0;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(HostileMemory, a_participant_leaves_an_entry_of_which_every_byte_was_overwritten) {
  World world;
  const auto core = world.scratch.open_core();
  Child child([&world, &core] {
    Engine engine = world.scratch.open(without_keeper);
    auto first = must(engine.attach(Role::worker));
    auto second = must(engine.attach(Role::worker));
    for (const Participant* participant : {first.get(), second.get()}) {
      std::memset(reinterpret_cast<std::byte*>(&entry_of(*core, *participant)), 0x5a, sizeof(ParticipantEntry));
    }
    first.reset();
    second.reset();
    return 0;
  });
  EXPECT_EQ(child.wait(), 0);
}

}  // namespace
}  // namespace ringmill::test
