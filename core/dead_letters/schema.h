// The tables of the dead letters' file, and how a row becomes a letter.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

#include <ringmill/error.h>

#include "core/base/sqlite.h"
#include "core/dead_letters/store.h"

namespace ringmill {

/// The columns of a letter, in the order in which read_letter() expects them and insert binds them.
inline constexpr std::string_view letter_columns =
    "id, died_at, kind, level, cause, attempts, max_attempts, enqueued_at, worker, lease_ms, backoff, keep_result_ms, "
    "bury_when_worker_lost, bytes, last_error, payload, payload_cut_from, tag, traceparent, retried_from, "
    "serial_key_hash";
inline constexpr int letter_column_count = 21;
/// The same for a file that was made before letters carried anything beside their payload, and that this process may
/// only read.
inline constexpr std::string_view letter_columns_before_notes =
    "id, died_at, kind, level, cause, attempts, max_attempts, enqueued_at, worker, lease_ms, backoff, keep_result_ms, "
    "bury_when_worker_lost, bytes, last_error, payload, payload_cut_from, '', '', 0, x''";
/// And before letters were cut.
inline constexpr std::string_view letter_columns_before_cuts =
    "id, died_at, kind, level, cause, attempts, max_attempts, enqueued_at, worker, lease_ms, backoff, keep_result_ms, "
    "bury_when_worker_lost, bytes, last_error, payload, 0, '', '', 0, x''";

/// What stands for the columns in a query of one file.
struct LetterColumns {
  std::string_view list = letter_columns;
  std::string_view tag = "tag";
};

/// Where letters went that were retried: made when the first one is.
inline constexpr const char* make_retried =
    "CREATE TABLE IF NOT EXISTS retried(id INTEGER PRIMARY KEY, job INTEGER NOT NULL, at INTEGER NOT NULL) STRICT";

/// Opens the file, checks whose and what it is, and makes the tables if it may.
Result<SqlConnection> open_dead_letters(const Directory& directory, DeadLetterStore::Access access,
                                        const DeadLetterLimits& limits, std::chrono::milliseconds busy_wait);

/// Returns what the file has: all of them, if it may be written.
Result<LetterColumns> letter_columns_of(SqlConnection& connection);

std::int64_t time_column(std::chrono::system_clock::time_point time) noexcept;
std::chrono::system_clock::time_point time_of_column(std::int64_t ns) noexcept;

/// The longest lease, and the longest that a result is kept, that a letter can name.
inline constexpr std::chrono::milliseconds most_letter_time = std::chrono::years{100};

/// Of DeadLetter::serial_key_hash, where there is one.
inline constexpr std::size_t serial_key_hash_bytes = 16;

/// Error corrupt: a column holds what bury() would not have written.
Result<DeadLetter> read_letter(const SqlStatement& row);

/// Error invalid_argument: a text is longer than the file takes.
Result<void> check_letter(const DeadLetter& letter);

}  // namespace ringmill
