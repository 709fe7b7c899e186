// Looking at a segment without trusting it: every number that is read is bounded before it is used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/job.h>
#include <ringmill/status.h>

#include "core/levels/level_names.h"
#include "core/table/job_table.h"
#include "ipc/registry.h"
#include "ipc/segment.h"
#include "ipc/wait_mark.h"

namespace ringmill {

/// One job as it stands in the table. Nothing: the cell holds no job, or it changed while we looked (it is over, or
/// begins).
struct JobView {
  JobInfo info;
  StateWord word{};
  std::uint32_t level_number = 0;
  std::uint32_t kind_number = 0;
  std::uint32_t payload_begins_at = 0;  // in what stands behind the header: the parents' ids are in front of it
  /// Why one that is shown as queued is parked with the keeper; none: it is not.
  WaitMark::Reason parked = WaitMark::Reason::none;
};
std::optional<JobView> view_job(const Segment& segment, CellIndex index);

/// The payload of a job that was looked at. Nothing: the cell has moved on meanwhile. Empty where it should not be:
/// somebody scribbled over the cell or the arena.
std::optional<std::vector<std::byte>> copy_payload(const Segment& segment, const JobView& view);

/// What is known of one job. Error not_found: no job ever had this id.
Result<JobInfo> find_job(const Segment& segment, JobId id);

/// The public state that a cell's state is shown as. Nothing for free and filling.
std::optional<JobState> shown_state(CellState state) noexcept;
/// Nobody will run it, or runs it.
bool is_over(JobState state) noexcept;

/// Levels, totals, participants and cells; what concerns the engine's directory is left empty. `is_alive(n)` is asked
/// for entries in use.
EngineStatus view_status(const Segment& segment, const std::function<bool(std::uint32_t)>& is_alive);

/// One ring, as its counters say and as a walk finds it.
struct RingView {
  std::string level;
  std::uint64_t slots = 0;
  std::uint64_t head = 0;
  std::uint64_t tail = 0;
  std::uint64_t live_hints = 0;
  std::uint64_t dead_hints = 0;
  bool overflow = false;
};
RingView view_ring(const Segment& segment, std::uint32_t level);

/// Which invariants of the segment are broken, a sentence each. `at_rest` adds those that hold only while nobody works
/// and the keeper has finished its scan: nothing is filling or completing, every queued job has a hint in its level's
/// ring, every free cell is listed or cached.
std::vector<std::string> check_invariants(const Segment& segment, bool at_rest);

}  // namespace ringmill
