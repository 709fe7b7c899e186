// The journal under an engine in trouble: a disk that is full, a folder that is gone; and a journal that goes round its
// files many times.
#include <fstream>

#include "tests/support/core_test.h"
#include "tests/support/log_capture.h"
#include "tests/support/small_tmpfs.h"

namespace ringmill::test {
namespace {

constexpr std::uint64_t small_limit = std::uint64_t{4} << 20;

JobRequest plain_request(Engine& engine, std::string_view payload, Durability durability) {
  return {.kind = must(engine.kind("k")),
          .level = must(engine.level("default")),
          .payload = as_payload(payload),
          .durability = durability};
}

/// An engine whose directory lies on a tmpfs of six mebibytes, which a ballast file can fill.
class FullDisk : public testing::Test {
 protected:
  void SetUp() override {
    if (!disk_.is_mounted()) GTEST_SKIP() << "only root can mount a small tmpfs";
    CreateOptions options = small_engine();
    options.shm_dir = shm_.path();
    options.cell_size = 256;
    options.journal_limit = small_limit;
    must(Engine::create(directory(), options));
  }

  std::filesystem::path directory() const { return disk_.path() / "engine"; }
  std::filesystem::path ballast() const { return disk_.path() / "ballast"; }
  void fill_disk() const {
    std::ofstream file(ballast(), std::ios::binary);
    const std::string block(65536, 'x');
    while (file.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
  }

 private:
  SmallTmpfs disk_{"size=6m"};
  ScratchFolder shm_{"/dev/shm"};
};

TEST_F(FullDisk, refuses_durable_jobs_with_a_clear_error_and_takes_others) {
  fill_disk();
  Engine engine = must(Engine::open(directory()));
  const auto producer = must(engine.attach(Role::producer));
  EXPECT_EQ(code_of(producer->enqueue(plain_request(engine, "x", Durability::durable))), ErrorCode::no_space);
  EXPECT_TRUE(producer->enqueue(plain_request(engine, "y", Durability::memory)).has_value());
  EXPECT_EQ(engine.status().journal.last_error, "No space left on device");
}

TEST_F(FullDisk, lets_running_jobs_end) {
  Engine engine = must(Engine::open(directory()));
  const auto worker = must(engine.attach(Role::worker));
  must(worker->enqueue(plain_request(engine, "x", Durability::durable)));
  Job running = must(worker->claim(generous));
  fill_disk();
  EXPECT_TRUE(running.complete().has_value());
}

TEST_F(FullDisk, is_written_again_by_itself_when_there_is_space) {
  fill_disk();
  Engine engine = must(Engine::open(directory()));
  const auto producer = must(engine.attach(Role::producer));
  EXPECT_EQ(code_of(producer->enqueue(plain_request(engine, "x", Durability::durable))), ErrorCode::no_space);
  std::filesystem::remove(ballast());
  EXPECT_TRUE(await([&] { return producer->enqueue(plain_request(engine, "y", Durability::durable)).has_value(); }));
  EXPECT_EQ(engine.status().journal.last_error, "");
}

TEST_F(FullDisk, in_the_middle_of_a_journal_refuses_and_goes_on_as_well) {
  Engine engine = must(Engine::open(directory()));
  const auto worker = must(engine.attach(Role::worker));
  const std::string payload(192, 'p');
  must(worker->enqueue(plain_request(engine, payload, Durability::durable)));
  fill_disk();
  // Jobs are written and end, until the file that is there is full.
  ErrorCode refusal = ErrorCode::busy;
  EXPECT_TRUE(await([&] {
    for (int n = 0; n < 64; ++n) {
      const auto id = worker->enqueue(plain_request(engine, payload, Durability::journaled));
      if (!id) {
        refusal = id.error().code();
        return refusal == ErrorCode::no_space;
      }
    }
    static_cast<void>(worker->wait_durable(worker->ticket(), std::chrono::milliseconds(50)));
    while (auto job = worker->claim()) must(job->complete());
    return false;
  }));
  EXPECT_EQ(refusal, ErrorCode::no_space);
  std::filesystem::remove(ballast());
  EXPECT_TRUE(await([&] { return worker->enqueue(plain_request(engine, payload, Durability::durable)).has_value(); }));
}

/// The journal tries again for what waits for space; when those jobs end unwritten, nothing is left that would make it
/// try.
TEST_F(FullDisk, in_the_middle_of_a_journal_goes_on_when_the_jobs_that_waited_for_space_are_over) {
  Engine engine = must(Engine::open(directory()));
  const auto worker = must(engine.attach(Role::worker));
  const std::string payload(192, 'p');
  must(worker->enqueue(plain_request(engine, payload, Durability::durable)));
  must(must(worker->claim()).complete());
  must(worker->wait_durable(worker->ticket(), generous));
  fill_disk();
  EXPECT_TRUE(await([&] {
    const auto id = worker->enqueue(plain_request(engine, payload, Durability::journaled));
    if (!id) return id.error().code() == ErrorCode::no_space;
    static_cast<void>(worker->wait_durable(worker->ticket(), std::chrono::milliseconds(50)));
    must(must(worker->claim()).complete());
    static_cast<void>(worker->wait_durable(worker->ticket(), std::chrono::milliseconds(50)));
    return false;
  }));
  while (auto job = worker->claim()) must(job->complete());
  std::this_thread::sleep_for(std::chrono::milliseconds(100));  // rounds look at what has ended
  std::filesystem::remove(ballast());
  EXPECT_TRUE(await([&] { return worker->enqueue(plain_request(engine, payload, Durability::durable)).has_value(); }));
}

TEST(JournalTrouble, a_folder_that_is_gone_is_named_in_the_error_and_in_the_log) {
  const ScratchEngine scratch;
  std::filesystem::remove_all(scratch.directory() / "journal");
  const LogCapture log;
  Engine engine = scratch.open();
  const auto producer = must(engine.attach(Role::producer));
  EXPECT_EQ(code_of(producer->enqueue(plain_request(engine, "x", Durability::durable))), ErrorCode::journal_failed);
  EXPECT_TRUE(log.has((scratch.directory() / "journal").string()));
}

TEST(JournalTrouble, callers_that_wait_for_a_ticket_get_an_error_when_the_journal_fails) {
  const ScratchEngine scratch;
  std::filesystem::remove_all(scratch.directory() / "journal");
  Engine engine = scratch.open(without_keeper);
  const auto producer = must(engine.attach(Role::producer));
  must(producer->enqueue(plain_request(engine, "x", Durability::journaled)));
  const DurabilityTicket ticket = producer->ticket();
  const Engine keeping = scratch.open();
  EXPECT_EQ(code_of(producer->wait_durable(ticket, generous)), ErrorCode::journal_failed);
}

TEST(JournalLimit, holds_while_fifty_times_as_much_is_written_and_a_thousand_jobs_never_run) {
  CreateOptions options = small_engine();
  options.capacity = 4096;
  options.cell_size = 256;
  options.journal_limit = small_limit;
  const ScratchEngine scratch(options);
  std::vector<JobId> standing;
  {
    Engine engine = scratch.open();
    const auto worker = must(engine.attach(Role::worker));
    const std::string payload(192, 's');
    for (int n = 0; n < 1000; ++n) {
      JobRequest never = plain_request(engine, payload, Durability::journaled);
      never.level = must(engine.level("low"));
      standing.push_back(must(worker->enqueue(never)));
    }
    must(worker->subscribe({.levels = {must(engine.level("default"))}}));
    std::uint64_t most_on_disk = 0;
    while (engine.status().journal.bytes_written < 50 * small_limit) {
      for (int n = 0; n < 3000; ++n)
        must(worker->enqueue(plain_request(engine, payload, Durability::journaled), generous));
      must(worker->wait_durable(worker->ticket(), generous));  // written, every one
      while (auto job = worker->claim()) must(job->complete());
      std::uint64_t on_disk = 0;
      for (const auto& file : std::filesystem::directory_iterator(scratch.directory() / "journal")) {
        on_disk += file.file_size();
      }
      most_on_disk = std::max(most_on_disk, on_disk);
    }
    EXPECT_LE(most_on_disk, small_limit);
  }
  std::filesystem::remove(scratch.segment_file());
  const Engine engine = scratch.open(without_keeper);
  for (const JobId id : standing) EXPECT_EQ(must(engine.job(id)).state, JobState::queued) << id.to_string();
}

}  // namespace
}  // namespace ringmill::test
