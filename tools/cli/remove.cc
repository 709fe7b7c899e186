// ringmill remove: removes an engine.
#include <memory>

#include <ringmill/engine.h>

#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

Command add_remove(CLI::App& program) {
  struct Words {
    std::filesystem::path directory;
    bool force = false;
  };
  auto words = std::make_shared<Words>();
  CLI::App* app = program.add_subcommand("remove", "Remove an engine: its directory, its shared memory, its jobs");
  add_directory(*app, words->directory);
  app->add_flag("--force", words->force, "Also while participants live; they get an error at their next wait");
  app->footer(
      "Exit code 1: participants or a keeper live, or another process creates or removes the engine at this moment.\n"
      "Also removes what a killed init has left.\n"
      "\n"
      "Examples:\n"
      "  ringmill remove /tmp/jobs\n"
      "  ringmill remove /tmp/jobs --force");
  return {app, [words] {
            const auto removed = Engine::remove(words->directory, words->force);
            return removed ? exit_done : fail("remove", removed.error());
          }};
}

}  // namespace ringmill::cli
