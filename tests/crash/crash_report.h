// What the crash sweep counts, in pages that its workers share.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <string>

namespace ringmill::crash {

enum class CrashTrouble {
  lost,         // acknowledged as durable, and not there after the cut, or not as it was
  resurrected,  // its end was acknowledged as durable, and it is there; or it never was
  undetected,   // the disk lied, something is missing, and no report says so; or something wrong was served
  false_alarm,  // damage is reported where the disk did what it said
  crashed,      // a process ended by a signal or hung, or a call failed that must not
};
inline constexpr std::size_t crash_troubles = 5;

struct CrashTally {
  static constexpr std::size_t most_workers = 256;
  static constexpr std::size_t most_failed_runs = 64;

  std::atomic<std::uint64_t> states{0};
  std::atomic<std::uint64_t> runs{0};
  std::atomic<std::uint64_t> next_run{0};
  std::array<std::atomic<std::uint64_t>, crash_troubles> troubles{};
  std::atomic<std::uint64_t> shown{0};
  std::array<std::atomic<std::uint64_t>, most_workers> run_of{};  // what each worker is at, plus one

  std::array<std::atomic<std::uint64_t>, most_failed_runs> failed_runs{};  // plus one; 0 from the first free place on

  std::uint64_t of(CrashTrouble trouble) const noexcept { return troubles[static_cast<std::size_t>(trouble)].load(); }
  std::uint64_t all_troubles() const noexcept;
  void note_failed(std::uint64_t run) noexcept;
};

/// Where one run tells what it found.
class CrashReport {
 public:
  CrashReport(CrashTally& tally, std::uint64_t run) noexcept : tally_(&tally), run_(run) {}

  /// One more state was checked.
  void count_state() noexcept { tally_->states.fetch_add(1); }
  /// Prints the first of them with the run's number.
  void found(CrashTrouble trouble, const std::string& what);

 private:
  CrashTally* tally_;
  std::uint64_t run_;
};

}  // namespace ringmill::crash
