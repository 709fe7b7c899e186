// Values: a key has one value at a time, whatever processes do to it at once, and whichever of them die.
#include <atomic>
#include <chrono>
#include <csignal>
#include <string>
#include <thread>
#include <vector>

#include <ringmill/values.h>

#include "core/inspect/invariants.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

CreateOptions engine_for_values() {
  CreateOptions options = small_engine_with_room();
  options.max_payload = 64 * 1024;
  options.arena = 4 * 64 * 1024;
  return options;
}

struct ValueWorld : World {
  explicit ValueWorld(const CreateOptions& options = engine_for_values(), const OpenOptions& opening = OpenOptions{})
      : World(options, opening) {}

  bool set(std::string_view key, std::string_view bytes, const ValueOptions& options = {}) {
    return must(values.set(key, as_payload(bytes), options));
  }
  std::string get(std::string_view key) const {
    const auto value = values.get(key);
    return value ? value->bytes : std::string(value.error().message());
  }
  void expect_sound() const {
    EXPECT_EQ(check_invariants(scratch.open_core()->segment, false), std::vector<std::string>());
  }

  std::unique_ptr<Participant> participant = attach();
  Values values{*participant};
};

TEST(ValuesOfEngine, a_value_is_what_was_set_last_byte_for_byte) {
  ValueWorld world;
  for (const std::size_t bytes : {0U, 1U, 100U, 137U, 1024U, 1025U, 30'000U, 5U, 65'536U, 0U}) {
    SCOPED_TRACE(bytes);
    std::string value(bytes, '\0');
    for (std::size_t n = 0; n < bytes; ++n) value[n] = static_cast<char>(n * 7);
    EXPECT_TRUE(world.set("a key", value));
    EXPECT_TRUE(world.get("a key") == value);
  }
  EXPECT_EQ(code_of(world.values.get("another key")), ErrorCode::not_found);
  EXPECT_EQ(world.engine.status().results.values, 1U);
  EXPECT_EQ(world.engine.status().arena_used, 0U) << "the extents of former values are free";
  world.expect_sound();
}

TEST(ValuesOfEngine, a_key_of_any_bytes_names_one_value) {
  ValueWorld world;
  const std::string with_zero("a\0b", 3);
  world.set(with_zero, "one");
  world.set("a", "two");
  EXPECT_EQ(world.get(with_zero), "one");
  EXPECT_EQ(world.get("a"), "two");
  EXPECT_EQ(code_of(world.values.set("", as_payload("x"))), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(world.values.set(std::string(200, 'k'), as_payload("x"))), ErrorCode::too_large);
}

TEST(ValuesOfEngine, only_one_of_those_that_set_if_absent_sets) {
  ValueWorld world;
  EXPECT_TRUE(world.set("lock", "first", {.only_if_absent = true}));
  EXPECT_FALSE(world.set("lock", "second", {.only_if_absent = true}));
  EXPECT_EQ(world.get("lock"), "first");
  EXPECT_TRUE(must(world.values.remove("lock")));
  EXPECT_FALSE(must(world.values.remove("lock")));
  EXPECT_TRUE(world.set("lock", "third", {.only_if_absent = true}));
}

TEST(ValuesOfEngine, a_value_is_swapped_only_while_it_is_of_the_version_that_was_read) {
  ValueWorld world;
  EXPECT_FALSE(world.set("v", "x", {.only_if_version = 1})) << "there is none";
  world.set("v", "first");
  const std::uint64_t read = must(world.values.get("v")).version;
  EXPECT_TRUE(world.set("v", "second", {.only_if_version = read}));
  EXPECT_FALSE(world.set("v", "third", {.only_if_version = read}));
  EXPECT_EQ(world.get("v"), "second");
  world.set("brief", "x", {.ttl = 20ms});
  const std::uint64_t over = must(world.values.get("brief")).version;
  ASSERT_TRUE(await([&] { return !world.values.get("brief"); }));
  EXPECT_FALSE(world.set("brief", "y", {.only_if_version = over}));
}

