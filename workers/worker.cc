// The public face of a worker: it checks the options, starts the threads, and waits for them.
#include <ringmill/worker.h>

#include <sys/prctl.h>

#include <algorithm>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>

#include "core/base/exceptions.h"
#include "core/base/log.h"
#include "ipc/clock.h"
#include "ipc/futex.h"
#include "workers/worker_thread.h"

namespace ringmill {

namespace {

constexpr std::uint32_t most_threads = 512;

Error refused(const char* why) { return Error(ErrorCode::invalid_argument, why); }

}  // namespace

class Worker::Implementation {
 public:
  Implementation(Engine& engine, WorkerOptions options) : commons(engine, std::move(options)) {
    // A bad number of threads is run()'s to report.
    const std::uint32_t count = std::clamp(commons.options.threads, 1U, most_threads);
    for (std::uint32_t n = 0; n < count; ++n) threads.emplace_back(commons);
    commons.threads = &threads;
  }

  Result<void> run();
  void stop() noexcept;
  WorkerStatus status() const noexcept;

  WorkerCommons commons;

 private:
  Result<void> prepare();
  void run_thread(WorkerThread& thread) noexcept;
  void wait_for_threads(std::uint32_t started);
  void report_holdups(std::uint64_t since_stop_ns) const;
  void note_change() noexcept;
  void note_error(Error error);

  std::deque<WorkerThread> threads;
  std::atomic<bool> runs{false};
  /// Counts stop() and the ends of threads: what the caller of run() sleeps on.
  std::atomic<std::uint32_t> changes{0};
  std::atomic<std::uint32_t> ended{0};
  std::mutex error_mutex;
  std::optional<Error> first_error;
};

Result<void> Worker::Implementation::prepare() {
  const WorkerOptions& options = commons.options;
  if (options.threads < 1 || options.threads > most_threads)
    return std::unexpected(refused("a worker has 1 to 512 threads"));
  if (options.prefetch < 1 || options.prefetch > Participant::most_leases) {
    return std::unexpected(refused("prefetch is 1 to 64"));
  }
  if (options.grace < std::chrono::milliseconds{1}) return std::unexpected(refused("the grace is at least 1 ms"));
  if (options.give_up_after < std::chrono::milliseconds{1} || options.give_up_after > std::chrono::hours{24 * 365}) {
    return std::unexpected(refused("the time after which a worker gives up is 1 ms to a year"));
  }
  commons.trouble.begin(options.give_up_after);
  commons.levels.clear();
  for (const std::string& name : options.levels) {
    const auto level = commons.engine.level(name);
    if (!level) return std::unexpected(level.error());
    commons.levels.push_back(*level);
  }
  commons.idle_threads.store(0);
  commons.to_enter.store(static_cast<std::uint32_t>(threads.size()));
  ended.store(0);
  first_error.reset();
  return commons.handlers.resolve(commons.engine);
}

Result<void> Worker::Implementation::run() {
  if (runs.exchange(true)) return std::unexpected(Error(ErrorCode::busy, "this worker runs already"));
  struct Ran {
    std::atomic<bool>& runs;
    ~Ran() { runs.store(false); }
  } const ran{runs};
  if (auto prepared = prepare(); !prepared) return prepared;
  std::vector<std::thread> started;
  try {
    started.reserve(threads.size());
    for (WorkerThread& thread : threads) started.emplace_back([this, &thread] { run_thread(thread); });
  } catch (const std::exception& thrown) {  // those that are started are joined
    note_error(error_of(thrown));
  }
  wait_for_threads(static_cast<std::uint32_t>(started.size()));
  for (std::thread& thread : started) thread.join();
  if (first_error) return std::unexpected(*first_error);
  return {};
}

void Worker::Implementation::run_thread(WorkerThread& thread) noexcept {
  ::prctl(PR_SET_NAME, "ringmill-worker");
  try {
    if (auto ran = thread.run(); !ran) note_error(ran.error());
  } catch (const std::exception& thrown) {  // its jobs went back when the thread let go of its participant
    note_error(error_of(thrown));
  }
  ended.fetch_add(1);
  note_change();
}

void Worker::Implementation::note_error(Error error) {
  {
    const std::lock_guard lock(error_mutex);
    if (!first_error) first_error.emplace(std::move(error));
  }
  stop();
}

void Worker::Implementation::wait_for_threads(std::uint32_t started) {
  const auto grace_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(commons.options.grace).count());
  std::uint64_t stopped_ns = 0;
  std::uint64_t report_ns = 0;
  while (true) {
    const std::uint32_t seen = changes.load();
    if (ended.load() == started) return;
    if (!commons.stopping.load()) {
      futex_wait(changes, seen, no_timeout);
      continue;
    }
    const std::uint64_t now_ns = steady_clock_ns();
    if (stopped_ns == 0) {
      stopped_ns = now_ns;
      report_ns = now_ns + grace_ns;
    } else if (now_ns >= report_ns) {
      report_holdups(now_ns - stopped_ns);
      report_ns = now_ns + grace_ns;
    }
    futex_wait(changes, seen, report_ns - now_ns);
  }
}

void Worker::Implementation::report_holdups(std::uint64_t since_stop_ns) const {
  for (const WorkerThread& thread : threads) {
    const JobId id = thread.current_job();
    if (!id) continue;
    log().warn(
        "the worker was told to stop {} ms ago and waits for the handler of job {}; killing the process hands the job "
        "to "
        "another worker",
        since_stop_ns / 1'000'000, id.to_string());
  }
}

void Worker::Implementation::stop() noexcept {
  commons.stopping.store(true);
  commons.stop_word.store(1);
  futex_wake(commons.stop_word, std::numeric_limits<int>::max());
  commons.visitors.fetch_add(1);
  for (WorkerThread& thread : threads) thread.wake();
  commons.visitors.fetch_sub(1);
  note_change();
}

void Worker::Implementation::note_change() noexcept {
  changes.fetch_add(1);
  futex_wake(changes, 1);
}

WorkerStatus Worker::Implementation::status() const noexcept {
  WorkerStatus sum;
  for (const WorkerThread& thread : threads) thread.add_to(sum);
  return sum;
}

Worker::Worker(Engine& engine, WorkerOptions options)
    : implementation_(std::make_unique<Implementation>(engine, std::move(options))) {}

Worker::~Worker() = default;

Worker& Worker::on(std::string_view kind, Handler handler) {
  implementation_->commons.handlers.add(kind, std::move(handler));
  return *this;
}

Worker& Worker::on_any(Handler handler) {
  implementation_->commons.handlers.add_default(std::move(handler));
  return *this;
}

Result<void> Worker::run() try { return implementation_->run(); } catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

void Worker::stop() noexcept { implementation_->stop(); }
WorkerStatus Worker::status() const noexcept { return implementation_->status(); }

}  // namespace ringmill
