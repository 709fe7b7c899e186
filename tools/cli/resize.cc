// ringmill resize: gives an engine other sizes, with all its jobs.
#include <fmt/format.h>

#include <memory>
#include <optional>

#include "core/engine/engine_resize.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

struct ResizeWords {
  std::filesystem::path directory;
  std::optional<std::uint32_t> capacity;
  ResizeWish wish;
};

std::uint32_t capacity_of(const EngineConfiguration& configuration) {
  const SegmentConfig& config = configuration.segment;
  return config.plain_capacity != 0 ? config.plain_capacity : config.capacity;
}

int run_resize(const ResizeWords& words) {
  ResizeWish wish = words.wish;
  wish.capacity = words.capacity.value_or(0);
  if (words.capacity == 0U) return fail("resize", exit_usage, "--capacity: an engine holds 64 jobs at least");
  if (wish.capacity == 0 && wish.cell_size == 0 && wish.max_payload == 0 && wish.arena == 0) {
    return fail("resize", exit_usage, "name a size: --capacity, --cell-size, --max-payload or --arena");
  }
  const auto report = resize_engine(words.directory, wish);
  if (!report) return fail("resize", report.error());
  Output output;
  const SegmentConfig& after = report->after.segment;
  output.line(fmt::format("took over {} job{} in {:.3f} s: nothing ran meanwhile, start the workers again",
                          report->jobs, report->jobs == 1 ? "" : "s",
                          std::chrono::duration<double>(report->elapsed).count()));
  output.line(fmt::format("capacity    {} jobs, before {}", capacity_of(report->after), capacity_of(report->before)));
  output.line(fmt::format("cells       {} bytes, before {}", after.cell_bytes, report->before.segment.cell_bytes));
  output.line(fmt::format("memory      {}", format_size(report->bytes)));
  output.line(fmt::format("journal     at most {}, before {}", format_size(report->after.journal.limit()),
                          format_size(report->before.journal.limit())));
  return output.finish(exit_done);
}

}  // namespace

Command add_resize(CLI::App& program) {
  auto words = std::make_shared<ResizeWords>();
  CLI::App* app = program.add_subcommand("resize", "Give an engine other sizes, with all its jobs");
  add_directory(*app, words->directory);
  add_count(*app, "--capacity", words->capacity, "How many jobs it holds, of whichever levels");
  add_size(*app, "--cell-size", words->wish.cell_size, "Bytes of one cell, a power of two; cells do not get smaller");
  add_size(*app, "--max-payload", words->wish.max_payload, "The longest payload; it does not get shorter");
  add_size(*app, "--arena", words->wish.arena, "Shared memory for payloads that do not fit a cell; it only grows");
  app->footer(
      "A short stop: end producers, workers and keeper first, and start them again afterwards. All jobs keep their\n"
      "ids, those of durability memory too. A kill at any moment leaves the engine with its old sizes or with its new\n"
      "ones, and loses no job. For a while both memories stand beside each other in the tmpfs. The journal's limit\n"
      "grows as needed.\n"
      "\n"
      "Exit code 1: the engine is in use, or a job does not fit a smaller capacity.\n"
      "\n"
      "Examples:\n"
      "  ringmill resize /var/lib/jobs --capacity 1000000\n"
      "  ringmill resize /tmp/jobs --cell-size 1KiB --max-payload 4MiB");
  return {app, [words] { return run_resize(*words); }};
}

}  // namespace ringmill::cli