TEST(ValuesOfEngine, swaps_of_many_at_once_lose_none) {
  ValueWorld world;
  world.set("n", "0");
  constexpr int threads = 3;
  constexpr int each = 300;
  std::vector<std::jthread> running;
  for (int n = 0; n < threads; ++n) {
    running.emplace_back([&world] {
      const auto participant = world.attach();
      Values values(*participant);
      for (int k = 0; k < each;) {
        const Value value = must(values.get("n"));
        const std::string next = std::to_string(std::stoi(value.bytes) + 1);
        if (must(values.set("n", as_payload(next), {.only_if_version = value.version}))) ++k;
      }
    });
  }
  running.clear();
  EXPECT_EQ(world.get("n"), std::to_string(threads * each));
  world.expect_sound();
}

TEST(ValuesOfEngine, a_value_gets_another_time_and_stays_as_it_is) {
  ValueWorld world;
  EXPECT_FALSE(must(world.values.expire("none", 1h)));
  world.set("longer", std::string(2000, 'x'), {.ttl = 50ms});
  world.set("briefer", "y", {.ttl = 1h});
  EXPECT_TRUE(must(world.values.expire("longer", 1h)));
  EXPECT_TRUE(must(world.values.expire("briefer", 20ms)));
  ASSERT_TRUE(await([&] { return world.engine.status().results.values == 1; }));
  std::this_thread::sleep_for(60ms);
  EXPECT_EQ(world.get("longer"), std::string(2000, 'x'));
  EXPECT_EQ(code_of(world.values.get("briefer")), ErrorCode::not_found);
  EXPECT_EQ(code_of(world.values.expire("longer", 0ms)), ErrorCode::invalid_argument);
  world.expect_sound();
}

TEST(ValuesOfEngine, a_value_is_gone_when_its_time_is_over_and_each_set_gives_it_a_new_one) {
  ValueWorld world;
  world.set("brief", "x", {.ttl = 50ms});
  world.set("renewed", "x", {.ttl = 50ms});
  world.set("renewed", "y", {.ttl = 1h});
  ASSERT_TRUE(await([&] { return world.engine.status().results.values == 1; }));
  EXPECT_EQ(code_of(world.values.get("brief")), ErrorCode::not_found);
  EXPECT_EQ(world.get("renewed"), "y");
  EXPECT_TRUE(world.set("brief", "again", {.only_if_absent = true}));
}

TEST(ValuesOfEngine, increments_add_up_and_refuse_what_is_no_number) {
  ValueWorld world;
  EXPECT_EQ(must(world.values.increment("n")), 1);
  EXPECT_EQ(must(world.values.increment("n", 41)), 42);
  EXPECT_EQ(must(world.values.increment("n", -50)), -8);
  EXPECT_EQ(world.get("n"), "-8");
  world.set("text", "forty-two");
  EXPECT_EQ(code_of(world.values.increment("text")), ErrorCode::invalid_argument);
  world.set("most", std::to_string(std::numeric_limits<std::int64_t>::max()));
  EXPECT_EQ(code_of(world.values.increment("most")), ErrorCode::invalid_argument);
}

TEST(ValuesOfEngine, increments_of_many_at_once_are_exact) {
  ValueWorld world;
  constexpr int threads = 4;
  constexpr int each = 2000;
  std::vector<std::jthread> running;
  for (int n = 0; n < threads; ++n) {
    running.emplace_back([&world] {
      const auto participant = world.attach();
      Values values(*participant);
      for (int k = 0; k < each; ++k) must(values.increment("n"));
    });
  }
  running.clear();
  EXPECT_EQ(world.get("n"), std::to_string(threads * each));
  world.expect_sound();
}

