// The report of a recovery.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <vector>

#include "core/journal/reader.h"

namespace ringmill {

/// The counts of a recovery.
struct RecoveryReport {
  std::uint64_t jobs = 0;
  std::uint64_t kinds = 0;
  /// The highest that the journal shows: the next keeper takes a higher one.
  std::uint64_t epoch = 0;
  /// Damage of its records included.
  JournalReport journal;
  /// Copies of damaged blocks, beside the journal.
  std::vector<std::filesystem::path> kept_aside;
  std::chrono::nanoseconds elapsed{0};
};

}  // namespace ringmill
