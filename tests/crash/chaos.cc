// Chaos: producers, workers and a keeper under full load, killed and stopped at random. A ledger outside of the engine
// says afterwards whether each acknowledged job was ended exactly once.
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/core.h>

#include "core/inspect/invariants.h"
#include "core/inspect/job_view.h"
#include "core/inspect/status_view.h"
#include "tests/crash/fail_once.h"
#include "tests/support/child.h"
#include "tests/support/levels.h"
#include "tests/support/must.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;
using Random = std::mt19937_64;

constexpr std::uint64_t most_serials = 1 << 22;
constexpr auto lease = 500ms;
constexpr auto patience = 60s;

struct Row {
  std::atomic<std::uint64_t> id{0};
  std::atomic<std::uint8_t> acknowledged{0};
  std::atomic<std::uint8_t> runs{0};
  /// Calls that may end the job and whose answer is not written down yet. Not 0 at the end: the caller was killed.
  std::atomic<std::uint8_t> ending{0};
  std::atomic<std::uint8_t> ended{0};
};

struct Ledger {
  std::atomic<std::uint64_t> next{0};
  /// In a run with a time serials are spread over the whole of it, in bursts that fill the table.
  std::atomic<std::uint64_t> allowed{0};
  std::atomic<bool> producers_stop{false};
  std::atomic<bool> workers_stop{false};
  std::atomic<bool> keeper_stops{false};
  std::array<Row, most_serials> rows{};
};

struct Options {
  std::uint64_t seconds = 10;
  std::uint64_t seed = std::random_device{}();
  std::uint64_t jobs = 0;
  std::uint32_t capacity = 4096;
  bool kills = true;
  bool cramped = false;  // in a small tmpfs that another program fills and empties all the time
};

Options read_options(int count, char** words) {
  Options options;
  for (int at = 1; at < count; ++at) {
    const std::string_view word = words[at];
    if (word == "--no-kills") {
      options.kills = false;
      continue;
    }
    if (word == "--cramped") {
      options.cramped = true;
      continue;
    }
    if (at + 1 == count) throw std::runtime_error("chaos: a value is missing after " + std::string(word));
    const std::uint64_t value = std::stoull(words[++at]);
    if (word == "--seconds")
      options.seconds = value;
    else if (word == "--seed")
      options.seed = value;
    else if (word == "--jobs")
      options.jobs = value;
    else if (word == "--capacity")
      options.capacity = static_cast<std::uint32_t>(value);
    else
      throw std::runtime_error("chaos: unknown option " + std::string(word));
  }
  if (options.jobs > most_serials) throw std::runtime_error(fmt::format("chaos: at most {} jobs", most_serials));
  return options;
}

/// Entries of the killed are free again only after the keeper has seen them.
std::unique_ptr<Participant> attach(Engine& engine, Role role) {
  const auto bound = Clock::now() + patience;
  while (true) {
    auto participant = engine.attach(role);
    const bool may_be_had_later = !participant && (participant.error().code() == ErrorCode::too_many_participants ||
                                                   participant.error().code() == ErrorCode::no_space);
    if (!may_be_had_later || Clock::now() > bound) return must(std::move(participant));
    std::this_thread::sleep_for(10ms);
  }
}

void end_by_cancel(Participant& participant, Row& row, JobId id) {
  row.ending.fetch_add(1);
  if (must(participant.cancel(id)) == Cancelled::before_start) row.ended.fetch_add(1);
  row.ending.fetch_sub(1);
}

