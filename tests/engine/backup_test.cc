// A backup of an engine that goes on meanwhile: what is in it, and what a kill leaves.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/dead_letters/store.h"
#include "core/durability/journal_copy.h"
#include "core/durability/live_jobs.h"
#include "core/durability/recovery.h"
#include "core/engine/engine_backup.h"
#include "core/inspect/job_view.h"
#include "core/instance/engine_files.h"
#include "core/journal/read_only_device.h"
#include "core/journal/reader.h"
#include "core/schedules/schedule_book.h"
#include "tests/crash/single_step.h"
#include "tests/engine/jobs_of_all_sorts.h"
#include "tests/support/core_test.h"
#include "tests/support/log_capture.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;
using crash::SteppedProcess;

CreateOptions options_of_backups() {
  CreateOptions options = small_engine_with_room();
  options.capacity = 256;
  options.max_payload = 64 * 1024;
  options.arena = 4 * 64 * 1024;
  return options;
}

std::filesystem::path place_for_backup(const ScratchEngine& scratch) {
  return scratch.directory().parent_path() / "backup";
}

/// The copy's memory stands in the original's folder, which the test removes.
Engine open_backup(const ScratchEngine& scratch) {
  return must(Engine::open(place_for_backup(scratch), OpenOptions{}));
}

TEST(Backup, each_job_of_whatever_sort_is_in_it_under_its_id_and_runs) {
  const ScratchEngine scratch(options_of_backups());
  Engine engine = scratch.open(OpenOptions{});
  const JobsOfAllSorts jobs(engine);
  const LogCapture log;
  const BackupReport report = must(back_up_engine(scratch.directory(), place_for_backup(scratch)));
  EXPECT_EQ(report.jobs, 16U);
  EXPECT_EQ(report.memory_jobs, 8U);
  EXPECT_TRUE(report.damage.empty());
  jobs.expect_in(engine);
  Engine copy = open_backup(scratch);
  EXPECT_NE(copy.status().engine_id, engine.status().engine_id);
  jobs.expect_in(copy, 1ms);
  jobs.expect_to_run(copy);
  jobs.expect_in(engine);
  jobs.expect_to_run(engine);
  EXPECT_FALSE(log.has("damage")) << testing::PrintToString(log.messages());
}

TEST(Backup, what_a_worker_runs_waits_in_it) {
  World world(options_of_backups(), OpenOptions{});
  const auto worker = world.attach();
  JobRequest request = world.request("held");
  for (const Durability durability : {Durability::memory, Durability::journaled}) {
    request.durability = durability;
    must(worker->enqueue(request));
  }
  std::vector<Job> held;
  for (int n = 0; n < 2; ++n) held.push_back(must(worker->claim(generous)));
  must(back_up_engine(world.scratch.directory(), place_for_backup(world.scratch)));
  Engine copy = open_backup(world.scratch);
  const auto other = must(copy.attach(Role::worker));
  for (int n = 0; n < 2; ++n) {
    Job job = must(other->claim(generous));
    EXPECT_EQ(as_text(job.payload()), "held");
    must(job.complete());
  }
  for (Job& job : held) must(job.complete());
}

TEST(Backup, dead_letters_schedules_and_what_is_paused_are_in_it) {
  World world(options_of_backups(), OpenOptions{});
  const auto worker = world.attach();
  const JobId dead = world.enqueue(*worker, "poison");
  must(must(worker->claim(generous)).reject("never"));
  const auto& directory = world.scratch.directory();
  const auto find = [dead](const std::filesystem::path& of) {
    const auto store = DeadLetterStore::open(of, DeadLetterStore::Access::read_only);
    return store && store->find(dead).has_value();
  };
  ASSERT_TRUE(await([&] { return find(directory); }));
  must(world.engine.pause(must(world.engine.kind("poisonous"))));
  must(ScheduleBook(directory).add(
      {.name = "nightly", .times = EveryTimes{24h}, .kind = "report", .level = "default", .payload = "all"},
      std::chrono::system_clock::now()));
  const BackupReport report = must(back_up_engine(directory, place_for_backup(world.scratch)));
  EXPECT_EQ(report.letters, 1U);
  EXPECT_TRUE(find(place_for_backup(world.scratch)));
  const Engine copy = open_backup(world.scratch);
  const auto is_paused = [](const KindStatus& kind) { return kind.name == "poisonous" && kind.paused; };
  EXPECT_TRUE(std::ranges::any_of(copy.status().kinds, is_paused));
  const Schedule copied = must(ScheduleBook(place_for_backup(world.scratch)).find("nightly"));
  EXPECT_EQ(copied.payload, "all");
}

