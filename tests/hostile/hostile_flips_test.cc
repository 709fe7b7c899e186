// Random flips all over the shared memory: each later call must answer, with a value or an error, and never crash or
// hang.
#include <unistd.h>

#include <chrono>
#include <random>

#include "core/inspect/invariants.h"
#include "core/inspect/job_view.h"
#include "core/inspect/status_view.h"
#include "ipc/invariant.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"
#include "tests/support/levels.h"
#include "tests/support/random.h"

namespace ringmill::test {
namespace {

/// Its tests write over shared memory: no invariant is asserted meanwhile.
struct HostileFlips : ::testing::Test {
  SharedMemoryDistrust distrust;
};

using namespace std::chrono_literals;
using Random = std::mt19937_64;

#ifdef __SANITIZE_ADDRESS__
constexpr int rounds = 40;
#else
constexpr int rounds = 250;
#endif

void flip(const Segment& segment, Random& random, bool with_header) {
  auto* bytes = reinterpret_cast<volatile unsigned char*>(segment.cells() - segment.geometry().cells);
  const std::uint64_t first = with_header ? 0 : 4096;
  for (std::uint64_t left = 1 + random() % 256; left > 0; --left) {
    const std::uint64_t at = first + random() % (segment.geometry().bytes - first - 8);
    const std::uint64_t kind = random() % 3;
    if (kind == 0) bytes[at] = static_cast<unsigned char>(bytes[at] ^ (1U << random() % 8));
    if (kind == 1) bytes[at] = static_cast<unsigned char>(random());
    for (std::uint64_t n = 0; kind == 2 && n < 8; ++n) bytes[at / 8 * 8 + n] = static_cast<unsigned char>(random());
  }
}

void look(const Segment& segment, Random& random) {
  static_cast<void>(check_invariants(segment, true));
  static_cast<void>(view_status(segment, [](std::uint32_t) { return true; }));
  for (std::uint32_t cell = 0; cell < segment.geometry().capacity; ++cell) static_cast<void>(view_job(segment, cell));
  for (std::uint32_t level = 0; level < 3; ++level) static_cast<void>(view_ring(segment, level));
  for (int n = 0; n < 64; ++n) static_cast<void>(find_job(segment, JobId(random() >> random() % 40)));
}

void use(Participant& participant, const JobRequest& request) {
  for (int n = 0; n < 20; ++n) {
    const auto id = participant.enqueue(request, 1ms);
    auto job = participant.claim(1ms);
    if (job) static_cast<void>(job->complete());
    if (id) static_cast<void>(participant.cancel(*id));
  }
}

/// Jobs queued and running, ended and cancelled; then flips while their holders still hold them.
int round_of(const World& world, std::uint64_t seed, bool with_header) {
  ::alarm(10);
  Random random(seed);
  Engine engine = world.scratch.open(without_keeper);
  auto participant = must(engine.attach(Role::worker));
  Inside inside(world.scratch);
  JobRequest request = world.request("flips");
  std::vector<Job> held;
  for (std::uint16_t n = 0; n < 90; ++n) {
    request.level = level_at(engine, n % 3);
    const JobId id = must(participant->enqueue(request));
    if (n % 9 == 8) static_cast<void>(must(participant->cancel(id)));
    if (n % 5 != 0) continue;
    held.push_back(must(participant->claim()));
    if (n % 10 == 0) must(held.back().complete());
  }
  flip(inside.segment(), random, with_header);
  look(inside.segment(), random);
  use(*participant, request);
  inside.scan({});
  look(inside.segment(), random);
  use(*participant, request);
  held.clear();
  participant.reset();
  static_cast<void>(Engine::open(world.scratch.directory(), without_keeper));
  return 0;
}

TEST_F(HostileFlips, everybody_answers_whatever_the_shared_memory_says) {
  Random seeds(printed_seed());
  for (int round = 0; round < rounds; ++round) {
    const World world;
    const std::uint64_t seed = seeds();
    const bool with_header = round % 2 == 0;
    Child child([&] { return round_of(world, seed, with_header); });
    EXPECT_EQ(child.wait(), 0) << "round " << round << ", its seed " << seed << ", header " << with_header;
  }
}

}  // namespace
}  // namespace ringmill::test
