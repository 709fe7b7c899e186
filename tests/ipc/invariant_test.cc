// What debug builds assert: an invariant that is broken on purpose ends the process; corrupted memory that is known to
// be corrupted does not.
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>

#include <gtest/gtest.h>

#include "ipc/invariant.h"
#include "ipc/ring.h"
#include "tests/support/child.h"

namespace ringmill::test {
namespace {

constexpr std::uint64_t slot_count = 8;

#ifdef NDEBUG
constexpr bool has_invariants = false;
#else
constexpr bool has_invariants = true;
#endif

struct Rig {
  LevelEntry level{};
  std::array<std::atomic<std::uint64_t>, slot_count> slots{};

  Ring view() { return Ring(&level, slots.data(), slot_count); }
};

/// How a process ends that raises the head of an empty ring over a slot that was never filled.
int end_after_breaking_ring_order() {
  return Child([] {
           ::close(STDERR_FILENO);  // the assertion's text is no news here
           Rig rig;
           rig.view().raise_head(slot_count + 1);
           return 0;
         })
      .wait();
}

TEST(Invariants, a_broken_invariant_ends_the_process_in_a_debug_build) {
  EXPECT_EQ(end_after_breaking_ring_order(), has_invariants ? -SIGABRT : 0);
}

TEST(Invariants, a_process_that_distrusts_its_memory_checks_none) {
  const SharedMemoryDistrust distrust;
  EXPECT_EQ(end_after_breaking_ring_order(), 0);
}

TEST(Invariants, distrust_ends_with_its_scope) {
  { const SharedMemoryDistrust distrust; }
  EXPECT_EQ(end_after_breaking_ring_order(), has_invariants ? -SIGABRT : 0);
}

}  // namespace
}  // namespace ringmill::test
