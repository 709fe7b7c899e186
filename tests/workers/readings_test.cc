// The first of the programs that a user wrote on ringmill: sensors' readings, in an engine that stays full. Producers
// go on at a checkpoint of their own, workers raise an alarm for a reading that is off, and of each one is killed.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include <ringmill/worker.h>

#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

constexpr std::uint64_t readings_of_each = 20'000;
constexpr std::uint64_t readings = 2 * readings_of_each;
constexpr std::uint64_t one_in = 250;  // is off
/// What a kill may repeat: a batch that was enqueued and not noted, and what a worker had in hand.
constexpr std::uint64_t most_repeated = 2 * Participant::most_in_batch;

bool is_off(std::uint64_t number) noexcept { return (number * 0x9e3779b97f4a7c15U >> 32) % one_in == 0; }

/// What outlives the processes: the users' own database.
struct Readings {
  std::array<std::atomic<std::uint64_t>, 2> checkpoint;  // of each producer
  std::array<std::atomic<std::uint8_t>, readings> seen;
  std::array<std::atomic<std::uint8_t>, readings> alerted;
  std::atomic<std::uint64_t> refused;  // follow-ups
  std::atomic<bool> is_over;           // no producer comes any more
};

struct Reading {
  std::uint64_t number = 0;
  std::array<char, 40> station{};
};

std::span<const std::byte> bytes_of(const Reading& reading) { return std::as_bytes(std::span(&reading, 1)); }
std::uint64_t number_in(std::span<const std::byte> payload) {
  std::uint64_t number = 0;
  if (payload.size() >= sizeof number) std::memcpy(&number, payload.data(), sizeof number);
  return number;
}

class ReadingsUnderKills : public testing::Test {
 protected:
  static CreateOptions engine_that_stays_full() {
    CreateOptions options = small_engine_with_room();
    options.capacity = 2048;
    options.reserve.reset();  // as users make one
    return options;
  }

  int produce(std::size_t which) {
    Engine engine = scratch_.open(OpenOptions{});
    const auto producer = must(engine.attach(Role::producer));
    const Kind kind = must(engine.kind("reading"));
    const Level level = must(engine.level("default"));
    std::array<Reading, Participant::most_in_batch> batch;
    std::array<JobRequest, Participant::most_in_batch> requests;
    std::array<JobId, Participant::most_in_batch> ids;
    auto& checkpoint = store_->checkpoint[which];
    while (checkpoint < readings_of_each) {
      const std::size_t wanted = std::min<std::uint64_t>(batch.size(), readings_of_each - checkpoint);
      for (std::size_t n = 0; n < wanted; ++n) {
        batch[n].number = which * readings_of_each + checkpoint + n;
        requests[n] = {.kind = kind, .level = level, .payload = bytes_of(batch[n])};
      }
      const auto put = producer->enqueue_batch(std::span(requests).first(wanted), ids, 60s);
      if (!put) return 3;
      checkpoint += *put;  // killed before this: they come twice
    }
    return 0;
  }

  /// `alarms_only`: its handler of readings is missing, as is its interest in them.
  int work(bool alarms_only) {
    Engine engine = scratch_.open(OpenOptions{});
    const Kind alarm = must(engine.kind("alarm"));
    const Level high = must(engine.level("high"));
    Worker worker(engine, {.threads = 1, .drain = true});
    if (!alarms_only) {
      worker.on("reading", [&](JobContext& job) {
        const std::uint64_t number = number_in(job.payload());
        if (is_off(number)) {
          const Reading off{.number = number};
          if (!job.follow_up({.kind = alarm, .level = high, .payload = bytes_of(off)}, 0ns)) {
            ++store_->refused;
            return JobOutcome::fail("no room for the alarm");
          }
        }
        ++store_->seen[number];
        return JobOutcome::complete();
      });
    }
    worker.on("alarm", [&](JobContext& job) {
      ++store_->alerted[number_in(job.payload())];
      return JobOutcome::complete();
    });
    for (bool is_last = false; !is_last;) {
      is_last = store_->is_over;
      if (!worker.run()) return 3;
    }
    return 0;
  }

  std::uint64_t seen_so_far() const {
    std::uint64_t count = 0;
    for (const auto& times : store_->seen) count += times != 0 ? 1 : 0;
    return count;
  }

  const ScratchEngine scratch_{engine_that_stays_full()};
  SharedBlock<Readings> store_;
};

TEST_F(ReadingsUnderKills, none_is_lost_and_each_that_is_off_raises_its_alarm) {
  const auto producer = [this](std::size_t which) { return Child([this, which] { return produce(which); }); };
  const auto worker = [this](bool alarms_only) { return Child([this, alarms_only] { return work(alarms_only); }); };
  auto first = std::make_unique<Child>(producer(0));
  Child second = producer(1);
  Child third = worker(false);
  auto fourth = std::make_unique<Child>(worker(false));
  Child alarms = worker(true);
  ASSERT_TRUE(await([&] { return store_->checkpoint[0] > readings_of_each / 4; }));
  first->kill();
  first = std::make_unique<Child>(producer(0));
  ASSERT_TRUE(await([&] { return seen_so_far() > readings / 2; }));
  fourth->kill();
  fourth = std::make_unique<Child>(worker(false));
  EXPECT_EQ(first->wait(), 0);
  EXPECT_EQ(second.wait(), 0);
  store_->is_over = true;
  EXPECT_EQ(third.wait(), 0);
  EXPECT_EQ(fourth->wait(), 0);
  EXPECT_EQ(alarms.wait(), 0);
  EXPECT_EQ(work(false), 0);  // what the last one that ended had handed back

  std::uint64_t repeated = 0;
  std::uint64_t off = 0;
  for (std::uint64_t number = 0; number < readings; ++number) {
    ASSERT_NE(store_->seen[number], 0U) << "reading " << number << " is lost";
    repeated += store_->seen[number] - 1U;
    ASSERT_EQ(store_->alerted[number] != 0, is_off(number)) << number;
    off += is_off(number) ? 1 : 0;
  }
  EXPECT_LE(repeated, most_repeated);
  EXPECT_GT(off, readings / one_in / 2) << "no reading was off: this test has seen nothing";
  EXPECT_EQ(store_->refused, 0U) << "a follow-up was refused in a full engine";
  // Cells that the dead were filling come free with the keeper's scan.
  const Engine engine = scratch_.open(OpenOptions{});
  EXPECT_TRUE(await([&] { return engine.status().cells_used == 0; }));
  EXPECT_EQ(engine.status().totals.dead, 0U);
}

}  // namespace
}  // namespace ringmill::test
