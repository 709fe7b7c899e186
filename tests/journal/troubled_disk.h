// A disk that fails, stands still or is full when a test says so: around a real device, under a whole engine.
#pragma once

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/instance/engine_core.h"
#include "core/journal/device.h"
#include "core/keeper/keeper.h"
#include "tests/support/must.h"
#include "tests/support/scratch.h"

namespace ringmill::test {

/// What the test tells the disk. From any thread.
struct DiskSwitches {
  /// Writes that were begun so far.
  std::atomic<std::uint64_t> writes{0};
  /// The write that ends with EIO, counted as `writes` is; 0: none.
  std::atomic<std::uint64_t> failing_write{0};
  /// That write is on the disk all the same: only its sync has failed.
  std::atomic<bool> fails_in_the_sync{false};
  /// Nothing is told of any write.
  std::atomic<bool> is_silent{false};
  /// A call that begins a write does not return.
  std::atomic<bool> hangs{false};
  /// One write is told of in this time, and no more.
  std::atomic<std::chrono::milliseconds> pace{std::chrono::milliseconds(0)};
  /// No file can be made.
  std::atomic<bool> is_full{false};
  /// sync(), as a keeper calls it that takes the journal over, ends with an error.
  std::atomic<bool> refuses_to_sync{false};
};

class TroubledDevice final : public JournalDevice {
 public:
  TroubledDevice(std::unique_ptr<JournalDevice> real, std::shared_ptr<DiskSwitches> switches)
      : real_(std::move(real)), switches_(std::move(switches)) {}

  std::string_view mode() const noexcept override { return real_->mode(); }
  Result<std::vector<SlotNumber>> slots() override { return real_->slots(); }
  Result<std::uint64_t> bytes_of(SlotNumber slot) override { return real_->bytes_of(slot); }
  Result<void> prepare(SlotNumber slot, std::uint64_t bytes) override {
    if (switches_->is_full) return std::unexpected(Error(ErrorCode::no_space, "the troubled disk is full"));
    return real_->prepare(slot, bytes);
  }
  Result<void> remove(SlotNumber slot) override { return real_->remove(slot); }
  Result<bool> try_fence(SlotNumber slot) override { return real_->try_fence(slot); }
  void release(SlotNumber slot) noexcept override { real_->release(slot); }
  Result<void> read(SlotNumber slot, std::uint64_t offset, std::span<std::byte> to) override {
    return real_->read(slot, offset, to);
  }
  Result<void> sync(SlotNumber slot) override {
    if (switches_->refuses_to_sync) return std::unexpected(Error(ErrorCode::system, "the troubled disk does not sync"));
    return real_->sync(slot);
  }
  Result<std::vector<std::span<std::byte>>> buffers(std::size_t count, std::size_t bytes) override {
    return real_->buffers(count, bytes);
  }

  void submit(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data, std::uint64_t token) override {
    const bool fails = switches_->failing_write == switches_->writes + 1;
    if (fails) failed_token_ = token;
    if (fails && !switches_->fails_in_the_sync) {
      ended_.push_back({.token = token, .error = EIO});
    } else {
      real_->submit(slot, offset, data, token);
    }
    ++switches_->writes;
    while (switches_->hangs) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  void collect(std::vector<WriteOutcome>& outcomes, std::chrono::nanoseconds wait) override {
    const std::size_t most = most_to_tell();
    real_->collect(ended_, most != 0 && !ended_.empty() ? std::chrono::nanoseconds(0) : wait);
    for (std::size_t n = std::min(most, ended_.size()); n > 0; --n) {
      WriteOutcome outcome = ended_.front();
      ended_.erase(ended_.begin());
      if (outcome.token == failed_token_) outcome.error = EIO;
      outcomes.push_back(outcome);
      last_told_ = Clock::now();
    }
  }
  void wake() noexcept override { real_->wake(); }

 private:
  using Clock = std::chrono::steady_clock;

  std::size_t most_to_tell() const {
    const std::chrono::milliseconds pace = switches_->pace;
    if (switches_->is_silent || Clock::now() - last_told_ < pace) return 0;
    return pace.count() == 0 ? ended_.max_size() : 1;
  }

  std::unique_ptr<JournalDevice> real_;
  std::shared_ptr<DiskSwitches> switches_;
  std::vector<WriteOutcome> ended_;  // and not told yet
  std::optional<std::uint64_t> failed_token_;
  Clock::time_point last_told_;
};

/// A keeper like any process's, with its journal thread, on a troubled disk.
class TroubledKeeper {
 public:
  explicit TroubledKeeper(const ScratchEngine& engine) : keeper_(core_with_disk(engine, disk_)) {}

  DiskSwitches& disk() const noexcept { return *disk_; }

 private:
  static std::shared_ptr<EngineCore> core_with_disk(const ScratchEngine& engine,
                                                    const std::shared_ptr<DiskSwitches>& disk) {
    std::shared_ptr<EngineCore> core = engine.open_core();
    core->open_device = [disk](const Directory& directory, DeviceChoice choice,
                               std::uint32_t file_mode) -> Result<std::unique_ptr<JournalDevice>> {
      auto real = open_journal_device(directory, choice, file_mode);
      if (!real) return real;
      return std::make_unique<TroubledDevice>(*std::move(real), disk);
    };
    return core;
  }

  std::shared_ptr<DiskSwitches> disk_ = std::make_shared<DiskSwitches>();
  Keeper keeper_;
};

}  // namespace ringmill::test
