#include "core/keeper/generation_limit.h"

#include <algorithm>

#include "core/base/log.h"
#include "core/table/job_table.h"
#include "ipc/clock.h"
#include "ipc/ring.h"

namespace ringmill {

namespace {

/// One cell lives through a step of generations in several seconds at the rates of docs/benchmarks.md, and it asks when
/// half of the margin is still left.
constexpr std::uint64_t least_between_raises_ns = 1'000'000'000;

}  // namespace

std::optional<std::uint64_t> GenerationLimit::durable_limit() {
  if (durable_limit_ != 0) return durable_limit_;
  const auto read = engine_->directory.read_generation_limit();
  if (!read) return std::nullopt;
  durable_limit_ = *read;
  return durable_limit_;
}

bool GenerationLimit::turn(std::uint32_t most_looks) {
  Signals& signals = engine_->segment.signals();
  std::uint64_t limit = signals.generation_limit.load();
  const std::uint64_t wanted = signals.generation_wanted.load();
  if (wanted <= limit && durable_limit_ == limit) return false;
  if (const auto durable = durable_limit(); durable && *durable != limit) {
    if (limit > *durable) {
      log().error(
          "the shared memory of {} allows job ids up to generation {}, and its directory up to {}: another process "
          "wrote over it; the directory's word holds",
          engine_->directory.path().string(), limit, *durable);
    }
    // Only we write there, so one that differs is corrupted, or the former keeper died at gen.V3.
    signals.generation_limit.compare_exchange_strong(limit, *durable);
    limit = signals.generation_limit.load();
  }
  if (wanted <= limit) return false;
  if (has_raised_ && steady_clock_ns() - raised_at_ns_ < least_between_raises_ns) return false;
  if (!look(limit, most_looks)) return false;
  if (has_found_) return raise(limit);
  std::uint64_t expected = wanted;
  signals.generation_wanted.compare_exchange_strong(expected, limit);  // gen.V2
  return false;
}

bool GenerationLimit::look(std::uint64_t limit, std::uint32_t most_looks) noexcept {
  if (!is_looking_) next_ = 0;
  is_looking_ = true;
  has_found_ = false;
  const JobTable table(engine_->segment);
  const CellIndex end = std::min(table.capacity(), next_ + most_looks);
  for (next_ = table.chunks().next_there(next_); next_ < end && !has_found_;
       next_ = table.chunks().next_there(next_ + 1)) {
    const std::uint64_t generation = table.word(next_).generation();
    // A cell that was used up to the limit has one more. A higher one is corrupted.
    has_found_ = generation <= limit + 1 && generation + generation_margin > limit;
  }
  is_looking_ = !has_found_ && next_ < table.capacity();
  return !is_looking_;
}

bool GenerationLimit::raise(std::uint64_t limit) {
  const std::uint64_t raised = std::min(limit + generation_step, most_generation);
  if (raised == limit) return false;
  raised_at_ns_ = steady_clock_ns();
  has_raised_ = true;
  if (auto written = engine_->directory.write_generation_limit(raised); !written) {  // gen.V3
    log().error("cannot write the generation limit: {}; new jobs will be refused when it is reached",
                written.error().message());
    return false;
  }
  durable_limit_ = raised;
  raise_to(engine_->segment.signals().generation_limit, raised);  // gen.V4
  return true;
}

}  // namespace ringmill
