// ringmill cancel: ends a waiting job, or asks a running one to stop.
#include <fmt/format.h>

#include <memory>

#include <ringmill/engine.h>

#include "core/inspect/engine_view.h"
#include "core/inspect/linked_jobs.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

/// Cancels a job and all that are linked with it, the last ones first.
int cancel_chain(const std::filesystem::path& directory, Participant& participant, JobId id) {
  const auto view = EngineView::open(directory);
  if (!view) return fail("cancel", view.error());
  std::uint64_t ended = 0;
  std::uint64_t asked = 0;
  for (const JobId one : linked_with(view->segment(), id)) {
    const auto found = participant.cancel(one);
    if (!found && found.error().code() == ErrorCode::not_found && one != id) continue;
    if (!found) {
      return fail("cancel", found.error().code() == ErrorCode::not_found ? exit_no : exit_failed,
                  found.error().message());
    }
    if (*found == Cancelled::before_start) ++ended;
    if (*found == Cancelled::asked_to_stop) ++asked;
  }
  if (ended + asked == 0) return fail("cancel", exit_no, "every job of the chain is over already: " + id.to_string());
  Output output;
  output.line(fmt::format("{} cancelled before they began, {} asked to stop", ended, asked));
  return output.finish(exit_done);
}

int run_cancel(const std::filesystem::path& directory, const std::string& text, bool chain) {
  const auto id = JobId::parse(text);
  if (!id) return fail("cancel", exit_usage, "a job id has 16 lower-case hexadecimal digits: " + text);
  auto engine = Engine::open(directory, {.embedded_keeper = false});
  if (!engine) return fail("cancel", engine.error());
  auto participant = engine->attach(Role::tool);
  if (!participant) return fail("cancel", participant.error());
  if (chain) return cancel_chain(directory, **participant, *id);
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
    bool chain = false;
  };
  auto words = std::make_shared<Words>();
  CLI::App* app = program.add_subcommand("cancel", "End a waiting job, or ask a running one to stop");
  add_directory(*app, words->directory);
  app->add_option("ID", words->id, "The job's id, as enqueue printed it")->required();
  app->add_flag("--chain", words->chain,
                "Cancel all jobs that are linked with it as well: that wait for it, or that it waits for");
  app->footer(
      "Exit code 0: the job was waiting and will never run, or it runs and was asked to stop; standard output says\n"
      "which. A command of `ringmill work` that is asked to stop gets SIGTERM, and after 5 s SIGKILL; a handler sees\n"
      "JobContext::should_stop(). The job may still complete: `ringmill wait` tells. Exit code 1: the job is over, or\n"
      "never existed; standard error says which. With --chain: how many of each; 1 if all were over.\n"
      "\n"
      "Example:\n"
      "  id=$(ringmill enqueue /tmp/jobs --kind greet --payload world)\n"
      "  ringmill cancel /tmp/jobs $id");
  return {app, [words] { return run_cancel(words->directory, words->id, words->chain); }};
}

}  // namespace ringmill::cli
