// Recovery on a journal that another user has damaged, with right checksums: a table comes of it whose invariants hold,
// or an error; and `verify` counts the jobs that come back.
#include <unistd.h>

#include <filesystem>

#include "core/base/logger.h"
#include "core/durability/live_jobs.h"
#include "core/durability/recovery.h"
#include "core/inspect/invariants.h"
#include "tests/fuzz/harmed_journal.h"

namespace ringmill::test {
namespace {

SegmentConfig small_table() {
  SegmentConfig config;
  config.engine_id = test_engine;
  config.capacity = 256;
  config.cell_bytes = 512;
  config.levels = {"high", "default", "low"};
  config.weights = {6, 3, 1};
  config.max_payload = 1000;
  config.arena_bytes = 4 * least_arena_chunk_bytes;
  config.mode = 0600;
  return config;
}

}  // namespace

void run(Input input) {
  logger().set_level(spdlog::level::off);
  HarmedJournal journal = harmed_journal(input);
  static const std::filesystem::path path = "/dev/shm/ringmill-fuzz-" + std::to_string(::getpid());
  std::uint64_t jobs = 0;
  bool is_damaged = false;
  const auto fill = [&](Segment& fresh) -> Result<void> {
    TableRebuild table(fresh);
    const auto read = read_into(table, journal.device, test_engine, {});
    if (!read) return std::unexpected(read.error());
    fresh.header().first_generation.store(table.highest_generation() + 1);
    fresh.signals().generation_limit.store(table.highest_generation() + 1000);
    if (auto finished = table.finish(); !finished) return finished;
    jobs = table.jobs();
    is_damaged = !read->damage.empty() || !table.take_damage().empty();
    const std::vector<std::string> broken = check_invariants(fresh, true);
    for (const std::string& sentence : broken) std::fprintf(stderr, "%s\n", sentence.c_str());
    check(broken.empty(), "an invariant of the table");
    return {};
  };
  const auto made = Segment::create(path, small_table(), 1, 1000, fill);
  if (!made) {
    const ErrorCode code = made.error().code();
    check(code == ErrorCode::incompatible || code == ErrorCode::no_space, "an error that no journal may cause");
    return;
  }
  ::unlink(path.c_str());
  if (is_damaged) return;
  LiveJobs live(256);
  check(read_journal(journal.device, test_engine, live).has_value(), "verify cannot read what recovery can");
  check(live.count() == jobs, "verify counts other jobs than come back");
}

}  // namespace ringmill::test
