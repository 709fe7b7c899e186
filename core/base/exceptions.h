// Turns what the standard library throws into an error. No exception crosses a public call, and none ends a thread of
// the engine inside a host program: public calls and the threads' functions end with
//
//   } catch (const std::exception& thrown) {
//     return std::unexpected(error_of(thrown));
//   }
//
// Where nothing is thrown this costs nothing. Not `catch (...)`: a cancelled thread unwinds by an exception of its own,
// and what a caller's own function throws is the caller's.
#pragma once

#include <cstddef>
#include <exception>

#include <ringmill/error.h>

namespace ringmill {

/// out_of_memory for std::bad_alloc; system, with its text, for anything else: no thread to be had, a path that cannot
/// be read. Allocates nothing for out_of_memory.
Error error_of(const std::exception& thrown) noexcept;

/// Before JSON of so many bytes is read or made: throws std::bad_alloc where there is no memory for it. The JSON
/// library ends the program when an allocation fails in the middle of its work, because its destructors allocate.
void expect_memory_for_json(std::size_t text_bytes);

}  // namespace ringmill
