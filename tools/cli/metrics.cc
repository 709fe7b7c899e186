// ringmill metrics: the engine's statistics for Prometheus.
#include "server/metrics_text.h"

#include <memory>

#include "server/looker.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

Command add_metrics(CLI::App& program) {
  auto directory = std::make_shared<std::filesystem::path>();
  CLI::App* app = program.add_subcommand("metrics", "Print an engine's statistics in the text format of Prometheus");
  add_directory(*app, *directory);
  app->footer(
      "The command writes nothing, recovers nothing, and costs the same whatever the table holds. For the textfile\n"
      "collector of node_exporter, write to another file first, then rename it.\n"
      "\n"
      "Examples:\n"
      "  ringmill metrics /tmp/jobs | promtool check metrics\n"
      "  ringmill metrics /tmp/jobs > ringmill.tmp && mv ringmill.tmp /var/lib/node_exporter/ringmill.prom");
  return {app, [directory] {
            Looker looker(*directory);
            const auto statistics = looker.statistics();
            if (!statistics) return fail("metrics", statistics.error());
            Output output;
            output.text(metrics_text(*statistics, looker.dead_letters(), RINGMILL_VERSION));
            return output.finish(exit_done);
          }};
}

}  // namespace ringmill::cli
