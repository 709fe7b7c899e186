// Writing a job into a cell that is being filled: enq.N2 of core/participant/producer.h.
#pragma once

#include <optional>
#include <span>

#include <ringmill/participant.h>

#include "core/participant/context.h"
#include "core/participant/request_check.h"
#include "core/table/unique_jobs.h"

namespace ringmill {

/// Returns whether a job waits for a time before it is queued.
inline bool is_delayed(const JobOptions& options) noexcept {
  return options.delay.count() != 0 || options.at.time_since_epoch().count() != 0;
}

/// Writes header, payload, options and links of a job. Each call is for a cell in state filling that the participant
/// owns.
class CellWriter {
 public:
  CellWriter(ParticipantContext& context, const RequestCheck& check) noexcept
      : context_(context), check_(check), table_(context.settling.table()), level_count_(context.level_count) {}

  /// Writes header and payload. A payload longer than `inline_room` is in its extent already. Returns false if the
  /// level was closed meanwhile: the caller takes the cell back. Here, because each enqueue does it.
  [[nodiscard]] bool fill(const FreeCells::Filling& filling, const JobRequest& request, const Checked& checked,
                          std::uint32_t inline_room, std::uint64_t wall_ns) noexcept {
    CellHeader& header = table_.header(filling.index);
    // ORDER relaxed: the cell is ours; its word publishes all of this in enq.N4.
    header.kind.store(static_cast<std::uint16_t>(checked.kind()), std::memory_order_relaxed);
    header.payload_bytes.store(static_cast<std::uint32_t>(request.payload.size()), std::memory_order_relaxed);
    header.level.store(static_cast<std::uint16_t>(checked.level()), std::memory_order_relaxed);
    header.attempts.store(0, std::memory_order_relaxed);
    header.text_bytes.store(0, std::memory_order_relaxed);
    std::uint16_t flags = request.durability == Durability::memory ? cell_flag::memory_only : 0;
    if (!checked.has_options()) {
      header.most_attempts.store(default_max_attempts, std::memory_order_relaxed);
      header.retry_policy.store(0, std::memory_order_relaxed);
    } else {
      flags |= fill_options(filling.index, request.options);
      if (has_notes(request)) flags |= fill_notes(filling.index, request);
    }
    const bool is_large = request.payload.size() > inline_room;  // then its payload is in place
    if (is_large) [[unlikely]]
      flags |= cell_flag::in_arena;
    // ORDER relaxed: as above.
    header.flags.store(flags, std::memory_order_relaxed);
    header.enqueued_at_ns.store(wall_ns, std::memory_order_relaxed);
    header.lease_ms.store(static_cast<std::uint32_t>(request.lease.count()), std::memory_order_relaxed);
    if (!is_large) [[likely]]
      table_.copy_in(filling.index, request.payload);  // enq.N2
    return checked.level() < level_count_ || fill_dynamic_level(header, checked.level());
  }

  /// Takes an extent and writes the payload into it: arena.A1 to arena.A3. Returns false if there is no room: the cell
  /// is given back.
  [[gnu::noinline]] bool fill_extent(const FreeCells::Filling& filling, const JobRequest& request) noexcept;
  /// Takes an extent: arena.A1 and arena.A2. Returns nothing if there is no room: the cell is given back.
  std::optional<std::uint32_t> take_extent(const FreeCells::Filling& filling, std::size_t bytes) noexcept;

  /// Writes a job of a bundle that waits for none, and comes with no other: lead.L1. Returns as fill().
  bool fill_alone(const FreeCells::Filling& filling, const JobRequest& request, const Checked& checked,
                  std::uint64_t wall_ns) noexcept;
  /// Writes any job of a bundle: lead.L1. Returns as fill().
  bool fill_linked(const FreeCells::Filling& filling, const LinkedRequest& linked, const Checked& checked,
                   std::span<const JobId> parents, std::uint64_t wall_ns);
  /// Writes the key into a cell that fill() has filled.
  void set_unique(CellIndex index, UniqueKey key, const JobOptions& options) noexcept;

  /// Returns the state that enq.N4 stores.
  static CellState first_state(const JobRequest& request, const Checked& checked) noexcept {
    if (!checked.has_options()) [[likely]]
      return CellState::queued;
    if (!request.serial_key.empty()) return CellState::blocked;  // serial.S2
    return is_delayed(request.options) ? CellState::delayed : CellState::queued;
  }
  /// Returns when the keeper has to look at the job first. Zero: never.
  static DueTime first_look_at(const JobRequest& request) noexcept;

 private:
  /// `body` is the ids of `parents` jobs, and the payload.
  bool fill_body(const FreeCells::Filling& filling, const LinkedRequest& linked, const Checked& checked,
                 std::size_t parents, std::span<const std::byte> body, std::uint64_t wall_ns) noexcept;
  /// Writes what JobOptions say. Returns the cell's flags for it.
  std::uint16_t fill_options(CellIndex index, const JobOptions& options) noexcept;
  /// Writes what a job carries beside its payload, and the options behind it. Returns the cell's flags for it.
  std::uint16_t fill_notes(CellIndex index, const JobRequest& request) noexcept;
  /// Writes the options that stand at the end of the cell.
  void fill_cell_options(CellIndex index, const JobOptions& options) noexcept;
  /// Writes a dynamic level. Returns whether it is open.
  [[gnu::noinline]] bool fill_dynamic_level(CellHeader& header, std::uint32_t level) noexcept;

  ParticipantContext& context_;
  const RequestCheck& check_;
  const JobTable table_;
  const std::uint32_t level_count_;
};

}  // namespace ringmill