int produce(Ledger& ledger, const ScratchEngine& scratch, std::uint64_t limit, std::uint64_t seed) {
  Random random(seed);
  Engine engine = scratch.open();
  auto participant = attach(engine, Role::producer);
  const Kind kind = must(engine.kind("chaos"));
  while (!ledger.producers_stop.load() && ledger.next.load() < limit) {
    if (ledger.next.load() >= ledger.allowed.load()) {
      std::this_thread::sleep_for(1ms);
      continue;
    }
    const std::uint64_t wanted = random() % 2 == 0 ? 1 : 1 + random() % Participant::most_in_batch;
    const std::uint64_t first = ledger.next.fetch_add(wanted);
    if (first >= limit) return 0;
    const std::uint64_t count = std::min(wanted, limit - first);
    std::array<std::uint64_t, Participant::most_in_batch> serials{};
    std::array<JobId, Participant::most_in_batch> ids{};
    std::vector<JobRequest> requests;
    for (std::uint64_t n = 0; n < count; ++n) {
      serials[n] = first + n;
      requests.push_back({.kind = kind,
                          .level = level_at(engine, random() % engine.level_count()),
                          .payload = std::as_bytes(std::span(&serials[n], 1))});
    }
    for (std::uint64_t done = 0; done < count && !ledger.producers_stop.load();) {
      std::uint64_t placed = 0;
      if (count == 1) {
        auto id = participant->enqueue(requests[0], 50ms);
        if (!id && id.error().code() != ErrorCode::timed_out) must(std::move(id));
        if (id) ids[0] = *id, placed = 1;
      } else {
        auto went = participant->enqueue_batch(std::span(requests).subspan(done), std::span(ids).subspan(done), 50ms);
        if (!went && went.error().code() != ErrorCode::timed_out) must(std::move(went));
        if (went) placed = *went;
      }
      for (std::uint64_t n = done; n < done + placed; ++n) {
        Row& row = ledger.rows[serials[n]];
        row.id.store(ids[n].value());
        row.acknowledged.store(1);
        if (random() % 64 == 0) end_by_cancel(*participant, row, ids[n]);
      }
      done += placed;
    }
  }
  return 0;
}

Row& row_of(Ledger& ledger, const Job& job) {
  std::uint64_t serial = most_serials;
  if (job.payload().size() == sizeof(serial)) std::memcpy(&serial, job.payload().data(), sizeof(serial));
  if (serial >= most_serials) throw std::runtime_error("a payload is not what its producer wrote");
  return ledger.rows[serial];
}

void settle(Row& row, Job& job, Random& random) {
  const auto choice = random() % 64;
  Result<void> answer{};
  if (choice == 0) {
    answer = fail_once(job);
  } else if (choice == 1) {
    answer = job.release();
  } else {
    if (choice < 4) answer = job.extend(lease);
    if (answer) {
      row.ending.fetch_add(1);
      answer = job.complete();
      if (answer) row.ended.fetch_add(1);
      row.ending.fetch_sub(1);
    }
  }
  if (!answer && answer.error().code() != ErrorCode::lease_lost) must(std::move(answer));
}

/// If not all had their leases, the call does not say which: those rows stay `ending`, and the job itself is asked at
/// the end.
void complete_all(Participant& participant, std::span<Job> jobs, std::span<Row*> rows) {
  for (Row* row : rows) row->ending.fetch_add(1);
  if (participant.complete_batch(jobs) != jobs.size()) return;
  for (Row* row : rows) {
    row->ended.fetch_add(1);
    row->ending.fetch_sub(1);
  }
}

int work(Ledger& ledger, const ScratchEngine& scratch, std::uint64_t seed) {
  Random random(seed);
  Engine engine = scratch.open();
  auto participant = attach(engine, Role::worker);
  std::array<Job, Participant::most_in_batch> jobs;
  std::array<Row*, Participant::most_in_batch> rows{};
  while (!ledger.workers_stop.load()) {
    std::size_t count = 0;
    if (random() % 2 == 0) {
      auto job = participant->claim(50ms);
      if (!job && job.error().code() != ErrorCode::timed_out && job.error().code() != ErrorCode::would_block) {
        must(std::move(job));
      }
      if (job) jobs[0] = *std::move(job), count = 1;
    } else {
      // What claim() took in advance counts among the leases that a batch may fill.
      participant->release_prefetched();
      auto claimed = participant->claim_batch(std::span(jobs).first(1 + random() % jobs.size()), 50ms);
      const bool none = !claimed && (claimed.error().code() == ErrorCode::timed_out ||
                                     claimed.error().code() == ErrorCode::would_block);
      if (!none) count = must(std::move(claimed));
    }
    for (std::size_t n = 0; n < count; ++n) {
      rows[n] = &row_of(ledger, jobs[n]);
      rows[n]->id.store(jobs[n].id().value());
      rows[n]->runs.fetch_add(1);
    }
    if (count > 1 && random() % 2 == 0) {
      complete_all(*participant, std::span(jobs).first(count), std::span(rows).first(count));
    } else {
      for (std::size_t n = 0; n < count; ++n) settle(*rows[n], jobs[n], random);
    }
  }
  return 0;
}

