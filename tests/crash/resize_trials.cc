// A resize, killed or stopped after each of its system calls: what it leaves is in files only, so these are all the
// points at which that makes a difference. The engine has its old sizes afterwards, or the new ones, and every job.
#include <unistd.h>

#include <array>
#include <numeric>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "core/engine/engine_resize.h"
#include "tests/crash/trials.h"

namespace ringmill::crash {
namespace {

using State = SteppedProcess::State;

constexpr std::uint32_t old_capacity = 128;
constexpr std::uint32_t new_capacity = 1024;
constexpr std::size_t jobs = 4;

/// An engine of its own: a resize needs it alone.
class Resized {
 public:
  explicit Resized(const Stage& stage) : directory_(stage.folder / "resized") {
    static_cast<void>(Engine::remove(directory_, true));
    const auto made = Engine::create(directory_, CreateOptions{.capacity = old_capacity,
                                                               .max_payload = 16 * 1024,
                                                               .arena = 4 * least_arena_chunk_bytes,
                                                               .shm_dir = stage.shm_folder});
    is_sound_ = made.has_value() && place_jobs(stage.trial);
  }
  Resized(const Resized&) = delete;
  Resized& operator=(const Resized&) = delete;
  ~Resized() { static_cast<void>(Engine::remove(directory_, true)); }

  bool is_sound() const noexcept { return is_sound_; }
  /// In the child.
  void resize() const {
    const auto files = EngineFiles::open(directory_);
    if (!files) ::_exit(Child::could_not_prepare);
    const auto locks = files->open_locks();
    if (!locks) ::_exit(Child::could_not_prepare);
    ringmill_step_begin();
    const bool is_done = resize_alone(*files, *locks, {.capacity = new_capacity}).has_value();
    ringmill_step_end();
    if (!is_done) ::_exit(1);
  }
  void check(std::optional<std::uint32_t> capacity, std::vector<Problem>& problems) const {
    auto engine = Engine::open(directory_, OpenOptions{.embedded_keeper = false});
    if (!engine) {
      problems.push_back({Trouble::stuck, "the engine cannot be opened: " + engine.error().message()});
      return;
    }
    const std::uint32_t found = engine->status().capacity;
    const bool is_right = capacity ? found == *capacity : found == old_capacity || found == new_capacity;
    if (!is_right) problems.push_back({Trouble::leaked, fmt::format("the capacity is {}", found)});
    const auto worker = engine->attach(Role::worker);
    std::array<std::uint32_t, jobs> claims{};
    while (worker) {
      auto job = (*worker)->claim();
      if (!job) break;
      for (std::size_t n = 0; n < jobs; ++n) claims[n] += job->id() == ids_[n] ? 1 : 0;
      if (!job->complete()) problems.push_back({Trouble::stuck, "a job cannot be completed"});
    }
    for (std::size_t n = 0; n < jobs; ++n) {
      if (claims[n] == 1) continue;
      problems.push_back({claims[n] == 0 ? Trouble::lost : Trouble::doubled, fmt::format("job {} of a resize", n)});
    }
  }

 private:
  /// Inline and in the arena, in the journal and in memory only.
  bool place_jobs(std::uint64_t trial) {
    auto engine = Engine::open(directory_, OpenOptions{.embedded_keeper = false});
    if (!engine) return false;
    const auto kind = engine->kind("sweep");
    const auto level = engine->level("default");
    const auto producer = engine->attach(Role::producer);
    if (!kind || !level || !producer) return false;
    for (std::uint32_t n = 0; n < jobs; ++n) {
      const LargePayload payload = large_payload_of(trial, n);
      const auto id = (*producer)->enqueue({.kind = *kind,
                                            .level = *level,
                                            .payload = std::span(payload).first(n < 2 ? payload.size() : payload_bytes),
                                            .durability = n % 2 == 0 ? Durability::memory : Durability::journaled});
      if (!id) return false;
      ids_[n] = *id;
    }
    return true;
  }

  std::filesystem::path directory_;
  std::array<JobId, jobs> ids_{};
  bool is_sound_ = false;
};

class ResizeSubject final : public Subject {
 public:
  std::string_view name() const noexcept override { return "resize"; }

  /// One place per system call.
  std::optional<StepPath> measure(Stage& stage) override {
    const Resized resized(stage);
    if (!resized.is_sound()) return std::nullopt;
    SteppedProcess process([&resized] { resized.resize(); });
    process.run_to_begin();
    std::uint64_t calls = 0;
    while (process.step_calls(1) == State::between) ++calls;
    std::vector<Problem> problems;
    let_finish(process, problems);
    resized.check(new_capacity, problems);
    for (const Problem& problem : problems) fmt::print("  undisturbed: {}\n", problem.what);
    if (!problems.empty() || calls == 0) return std::nullopt;
    std::vector<std::uintptr_t> places(calls + 1);
    std::iota(places.begin(), places.end(), 1);
    return StepPath(std::move(places));
  }

  std::vector<Problem> try_at(Stage& stage, const StepPath&, std::uint64_t n) override {
    ++stage.trial;
    const Resized resized(stage);
    if (!resized.is_sound()) return {{Trouble::stuck, "the engine of a resize cannot be made"}};
    std::vector<Problem> problems;
    SteppedProcess process([&resized] { resized.resize(); });
    process.run_to_begin();
    process.step_calls(n);
    if (never_came(process, "process", problems)) {
      // There is nothing to try.
    } else if (stage.mode == Mode::kill) {
      process.kill();
      resized.check(std::nullopt, problems);
    } else {
      let_finish(process, problems);
      resized.check(new_capacity, problems);
    }
    return problems;
  }
};

}  // namespace

std::unique_ptr<Subject> resize_subject() { return std::make_unique<ResizeSubject>(); }

}  // namespace ringmill::crash
