// ringmill cancel: ends a waiting job, or asks a running one to stop.
#include <memory>

#include <ringmill/engine.h>

#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

int run_cancel(const std::filesystem::path& directory, const std::string& text) {
  const auto id = JobId::parse(text);
  if (!id) return fail("cancel", exit_usage, "a job id has 16 lower-case hexadecimal digits: " + text);
  auto engine = Engine::open(directory, {.embedded_keeper = false});
  if (!engine) return fail("cancel", engine.error());
  auto participant = engine->attach(Role::tool);
  if (!participant) return fail("cancel", participant.error());
  const auto found = (*participant)->cancel(*id);
  if (!found) {
    return fail("cancel", found.error().code() == ErrorCode::not_found ? exit_no : exit_failed,
                found.error().message());
  }
  if (*found == Cancelled::already_over) {
    return fail("cancel", exit_no,
                "the job is over already: " + text + "; `ringmill forget` gives up what is kept of it");
  }
  Output output;
  output.line(*found == Cancelled::before_start ? "cancelled before it began"
                                                : "asked to stop: it runs, and may still end well");
  return output.finish(exit_done);
}

}  // namespace

Command add_cancel(CLI::App& program) {
  struct Words {
    std::filesystem::path directory;
    std::string id;
  };
  auto words = std::make_shared<Words>();
  CLI::App* app = program.add_subcommand("cancel", "End a waiting job, or ask a running one to stop");
  add_directory(*app, words->directory);
  app->add_option("ID", words->id, "The job's id, as enqueue printed it")->required();
  app->footer(
      "Exit code 0: the job was waiting and will never run, or it runs and was asked to stop; standard output says\n"
      "which. A command of `ringmill work` that is asked to stop gets SIGTERM, and after 5 s SIGKILL; a handler sees\n"
      "JobContext::should_stop(). The job may still complete: `ringmill wait` tells. Exit code 1: the job is over, or\n"
      "never existed; standard error says which.\n"
      "\n"
      "Example:\n"
      "  id=$(ringmill enqueue /tmp/jobs --kind greet --payload world)\n"
      "  ringmill cancel /tmp/jobs $id");
  return {app, [words] { return run_cancel(words->directory, words->id); }};
}

}  // namespace ringmill::cli
