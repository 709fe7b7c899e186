// What most tests of core begin with: an engine, opened, and the shorthands of a producer and a worker.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

#include "tests/support/await.h"
#include "tests/support/must.h"
#include "tests/support/scratch.h"

namespace ringmill::test {

/// A moment of the clock that no test lives to see.
inline constexpr std::uint64_t far_future_ns = std::uint64_t{1} << 62;

inline constexpr std::string_view kind_name = "test";

/// An engine, opened in the test's process.
struct World {
  explicit World(const CreateOptions& options = small_engine(), const OpenOptions& opening = without_keeper)
      : scratch(options),
        engine(scratch.open(opening)),
        kind(must(engine.kind(kind_name))),
        level(must(engine.level("default"))) {}

  std::unique_ptr<Participant> attach(Role role = Role::worker) { return must(engine.attach(role)); }
  JobRequest request(std::string_view payload) const {
    return {.kind = kind, .level = level, .payload = as_payload(payload)};
  }
  JobId enqueue(Participant& participant, std::string_view payload) const {
    return must(participant.enqueue(request(payload)));
  }
  JobState state_of(JobId id) const { return must(engine.job(id)).state; }

  ScratchEngine scratch;
  Engine engine;
  Kind kind;
  Level level;
};

}  // namespace ringmill::test
