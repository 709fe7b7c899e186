// A journal in an engine's directory, written as the keeper writes it, record by record.
#pragma once

#include <chrono>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string_view>

#include "core/durability/open_journal.h"
#include "core/instance/engine_files.h"
#include "core/journal/writer.h"
#include "ipc/state_word.h"
#include "tests/support/must.h"

namespace ringmill::test {

constexpr JobId id_of(std::uint64_t generation, CellIndex index) { return JobId(generation << index_bits | index); }

/// What a test says of a job; the rest is as after an enqueue.
struct TestJob {
  JobId id;
  std::string_view payload = "payload";
  std::uint16_t level = 1;
  std::uint16_t kind = 0;
  std::uint16_t attempts = 0;
  std::uint64_t enqueued_at_ms = 1'700'000'000'000;
  std::uint32_t lease_ms = 0;

  JobRecord record() const {
    return {.level = level,
            .payload_bytes = static_cast<std::uint32_t>(payload.size()),
            .id = id.value(),
            .enqueued_at_ms_and_attempts = std::uint64_t{attempts} << 48 | enqueued_at_ms,
            .kind = kind,
            .lease_ms = lease_ms};
  }
};

class WrittenJournal {
 public:
  explicit WrittenJournal(const std::filesystem::path& engine) {
    const EngineFiles directory = must(EngineFiles::open(engine));
    writer_ = must(open_journal(directory, 1, DeviceChoice::pwritev2));
  }

  void kind(std::uint32_t number, std::string_view name) {
    block(BlockBuilder::bytes_of_kind(static_cast<std::uint32_t>(name.size()))).append_kind(number, name);
  }
  void job(const TestJob& job) {
    const JobRecord record = job.record();
    const auto to = block(BlockBuilder::bytes_of_job(record.payload_bytes)).append_job(record);
    std::memcpy(to.data(), job.payload.data(), job.payload.size());
  }
  void ended(JobId id) { block(sizeof(ShortRecord)).append_ended(id); }
  void attempts(JobId id, std::uint16_t attempts) { block(sizeof(ShortRecord)).append_attempts(id, attempts); }
  /// Ends the block, durably.
  void flush() {
    const std::uint64_t last = writer_->flush();
    while (writer_->durable_block() < last) {
      writer_->collect(std::chrono::milliseconds(100));
      if (writer_->error()) throw std::runtime_error(writer_->error()->message());
    }
  }
  JournalWriter& writer() noexcept { return *writer_; }

 private:
  BlockBuilder& block(std::uint32_t bytes) {
    while (true) {
      const auto room = writer_->room(bytes);
      if (room) return **room;
      if (room.error() != JournalWriter::NoRoom::buffers) throw std::runtime_error("the test's journal is full");
      writer_->collect(std::chrono::milliseconds(100));
    }
  }

  std::unique_ptr<JournalWriter> writer_;
};

}  // namespace ringmill::test
