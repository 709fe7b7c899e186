// A disk in memory, for tests of the journal: what is written is durable only when the device has said so, and a power
// cut keeps, loses or tears each sector that is not. Everything it does follows from a seed.
//
// 1. submit() puts a write in flight. From then on each of its 512-byte sectors may land, in any order: reads see a
//    sector that has landed, a power cut may still take it away.
// 2. collect() ends some of the writes in flight, in any order: all of such a write is durable before its outcome is
//    handed out.
// 3. A device that is destroyed, or killed, leaves its writes in flight. Each lands some calls later, whole, in part or
// not at all, and holds the fence of its slot until then, if its owner had it. What has landed so is not durable before
// a call of sync().
// 4. A power cut gives a new disk: each sector that was landed or in flight is there, is not, or is a mixture.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/journal/device.h"
#include "core/journal/format.h"

namespace ringmill::test {

/// What a power cut keeps or loses as a whole.
inline constexpr std::size_t sector_bytes = 512;

/// Small, quick to copy, the same everywhere (splitmix64).
class DiskRandom {
 public:
  explicit DiskRandom(std::uint64_t seed) noexcept : state_(seed) {}
  std::uint64_t next() noexcept;
  /// 0 to bound - 1.
  std::uint64_t below(std::uint64_t bound) noexcept { return next() % bound; }
  bool one_in(std::uint64_t bound) noexcept { return below(bound) == 0; }

 private:
  std::uint64_t state_;
};

enum class DiskCall { submit, sync, prepare, remove, read, fence };

/// What goes wrong at one call. A short write is the device's own business (it writes the rest): here it is a delay.
struct DiskFault {
  enum class Kind {
    fail,       // EIO. Of a write: each of its sectors may have landed. Of a sync: what it should have made durable may
                // be lost at a cut, whatever a later sync says.
    no_space,   // ENOSPC; of a write: none of it has landed
    delay,      // of a write: its outcome comes only after `calls` more calls of collect()
    misdirect,  // of a write: said to be durable, but it stands elsewhere in its slot
    forget,     // of a write: said to be durable, and nothing was written
    busy,       // of a fence: another device has it
  };
  DiskCall call = DiskCall::submit;
  std::uint64_t nth = 1;  // counted per kind of call from the disk's beginning
  Kind kind = Kind::fail;
  std::uint64_t calls = 3;
};

class DiskModel;

/// What the disk holds, and what is in flight to it; shared by all that have it open (DiskModel). One thread at a time.
class Disk {
 public:
  using Sector = std::array<std::byte, sector_bytes>;

  explicit Disk(std::uint64_t seed) noexcept : random_(seed) {}
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  /// What may be on the disk when the power fails now. Nothing is in flight there, nothing is open, nothing is faulty.
  std::shared_ptr<Disk> power_cut(std::uint64_t seed) const;
  /// The same bytes, everything that was visible being durable: for looking at it without touching it.
  std::shared_ptr<Disk> copy() const;

  void inject(const DiskFault& fault) { faults_.push_back(fault); }
  /// Bytes that prepare() may still take; none: any number.
  void set_space(std::optional<std::uint64_t> bytes) noexcept { space_ = bytes; }
  /// Inverts bits of a byte, as a disk does that forgets.
  void flip(SlotNumber slot, std::uint64_t offset, std::byte bits);
  /// Called at each moment at which a power cut could leave something else than at the moment before.
  void watch(std::function<void()> at_each_moment) { watch_ = std::move(at_each_moment); }
  /// Calls of this kind so far.
  std::uint64_t calls(DiskCall call) const noexcept { return calls_.at(static_cast<std::size_t>(call)); }
  /// Faults that have happened.
  std::uint64_t faults_met() const noexcept { return faults_met_; }
  /// Of those: the ones after which something that was said to be durable may not be there.
  std::uint64_t lies_told() const noexcept { return lies_told_; }
  std::uint64_t syncs_failed() const noexcept { return syncs_failed_; }
  /// The writes of the dead have all landed, or never will.
  void let_all_land();
  std::size_t writes_in_flight() const noexcept { return flights_.size(); }
  std::vector<SlotNumber> slots() const;
  std::uint64_t bytes_of(SlotNumber slot) const;
  /// What a read would see.
  std::vector<std::byte> contents(SlotNumber slot) const;

  /// How a caller broke the contract of JournalDevice: a write without the fence, or over another one that is in
  /// flight, a buffer that was touched while in flight, ...
  const std::vector<std::string>& violations() const noexcept { return violations_; }

