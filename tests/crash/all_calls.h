// Everything of the API, in turns that a seed chooses: the victim, while a peer corrupts its shared memory.
#pragma once

#include <chrono>
#include <cstdint>

#include <ringmill/engine.h>

namespace ringmill::test {

/// Of one thread, which attaches a participant. Ends about at `end`; no call waits for longer than some milliseconds.
/// Whatever the calls answer is as good as anything else.
void make_all_calls(Engine& engine, std::uint64_t seed, std::chrono::steady_clock::time_point end);

}  // namespace ringmill::test