TEST(ValuesOfEngine, readers_see_whole_values_while_they_change) {
  ValueWorld world;
  world.set("v", std::string(2000, 'a'));
  std::atomic<bool> is_over{false};
  std::atomic<int> reads{0};
  std::jthread writer([&] {
    const auto participant = world.attach();
    Values values(*participant);
    // Until the reader has had the processor, too.
    for (int n = 0; n < 3000 || (reads < 100 && n < 3'000'000); ++n) {
      must(values.set("v", as_payload(std::string(n % 3 == 0 ? 20 : 2000, static_cast<char>('a' + n % 26)))));
    }
    is_over = true;
  });
  while (!is_over) {
    const std::string bytes = must(world.values.get("v")).bytes;
    ASSERT_EQ(bytes.find_first_not_of(bytes.at(0)), std::string::npos);
    ++reads;
  }
  EXPECT_GT(reads, 0);
}

TEST(ValuesOfEngine, a_waiter_is_told_of_the_first_value_and_of_each_change) {
  ValueWorld world;
  EXPECT_EQ(code_of(world.values.wait("w", 10ms)), ErrorCode::timed_out);
  std::jthread setter([&] {
    const auto participant = world.attach();
    Values values(*participant);
    std::this_thread::sleep_for(50ms);
    must(values.set("w", as_payload("one")));
  });
  const Value first = must(world.values.wait("w", generous));
  EXPECT_EQ(first.bytes, "one");
  EXPECT_EQ(code_of(world.values.wait("w", 10ms, first.version)), ErrorCode::timed_out);
  world.set("w", "one");
  const Value second = must(world.values.wait("w", generous, first.version));
  EXPECT_NE(second.version, first.version);
}

TEST(ValuesOfEngine, a_value_comes_back_after_a_reboot_as_it_was_last) {
  ScratchEngine scratch(engine_for_values());
  const std::string longest(60'000, 'l');
  {
    Engine engine = must(Engine::open(scratch.directory()));
    const auto participant = must(engine.attach(Role::worker));
    Values values(*participant);
    for (int n = 0; n < 10; ++n) must(values.increment("n"));
    must(values.set("long", as_payload(std::string(50'000, 'x'))));
    must(values.set("long", as_payload(longest)));
    must(values.set("gone", as_payload("x")));
    must(values.remove("gone"));
    must(values.set("memory", as_payload("x"), {.durability = Durability::memory}));
    must(participant->wait_durable(participant->ticket(), generous));
  }
  std::filesystem::remove(scratch.segment_file());
  Engine engine = must(Engine::open(scratch.directory()));
  const auto participant = must(engine.attach(Role::worker));
  Values values(*participant);
  EXPECT_EQ(must(values.get("n")).bytes, "10");
  EXPECT_TRUE(must(values.get("long")).bytes == longest);
  EXPECT_EQ(code_of(values.get("gone")), ErrorCode::not_found);
  EXPECT_EQ(code_of(values.get("memory")), ErrorCode::not_found);
  EXPECT_EQ(must(values.increment("n")), 11);
}

TEST(ValuesOfEngine, a_removed_engine_takes_no_value) {
  ValueWorld world;
  world.set("key", "kept");
  ASSERT_TRUE(Engine::remove(world.scratch.directory(), true).has_value());
  EXPECT_EQ(code_of(world.values.set("key", as_payload("lost"))), ErrorCode::not_found);
  EXPECT_EQ(code_of(world.values.increment("count")), ErrorCode::not_found);
  EXPECT_EQ(world.get("key"), "the engine was removed");
}

TEST(ValuesOfEngine, values_go_only_when_no_result_is_left) {
  CreateOptions options = engine_for_values();
  options.capacity = 1024;
  options.results = 20;
  ValueWorld world(options);
  for (int n = 0; n < 10; ++n) world.set("key " + std::to_string(n), "value");
  const JobOptions kept{.keep_result = 1h};
  JobRequest asked = world.request("payload");
  asked.options = kept;
  for (int n = 0; n < 100; ++n) {
    must(world.participant->enqueue(asked, generous));
    must(must(world.participant->claim(generous)).complete(as_payload("r")));
  }
  ASSERT_TRUE(await([&] { return world.engine.status().results.count == 20; }));
  EXPECT_EQ(world.engine.status().results.values, 10U);
}

}  // namespace
}  // namespace ringmill::test
