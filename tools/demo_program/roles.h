// What the child processes do. Each opens the engine for itself; the only thing they share is its memory.
#pragma once

#include "tools/demo_program/files.h"

namespace ringmill::demo {

/// Enqueues every `of`-th file of the list, from file `part` on, in batches. Returns an exit code.
int run_producer(const RunFolder& folder, int part, int of);

/// Hashes files until SIGTERM; writes a record per job to its ledger, then completes the job. Returns an exit code.
int run_worker(const RunFolder& folder, int number);

/// One record of a ledger: "ID ATTEMPT DIGEST PATH".
struct LedgerRecord {
  std::string job_id;
  std::uint32_t attempt = 0;
  std::string digest;  // "unreadable" where the file could not be read
  std::string path;
};
inline constexpr const char* unreadable = "unreadable";

/// Throws std::runtime_error when the ledger cannot be read or holds something else.
std::vector<LedgerRecord> read_ledger(const std::filesystem::path& file);

}  // namespace ringmill::demo
