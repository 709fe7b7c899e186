// The dead letters of one engine: the file `dead-letters.db` in its directory, written by any process that buries,
// retries or purges (docs/decisions/0013). SQLite keeps dead-letters.db-wal and dead-letters.db-shm beside it.
//
// Each change is one transaction: it is durable when the call returns, or nothing has changed. A kill at any moment
// keeps that. No lock outlives its process. Readers never wait for writers, nor writers for readers. A writer waits for
// another one for at most `busy_wait`, then returns busy.
//
// Another try for a letter (`ringmill dead retry`) goes in steps, so that a kill between any two of them loses nothing:
//   retry.T1  lock_retries()         one process at a time; the kernel ends the lock with its holder
//   retry.T2  list() or find()       nothing is changed
//   retry.T3  enqueue, Durability::durable  killed now: a job and its letter; the next retry makes a second one
//   retry.T4  remove()                       the letter is gone; the job has begun anew, under another id
// No transaction is open during T3, so the journal and the burial thread never wait for a retry.
//
// Burying goes the other way round: the letter is durable first, then the job leaves the table. Killed in between, the
// job is buried once more, which changes nothing while its letter is there.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <ringmill/error.h>

#include "core/base/file_names.h"
#include "core/dead_letters/dead_letter.h"
#include "ipc/directory.h"
#include "ipc/file.h"

namespace ringmill {

/// How much is kept. Stands in the file from its making on, so that each process sees the same.
struct DeadLetterLimits {
  enum class WhenFull : std::uint8_t {
    drop_oldest,  ///< the oldest letters make room; they are counted, and the log says so
    block,        ///< bury() returns no_space until letters are retried or purged
  };

  std::uint64_t letters = 1'000'000;
  /// Counted by size_of(); at least 1 MiB.
  std::uint64_t bytes = std::uint64_t{1} << 30;
  /// Letters older than this go. Zero: none does.
  std::chrono::seconds age = std::chrono::days{30};
  WhenFull when_full = WhenFull::drop_oldest;
};

struct DeadLetterTotals {
  std::uint64_t letters = 0;
  std::uint64_t bytes = 0;
  /// When the job of the oldest letter died.
  std::optional<std::chrono::system_clock::time_point> oldest{};
  /// Since the file was made: letters that went because there was no room, and because they were too old.
  std::uint64_t dropped = 0;
  std::uint64_t expired = 0;
  DeadLetterLimits limits{};
};

/// Returns the bytes that a letter counts for: its texts, its payload, and the file's overhead.
std::uint64_t size_of(const DeadLetter& letter) noexcept;

/// An open file of dead letters. Used by one thread at a time. In the child of a fork every call answers after_fork.
class DeadLetterStore {
 public:
  enum class Access { read_only, read_write };
  /// By when they were buried.
  enum class Order { newest_first, oldest_first };

  static constexpr std::chrono::milliseconds default_busy_wait{5000};
  /// The most letters that bury() takes, and that purge() removes in one transaction.
  static constexpr std::size_t most_in_transaction = 1000;

  /// With read_write a file that is not there is made, with the mode, the owner and the group of the directory;
  /// `limits` are for that case. `directory` is the engine's. Errors: not_found (read_only, and nothing was ever
  /// buried), corrupt, incompatible (not ours, or of another version), permission_denied, invalid_argument (limits),
  /// busy, no_space, system.
  static Result<DeadLetterStore> open(const Directory& directory, Access access, const DeadLetterLimits& limits = {},
                                      std::chrono::milliseconds busy_wait = default_busy_wait);
  static Result<DeadLetterStore> open(const std::filesystem::path& directory, Access access,
                                      const DeadLetterLimits& limits = {},
                                      std::chrono::milliseconds busy_wait = default_busy_wait);

  DeadLetterStore(DeadLetterStore&&) noexcept;
  DeadLetterStore& operator=(DeadLetterStore&&) noexcept;
  ~DeadLetterStore();

  /// Stores the letters in one transaction and returns how many are new. A letter whose id is there already changes
  /// nothing, so a caller that does not know whether a burial became durable repeats it. A payload longer than the
  /// limit for all letters is cut (DeadLetter::payload_cut_from), and the log says so. Errors: no_space (the disk is
  /// full; or the store is, and its limits say block), invalid_argument (a name or a text that is too long, more than
  /// most_in_transaction), busy, corrupt, permission_denied, system.
  Result<std::size_t> bury(std::span<const DeadLetter> letters);

  /// Error not_found: there is no letter of this job.
  Result<DeadLetter> find(JobId id) const;

  /// Calls `visit` for each letter that `filter` means, until it returns false; how many it saw. In memory are a few
  /// letters at a time. No lock is held during a visit: it may take as long as it likes, and may change the store. A
  /// letter that is there all the time is visited once.
  Result<std::uint64_t> list(const DeadLetterFilter& filter, Order order,
                             const std::function<bool(const DeadLetter&)>& visit) const;

  /// How many of them were there. T4: `jobs` are those that they have become, in the same order. That is remembered for
  /// as long as letters are kept, or for 30 days. Empty: they were not retried.
  Result<std::uint64_t> remove(std::span<const JobId> ids, std::span<const JobId> jobs = {});
  /// Returns the job that a letter became; nothing: it was not retried, or too long ago.
  Result<std::optional<JobId>> retried_as(JobId id) const;
  /// Removes what `filter` means, in transactions of most_in_transaction. After an error some are gone.
  Result<std::uint64_t> purge(const DeadLetterFilter& filter);
  /// Removes letters that are too old by the limits, at most most_in_transaction; bury() does it as well.
  Result<std::uint64_t> expire();

  Result<DeadLetterTotals> totals() const;

  /// T1. Errors: busy (another process retries), permission_denied, not_found (no lock file: no engine), system.
  Result<File> lock_retries() const;

  /// Reads all of the file; what is broken, a sentence each.
  Result<std::vector<std::string>> check() const;

 private:
  class Implementation;
  explicit DeadLetterStore(std::unique_ptr<Implementation> implementation) noexcept;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace ringmill
