// A peer that says of a hole that there is memory, in a tmpfs that has none left: a touch would be SIGBUS.
#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "core/engine/opening.h"
#include "core/inspect/invariants.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/small_tmpfs.h"

namespace ringmill::test {
namespace {

/// An engine of which little has its memory, and a peer with its hands in the segment.
struct LyingPeer {
  LyingPeer() {
    if (!tmpfs.is_mounted()) return;
    CreateOptions options = small_engine();
    options.capacity = 64 * 1024;
    options.cell_size = 256;
    options.max_payload = 64 * 1024;
    options.arena = 8 * 1024 * 1024;
    options.shm_dir = tmpfs.path();
    must(Engine::create(directory(), options));
    core = must(open_engine(directory(), false));
  }
  std::filesystem::path directory() const { return folder.path() / "engine"; }
  /// Leaves no page.
  void fill_tmpfs() const {
    std::ofstream file(tmpfs.path() / "other", std::ios::binary);
    const std::vector<char> page(4096);
    while (file.write(page.data(), static_cast<std::streamsize>(page.size())).flush()) {
    }
  }
  void say_that_all_is_there() const {
    const Geometry& geometry = core->segment.geometry();
    const auto set = [&](std::uint64_t begin, std::uint64_t parts) {
      std::byte* const bits = core->segment.cells() - geometry.cells + begin;
      for (std::uint64_t part = 0; part < parts; ++part) {
        shared_at<std::atomic<std::uint64_t>>(bits + part / 64 * 8).fetch_or(std::uint64_t{1} << (part % 64));
      }
    };
    set(geometry.chunk_bits, core->segment.chunks().count());
    set(geometry.arena_bits, geometry.arena_chunk_count);
    set(geometry.unique_bits, geometry.unique_pages());
    FreeMap free_map = core->segment.free_map();
    for (std::uint32_t cell = 0; cell < geometry.capacity; cell += 64) free_map.put(cell, ~std::uint64_t{0});
  }
  /// What a process does that has an engine open. Returns 0 if it lives through it.
  int use() const {
    Engine engine = must(Engine::open(directory(), without_keeper));
    const auto participant = must(engine.attach(Role::worker));
    const Kind kind = must(engine.kind(kind_name));
    const std::string large(60'000, 'x');
    JobRequest request{.kind = kind, .level = must(engine.level("default")), .payload = as_payload("0123456789")};
    request.durability = Durability::memory;
    for (int n = 0; n < 70'000 && participant->enqueue(request); ++n) {
    }
    for (int n = 0; n < 100; ++n) static_cast<void>(participant->enqueue_unique(request, std::to_string(n)));
    request.payload = as_payload(large);
    for (int n = 0; n < 200; ++n) static_cast<void>(participant->enqueue(request));
    for (std::uint64_t cell = 0; cell < 64 * 1024; cell += 500) static_cast<void>(engine.job(JobId(1U << 24 | cell)));
    static_cast<void>(engine.status());
    static_cast<void>(check_invariants(core->segment, false));
    while (auto job = participant->claim()) static_cast<void>(job->complete());
    return 0;
  }

  SmallTmpfs tmpfs{"size=14m"};
  ScratchFolder folder;
  std::shared_ptr<EngineCore> core;
};

TEST(HostilePresence, a_bit_that_says_that_memory_is_there_makes_no_process_touch_a_hole) {
  LyingPeer peer;
  if (!peer.core) GTEST_SKIP() << "only root can mount a tmpfs";
  peer.fill_tmpfs();
  peer.say_that_all_is_there();
  Child child([&] { return peer.use(); });
  EXPECT_EQ(child.wait(), 0) << "a negative number is the signal";
}

TEST(HostilePresence, a_process_that_knew_of_memory_that_has_left_does_not_believe_that_it_is_back) {
  LyingPeer peer;
  if (!peer.core) GTEST_SKIP() << "only root can mount a tmpfs";
  const Segment& segment = peer.core->segment;
  ASSERT_TRUE(segment.make_arena_chunk(3));
  ASSERT_TRUE(segment.has_arena_chunk(3));
  segment.hide_arena_chunk(3);
  ASSERT_EQ(segment.free_arena_chunk(3), 0);
  segment.signals().chunks_left.fetch_add(1);
  peer.fill_tmpfs();
  peer.say_that_all_is_there();
  EXPECT_FALSE(segment.has_arena_chunk(3));
  EXPECT_FALSE(segment.chunks().has(40));
  EXPECT_TRUE(segment.chunks().has(0));
}

TEST(HostilePresence, memory_that_is_there_is_known_to_each_process_at_its_first_look) {
  LyingPeer peer;
  if (!peer.core) GTEST_SKIP() << "only root can mount a tmpfs";
  const auto other = must(open_engine(peer.directory(), false));
  ASSERT_TRUE(other->segment.make_arena_chunk(3));
  ASSERT_EQ(other->segment.make_and_list_chunk(40), 0);
  peer.fill_tmpfs();
  EXPECT_TRUE(peer.core->segment.has_arena_chunk(3));
  EXPECT_TRUE(peer.core->segment.chunks().has(40));
  EXPECT_FALSE(peer.core->segment.chunks().has(41));
}

}  // namespace
}  // namespace ringmill::test
