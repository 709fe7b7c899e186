// ringmill work: runs a shell command for each job.
#include <memory>
#include <mutex>

#include <ringmill/engine.h>
#include <ringmill/worker.h>

#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"
#include "workers/exec_worker.h"

namespace ringmill::cli {

namespace {

struct WorkWords {
  std::filesystem::path directory;
  std::string command;
  std::string kinds;
  std::string levels;
  std::string policy = "weighted";
  std::uint32_t concurrency = 1;
  bool drain = false;
};

int run_work(const WorkWords& words) {
  auto engine = Engine::open(words.directory);
  if (!engine) return fail("work", engine.error());
  Output output;
  std::mutex output_mutex;
  ExecOptions options;
  options.command = words.command;
  if (!words.kinds.empty()) options.kinds = split_list(words.kinds);
  if (!words.levels.empty()) options.levels = split_list(words.levels);
  for (const std::string& level : options.levels) {
    if (const auto known = engine->level(level); !known) return fail("work", exit_usage, known.error().message());
  }
  options.policy = words.policy == "strict" ? Policy::strict : Policy::weighted;
  options.concurrency = words.concurrency;
  options.drain = words.drain;
  // Nothing keeps results yet: whoever started this worker sees them, each whole.
  options.on_result = [&](const ExecResult& result) {
    const std::lock_guard lock(output_mutex);
    output.text(result.output);
    output.flush();
  };
  ExecWorker worker(*engine, std::move(options));
  const auto stopping = worker.stop_on_signals();
  if (!stopping) return fail("work", stopping.error());
  if (const auto ran = worker.run(); !ran) return fail("work", ran.error());
  return output.finish(exit_done);
}

}  // namespace

Command add_work(CLI::App& program) {
  auto words = std::make_shared<WorkWords>();
  CLI::App* app = program.add_subcommand("work", "Run a shell command for each job");
  add_directory(*app, words->directory);
  app->add_option("--exec", words->command, "The command, for /bin/sh -c")->required()->type_name("COMMAND");
  app->add_option("--kind", words->kinds, "Only jobs of these kinds (all)")->type_name("NAME,...");
  app->add_option("--levels", words->levels, "Only jobs of these levels (all)")->type_name("NAME,...");
  app->add_option("--policy", words->policy,
                  "weighted: each level gets its share; strict: always the most urgent level that has a job")
      ->check(CLI::IsMember({"weighted", "strict"}))
      ->capture_default_str();
  app->add_option("--concurrency", words->concurrency, "How many commands run at once, 1 to 128")
      ->capture_default_str()
      ->type_name("N");
  app->add_flag("--drain", words->drain, "End when nothing is left to run");
  app->footer(
      "The command gets the payload on standard input, and RINGMILL_JOB_ID, RINGMILL_KIND, RINGMILL_LEVEL,\n"
      "RINGMILL_ATTEMPT and RINGMILL_PARENTS (the ids of the jobs it has waited for, with commas between; their "
      "results\n"
      "are shown by `ringmill job` meanwhile) in its environment. Exit status 0: the job is done; what the command "
      "wrote on standard output\n"
      "is written to ours, and kept as the job's result if the job asked for that. 100: it failed for good, and goes "
      "to\n"
      "the dead letters. Any other, or longer than the job's timeout: the attempt failed, and the job waits as its\n"
      "backoff says, or is dead when its attempts are used up.\n"
      "\n"
      "SIGTERM or SIGINT: commands that run end, nothing new begins. A second one ends them (SIGTERM, after 5 s "
      "SIGKILL)\n"
      "and gives their jobs back.\n"
      "\n"
      "Examples:\n"
      "  ringmill work /tmp/jobs --exec 'cat'\n"
      "  ringmill work /tmp/jobs --exec './thumbnail' --kind thumbnail --concurrency 4\n"
      "  ringmill work /tmp/jobs --exec 'mail -s \"job $RINGMILL_JOB_ID\" ops@example.org' --levels high,default "
      "--drain");
  return {app, [words] { return run_work(*words); }};
}

}  // namespace ringmill::cli