int keep(Ledger& ledger, const ScratchEngine& scratch) {
  const Engine engine = scratch.open();
  while (!ledger.keeper_stops.load()) std::this_thread::sleep_for(20ms);
  return 0;
}

/// The other program in the engine's tmpfs: fills it, waits a little, empties it.
class Filler {
 public:
  Filler(std::filesystem::path file, std::uint64_t seed)
      : file_(std::move(file)), random_(seed), thread_([this] { run(); }) {}
  Filler(const Filler&) = delete;
  Filler& operator=(const Filler&) = delete;
  ~Filler() {
    stop_.store(true);
    thread_.join();
  }

 private:
  void run() {
    const std::vector<char> block(64 * 1024, 'x');
    while (!stop_.load()) {
      {
        std::ofstream file(file_, std::ios::binary | std::ios::trunc);
        while (!stop_.load() && file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
        }
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(random_() % 100));
      std::filesystem::resize_file(file_, 0);
      std::this_thread::sleep_for(std::chrono::milliseconds(random_() % 200));
    }
    std::filesystem::remove(file_);
  }

  std::filesystem::path file_;
  Random random_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

class Chaos {
 public:
  explicit Chaos(const Options& options)
      : options_(options),
        limit_(options.jobs != 0 ? options.jobs : most_serials),
        is_timed_(options.jobs == 0 || options.kills),
        random_(options.seed),
        scratch_(engine_options(options), options.cramped ? "size=24m" : nullptr) {
    if (options.cramped) filler_.emplace(scratch_.place().shm_dir() / "filler", random_());
    if (!is_timed_) ledger_->allowed.store(limit_);
    if (options.seconds == 0) throw std::runtime_error("chaos: --seconds is at least 1");
    for (std::size_t n = 0; n < places_.size(); ++n) start(n);
  }

  int run() {
    const auto began = Clock::now();
    const auto end = began + std::chrono::seconds(options_.seconds);
    while (is_timed_ ? Clock::now() < end : ledger_->next.load() < limit_) {
      std::this_thread::sleep_for(20ms);
      const std::chrono::duration<double> elapsed = Clock::now() - began;
      const double share = std::min(1.0, elapsed.count() / static_cast<double>(options_.seconds));
      if (is_timed_) ledger_->allowed.store(static_cast<std::uint64_t>(share * static_cast<double>(limit_)));
      resume(false);
      if (options_.kills) strike();
    }
    resume(true);
    filler_.reset();
    if (options_.jobs == 0)
      ledger_->producers_stop.store(true);
    else
      ledger_->allowed.store(limit_);
    finish(0, 8);
    const auto core = scratch_.open_core();
    const std::uint64_t stuck = drain(*core);
    ledger_->workers_stop.store(true);
    finish(8, 16);
    const bool sound = settled(*core);
    ledger_->keeper_stops.store(true);
    finish(16, 17);
    const std::chrono::duration<double> took = Clock::now() - began;
    return report(*core, took.count(), stuck) && sound && failures_ == 0 ? 0 : 1;
  }

 private:
  struct Place {
    std::unique_ptr<Child> child;
    Clock::time_point resume_at{};
    bool stopped = false;
  };

  static CreateOptions engine_options(const Options& options) {
    CreateOptions made = small_engine();
    made.capacity = options.capacity;
    made.lease = lease;
    if (options.cramped) {
      made.capacity = 16'384;
      made.cell_size = 1024;
      made.keep_memory = 20ms;
    }
    return made;
  }

  static std::size_t role_of(std::size_t n) { return n / 8; }

  void start(std::size_t n) {
    const std::uint64_t seed = random_();
    places_[n].stopped = false;
    places_[n].child = std::make_unique<Child>([this, n, seed] {
      try {
        if (role_of(n) == 0) return produce(*ledger_, scratch_, limit_, seed);
        if (role_of(n) == 1) return work(*ledger_, scratch_, seed);
        return keep(*ledger_, scratch_);
      } catch (const std::exception& error) {
        fmt::print(stderr, "process {} failed: {}\n", n, error.what());
        return 1;
      }
    });
  }

  static bool has_ended(const Child& child) {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(child.pid()), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
  }

  void take_end(std::size_t n) {
    const int status = places_[n].child->wait();
    if (status == 0) return;
    ++failures_;
    fmt::print(stderr, "process {} ended by itself with {}\n", n, status);
  }

