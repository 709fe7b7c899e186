#include "core/inspect/job_wait.h"

#include <algorithm>

#include "core/inspect/job_view.h"
#include "ipc/clock.h"
#include "ipc/futex.h"
#include "ipc/waking.h"

namespace ringmill {

namespace {

constexpr std::uint64_t ns_per_ms = 1'000'000;

}  // namespace

Result<JobInfo> wait_for_end(const Segment& segment, JobId id, std::uint64_t wait_ns) {
  const JobTable table(segment);
  Signals& signals = segment.signals();
  const std::uint64_t end_ns = later_by(steady_clock_ns(), wait_ns);
  const std::uint32_t group = index_of(id) % wait_groups;
  while (true) {
    const std::uint32_t sequence = signals.ended_sequence[group].load();  // wait.W1
    signals.waited_for.fetch_or(wait_group_bit(index_of(id)));            // wait.W2
    // wait.W3 begins seq_cst, so what is read afterwards is at least as new.
    bool is_ending = false;
    auto info = [&] {
      const auto look = segment.look();
      if (table.stands(id)) static_cast<void>(table.state(index_of(id)).load());
      auto found = find_job(segment, id);
      is_ending = table.word(index_of(id) % table.capacity()).state() == CellState::completing;
      return found;
    }();
    if (!info || is_over(info->state)) return info;
    if (signals.removed.load() != 0) return std::unexpected(Error(ErrorCode::not_found, "the engine was removed"));
    const std::uint64_t now_ns = steady_clock_ns();
    if (now_ns >= end_ns) {
      return std::unexpected(Error(ErrorCode::timed_out, "the job is not over yet", id.to_string()));
    }
    futex_wait(signals.ended_sequence[group], sequence,
               std::min(end_ns - now_ns, is_ending ? ns_per_ms : longest_sleep_for_end_ns));  // wait.W4
  }
}

}  // namespace ringmill