 private:
  friend class DiskModel;
  using Bytes = std::vector<std::byte>;

  struct File {
    std::shared_ptr<Bytes> durable;          // shared with other disks until written
    std::map<std::uint64_t, Sector> landed;  // visible, not durable
    std::set<std::uint64_t> forsaken;        // of those: no sync helps any more
    std::uint64_t fence = 0;                 // the device that has it, 0: none
    std::uint64_t made = 0;                  // which making of the slot's file this is
    bool half_made = false;
  };
  struct Flight {
    std::uint64_t owner = 0;
    bool owner_lives = true;
    SlotNumber slot = 0;
    std::uint64_t made = 0;
    std::uint64_t meant = 0;   // where it should go
    std::uint64_t offset = 0;  // where it goes
    Bytes data{};
    const std::byte* buffer = nullptr;
    std::uint64_t token = 0;
    int error = 0;
    bool forgotten = false;
    std::uint64_t wait_calls = 0;  // owner lives: calls of collect(); dead: calls of any device
    std::set<std::uint64_t> to_land{};
  };

  std::optional<DiskFault> count(DiskCall call);
  void moment() const {
    if (watch_) watch_();
  }
  void violation(std::string what) { violations_.push_back(std::move(what)); }
  File* file(SlotNumber slot);
  File* target(const Flight& flight);
  Bytes& writable(File& file);
  void land_sector(const Flight& flight, std::uint64_t sector);
  void land_some();
  void end_of_owner(std::uint64_t owner);
  void complete(Flight& flight);
  void make_durable(File& file, std::uint64_t sector, const Sector& bytes);
  bool is_held(SlotNumber slot, std::uint64_t holder) const;

  DiskRandom random_;
  std::map<SlotNumber, File> files_;
  std::map<SlotNumber, File> removed_;  // may come back at a cut
  std::deque<Flight> flights_;
  std::vector<DiskFault> faults_;
  std::array<std::uint64_t, 6> calls_{};
  std::uint64_t faults_met_ = 0;
  std::uint64_t lies_told_ = 0;
  std::uint64_t syncs_failed_ = 0;
  std::optional<std::uint64_t> space_;
  std::function<void()> watch_;
  std::vector<std::string> violations_;
  std::set<std::uint64_t> open_;  // devices that live
  std::uint64_t last_owner_ = 0;
  std::uint64_t last_made_ = 0;
};

/// The disk as one process has it open.
class DiskModel final : public JournalDevice {
 public:
  explicit DiskModel(std::shared_ptr<Disk> disk);
  DiskModel(const DiskModel&) = delete;
  DiskModel& operator=(const DiskModel&) = delete;
  ~DiskModel() override;

  /// As if its process were killed now: its writes stay in flight, nothing that its owner still does has any effect.
  void kill();
  /// collect() really sleeps when nothing is in flight, for a caller with a thread of its own.
  void let_collect_sleep() noexcept { sleeps_ = true; }

  std::string_view mode() const noexcept override { return "model"; }
  Result<std::vector<SlotNumber>> slots() override;
  Result<std::uint64_t> bytes_of(SlotNumber slot) override;
  Result<void> prepare(SlotNumber slot, std::uint64_t bytes) override;
  Result<void> remove(SlotNumber slot) override;
  Result<bool> try_fence(SlotNumber slot) override;
  void release(SlotNumber slot) noexcept override;
  Result<void> read(SlotNumber slot, std::uint64_t offset, std::span<std::byte> to) override;
  Result<void> sync(SlotNumber slot) override;
  Result<std::vector<std::span<std::byte>>> buffers(std::size_t count, std::size_t bytes) override;
  void submit(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data, std::uint64_t token) override;
  void collect(std::vector<WriteOutcome>& outcomes, std::chrono::nanoseconds wait) override;
  void wake() noexcept override;

 private:
  void check(SlotNumber slot, std::uint64_t offset, std::span<const std::byte> data);
  std::vector<std::size_t> ready();
  void sleep(std::chrono::nanoseconds wait);

  struct Freed {
    void operator()(std::byte* at) const noexcept;
  };

  std::shared_ptr<Disk> disk_;
  std::uint64_t owner_ = 0;
  bool killed_ = false;
  std::vector<std::uint64_t> lost_tokens_;  // submitted after the kill, or in flight then
  std::vector<std::unique_ptr<std::byte, Freed>> buffers_;
  std::size_t buffer_bytes_ = 0;

  bool sleeps_ = false;
  bool woken_ = false;
  std::mutex mutex_;
  std::condition_variable woken_changed_;
};

}  // namespace ringmill::test
