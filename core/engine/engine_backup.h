// A backup: a copy of an engine's directory, made while the engine runs, that is an engine of its own.
//
// It is made in a folder with a random name beside its place, and gets its name when all of it is durable and was read
// back. What stands in which file is one moment's picture of that file; the order makes them fit:
//
//                                                         killed just after the step
//   backup.K1  make the folder, take its lock             the next backup to that place removes it
//   backup.K2  keep dead letters from being retried       as K1; the kernel drops the lock
//   backup.K3  copy the schedules: a tick that comes      as K1
//              later is enqueued again, under the same
//              unique key
//   backup.K4  wait until all that was enqueued before    as K1
//              is durable, copy the journal
//   backup.K5  append the jobs of durability memory       as K1
//   backup.K6  copy levels, rules, the limit of           as K1
//              generations, and the dead letters: a job
//              that is buried meanwhile is in both
//   backup.K7  write engine.json: an id and a home of     as K1
//              its own
//   backup.K8  read the copied journal                    as K1
//   backup.K9  rename the folder                          the backup is whole
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <ringmill/error.h>

namespace ringmill {

struct BackupReport {
  std::uint64_t segments = 0;     // of the journal
  std::uint64_t bytes = 0;        // that were copied of them
  std::uint64_t jobs = 0;         // that the copied journal holds
  std::uint64_t memory_jobs = 0;  // of these, of durability memory
  std::uint64_t letters = 0;
  std::string engine_id;            // of the copy
  std::vector<std::string> damage;  // of the copied journal, in words: the original's has it, too
  std::chrono::nanoseconds elapsed{0};
};

/// Errors: already_exists (`to` is there, and not empty), busy (dead letters are retried, the journal is written too
/// fast), no_space, and those of Engine::open().
Result<BackupReport> back_up_engine(const std::filesystem::path& from, const std::filesystem::path& to);

}  // namespace ringmill
