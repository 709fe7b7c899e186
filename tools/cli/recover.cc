// ringmill recover: rebuilds shared memory from the journal.
#include <fmt/format.h>

#include <memory>

#include "core/durability/recovery.h"
#include "core/engine/engine_adoption.h"
#include "core/engine/engine_recovery.h"
#include "core/engine/engine_resize.h"
#include "core/instance/engine_files.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

std::string plural(std::uint64_t count, const std::string& what) {
  return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

void print(const RecoveryReport& report, Output& output) {
  const JournalReport& journal = report.journal;
  output.line(fmt::format("recovered {} of {} in {:.3f} s", plural(report.jobs, "job"), plural(report.kinds, "kind"),
                          std::chrono::duration<double>(report.elapsed).count()));
  output.line(fmt::format("read      {}, {}, {}, {}", plural(journal.segments, "segment"),
                          plural(journal.blocks, "block"), plural(journal.records, "record"),
                          format_size(journal.bytes)));
  if (const auto& tail = journal.torn_tail) {
    output.line(fmt::format("torn tail segment {}, offset {}: as a crash may leave it, nothing durable is lost",
                            tail->segment, tail->offset));
  }
  for (const JournalDamage& damage : journal.damage) output.line("damage    " + text_of(damage));
  for (const auto& kept : report.kept_aside) output.line("kept in   " + kept.string());
}

int run_recover(const std::filesystem::path& path, bool from_journal) {
  auto directory = EngineFiles::open(path, EngineFiles::For::mend);
  if (!directory) return fail("recover", directory.error());
  const auto locks = directory->open_locks();
  if (!locks) return fail("recover", locks.error());
  std::optional<RecoveryReport> report;
  Output output;
  if (needs_adoption(*directory)) {
    const std::string former = directory->engine_id();
    if (auto adopted = adopt(*directory, *locks); !adopted) return fail("recover", adopted.error());
    output.line(fmt::format("this is a copy of engine {}, a restored backup, or was moved here: made it engine {}",
                            former, directory->engine_id()));
  }
  if (has_unfinished_resize(*directory)) {
    if (auto finished = finish_resize(*directory, *locks); !finished) return fail("recover", finished.error());
    directory = EngineFiles::open(path, EngineFiles::For::mend);
    if (!directory) return fail("recover", directory.error());
  }
  if (from_journal) {
    auto rebuilt = rebuild_segment(*directory, *locks);
    if (!rebuilt) return fail("recover", rebuilt.error());
    report = *std::move(rebuilt);
    output.line("made the shared memory anew; jobs of durability memory, and what the journal did not have, are lost");
  } else {
    const auto segment = open_segment(*directory, *locks, false, &report);
    if (!segment) return fail("recover", segment.error());
    if (!report) {
      output.line("the shared memory is there: nothing to recover");
      return output.finish(exit_done);
    }
    output.line("the shared memory was gone, or was not the one made last: made it anew");
  }
  print(*report, output);
  return output.finish(report->journal.damage.empty() ? exit_done : exit_no);
}

}  // namespace

Command add_recover(CLI::App& program) {
  struct Words {
    std::filesystem::path directory;
    bool from_journal = false;
  };
  auto words = std::make_shared<Words>();
  CLI::App* app = program.add_subcommand("recover", "Rebuild shared memory from the journal");
  add_directory(*app, words->directory);
  app->add_flag("--from-journal", words->from_journal,
                "Also if shared memory exists: damaged, or of another version; not while participants live");
  app->footer(
      "The first process that opens an engine whose shared memory is gone recovers it. This command only recovers,\n"
      "and prints what came back. The bytes of damaged blocks are kept in the journal's folder, as\n"
      "damaged-SEGMENT-OFFSET.\n"
      "\n"
      "Exit code 1: damage has cost something, or the engine is in use.\n"
      "\n"
      "Examples:\n"
      "  ringmill recover /tmp/jobs\n"
      "  ringmill recover /tmp/jobs --from-journal");
  return {app, [words] { return run_recover(words->directory, words->from_journal); }};
}

}  // namespace ringmill::cli
