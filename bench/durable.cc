// What durability costs: the bare device, one durable enqueue, many that share commits, batches that wait for the
// device, bytes per job, and how much of the disk's stream the journal uses.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "bench/clock.h"
#include "bench/engine_throughput.h"
#include "bench/message.h"
#include "bench/percentile.h"
#include "bench/process.h"
#include "bench/scratch.h"
#include "bench/shared_block.h"
#include "bench/subject.h"
#include "bench/throughput.h"
#include "bench/workload.h"

namespace ringmill::bench {
namespace {

constexpr std::size_t unit = 4096;
constexpr std::size_t big_write = 1U << 20;
constexpr std::size_t device_file_bytes = 128U << 20;

struct Free {
  void operator()(void* block) const noexcept { std::free(block); }
};
using AlignedBlock = std::unique_ptr<void, Free>;

AlignedBlock aligned_block(std::size_t bytes) {
  AlignedBlock block(std::aligned_alloc(unit, bytes));
  if (block) std::memset(block.get(), 0x5a, bytes);
  return block;
}

/// A file beside the engines, written once, so that later writes change no metadata.
class BareFile {
 public:
  explicit BareFile(const std::filesystem::path& folder) : path_(folder / "bare-device") {
    descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_DIRECT, 0600);
    const AlignedBlock block = aligned_block(big_write);
    for (std::size_t at = 0; descriptor_ >= 0 && at < device_file_bytes; at += big_write) {
      if (::pwrite(descriptor_, block.get(), big_write, static_cast<off_t>(at)) != static_cast<ssize_t>(big_write)) {
        ::close(descriptor_);
        descriptor_ = -1;
      }
    }
    if (descriptor_ >= 0) ::fsync(descriptor_);
  }
  ~BareFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
    ::unlink(path_.c_str());
  }
  BareFile(const BareFile&) = delete;
  BareFile& operator=(const BareFile&) = delete;
  int descriptor() const noexcept { return descriptor_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

std::unexpected<std::string> no_direct_writes() {
  return std::unexpected(std::string("the folder's file system takes no O_DIRECT writes: let TMPDIR name another"));
}

Measured run_bare_write(const Surroundings& surroundings) {
  const BareFile file(surroundings.scratch);
  if (file.descriptor() < 0) return no_direct_writes();
  const AlignedBlock block = aligned_block(unit);
  std::vector<double> microseconds;
  const std::uint64_t begin = now_ns();
  const auto window_ns =
      static_cast<std::uint64_t>(std::chrono::nanoseconds(surroundings.lengths.latency_spin).count());
  for (std::size_t at = 0; now_ns() - begin < window_ns; at = (at + unit) % device_file_bytes) {
    const std::uint64_t started = now_ns();
    const iovec piece{block.get(), unit};
    if (::pwritev2(file.descriptor(), &piece, 1, static_cast<off_t>(at), RWF_DSYNC) != static_cast<ssize_t>(unit)) {
      return no_direct_writes();
    }
    microseconds.push_back(static_cast<double>(now_ns() - started) / 1000);
  }
  std::ranges::sort(microseconds);
  return Outcome{.measured = std::chrono::nanoseconds(window_ns),
                 .figures = {{"p50_us", percentile(microseconds, 0.5)}, {"p99_us", percentile(microseconds, 0.99)}},
                 .notes = {{"samples", static_cast<double>(microseconds.size())}}};
}

/// One writer, big writes one after the other, the sync at the end: what the disk takes.
Measured run_bare_sequential(const Surroundings& surroundings) {
  const BareFile file(surroundings.scratch);
  if (file.descriptor() < 0) return no_direct_writes();
  const AlignedBlock block = aligned_block(big_write);
  const std::uint64_t begin = now_ns();
  for (std::size_t at = 0; at < device_file_bytes; at += big_write) {
    if (::pwrite(file.descriptor(), block.get(), big_write, static_cast<off_t>(at)) !=
        static_cast<ssize_t>(big_write)) {
      return no_direct_writes();
    }
  }
  if (::fdatasync(file.descriptor()) != 0) return std::unexpected("fdatasync failed");
  const std::uint64_t took_ns = now_ns() - begin;
  return Outcome{
      .measured = std::chrono::nanoseconds(took_ns),
      .figures = {{"bytes_per_s", static_cast<double>(device_file_bytes) * 1e9 / static_cast<double>(took_ns)}},
      .notes = {}};
}

Measured run_single(const Surroundings& surroundings) {
  auto scratch = ScratchEngine::create(surroundings.scratch, 0);
  if (!scratch) return std::unexpected(scratch.error());
  auto subject = Subject::join(scratch->directory(), Role::producer, true);
  if (!subject) return std::unexpected(subject.error());
  Message message;
  const JobRequest request{
      .kind = subject->kind, .level = subject->level, .payload = message.bytes(), .durability = Durability::durable};
  for (int warm_up = 0; warm_up < 100; ++warm_up) {
    if (auto id = subject->participant->enqueue(request); !id) return std::unexpected(id.error().message());
  }
  std::vector<double> microseconds;
  const std::uint64_t begin = now_ns();
  const auto window_ns =
      static_cast<std::uint64_t>(std::chrono::nanoseconds(surroundings.lengths.latency_spin).count());
  while (now_ns() - begin < window_ns) {
    const std::uint64_t started = now_ns();
    if (auto id = subject->participant->enqueue(request); !id) return std::unexpected(id.error().message());
    microseconds.push_back(static_cast<double>(now_ns() - started) / 1000);
  }
  const double per_second = static_cast<double>(microseconds.size()) * 1e9 / static_cast<double>(now_ns() - begin);
  std::ranges::sort(microseconds);
  return Outcome{.measured = std::chrono::nanoseconds(window_ns),
                 .figures = {{"p50_us", percentile(microseconds, 0.5)},
                             {"p99_us", percentile(microseconds, 0.99)},
                             {"jobs_per_s", per_second}},
                 .notes = {{"samples", static_cast<double>(microseconds.size())}}};
}

/// 64 threads of one process, each with one durable job at a time. No worker runs, so every job is written.
Measured run_64_waiters(const Surroundings& surroundings) {
  constexpr std::size_t waiters = 64;
  auto scratch = ScratchEngine::create(surroundings.scratch, 1'000'000);
  if (!scratch) return std::unexpected(scratch.error());
  auto engine = Engine::open(scratch->directory());
  if (!engine) return std::unexpected(engine.error().message());
  const auto kind = engine->kind("bench");
  if (!kind) return std::unexpected(kind.error().message());
  std::atomic<std::uint64_t> enqueued{0};
  std::atomic<bool> stop{false};
  std::atomic<bool> failed{false};
  {
    std::vector<std::jthread> threads;
    for (std::size_t n = 0; n < waiters; ++n) {
      threads.emplace_back([&] {
        auto participant = engine->attach(Role::producer);
        if (!participant) {
          failed.store(true);
          return;
        }
        Message message;
        const JobRequest request{.kind = *kind, .payload = message.bytes(), .durability = Durability::durable};
        while (!stop.load(std::memory_order_relaxed)) {
          if (!(*participant)->enqueue(request)) {
            failed.store(true);
            return;
          }
          enqueued.fetch_add(1, std::memory_order_relaxed);
        }
      });
    }
    std::this_thread::sleep_for(surroundings.lengths.warm_up);
    const std::uint64_t before = enqueued.load();
    const std::uint64_t begin = now_ns();
    std::this_thread::sleep_for(surroundings.lengths.throughput);
    const std::uint64_t count = enqueued.load() - before;
    const std::uint64_t took_ns = now_ns() - begin;
    stop.store(true);
    threads.clear();
    if (failed.load()) return std::unexpected("a durable enqueue failed");
    return Outcome{.measured = std::chrono::nanoseconds(took_ns),
                   .figures = {{"jobs_per_s", static_cast<double>(count) * 1e9 / static_cast<double>(took_ns)}},
                   .notes = {}};
  }
}

/// Each enqueue call is of 1000 jobs, in the engine's batches, and waits until all of them are on the device.
bool produce_durably(RunControl& control, std::size_t index, Subject& subject) {
  constexpr std::size_t call = 1000;
  std::array<Message, Participant::most_in_batch> messages{};
  std::array<JobRequest, Participant::most_in_batch> requests{};
  std::array<JobId, Participant::most_in_batch> ids{};
  for (std::size_t at = 0; at < requests.size(); ++at) {
    requests[at] = {.kind = subject.kind, .level = subject.level, .payload = messages[at].bytes()};
  }
  control.start_together();
  while (!control.stopping()) {
    for (std::size_t sent = 0; sent < call && !control.stopping();) {
      const std::size_t some = std::min(call - sent, requests.size());
      auto enqueued =
          subject.participant->enqueue_batch(std::span(requests).first(some), ids, std::chrono::milliseconds{50});
      if (!enqueued) {
        if (enqueued.error().code() == ErrorCode::timed_out) continue;
        return report_failure("enqueue_batch", enqueued.error().message());
      }
      sent += *enqueued;
    }
    if (auto durable = subject.participant->wait_durable(subject.participant->ticket(), std::chrono::seconds{10});
        !durable) {
      return report_failure("wait_durable", durable.error().message());
    }
    control.produced[index].add(call);
  }
  return true;
}

bool work_in_batches(RunControl& control, std::size_t index, Subject& subject) {
  std::array<Job, Participant::most_in_batch> jobs;
  control.start_together();
  while (!control.stopping()) {
    auto claimed = subject.participant->claim_batch(jobs, std::chrono::milliseconds{50});
    if (!claimed) {
      if (claimed.error().code() == ErrorCode::timed_out) continue;
      return report_failure("claim_batch", claimed.error().message());
    }
    const std::span<Job> held = std::span(jobs).first(*claimed);
    for (const Job& job : held) consume(job.payload());
    control.done[index].add(subject.participant->complete_batch(held));
  }
  return true;
}

Measured run_durable_batches(const Surroundings& surroundings) {
  return measure_engine(surroundings, {.produce = produce_durably, .work = work_in_batches, .notes = journal_notes});
}

/// Enqueues `count` jobs of `payload`, waits until they are durable, completes them, waits again: so every job is
/// written, and its end too. Returns the journal's bytes, and the time that the enqueueing took.
struct Written {
  double bytes;
  double enqueue_ns;
};
std::expected<Written, std::string> write_and_end(Subject& subject, std::uint64_t count,
                                                  std::span<const std::byte> payload) {
  std::array<JobRequest, Participant::most_in_batch> requests{};
  std::array<JobId, Participant::most_in_batch> ids{};
  requests.fill({.kind = subject.kind, .level = subject.level, .payload = payload});
  const std::uint64_t before = subject.engine.status().journal.bytes_written;
  const std::uint64_t begin = now_ns();
  for (std::uint64_t sent = 0; sent < count;) {
    const auto some = static_cast<std::size_t>(std::min<std::uint64_t>(count - sent, requests.size()));
    auto enqueued = subject.participant->enqueue_batch(std::span(requests).first(some), ids, std::chrono::seconds{10});
    if (!enqueued) return std::unexpected(enqueued.error().message());
    sent += *enqueued;
  }
  auto durable = subject.participant->wait_durable(subject.participant->ticket(), std::chrono::seconds{60});
  if (!durable) return std::unexpected(durable.error().message());
  const std::uint64_t enqueue_ns = now_ns() - begin;
  std::array<Job, Participant::most_in_batch> jobs;
  for (std::uint64_t done = 0; done < count;) {
    auto claimed = subject.participant->claim_batch(jobs, std::chrono::seconds{1});
    if (!claimed) return std::unexpected(claimed.error().message());
    done += subject.participant->complete_batch(std::span(jobs).first(*claimed));
  }
  durable = subject.participant->wait_durable(subject.participant->ticket(), std::chrono::seconds{60});
  if (!durable) return std::unexpected(durable.error().message());
  const std::uint64_t after = subject.engine.status().journal.bytes_written;
  return Written{static_cast<double>(after - before), static_cast<double>(enqueue_ns)};
}

Measured run_bytes_per_job(const Surroundings& surroundings) {
  constexpr std::uint64_t count = 100'000;
  auto scratch = ScratchEngine::create(surroundings.scratch, 0);
  if (!scratch) return std::unexpected(scratch.error());
  auto subject = Subject::join(scratch->directory(), Role::worker, true);
  if (!subject) return std::unexpected(subject.error());
  Message message;
  const auto written = write_and_end(*subject, count, message.bytes());
  if (!written) return std::unexpected(written.error());
  return Outcome{.measured = std::chrono::nanoseconds{static_cast<std::int64_t>(written->enqueue_ns)},
                 .figures = {{"bytes_per_job", written->bytes / static_cast<double>(count)}},
                 .notes = {}};
}

/// Jobs of 1 KiB. No worker runs meanwhile, so all are written, payload and all; over the time until the last is
/// durable. The journal has gone round all of its files before, so that none has to be made.
Measured run_payload_1k(const Surroundings& surroundings) {
  constexpr std::uint32_t count = 60'000;
  constexpr std::uint64_t bytes_of_count = std::uint64_t{count} * (1024 + 32);
  // The least limit for so many cells: two and a half times what they can hold.
  constexpr std::uint64_t limit = std::uint64_t{65'536} * 2088 * 5 / 2 + (16U << 20);
  auto scratch = ScratchEngine::create(surroundings.scratch, 65'536, 2048, limit);
  if (!scratch) return std::unexpected(scratch.error());
  auto subject = Subject::join(scratch->directory(), Role::worker, true);
  if (!subject) return std::unexpected(subject.error());
  std::array<std::byte, 1024> payload;
  payload.fill(std::byte{0x5a});
  for (std::uint64_t written = 0; written < limit + bytes_of_count; written += bytes_of_count) {
    if (auto pass = write_and_end(*subject, count, payload); !pass) return std::unexpected(pass.error());
  }
  const auto pass = write_and_end(*subject, count, payload);
  if (!pass) return std::unexpected(pass.error());
  return Outcome{.measured = std::chrono::nanoseconds(static_cast<std::int64_t>(pass->enqueue_ns)),
                 .figures = {{"bytes_per_s", static_cast<double>(bytes_of_count) * 1e9 / pass->enqueue_ns}},
                 .notes = {{"jobs_per_s", count * 1e9 / pass->enqueue_ns}}};
}

}  // namespace

std::vector<Workload> durable_workloads() {
  return {{"ref.device.write4k_durable", {"p50_us", "p99_us"}, run_bare_write},
          {"durable.single", {"p50_us", "p99_us", "jobs_per_s"}, run_single},
          {"durable.64waiters", {"jobs_per_s"}, run_64_waiters},
          {"lifecycle.durable.1p1w.batch1000", {"jobs_per_s"}, run_durable_batches},
          {"ref.device.sequential", {"bytes_per_s"}, run_bare_sequential},
          {"journal.payload1k", {"bytes_per_s"}, run_payload_1k},
          {"journal", {"bytes_per_job"}, run_bytes_per_job}};
}

}  // namespace ringmill::bench
