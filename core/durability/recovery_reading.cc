// rec.R1 of a recovery, and the journal read into the table.
#include <fmt/format.h>

#include <chrono>
#include <vector>

#include "core/base/log.h"
#include "core/durability/recovery.h"
#include "core/journal/take_over.h"
#include "ipc/clock.h"

namespace ringmill {

namespace {

/// The fences of all files, given back at the end.
class Fences {
 public:
  explicit Fences(JournalDevice& device) noexcept : device_(&device) {}
  Fences(const Fences&) = delete;
  Fences& operator=(const Fences&) = delete;
  ~Fences() {
    for (const SlotNumber slot : held_) device_->release(slot);
  }

  Result<void> take_all(std::chrono::milliseconds longest) {
    const auto slots = device_->slots();
    if (!slots) return std::unexpected(slots.error());
    const auto end = std::chrono::steady_clock::now() + longest;
    for (const SlotNumber slot : *slots) {
      if (auto taken = take(slot, end); !taken) return taken;
    }
    return {};
  }

 private:
  Result<void> take(SlotNumber slot, std::chrono::steady_clock::time_point end) {
    auto taken = device_->try_fence(slot);
    if (taken && !*taken) {
      if (!said_) log().info("waits for writes of a dead process to the journal");
      said_ = true;
      taken = fence_within(*device_, slot, end - std::chrono::steady_clock::now());
    }
    if (!taken) return std::unexpected(taken.error());
    if (!*taken) {
      return std::unexpected(
          Error(ErrorCode::busy, "writes of a dead process to the journal are still on their way",
                fmt::format("file {}; the disk hangs, or another process has that file locked", slot)));
    }
    held_.push_back(slot);
    return {};
  }

  JournalDevice* device_;
  std::vector<SlotNumber> held_;
  bool said_ = false;
};

}  // namespace

Result<JournalReport> read_into(TableRebuild& table, JournalDevice& device, std::uint64_t engine_id,
                                const RecoveryOptions& options) {
  Fences fences(device);
  if (auto taken = fences.take_all(options.fence_wait); !taken) return std::unexpected(taken.error());  // rec.R1
  const std::uint64_t begin_ns = steady_clock_ns();
  std::uint64_t said_ns = begin_ns;
  ReadOptions reading{.segment_bytes = options.segment_bytes, .progress = {}};
  if (options.progress) {
    reading.progress = [&](std::uint64_t done, std::uint64_t all) {
      const std::uint64_t now_ns = steady_clock_ns();
      if (now_ns - said_ns < 1'000'000'000) return;
      said_ns = now_ns;
      options.progress({done, all, std::chrono::nanoseconds(now_ns - begin_ns)});
    };
  }
  return read_journal(device, engine_id, table, reading);  // rec.R2
}

}  // namespace ringmill
