// Dead letters for tests, and a directory to keep them in.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dead_letters/store.h"
#include "tests/support/must.h"
#include "tests/support/scratch.h"

namespace ringmill::test {

/// A moment without fractions of a millisecond, so that it prints as it is; some days ago.
inline std::chrono::system_clock::time_point some_day() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) - std::chrono::days{3};
}

/// The letter number `n`: each died a second after the one before.
inline DeadLetter letter_of(std::uint64_t n, std::string_view payload = "payload") {
  DeadLetter letter{.id = JobId(std::uint64_t{1} << 24 | n), .kind = "mail", .level = "default"};
  letter.attempts = 3;
  letter.max_attempts = 5;
  letter.enqueued_at = some_day();
  letter.died_at = some_day() + std::chrono::seconds{n};
  letter.worker = 7;
  letter.last_error = "no route to host";
  const auto bytes = as_payload(payload);
  letter.payload.assign(bytes.begin(), bytes.end());
  return letter;
}

inline std::vector<DeadLetter> letters_from_to(std::uint64_t first, std::uint64_t last) {
  std::vector<DeadLetter> letters;
  for (std::uint64_t n = first; n <= last; ++n) letters.push_back(letter_of(n));
  return letters;
}

inline DeadLetterStore open_store(const std::filesystem::path& directory, const DeadLetterLimits& limits = {}) {
  return must(DeadLetterStore::open(directory, DeadLetterStore::Access::read_write, limits));
}

inline DeadLetterStore open_store_to_read(const std::filesystem::path& directory) {
  return must(DeadLetterStore::open(directory, DeadLetterStore::Access::read_only));
}

/// The numbers of the letters that are meant, in their order.
inline std::vector<std::uint64_t> numbers_in(const DeadLetterStore& store, const DeadLetterFilter& filter = {},
                                             DeadLetterStore::Order order = DeadLetterStore::Order::oldest_first) {
  std::vector<std::uint64_t> numbers;
  must(store.list(filter, order, [&numbers](const DeadLetter& letter) {
    numbers.push_back(letter.id.value() & 0xffffff);
    return true;
  }));
  return numbers;
}

}  // namespace ringmill::test
