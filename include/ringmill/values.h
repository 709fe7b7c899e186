// Values: a small key-value store in the engine, for result backends and counters.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <ringmill/error.h>
#include <ringmill/job.h>

namespace ringmill {

class Participant;

struct ValueOptions {
  /// How long the value lives from this call on; 1 ms to ten years.
  std::chrono::milliseconds ttl{std::chrono::hours{24}};
  /// set() changes nothing if there is a value.
  bool only_if_absent = false;
  /// set() changes nothing unless the value is still of this version: compare and swap.
  std::optional<std::uint64_t> only_if_version = std::nullopt;
  /// As for jobs. It is fixed when a value is made, until that value is removed or its time is over.
  Durability durability = Durability::journaled;
};

/// A value as it was at one moment.
struct Value {
  std::string bytes;
  /// Changes with each change of the value, and is never used again for its key.
  std::uint64_t version = 0;
};

/// The values of one engine, as one participant uses them. Every call is for the participant's thread (errors
/// wrong_thread, after_fork), and is atomic: no process that dies or stops at any instruction leaves a value half
/// changed. A value takes a cell of the table, as a kept result does; it counts to CreateOptions::results, and goes
/// before its time only when no result is left that could go instead. Allocates.
/// Each call may return the error not_found for a removed engine, also where it names none.
class Values {
 public:
  /// The participant must outlive it.
  explicit Values(Participant& participant) noexcept : participant_(&participant) {}

  /// Sets the value of a key: any bytes, as many as a payload may have. A key is 1 byte or more, and must fit a cell
  /// beside 112 bytes (144 bytes with the default cells). Returns false if options.only_if_absent or
  /// only_if_version kept it from that.
  /// Errors: too_large, invalid_argument, no_space (no room for a value so long), would_block (the table is full),
  /// busy (another process stopped while it changed the value).
  [[nodiscard]] Result<bool> set(std::string_view key, Payload bytes, const ValueOptions& options = {});
  /// Errors: not_found, busy as above.
  [[nodiscard]] Result<Value> get(std::string_view key) const;
  /// Returns whether there was a value. Error busy as above.
  [[nodiscard]] Result<bool> remove(std::string_view key);
  /// Adds to a value that is a decimal number; one that is not there counts as 0. Each call counts exactly once. The
  /// time of a value that is there stays. Returns the new number. Errors: invalid_argument (the value is no number, or
  /// the sum has no room in 64 bits), and those of set().
  [[nodiscard]] Result<std::int64_t> increment(std::string_view key, std::int64_t by = 1,
                                               const ValueOptions& options = {});
  /// Gives a value another time to live, from this call on, and leaves it as it is. Returns whether there is a value.
  /// Errors: invalid_argument (the time), busy as above.
  [[nodiscard]] Result<bool> expire(std::string_view key, std::chrono::milliseconds ttl);
  /// Waits until the key has a value of another version than `seen`; nothing: of any. Errors: timed_out, not_found (the
  /// engine was removed).
  [[nodiscard]] Result<Value> wait(std::string_view key, std::chrono::nanoseconds timeout,
                                   std::optional<std::uint64_t> seen = {}) const;

 private:
  Participant* participant_;
};

}  // namespace ringmill
