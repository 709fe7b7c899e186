// The bits of CellHeader::flags (ipc/layout.h). They are fixed for the job's life, except where a bit says otherwise.
#pragma once

#include <cstdint>

namespace ringmill {

namespace cell_flag {
inline constexpr std::uint16_t memory_only = 1;          // the journal does not write this job
inline constexpr std::uint16_t has_options = 2;          // the cell ends with CellOptions
inline constexpr std::uint16_t bury_on_worker_lost = 4;  // a run without an outcome ends in the dead letters
inline constexpr std::uint16_t has_links = 8;            // CellLinks stands before all that; CellOptions are there, too
/// Other jobs wait for its end. Set by the keeper, at any time, by fetch_or. If the cell got another job in between,
/// the flag costs that job one check by the keeper.
inline constexpr std::uint16_t has_children = 16;
/// It leads a bundle: the journal writes it after all jobs of the bundle, and its cell stays until that is durable. Set
/// by the owner while the state is filling or completing.
inline constexpr std::uint16_t leads_bundle = 32;
inline constexpr std::uint16_t in_arena = 64;  // the payload is in the arena, and all behind the header is text
/// The result is not whole; `cause` says why. Set by the owner while the state is completing, by fetch_or; by recovery.
inline constexpr std::uint16_t result_cut = 128;
/// LevelEntry::came counts it. Set by the owner while the state is filling; by the keeper, or the process that sets a
/// bound, at any time, by fetch_or.
inline constexpr std::uint16_t counted = 256;
/// The result is in the arena, and there is no text. Set and cleared as result_cut.
inline constexpr std::uint16_t result_in_arena = 512;
/// No job, but a value under a key (core/participant/value_store.h): it is born completed. Its payload is the key, its
/// result the value, CellOptions::started the count of its changes.
inline constexpr std::uint16_t is_value = 1024;
/// CellNotes stands before the CellOptions, which are there too; CellLinks, if any, stands before it.
inline constexpr std::uint16_t has_notes = 2048;
/// The flags that the journal keeps. The job's own record says where a payload is.
inline constexpr std::uint16_t journaled = has_options | bury_on_worker_lost | has_links | is_value | has_notes;
inline constexpr std::uint16_t all = 4095;
/// The keeper has to see the end of such a job.
inline constexpr std::uint16_t end_is_seen = has_links | has_children | leads_bundle;
}  // namespace cell_flag

}  // namespace ringmill
