// A peer writes into words that hold a length, a place or a number: between two reads of one call, or before it. No
// other process reads or writes out of bounds, or loops for ever.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <thread>

#include "core/inspect/invariants.h"
#include "core/table/arena.h"
#include "ipc/invariant.h"
#include "ipc/waking.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/inside.h"

namespace ringmill::test {
namespace {

/// Its tests write over shared memory: no invariant is asserted meanwhile.
struct HostileWords : ::testing::Test {
  SharedMemoryDistrust distrust;
};

using namespace std::chrono_literals;

constexpr std::uint32_t no_level = 40'000;

/// Does the same again and again, in a thread, until the end of its scope.
class Peer {
 public:
  explicit Peer(std::function<void()> scribble) : scribble_(std::move(scribble)), thread_([this] { run(); }) {}
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() {
    stop_.store(true);
    thread_.join();
  }

 private:
  void run() {
    while (!stop_.load()) scribble_();
  }

  std::function<void()> scribble_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

CreateOptions engine_with_arena() {
  CreateOptions options = small_engine_with_room();
  options.max_payload = 64 * 1024;
  options.arena = 4 * 64 * 1024;
  return options;
}

TEST_F(HostileWords, a_payload_goes_into_the_extent_that_was_taken_whatever_the_cell_says_meanwhile) {
  World world(engine_with_arena(), {});  // with a keeper, which frees what is over
  const auto core = world.scratch.open_core();
  const JobTable table(core->segment);
  const auto producer = world.attach();
  const std::string sound(50'000, 's');
  const JobId bystander = world.enqueue(*producer, sound);
  const auto unit =
      table.header(index_of(bystander)).extent.load_once().below(core->segment.geometry().arena_unit_count());
  ASSERT_TRUE(unit);
  const Peer peer([&] {
    for (CellIndex index = 0; index < 16; ++index) {
      if (table.word(index).state() == CellState::filling) table.header(index).extent.store(*unit);
    }
  });
  const std::string large(2'000, 'x');
  LinkedRequest linked{.request = world.request(large)};
  linked.request.durability = Durability::memory;
  for (int round = 0; round < 1'000; ++round) {
    JobId id;
    must(producer->enqueue_together(std::span(&linked, 1), std::span(&id, 1), 10s));
    static_cast<void>(producer->cancel(id));
  }
  const auto payload = Arena(core->segment).payload_of(bystander);
  ASSERT_TRUE(payload);
  EXPECT_TRUE(as_text(*payload) == sound) << "another's payload was written over it";
}

TEST_F(HostileWords, an_extent_outside_the_arena_is_not_written_to) {
  World world(engine_with_arena());
  const auto core = world.scratch.open_core();
  Child child([&core] {
    const std::string payload(60'000, 'x');
    const std::uint32_t units = core->segment.geometry().arena_unit_count();
    for (const std::uint32_t unit : {units - 1, units, 0x7fffffffU, ~0U}) {
      Arena(core->segment).fill(0, unit, as_payload(payload));
    }
    return 0;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST_F(HostileWords, a_text_stays_in_its_cell_while_the_payloads_length_changes) {
  World world(small_engine_with_room());
  const auto core = world.scratch.open_core();
  const JobTable table(core->segment);
  const std::uint32_t inline_bytes = table.inline_bytes();
  auto& length = table.header(1).payload_bytes;
  auto& flags = table.header(1).flags;
  std::vector<std::atomic<std::uint64_t>> text(in_words(inline_bytes));
  for (auto& word : text) word.store(~std::uint64_t{0});
  std::vector<std::byte> copy(inline_bytes);
  const Peer peer([&] {
    length.store(0);
    flags.store(0);
    length.store(inline_bytes);
    flags.store(cell_flag::all);
  });
  // Until the peer has run beside us for long enough: on a busy machine it may sleep for all of the first rounds.
  constexpr int wanted_changes = 20'000;
  int changes = 0;
  std::uint32_t last_room = 0;
  for (int round = 0; round < 100'000 || changes < wanted_changes; ++round) {
    const JobTable::TextPlace place = table.text_place(1);
    if (place.room() != last_room) ++changes;
    last_room = place.room();
    JobTable::copy_text_in(place, text.data(), inline_bytes);
    JobTable::copy_text_out(place, copy.data(), inline_bytes);
    ASSERT_NE(table.state(2).load(), ~std::uint64_t{0}) << "it was written into the next cell, in round " << round;
  }
}

TEST_F(HostileWords, a_lengthened_text_is_cut_where_its_cell_ends) {
  World world(small_engine_with_room());
  const auto producer = world.attach();
  const auto core = world.scratch.open_core();
  const JobId id = world.enqueue(*producer, "a payload");
  const JobTable table(core->segment);
  table.header(index_of(id)).text_bytes.store(65'535);
  const JobInfo info = must(world.engine.job(id));
  EXPECT_LE(info.last_error.size(), table.inline_bytes());
  EXPECT_FALSE(check_invariants(core->segment, false).empty());
}

/// What a claimer, or the keeper's scan, finds in a cell.
struct Scribble {
  const char* word;
  std::function<void(CellHeader&)> write;
};
const Scribble impossible_fields[] = {
    {"level", [](CellHeader& cell) { cell.level.store(no_level); }},
    {"level", [](CellHeader& cell) { cell.level.store(700); }},
    {"kind", [](CellHeader& cell) { cell.kind.store(most_kinds); }},
    {"length", [](CellHeader& cell) { cell.payload_bytes.store(~0U); }},
    {"payload", [](CellHeader& cell) { cell.flags.store(cell_flag::in_arena); }},
};

TEST_F(HostileWords, a_claim_of_a_job_with_impossible_fields_buries_it) {
  for (const Scribble& scribble : impossible_fields) {
    SCOPED_TRACE(scribble.word);
    World world;
    const auto core = world.scratch.open_core();
    const auto worker = world.attach();
    const JobId hurt = world.enqueue(*worker, "hurt");
    const JobId sound = world.enqueue(*worker, "sound");
    scribble.write(JobTable(core->segment).header(index_of(hurt)));
    const Job job = must(worker->claim(1s));
    EXPECT_EQ(job.id(), sound);
    EXPECT_EQ(code_of(worker->claim(1ms)), ErrorCode::timed_out);
    const JobInfo info = must(world.engine.job(hurt));
    EXPECT_EQ(info.state, JobState::dead);
    // A payload that is said to fill the cell leaves no room for a text.
    const bool has_room = scribble.word != std::string_view("length");
    EXPECT_EQ(info.last_error.find(scribble.word) != std::string::npos, has_room) << info.last_error;
  }
}

TEST_F(HostileWords, a_batch_buries_a_job_with_impossible_fields) {
  for (const Scribble& scribble : impossible_fields) {
    SCOPED_TRACE(scribble.word);
    World world;
    const auto core = world.scratch.open_core();
    const auto worker = world.attach();
    const JobId hurt = world.enqueue(*worker, "hurt");
    scribble.write(JobTable(core->segment).header(index_of(hurt)));
    std::vector<Job> jobs(8);
    EXPECT_EQ(code_of(worker->claim_batch(jobs, 1ms)), ErrorCode::timed_out);
    EXPECT_EQ(world.state_of(hurt), JobState::dead);
  }
}

TEST_F(HostileWords, a_job_with_impossible_fields_that_nobody_claims_is_buried_by_the_scan) {
  for (const Scribble& scribble : impossible_fields) {
    SCOPED_TRACE(scribble.word);
    World world;
    Inside inside(world.scratch);
    const auto producer = world.attach();
    const JobId queued = world.enqueue(*producer, "queued");
    const JobOptions later{.delay = 1h};
    JobRequest request = world.request("delayed");
    request.options = later;
    const JobId delayed = must(producer->enqueue(request));
    for (const JobId id : {queued, delayed}) scribble.write(inside.table().header(index_of(id)));
    inside.scan();
    EXPECT_EQ(world.state_of(queued), JobState::dead);
    EXPECT_EQ(world.state_of(delayed), JobState::dead);
  }
}

TEST_F(HostileWords, a_job_of_another_level_goes_on_to_that_levels_ring) {
  World world;
  const auto core = world.scratch.open_core();
  const Level tube = must(world.engine.add_level("tube"));
  const auto worker = world.attach();
  const auto other = world.attach();
  must(worker->subscribe({.levels = {world.level}}));
  must(other->subscribe({.levels = {tube}}));
  const JobId id = world.enqueue(*worker, "x");
  const std::uint32_t first = core->segment.geometry().level_count;
  JobTable(core->segment).header(index_of(id)).level.store(static_cast<std::uint16_t>(first));
  EXPECT_EQ(code_of(worker->claim(1ms)), ErrorCode::timed_out);
  EXPECT_EQ(must(other->claim(1s)).id(), id);
}

/// A job of no level that is queued again each time it was buried.
void queue_again(const Segment& segment, JobId id) {
  const JobTable table(segment);
  const CellIndex index = index_of(id);
  const StateWord word = table.word(index);
  if (word.state() != CellState::burying) return;
  table.state(index).store(StateWord::make(word.generation(), 0, CellState::queued, word.version() + 1).bits());
  static_cast<void>(segment.ring(1).push(JobTable::hint_of(id), [](std::uint64_t) { return false; }));
}

/// What a claim says while a peer queues a damaged job again and again; in a process of its own, which may not hang.
int claims_beside_a_peer(const std::function<bool(Participant&)>& claims) {
  World world;
  return Child([&] {
           ::alarm(30);
           Engine engine = world.scratch.open(without_keeper);
           const auto core = world.scratch.open_core();
           auto worker = must(engine.attach(Role::worker));
           const JobId id = must(worker->enqueue(world.request("x")));
           JobTable(core->segment).header(index_of(id)).level.store(no_level);
           const Peer peer([&] { queue_again(core->segment, id); });
           return claims(*worker) ? 0 : 1;
         })
      .wait();
}

TEST_F(HostileWords, a_claim_ends_with_its_wait_while_a_damaged_job_comes_again_and_again) {
  EXPECT_EQ(claims_beside_a_peer([](Participant& worker) {
              const auto begin = std::chrono::steady_clock::now();
              const bool timed_out = code_of(worker.claim(100ms)) == ErrorCode::timed_out;
              return timed_out && std::chrono::steady_clock::now() - begin < 5s;
            }),
            0);
}

TEST_F(HostileWords, a_batch_ends_with_its_wait_while_a_damaged_job_comes_again_and_again) {
  EXPECT_EQ(claims_beside_a_peer([](Participant& worker) {
              std::vector<Job> jobs(8);
              return code_of(worker.claim_batch(jobs, 100ms)) == ErrorCode::timed_out;
            }),
            0);
}

TEST_F(HostileWords, a_claim_that_does_not_wait_ends_while_a_damaged_job_comes_again_and_again) {
  EXPECT_EQ(claims_beside_a_peer([](Participant& worker) {
              for (int n = 0; n < 100; ++n) {
                if (code_of(worker.claim()) != ErrorCode::would_block) return false;
              }
              return true;
            }),
            0);
}

TEST_F(HostileWords, a_claim_ends_with_wake_while_a_damaged_job_comes_again_and_again) {
  EXPECT_EQ(claims_beside_a_peer([](Participant& worker) {
              std::thread waker([&worker] {
                std::this_thread::sleep_for(50ms);
                worker.wake();
              });
              const bool was_woken = code_of(worker.claim(1h)) == ErrorCode::would_block;
              waker.join();
              return was_woken;
            }),
            0);
}

TEST_F(HostileWords, one_wrong_word_begins_no_rounds_of_the_journal_for_ever) {
  const World world(small_engine(), {});
  const auto core = world.scratch.open_core();
  JournalWords& words = core->segment.journal();
  ASSERT_TRUE(await([&world] { return world.engine.keeps(); }));
  words.round_wanted.store(~std::uint64_t{0});
  ring_journal(core->segment);
  EXPECT_TRUE(await([&words] { return words.round_wanted.load() <= words.round_started.load() + 1; }));
}

TEST_F(HostileWords, a_keeper_that_leaves_waits_for_no_round_that_never_comes) {
  const World world;
  const auto core = world.scratch.open_core();
  JournalWords& words = core->segment.journal();
  std::optional<Engine> keeping(world.scratch.open());
  ASSERT_TRUE(await([&keeping] { return keeping->keeps(); }));
  const Peer peer([&words] {
    words.round_started.store(std::uint64_t{1} << 40);
    words.round_durable.store(0);
    words.round_wanted.store(~std::uint64_t{0});
  });
  static_cast<void>(must(must(keeping->attach(Role::producer))->enqueue(world.request("x"))));
  const auto begin = std::chrono::steady_clock::now();
  keeping.reset();
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 4s) << "longest_finish_ns is five";
}

TEST_F(HostileWords, cancelling_a_run_that_nobody_has_is_an_error) {
  World world;
  const auto core = world.scratch.open_core();
  const auto worker = world.attach();
  const JobId id = world.enqueue(*worker, "x");
  const JobTable table(core->segment);
  for (const std::uint32_t owner : {0U, 200U, 1023U}) {
    table.state(index_of(id)).store(StateWord::make(generation_of(id), owner, CellState::running, 7).bits());
    EXPECT_EQ(code_of(worker->cancel(id)), ErrorCode::corrupt) << owner;
  }
}

TEST_F(HostileWords, an_enqueue_ends_with_its_wait_while_cells_are_listed_that_are_not_free) {
  World world;
  const auto core = world.scratch.open_core();
  const auto producer = world.attach();
  while (producer->enqueue(world.request("x"))) {
  }
  const Peer peer([&core] {
    FreeMap map = core->segment.free_map();
    for (CellIndex index = 0; index < core->segment.geometry().capacity; index += 64) map.put(index, ~std::uint64_t{0});
  });
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_EQ(code_of(producer->enqueue(world.request("x"))), ErrorCode::would_block);
  EXPECT_EQ(code_of(producer->enqueue(world.request("x"), 50ms)), ErrorCode::timed_out);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, 10s);
}

}  // namespace
}  // namespace ringmill::test