  void resume(bool all) {
    for (Place& place : places_) {
      if (!place.stopped || (!all && Clock::now() < place.resume_at)) continue;
      place.child->go_on();
      place.stopped = false;
    }
  }

  void strike() {
    const std::size_t n = random_() % places_.size();
    Place& place = places_[n];
    if (has_ended(*place.child)) {
      take_end(n);
    } else if (random_() % 5 == 0) {
      if (place.stopped) return;
      place.child->stop();
      place.stopped = true;
      place.resume_at = Clock::now() + std::chrono::milliseconds(random_() % (2 * lease.count()));
      return;
    } else {
      place.child->kill();
      ++killed_[role_of(n)];
    }
    start(n);
  }

  /// Processes that were told to end, or have nothing left to do, must end.
  void finish(std::size_t from, std::size_t to) {
    const auto bound = Clock::now() + patience;
    for (std::size_t n = from; n < to; ++n) {
      while (!has_ended(*places_[n].child) && Clock::now() < bound) std::this_thread::sleep_for(5ms);
      if (has_ended(*places_[n].child)) {
        take_end(n);
        continue;
      }
      ++failures_;
      fmt::print(stderr, "process {} does not end\n", n);
      places_[n].child->kill();
    }
  }

  static std::uint64_t waiting(const EngineCore& core) {
    std::uint64_t count = 0;
    for (const LevelStatus& level : view_status(core.segment, [](std::uint32_t) { return true; }).levels) {
      count += level.queued + level.running;
    }
    return count;
  }

  std::uint64_t drain(const EngineCore& core) {
    const auto bound = Clock::now() + patience;
    while (waiting(core) != 0 && Clock::now() < bound) std::this_thread::sleep_for(20ms);
    return waiting(core);
  }

  /// The keeper needs a scan after the last process left.
  bool settled(const EngineCore& core) {
    const auto bound = Clock::now() + patience;
    auto broken = check_invariants(core.segment, true);
    while (!broken.empty() && Clock::now() < bound) {
      std::this_thread::sleep_for(100ms);
      broken = check_invariants(core.segment, true);
    }
    for (const std::string& sentence : broken) fmt::print(stderr, "broken: {}\n", sentence);
    return broken.empty();
  }

  bool report(const EngineCore& core, double seconds, std::uint64_t stuck) {
    std::uint64_t jobs = 0;
    std::uint64_t lost = 0;
    std::uint64_t doubled = 0;
    for (std::uint64_t serial = 0; serial < std::min(ledger_->next.load(), limit_); ++serial) {
      const Row& row = ledger_->rows[serial];
      if (row.ended.load() > 1) ++doubled;
      if (row.acknowledged.load() == 0) {
        // Without kills every serial is acknowledged, unless the time was over.
        if (!options_.kills && options_.jobs != 0) ++lost;
        continue;
      }
      ++jobs;
      if (row.ended.load() != 0) continue;
      const auto info = find_job(core.segment, JobId(row.id.load()));
      const bool over = info && info->state == JobState::ended;
      if (row.ending.load() != 0 && over) continue;
      ++lost;
      fmt::print(stderr, "lost: serial {}, job {}, runs {}\n", serial, JobId(row.id.load()).to_string(),
                 row.runs.load());
    }
    fmt::print(
        "{{\"seconds\":{:.1f},\"jobs\":{},\"killed\":{{\"producer\":{},\"worker\":{},\"keeper\":{}}},"
        "\"lost\":{},\"doubled\":{},\"stuck\":{}}}\n",
        seconds, jobs, killed_[0], killed_[1], killed_[2], lost, doubled, stuck);
    return lost == 0 && doubled == 0 && stuck == 0;
  }

  Options options_;
  std::uint64_t limit_;
  bool is_timed_;  // jobs come over the whole time instead of as fast as they can
  Random random_;
  ScratchEngine scratch_;
  std::optional<Filler> filler_;
  SharedBlock<Ledger> ledger_;
  std::array<Place, 17> places_{};
  std::array<std::uint64_t, 3> killed_{};
  std::uint64_t failures_ = 0;
};

}  // namespace
}  // namespace ringmill::test

int main(int count, char** words) {
  try {
    const auto options = ringmill::test::read_options(count, words);
    fmt::print("seed {}\n", options.seed);
    std::fflush(stdout);
    return ringmill::test::Chaos(options).run();
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
