// What tests of pauses and limits begin with.
#pragma once

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/inspect/invariants.h"
#include "core/inspect/status_view.h"
#include "ipc/wait_mark.h"
#include "tests/support/core_test.h"

namespace ringmill::test {

inline CreateOptions with_capacity(std::uint32_t capacity) {
  CreateOptions options = small_engine();
  options.capacity = capacity;
  return options;
}

struct FlowWorld : World {
  explicit FlowWorld(const CreateOptions& options = small_engine(), const OpenOptions& opening = OpenOptions{})
      : World(options, opening), core(scratch.open_core()) {}

  JobId add(std::string_view payload = "payload", const JobOptions& options = {}) {
    JobRequest asked = request(payload);
    asked.options = options;
    return must(participant->enqueue(asked));
  }
  JobId add_other(std::string_view level_name = "default") {
    return must(participant->enqueue({.kind = other, .level = must(engine.level(level_name))}));
  }
  Job claim() { return must(participant->claim(generous)); }
  /// Claims a job, completes it, and says which it was.
  JobId run() {
    Job job = claim();
    const JobId id = job.id();
    must(job.complete());
    return id;
  }
  bool has_nothing() { return code_of(participant->claim()) == ErrorCode::would_block; }
  /// The kind's status; nothing: it has no rule.
  KindStatus rule() const {
    const auto kinds = engine.status().kinds;
    const auto found = std::ranges::find(kinds, kind_name, &KindStatus::name);
    return found == kinds.end() ? KindStatus{} : *found;
  }
  const CellHeader& header(JobId id) const { return JobTable(core->segment).header(index_of(id)); }
  WaitMark::Reason parked(JobId id) const {
    return WaitMark::of_parked(header(id).cause.load(), JobTable(core->segment).word(index_of(id)));
  }
  std::vector<std::string> broken() const { return check_invariants(core->segment, false); }

  std::shared_ptr<EngineCore> core;
  Kind other = must(engine.kind("other"));
  std::unique_ptr<Participant> participant = attach();
};

/// Each attempt takes a token of an hour: the first begins, all others wait.
inline constexpr KindLimits one_an_hour{.rate = {.count = 1, .period = std::chrono::hours{1}}};
constexpr KindLimits at_a_time(std::uint32_t count) { return {.concurrency = count}; }

}  // namespace ringmill::test
