#include "tests/crash/scribble_rounds.h"

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>

#include "core/base/logger.h"
#include "core/inspect/invariants.h"
#include "core/inspect/job_view.h"
#include "core/inspect/status_view.h"
#include "ipc/invariant.h"
#include "tests/crash/all_calls.h"
#include "tests/crash/scribbler.h"
#include "tests/support/child.h"
#include "tests/support/core_test.h"
#include "tests/support/levels.h"

namespace ringmill::test {

namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto longest_round = 5s;
#ifdef __SANITIZE_ADDRESS__
constexpr bool is_sanitized = true;
#else
constexpr bool is_sanitized = false;
#endif
/// The sanitizer keeps freed memory for a while.
constexpr std::uint64_t most_resident_kib = (is_sanitized ? 1024 : 256) * std::uint64_t{1024};
/// A size that was read and not bounded fails at this.
constexpr std::uint64_t most_address_bytes = std::uint64_t{2} << 30;
constexpr auto work_at_rest = 15ms;
constexpr auto work_live = 50ms;

CreateOptions engine_to_scribble() {
  CreateOptions options;
  options.capacity = 128;
  options.reserve.emplace();
  options.cell_size = 512;
  options.max_payload = 64 * 1024;
  options.arena = 4 * 64 * 1024;
  options.level_rings = 16 * 1024;
  return options;
}

/// Jobs in every state, in turns; some are held until the process ends.
void fill(Engine& engine) {
  auto& held = *new std::vector<Job>;  // never given back: their holder is dead
  Participant& holder = *must(engine.attach(Role::worker)).release();
  const Kind kind = must(engine.kind(kind_name));
  const auto request = [kind, &engine](std::string_view payload, std::uint32_t level = 1) {
    return JobRequest{.kind = kind, .level = level_at(engine, level), .payload = as_payload(payload)};
  };
  static_cast<void>(must(engine.add_level("tube-0", {.weight = 2, .ring = 16})));
  must(engine.limit(kind, {.rate = {.count = 1'000'000}, .burst = 100, .concurrency = 4}));
  const std::string large(3'000, 'l');
  const JobOptions kept{.keep_result = 1h};
  const JobOptions later{.delay = 1h};
  std::vector<JobId> ids;
  for (std::uint32_t n = 0; n < 24; ++n) {
    JobRequest asked = request(n % 4 == 0 ? std::string_view(large) : "a payload", n % 3);
    if (n % 6 == 1) asked.options = kept;
    if (n % 6 == 2) asked.options = later;
    ids.push_back(must(holder.enqueue(asked)));
  }
  static_cast<void>(must(holder.enqueue_unique(request("unique"), "key-1")));
  const std::array<JobId, 2> parents{ids[0], ids[3]};
  const LinkedRequest waits{.request = request("waits"), .after = parents};
  must(holder.enqueue_together(std::span(&waits, 1), std::span(ids).first(1)));
  for (int n = 0; n < 8; ++n) {
    auto job = holder.claim();
    if (!job) break;
    if (n % 4 == 0) static_cast<void>(job->complete(as_payload("a result")));
    if (n % 4 == 1) static_cast<void>(job->fail("an error"));
    if (n % 4 == 2) static_cast<void>(job->reject("never"));
    if (n % 4 == 3) held.push_back(std::move(*job));
  }
  static_cast<void>(holder.cancel(ids.back()));
}

/// The scribbler's own process has no participant in it: nothing of it is at the mercy of what it writes.
class ScribbledEngine {
 public:
  ScribbledEngine() : scratch_(engine_to_scribble()), core_(scratch_.open_core()) {
    Child filler([this] {
      Engine& engine = *new Engine(scratch_.open(without_keeper));  // the process ends before it
      fill(engine);
      return 0;
    });
    if (filler.wait() != 0) throw std::runtime_error("the engine could not be filled");
  }

  const Segment& segment() const noexcept { return core_->segment; }
  const ScratchEngine& scratch() const noexcept { return scratch_; }

 private:
  ScratchEngine scratch_;
  std::shared_ptr<EngineCore> core_;
};

void look_at_everything(const Segment& segment) {
  static_cast<void>(check_invariants(segment, true));
  static_cast<void>(view_status(segment, [](std::uint32_t) { return true; }));
  for (CellIndex index = 0; index < segment.geometry().capacity; ++index) {
    if (const auto view = view_job(segment, index)) static_cast<void>(copy_payload(segment, *view));
  }
  for (std::uint32_t level = 0; level < segment.geometry().level_count + 4; ++level) {
    static_cast<void>(view_ring(segment, level));
  }
  for (std::uint32_t number = 0; number < 16; ++number) {
    static_cast<void>(segment.kinds().name_of(number));
    static_cast<void>(segment.retry_policies().name_of(number));
  }
  for (CellIndex index = 0; index < segment.geometry().capacity; ++index) {
    const StateWord word = JobTable(segment).word(index);
    static_cast<void>(find_job(segment, job_id_of(word, index)));
  }
}

/// Opens the engine, if it can be opened still, and works with it in two threads and as its keeper.
void use_everything(const std::filesystem::path& directory, std::uint64_t seed, std::chrono::milliseconds time) {
  auto engine = Engine::open(directory);
  if (!engine) return;
  const auto end = Clock::now() + time;
  std::thread second([&] { make_all_calls(*engine, seed + 1, end); });
  make_all_calls(*engine, seed, end);
  second.join();
}

void bound_memory() {
  const ::rlimit most{.rlim_cur = most_address_bytes, .rlim_max = most_address_bytes};
  if (!is_sanitized) ::setrlimit(RLIMIT_AS, &most);  // the sanitizer's own map takes terabytes
  const ::rlimit no_core{.rlim_cur = 0, .rlim_max = 0};
  ::setrlimit(RLIMIT_CORE, &no_core);
}

/// Waits for the end of a child; `meanwhile` is called again and again. A child that takes too long is killed.
ScribbleEnd end_of(Child& child, Clock::time_point begin, const std::function<void()>& meanwhile) {
  ::rusage used{};
  ScribbleEnd end;
  std::optional<int> status;
  while (!status && Clock::now() - begin < longest_round) {
    meanwhile();
    status = child.has_ended(used);
  }
  end.ms = static_cast<std::uint64_t>((Clock::now() - begin) / 1ms);
  if (!status) {
    child.kill();
    end.how = ScribbleEnd::How::hung;
    return end;
  }
  end.status = *status;
  end.most_resident_kib = static_cast<std::uint64_t>(used.ru_maxrss);
  if (end.status != 0) {
    end.how = ScribbleEnd::How::crashed;
  } else if (end.most_resident_kib > most_resident_kib) {
    end.how = ScribbleEnd::How::grew;
  }
  return end;
}

ScribbleEnd run_at_rest(const ScribbledEngine& engine, const Region& region, std::uint64_t seed) {
  Scribbler(engine.segment(), region, seed).scribble();
  const auto directory = engine.scratch().directory();
  const auto file = engine.scratch().segment_file();
  const auto begin = Clock::now();
  Child child([&] {
    bound_memory();
    logger().set_level(spdlog::level::off);
    look_at_everything(engine.segment());
    if (const auto copy = Segment::open_copy(file)) look_at_everything(*copy);
    use_everything(directory, seed, work_at_rest);
    look_at_everything(engine.segment());
    return 0;
  });
  return end_of(child, begin, [] { std::this_thread::sleep_for(1ms); });
}

ScribbleEnd run_live(const ScribbledEngine& engine, const Region& region, std::uint64_t seed) {
  Scribbler scribbler(engine.segment(), region, seed);
  const auto directory = engine.scratch().directory();
  const auto begin = Clock::now();
  Child child([&] {
    bound_memory();
    logger().set_level(spdlog::level::off);
    use_everything(directory, seed, work_live);
    look_at_everything(engine.segment());
    return 0;
  });
  return end_of(child, begin, [&] {
    if (Clock::now() - begin < 2 * work_live + 100ms) {
      scribbler.scribble_a_little();
      std::this_thread::sleep_for(200us);
    } else {
      std::this_thread::sleep_for(1ms);
    }
  });
}

}  // namespace

std::string_view name_of(ScribbleEnd::How how) noexcept {
  switch (how) {
    case ScribbleEnd::How::fine:
      return "fine";
    case ScribbleEnd::How::crashed:
      return "crashed";
    case ScribbleEnd::How::hung:
      return "hung";
    case ScribbleEnd::How::grew:
      break;
  }
  return "grew";
}

std::vector<std::string> scribbled_regions() {
  std::vector<std::string> names;
  const ScribbledEngine engine;
  for (const Region& region : regions_of(engine.segment().geometry())) names.emplace_back(region.name);
  return names;
}

ScribbleEnd run_scribble_round(ScribbleMode mode, std::string_view name, std::uint64_t seed) {
  const SharedMemoryDistrust distrust;  // of this process, and of those that it forks
  const ScribbledEngine engine;
  for (const Region& region : regions_of(engine.segment().geometry())) {
    if (region.name == name)
      return mode == ScribbleMode::live ? run_live(engine, region, seed) : run_at_rest(engine, region, seed);
  }
  throw std::runtime_error("no such region: " + std::string(name));
}

}  // namespace ringmill::test
