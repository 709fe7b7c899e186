#include "core/participant/cell_writer.h"

#include <cstring>

#include "core/table/notes.h"
#include "core/table/serial.h"

namespace ringmill {

namespace {

/// Returns when a job may begin. Zero: at once.
DueTime due_of(const JobOptions& options) noexcept {
  if (options.delay.count() != 0) return due_in(static_cast<std::uint64_t>(options.delay.count()));
  const auto at = std::chrono::duration_cast<std::chrono::nanoseconds>(options.at.time_since_epoch());
  return {.ns = static_cast<std::uint64_t>(at.count()), .is_wall = at.count() != 0};
}

/// Returns the time of expiry in milliseconds of the wall clock, rounded up by the exact clock: no job expires before
/// its time. Zero: never.
std::uint64_t expiry_of(const JobOptions& options) noexcept {
  if (options.expires.count() == 0) return 0;
  return (exact_wall_clock_ns() + 999'999) / 1'000'000 + static_cast<std::uint64_t>(options.expires.count());
}

}  // namespace

DueTime CellWriter::first_look_at(const JobRequest& request) noexcept {
  const JobOptions& options = request.options;
  if (!request.serial_key.empty()) return {.ns = 1, .is_wall = false};  // at once: serial.S3
  if (is_delayed(options) || options.expires.count() == 0) return due_of(options);
  return {.ns = later_by(exact_wall_clock_ns(), static_cast<std::uint64_t>(options.expires.count()) * 1'000'000),
          .is_wall = true};
}

std::uint16_t CellWriter::fill_options(CellIndex index, const JobOptions& options) noexcept {
  CellHeader& header = table_.header(index);
  // ORDER relaxed: as in fill().
  header.most_attempts.store(options.max_attempts, std::memory_order_relaxed);
  header.retry_policy.store(static_cast<std::uint16_t>(options.retry_policy), std::memory_order_relaxed);
  header.due_at.store(due_of(options).bits(), std::memory_order_relaxed);
  std::uint16_t flags = options.on_worker_lost == OnWorkerLost::bury ? cell_flag::bury_on_worker_lost : 0;
  if (!has_cell_options(options)) return flags;
  fill_cell_options(index, options);
  return flags | cell_flag::has_options;
}

std::uint16_t CellWriter::fill_notes(CellIndex index, const JobRequest& request) noexcept {
  Notes notes;
  std::uint16_t flags = cell_flag::has_options | cell_flag::has_notes;
  if (!request.serial_key.empty()) {
    const SerialPlace place{.key = serial_key_hash(request.serial_key),
                            .number = next_serial_number(context_.segment),  // serial.S1
                            .may_be_passed = request.serial_retry == SerialRetry::skip};
    notes.serial_low = place.low();
    notes.serial_high = place.number;
    flags |= cell_flag::has_children;  // the keeper has to see its end: serial.S5
  }
  notes.retried_from = request.retried_from;
  notes.trace = TraceParent::parse(request.trace_parent).value_or(TraceParent{});  // it was checked, if it is there
  notes.set_tag(request.tag);
  notes.write(table_.notes_place(index));
  if (!has_cell_options(request.options)) fill_cell_options(index, request.options);
  return flags;
}

void CellWriter::fill_cell_options(CellIndex index, const JobOptions& options) noexcept {
  CellOptions& cell = table_.options_place(index);
  // ORDER relaxed: as in fill().
  cell.expires_at_ms.store(expiry_of(options), std::memory_order_relaxed);
  cell.keep_ms.store(static_cast<std::uint64_t>(options.keep_result.count()), std::memory_order_relaxed);
  // ORDER relaxed: as above.
  cell.started.store(0, std::memory_order_relaxed);
  cell.ended_at_ms.store(0, std::memory_order_relaxed);
  cell.unique_low.store(0, std::memory_order_relaxed);
  cell.unique_high.store(0, std::memory_order_relaxed);
}

void CellWriter::set_unique(CellIndex index, UniqueKey key, const JobOptions& options) noexcept {
  CellHeader& header = table_.header(index);
  CellOptions& cell = table_.options_place(index);
  // ORDER relaxed: the slot of uniq.U3 publishes it, and enq.N4.
  if (!has_cell_options(options)) {
    fill_cell_options(index, options);
    header.flags.store(header.flags.load(std::memory_order_relaxed) | cell_flag::has_options,
                       std::memory_order_relaxed);
  }
  cell.unique_low.store(key.low, std::memory_order_relaxed);
  cell.unique_high.store(key.high, std::memory_order_relaxed);
}

/// The end of enq.N2. The level stands in the cell before we look whether it is open, both seq_cst: see
/// core/levels/dynamic_levels.h. The overflow queue goes by the exact time, so that arrivals within a tick keep their
/// order.
bool CellWriter::fill_dynamic_level(CellHeader& header, std::uint32_t level) noexcept {
  header.enqueued_at_ns.store(exact_wall_clock_ns(), std::memory_order_relaxed);  // ORDER relaxed: as in fill()
  header.level.store(static_cast<std::uint16_t>(level_number(level)));
  return check_.is_open(level);
}

bool CellWriter::fill_linked(const FreeCells::Filling& filling, const LinkedRequest& linked, const Checked& checked,
                             std::span<const JobId> parents, std::uint64_t wall_ns) {
  if (parents.empty()) return fill_body(filling, linked, checked, 0, linked.request.payload, wall_ns);
  std::vector<std::byte> body(parents.size() * 8 + linked.request.payload.size());
  for (std::size_t n = 0; n < parents.size(); ++n) {
    const std::uint64_t id = parents[n].value();
    std::memcpy(body.data() + n * 8, &id, 8);
  }
  std::ranges::copy(linked.request.payload, body.begin() + static_cast<std::ptrdiff_t>(parents.size() * 8));
  return fill_body(filling, linked, checked, parents.size(), body, wall_ns);
}

bool CellWriter::fill_alone(const FreeCells::Filling& filling, const JobRequest& request, const Checked& checked,
                            std::uint64_t wall_ns) noexcept {
  // ORDER relaxed: as in fill(). publish_filled() of core/table/bundles.h reads it of every job.
  if (!checked.has_options()) table_.header(filling.index).due_at.store(0, std::memory_order_relaxed);
  const std::uint32_t room = check_.linked_room(request);  // as the caller has taken an extent, or none
  const bool is_open = fill(filling, request, checked, room, wall_ns);
  if (request.payload.size() > room) context_.arena.fill(filling.index, filling.extent, request.payload);  // arena.A3
  return is_open;
}

bool CellWriter::fill_body(const FreeCells::Filling& filling, const LinkedRequest& linked, const Checked& checked,
                           std::size_t parents, std::span<const std::byte> body, std::uint64_t wall_ns) noexcept {
  JobRequest request = linked.request;
  request.payload = body;
  CellHeader& header = table_.header(filling.index);
  const std::uint32_t room = check_.linked_room(request);
  const bool is_open = fill(filling, request, checked.with_options(), room, wall_ns);
  if (body.size() > room) context_.arena.fill(filling.index, filling.extent, body);  // arena.A3
  // ORDER relaxed: the cell is ours; its word publishes all of this in lead.L3, the bundle's word before that to our
  // reaper.
  const std::uint16_t flags = header.flags.load(std::memory_order_relaxed);
  if ((flags & cell_flag::has_options) == 0) fill_cell_options(filling.index, request.options);
  header.flags.store(flags | cell_flag::has_options | cell_flag::has_links, std::memory_order_relaxed);
  CellLinks& links = table_.links_place(filling.index, flags);
  links.born_of.store(0, std::memory_order_relaxed);
  links.next.store(0, std::memory_order_relaxed);
  links.parents.store(static_cast<std::uint32_t>(parents), std::memory_order_relaxed);
  // ORDER relaxed: as above.
  links.rule.store(static_cast<std::uint16_t>(BornRule::alone), std::memory_order_relaxed);
  links.runs_all_the_same.store(linked.on_parent_dead == OnParentDead::run ? 1 : 0, std::memory_order_relaxed);
  return is_open;
}

std::optional<std::uint32_t> CellWriter::take_extent(const FreeCells::Filling& filling, std::size_t bytes) noexcept {
  const auto unit = context_.take_extent(job_id_of(filling.word, filling.index), bytes);
  if (!unit) context_.take_back(filling);
  return unit;
}

bool CellWriter::fill_extent(const FreeCells::Filling& filling, const JobRequest& request) noexcept {
  const auto unit = take_extent(filling, request.payload.size());
  if (unit) context_.arena.fill(filling.index, *unit, request.payload);  // arena.A3
  return unit.has_value();
}

}  // namespace ringmill
