#include "tests/crash/crash_report.h"

#include <cstdio>

#include <fmt/format.h>

namespace ringmill::crash {

namespace {
constexpr std::uint64_t most_shown = 20;
constexpr std::array<const char*, crash_troubles> names{"lost", "resurrected", "undetected", "false alarm", "crashed"};
}  // namespace

std::uint64_t CrashTally::all_troubles() const noexcept {
  std::uint64_t all = 0;
  for (const auto& trouble : troubles) all += trouble.load();
  return all;
}

void CrashTally::note_failed(std::uint64_t run) noexcept {
  for (std::atomic<std::uint64_t>& place : failed_runs) {
    std::uint64_t there = 0;
    if (place.compare_exchange_strong(there, run + 1) || there == run + 1) return;
  }
}

void CrashReport::found(CrashTrouble trouble, const std::string& what) {
  tally_->troubles[static_cast<std::size_t>(trouble)].fetch_add(1);
  tally_->note_failed(run_);
  if (tally_->shown.fetch_add(1) >= most_shown) return;
  fmt::print("run {}: {}: {}\n", run_, names[static_cast<std::size_t>(trouble)], what);
  std::fflush(stdout);
}

}  // namespace ringmill::crash
