// Values: cells that are born completed. The payload of such a cell is the key, its result the value, and the hash of
// the key stands where that of a unique job stands. So one cell at a time has a key (core/table/unique_jobs.h, uniq.U1
// to uniq.U5), and journal, recovery, keeping and eviction are those of results.
//
// Making a value:
//
//                                                              killed just after the step
//   value.N1  enq.N1, enq.N2: a cell with key and value;       the scan frees the cell
//             uniq.U2 to uniq.U4
//   value.N2  id into the own placing list                     as N1
//   value.N3  CAS the cell: filling -> completed               the reaper marks it, for which the list still names it
//   value.N4  mark it for journal and keeper, clear the list,  waiters look again after 1 s
//             wake waiters
//
// Changing one, which is the end of a run (core/table/settling.h) that begins at `completed`:
//
//   value.V1  read the value, and its change count             nothing happened
//   value.V2  stage the next value and the count; a long one   as V1; the scan frees the carrier
//             in a carrier (core/table/results.h)
//   value.V3  CAS the cell: completed -> completing            the reaper goes on at V4
//   value.V4  the count is the staged one: write value and     again, to the same values. The count is written last: a
//             time, then the count plus one. Else: nothing     reaper that finds the next one leaves all as it is
//   value.V5  store completed; mark, wake                      as settle.E5
//
// A state word can come back after 512 changes. So V3 alone does not tell that the value is the one that was read in
// V1: the count, which has 64 bits, does, in V4 and for readers. A change that was staged for an older value is given
// up, and its caller begins at V1 again. So increments are exact.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <ringmill/values.h>

#include "core/participant/cell_writer.h"
#include "core/participant/producer.h"
#include "core/participant/settler.h"
#include "core/table/unique_jobs.h"

namespace ringmill {

/// The name of the kind of all values.
inline constexpr std::string_view value_kind = "ringmill:value";

class ValueStore {
 public:
  ValueStore(ParticipantContext& context, const RequestCheck& check, Producer& producer, Settler& settler) noexcept
      : context_(context),
        producer_(producer),
        settler_(settler),
        writer_(context, check),
        table_(context.settling.table()) {}

  Result<bool> set(std::string_view key, std::span<const std::byte> bytes, const ValueOptions& options);
  Result<Value> get(std::string_view key) const;
  Result<bool> remove(std::string_view key);
  Result<std::int64_t> increment(std::string_view key, std::int64_t by, const ValueOptions& options);
  Result<bool> expire(std::string_view key, std::chrono::milliseconds ttl);
  Result<Value> wait(std::string_view key, std::uint64_t wait_ns, std::optional<std::uint64_t> seen) const;

 private:
  struct Found {
    CellIndex index = 0;
    StateWord word{};
    Value value{};
    bool is_over = false;  // its time is, and the keeper has not come to it
  };
  /// What became of a change.
  enum class Changed : std::uint8_t { yes, lost };

  /// Nothing: the key has no value. Error busy.
  Result<std::optional<Found>> find(std::string_view key, UniqueKey hash) const;
  /// Reads one cell. Nothing: it is another's.
  enum class Look : std::uint8_t { found, none, moves };
  Look look_at(JobId id, std::string_view key, Found& found) const;
  /// value.N1 to value.N4.
  Result<Changed> make(std::string_view key, UniqueKey hash, std::span<const std::byte> bytes,
                       const ValueOptions& options);
  /// Writes the value into a filling cell. False: there is no room.
  bool fill_value(const FreeCells::Filling& filling, std::span<const std::byte> bytes, std::chrono::milliseconds ttl);
  bool publish(const FreeCells::Filling& filling, bool to_journal) noexcept;
  /// value.V2 to value.V5. `ttl_ms` 0: its time stays.
  Result<Changed> change(const Found& found, std::span<const std::byte> bytes, std::uint64_t ttl_ms);
  Result<void> check(std::string_view key, std::size_t bytes, const ValueOptions& options) const;
  Result<void> reach_device(const ValueOptions& options);

  ParticipantContext& context_;
  Producer& producer_;
  Settler& settler_;
  CellWriter writer_;
  const JobTable table_;
};

}  // namespace ringmill
