// What an engine did between two looks: rates, and the waits and runs of that time. Pure: no look is made here.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include <ringmill/statistics.h>

namespace ringmill {

struct LevelRates {
  double in_per_s = 0;
  double out_per_s = 0;
  double failed_per_s = 0;
  double retried_per_s = 0;
  /// Of the jobs that were claimed between the looks; of all, if there were none. Nothing: the level has no histogram.
  std::optional<Durations> wait;
};

struct KindRates {
  /// By the attempts that ended.
  double started_per_s = 0;
  double completed_per_s = 0;
  double failed_per_s = 0;
  /// As LevelRates::wait, of the attempts that ended.
  std::optional<Durations> run;
};

struct ParticipantRates {
  double completed_per_s = 0;
  /// The share of the time that the participant had jobs, 0 to 1.
  double busy = 0;
};

struct DeadLetterCount {
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
  std::uint64_t limit = 0;
  std::uint64_t dropped = 0;
};

struct Look {
  EngineStatistics now;
  /// Between the two looks; 0: there is no former look, and all rates are 0.
  double seconds = 0;
  std::vector<LevelRates> levels;              // as now.levels
  std::vector<KindRates> kinds;                // as now.kinds
  std::vector<ParticipantRates> participants;  // as now.participants
  double journal_bytes_per_s = 0;
  double keeper_busy = 0;
  /// Nothing: they cannot be read.
  std::optional<DeadLetterCount> dead_letters;
};

/// A level, kind or participant that the former look did not have began at zero. So did all of them if the engine or
/// its memory is another one.
Look look_between(const EngineStatistics* before, EngineStatistics now, std::optional<DeadLetterCount> dead_letters);

/// The keys of `top --json`.
nlohmann::ordered_json json_of(const Look& look);

}  // namespace ringmill