/// Jobs come and go, and the journal's files are used again and again.
class Load {
 public:
  explicit Load(Engine& engine) : engine_(&engine) {
    for (int n = 0; n < 2; ++n) threads_.emplace_back([this] { produce(); });
    threads_.emplace_back([this] { work(); });
  }
  ~Load() { end(); }
  Load(const Load&) = delete;
  Load& operator=(const Load&) = delete;

  void end() {
    is_ending_ = true;
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }
  /// Jobs that are durable.
  std::vector<JobId> durable() const {
    const std::lock_guard lock(mutex_);
    return durable_;
  }

 private:
  void produce() {
    const auto producer = must(engine_->attach(Role::producer));
    const std::string payload(1500, 'p');
    const std::vector<JobRequest> batch(
        20,
        {.kind = must(engine_->kind("k")), .level = must(engine_->level("default")), .payload = as_payload(payload)});
    while (!is_ending_) {
      std::vector<JobId> ids(batch.size());
      const auto many = producer->enqueue_batch(batch, ids);
      if (!many) {
        std::this_thread::sleep_for(1ms);
        continue;
      }
      must(producer->wait_durable(producer->ticket(), generous));
      const std::lock_guard lock(mutex_);
      durable_.insert(durable_.end(), ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(*many));
    }
  }
  /// Completes most jobs; some stay, so that compaction has something to copy.
  void work() {
    const auto worker = must(engine_->attach(Role::worker));
    for (std::uint64_t n = 0; !is_ending_; ++n) {
      auto job = worker->claim(10ms);
      if (!job) continue;
      if (n % 50 == 0) {
        must(job->retry_in(1h, "later"));
      } else {
        must(job->complete());
      }
    }
  }

  Engine* engine_;
  std::atomic<bool> is_ending_{false};
  mutable std::mutex mutex_;
  std::vector<JobId> durable_;
  std::vector<std::thread> threads_;
};

TEST(Backup, of_an_engine_at_work_holds_each_durable_job_that_has_not_ended) {
  CreateOptions options = small_engine();
  options.capacity = 2000;
  options.cell_size = 2048;
  const ScratchEngine scratch(options);
  Engine engine = scratch.open(OpenOptions{});
  Load load(engine);
  for (int n = 0; n < 2; ++n) {
    const auto written = [&engine] { return engine.statistics().journal.bytes_written; };
    const std::uint64_t before = written();
    ASSERT_TRUE(await([&] { return written() > before + (std::uint64_t{4} << 20); }));
    const std::vector<JobId> durable = load.durable();
    std::filesystem::remove_all(place_for_backup(scratch));
    const BackupReport report = must(back_up_engine(scratch.directory(), place_for_backup(scratch)));
    EXPECT_TRUE(report.damage.empty()) << testing::PrintToString(report.damage);
    Engine copy = open_backup(scratch);
    std::uint64_t stood = 0;
    for (const JobId id : durable) {
      if (!engine.job(id) || is_over(must(engine.job(id)).state)) continue;  // it may be over in the copy, too
      ++stood;
      EXPECT_TRUE(copy.job(id) && !is_over(must(copy.job(id)).state)) << id.to_string();
    }
    EXPECT_GT(stood, 10U);
  }
}

/// Before each read of the journal something else happens.
class DisturbedDevice final : public JournalDevice {
 public:
  DisturbedDevice(ReadOnlyDevice device, std::function<void()> disturb)
      : device_(std::move(device)), disturb_(std::move(disturb)) {}

  std::string_view mode() const noexcept override { return device_.mode(); }
  Result<std::vector<SlotNumber>> slots() override { return device_.slots(); }
  Result<std::uint64_t> bytes_of(SlotNumber slot) override { return device_.bytes_of(slot); }
  Result<void> read(SlotNumber slot, std::uint64_t offset, std::span<std::byte> to) override {
    disturb_();
    return device_.read(slot, offset, to);
  }
  Result<void> prepare(SlotNumber slot, std::uint64_t bytes) override { return device_.prepare(slot, bytes); }
  Result<void> remove(SlotNumber slot) override { return device_.remove(slot); }
  Result<bool> try_fence(SlotNumber slot) override { return device_.try_fence(slot); }
  void release(SlotNumber slot) noexcept override { device_.release(slot); }
  Result<void> sync(SlotNumber slot) override { return device_.sync(slot); }
  Result<std::vector<std::span<std::byte>>> buffers(std::size_t count, std::size_t bytes) override {
    return device_.buffers(count, bytes);
  }
  void submit(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data, std::uint64_t token) override {
    device_.submit(slot, offset, data, token);
  }
  void collect(std::vector<WriteOutcome>& outcomes, std::chrono::nanoseconds wait) override {
    device_.collect(outcomes, wait);
  }
  void wake() noexcept override { device_.wake(); }

