// ringmill upgrade: takes an engine of a former layout over.
#include <fmt/format.h>

#include <memory>

#include "core/engine/engine_upgrade.h"
#include "ipc/layout.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

int run_upgrade(const std::filesystem::path& directory) {
  const auto report = upgrade_engine(directory);
  if (!report) return fail("upgrade", report.error());
  Output output;
  if (report->from == 0) {
    output.line(
        fmt::format("nothing to do: this program opens the engine as it is (layout version {})", layout_version));
  } else {
    output.line(fmt::format("layout {} instead of {}: took over {} job{} in {:.3f} s", layout_version, report->from,
                            report->resize.jobs, report->resize.jobs == 1 ? "" : "s",
                            std::chrono::duration<double>(report->resize.elapsed).count()));
  }
  return output.finish(exit_done);
}

}  // namespace

Command add_upgrade(CLI::App& program) {
  auto directory = std::make_shared<std::filesystem::path>();
  CLI::App* app = program.add_subcommand("upgrade", "Take over an engine that an earlier version of ringmill made");
  add_directory(*app, *directory);
  app->footer(
      "A short stop: end all processes of the earlier version first, and start those of this one afterwards. All jobs\n"
      "keep their ids, those of durability memory too. A kill at any moment leaves the engine as it was, or upgraded.\n"
      "For a while three memories stand beside each other in the tmpfs. There is no way back.\n"
      "\n"
      "Exit code 1: the engine is in use.\n"
      "\n"
      "Example:\n"
      "  ringmill upgrade /var/lib/jobs");
  return {app, [directory] { return run_upgrade(*directory); }};
}

}  // namespace ringmill::cli
