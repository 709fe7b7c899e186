// ringmill backup: copies an engine that goes on meanwhile.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "core/engine/engine_backup.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

struct BackupWords {
  std::filesystem::path directory;
  std::filesystem::path to;
  bool json = false;
};

void print_json(const BackupReport& report, Output& output) {
  output.json({{"engine", report.engine_id},
               {"jobs", report.jobs},
               {"memory_jobs", report.memory_jobs},
               {"letters", report.letters},
               {"segments", report.segments},
               {"bytes", report.bytes},
               {"seconds", std::chrono::duration<double>(report.elapsed).count()},
               {"damage", report.damage}});
}

void print_text(const BackupReport& report, Output& output) {
  output.line(fmt::format("jobs      {}, of these {} of durability memory", report.jobs, report.memory_jobs));
  output.line(fmt::format("letters   {}", report.letters));
  output.line(fmt::format("journal   {} segments, {} copied and read back in {:.3f} s", report.segments,
                          format_size(report.bytes), std::chrono::duration<double>(report.elapsed).count()));
  output.line(fmt::format("engine    {}: an engine of its own; its first user makes its memory", report.engine_id));
  for (const std::string& damage : report.damage) output.line("damage    " + damage);
}

int run_backup(const BackupWords& words) {
  const auto report = back_up_engine(words.directory, words.to);
  if (!report) return fail("backup", report.error());
  Output output;
  if (words.json) {
    print_json(*report, output);
  } else {
    print_text(*report, output);
  }
  return output.finish(report->damage.empty() ? exit_done : exit_no);
}

}  // namespace

Command add_backup(CLI::App& program) {
  auto words = std::make_shared<BackupWords>();
  CLI::App* app = program.add_subcommand("backup", "Copy an engine while it runs, jobs, letters and schedules");
  add_directory(*app, words->directory);
  app->add_option("TO", words->to, "A new directory, on any file system")->required();
  app->add_flag("--json", words->json, "One JSON object");
  app->footer(
      "TO becomes an engine of its own, under another id, with the same job ids. It holds what the disk of the\n"
      "original would hold after a crash at the end of the copy, and the jobs of durability memory that stood in\n"
      "memory all the while; there they are journaled. What was enqueued before the command began is in it, unless it\n"
      "has ended. What ran runs again. A kill at any moment leaves nothing at TO.\n"
      "\n"
      "To go back: end all processes, move the engine's directory away, then copy TO to its place and run\n"
      "`ringmill recover`; or use TO where it is. Do not use both: jobs and schedules would run twice.\n"
      "\n"
      "Exit code 1: the original's journal is damaged, and the copy as well; or TO is taken.\n"
      "\n"
      "Examples:\n"
      "  ringmill backup /var/lib/jobs /mnt/backup/jobs-monday\n"
      "  ringmill verify /mnt/backup/jobs-monday");
  return {app, [words] { return run_backup(*words); }};
}

}  // namespace ringmill::cli