 private:
  ReadOnlyDevice device_;
  std::function<void()> disturb_;
};

TEST(JournalCopy, takes_no_segment_whose_file_was_used_again_meanwhile) {
  CreateOptions options = small_engine();
  options.capacity = 2000;
  options.cell_size = 2048;
  const ScratchEngine scratch(options);
  Engine engine = scratch.open(OpenOptions{});
  const auto participant = must(engine.attach(Role::worker));
  const std::string payload(1900, 'p');
  const Kind kind = must(engine.kind("k"));
  const Level level = must(engine.level("default"));
  const JobOptions later{.delay = 1h};
  constexpr std::uint64_t standing = 100;
  for (std::uint64_t n = 0; n < standing; ++n) {
    must(participant->enqueue({.kind = kind, .level = level, .payload = as_payload(payload), .options = later}));
  }
  const std::vector<JobRequest> batch(64, {.kind = kind, .level = level, .payload = as_payload(payload)});
  std::vector<JobId> ids(batch.size());
  const auto write_on = [&] {
    for (int n = 0; n < 16; ++n) must(participant->enqueue_batch(batch, ids));
    must(participant->wait_durable(participant->ticket(), generous));
    while (auto job = participant->claim()) must(job->complete());
  };
  for (int n = 0; n < 25; ++n) write_on();  // until files are used again
  int disturbances = 0;
  const auto files = must(EngineFiles::open(scratch.directory()));
  DisturbedDevice device(must(ReadOnlyDevice::open(must(files.open_journal_folder()))), [&] {
    if (++disturbances <= 60) write_on();
  });
  const auto to = scratch.directory().parent_path() / "copy";
  std::filesystem::create_directory(to);
  const Directory folder = must(Directory::open(to));
  const JournalCopy copy = must(copy_journal(device, files.journal_id(), files.journal_geometry(), folder, 0600));
  EXPECT_GT(copy.rounds, 1U) << "no file was used again: this test has seen nothing";
  LiveJobs jobs;
  ReadOnlyDevice copied = must(ReadOnlyDevice::open(folder));
  const auto read = must(read_journal(copied, files.journal_id(), jobs));
  EXPECT_TRUE(read.damage.empty()) << text_of(read.damage.front());
  EXPECT_FALSE(read.torn_tail);
  EXPECT_GE(jobs.count(), standing);
}

TEST(Backup, a_place_that_is_taken_is_refused_and_stays_as_it_is) {
  const ScratchEngine scratch(options_of_backups());
  const auto place = place_for_backup(scratch);
  std::filesystem::create_directory(place);
  must(back_up_engine(scratch.directory(), place));  // it was empty
  EXPECT_EQ(code_of(back_up_engine(scratch.directory(), place)), ErrorCode::already_exists);
  EXPECT_EQ(code_of(back_up_engine(scratch.directory(), scratch.directory())), ErrorCode::already_exists);
  static_cast<void>(open_backup(scratch));
}

TEST(KilledBackup, leaves_nothing_or_the_whole_and_the_next_one_cleans_up) {
  const ScratchEngine scratch(options_of_backups());
  const auto place = place_for_backup(scratch);
  Engine engine = scratch.open(OpenOptions{});
  const JobsOfAllSorts jobs(engine);
  const auto beside = [&] {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(place.parent_path())) {
      if (entry.path().filename().string().starts_with("backup")) names.push_back(entry.path().filename().string());
    }
    return names;
  };
  std::uint64_t halves = 0;
  std::uint64_t n = 0;
  for (auto state = SteppedProcess::State::between; state == SteppedProcess::State::between; n += 5) {
    SteppedProcess process([&] {
      ringmill_step_begin();
      const bool done = back_up_engine(scratch.directory(), place).has_value();
      ringmill_step_end();
      if (!done) ::_exit(1);
    });
    process.run_to_begin();
    state = process.step_calls(n);
    ASSERT_TRUE(state == SteppedProcess::State::between || state == SteppedProcess::State::at_end)
        << "call " << n << ": " << process.ending();
    process.kill();
    if (std::filesystem::exists(place)) {
      jobs.expect_in(open_backup(scratch), 1ms);
      must(Engine::remove(place));
    } else {
      halves += beside().size();
    }
  }
  EXPECT_GT(n, 100U) << "a backup has more calls than that";
  EXPECT_GT(halves, 10U);
  must(back_up_engine(scratch.directory(), place));
  EXPECT_EQ(beside(), std::vector<std::string>{"backup"});
}

}  // namespace
}  // namespace ringmill::test
