// Burials: how many letters become durable per second, in transactions of several sizes.
#include <fmt/format.h>

#include <chrono>
#include <string>
#include <vector>

#include "bench/clock.h"
#include "bench/message.h"
#include "bench/scratch.h"
#include "bench/workload.h"
#include "core/dead_letters/store.h"

namespace ringmill::bench {
namespace {

/// Ids as an engine gives them: the cells of a full table, one generation after the other.
constexpr std::uint64_t cells = 120'000;

std::vector<DeadLetter> letters_of(std::size_t count) {
  const Message message;
  DeadLetter letter{.kind = "thumbnail", .level = "default", .attempts = 3, .max_attempts = 3, .worker = 7};
  letter.last_error = "cannot open the picture: no such file";
  letter.payload.assign(message.bytes().begin(), message.bytes().end());
  return std::vector<DeadLetter>(count, letter);
}

Measured run_burials(const Surroundings& surroundings, std::size_t batch) {
  auto scratch = ScratchEngine::create(surroundings.scratch, 64);
  if (!scratch) return std::unexpected(scratch.error());
  auto store = DeadLetterStore::open(scratch->directory(), DeadLetterStore::Access::read_write);
  if (!store) return std::unexpected(store.error().message());
  std::vector<DeadLetter> letters = letters_of(batch);
  const auto window_ns = static_cast<std::uint64_t>(std::chrono::nanoseconds(surroundings.lengths.throughput).count());
  const std::uint64_t begin = now_ns();
  std::uint64_t buried = 0;
  std::uint64_t took_ns = 0;
  for (; took_ns < window_ns; took_ns = now_ns() - begin) {
    const auto now = std::chrono::system_clock::now();
    for (DeadLetter& letter : letters) {
      letter.id = JobId((1 + buried / cells) << 24 | buried % cells);
      letter.enqueued_at = now;
      letter.died_at = now;
      ++buried;
    }
    if (const auto done = store->bury(letters); !done) return std::unexpected(done.error().message());
  }
  const auto file = std::filesystem::file_size(scratch->directory() / dead_letter_file);
  const auto totals = store->totals();
  if (!totals) return std::unexpected(totals.error().message());
  return Outcome{
      .measured = std::chrono::nanoseconds(took_ns),
      .figures = {{"burials_per_s", static_cast<double>(buried) * 1e9 / static_cast<double>(took_ns)}},
      .notes = {{"file_bytes_per_counted_byte", static_cast<double>(file) / static_cast<double>(totals->bytes)}}};
}

}  // namespace

std::vector<Workload> dead_letter_workloads() {
  std::vector<Workload> workloads;
  for (const std::size_t batch : {std::size_t{64}, std::size_t{256}, std::size_t{1000}}) {
    workloads.push_back({fmt::format("dead_letters.batch{}", batch),
                         {"burials_per_s"},
                         [batch](const Surroundings& surroundings) { return run_burials(surroundings, batch); }});
  }
  return workloads;
}

}  // namespace ringmill::bench
