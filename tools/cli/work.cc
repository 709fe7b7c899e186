// ringmill work: runs a shell command for each job.
#include <chrono>
#include <memory>

#include <ringmill/engine.h>
#include <ringmill/worker.h>

#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"
#include "tools/cli/result_stream.h"
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
  std::chrono::nanoseconds give_up_after = std::chrono::seconds{60};
  std::uint64_t most_output = std::uint64_t{1} << 30;
};

int run_work(const WorkWords& words) {
  auto engine = Engine::open(words.directory);
  if (!engine) return fail("work", engine.error());
  ExecOptions options;
  // The shell would take a dash for an option of its own.
  options.command = words.command.starts_with('-') ? " " + words.command : words.command;
  if (!words.kinds.empty()) options.kinds = split_list(words.kinds);
  if (!words.levels.empty()) options.levels = split_list(words.levels);
  for (const std::string& level : options.levels) {
    if (const auto known = engine->level(level); !known) return fail("work", exit_usage, known.error().message());
  }
  options.policy = words.policy == "strict" ? Policy::strict : Policy::weighted;
  options.concurrency = words.concurrency;
  options.drain = words.drain;
  options.give_up_after = std::chrono::duration_cast<std::chrono::milliseconds>(words.give_up_after);
  options.most_output = words.most_output;
  ResultStream stream;
  options.on_result = [&stream](const ExecResult& result) { stream.write(result); };
  ExecWorker worker(*engine, std::move(options));
  const auto stopping = worker.stop_on_signals();
  if (!stopping) return fail("work", stopping.error());
  if (const auto ran = worker.run(); !ran) return fail("work", ran.error());
  return stream.finish(exit_done);
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
  app->add_option("--concurrency", words->concurrency, "The number of commands that run at once, 1 to 512")
      ->capture_default_str()
      ->type_name("N");
  app->add_flag("--drain", words->drain, "End when nothing is left to run");
  add_duration(*app, "--give-up-after", words->give_up_after,
               "End with exit code 3 after no command could be started for this long (60s)");
  add_size(
      *app, "--most-output", words->most_output,
      "The most output of one command that is passed on, or kept (1GiB); beyond 64 KiB it is in a temporary file, in "
      "TMPDIR or /var/tmp");
  app->footer(
      "The command gets the payload on standard input. Its environment has RINGMILL_JOB_ID, RINGMILL_KIND,\n"
      "RINGMILL_LEVEL, RINGMILL_ATTEMPT, RINGMILL_TAG and TRACEPARENT (empty: the job has none) and\n"
      "RINGMILL_PARENTS: the ids of the jobs that it has waited for, separated by commas. `ringmill job` shows their "
      "results while the command runs. Ids of more than 64 KiB are in the file\n"
      "that RINGMILL_PARENTS_FILE names.\n"
      "\n"
      "Exit status 0: the job is done. After the command has ended, its standard output is written to ours, byte for\n"
      "byte, and kept as the job's result if the job asked for that (its beginning, if it is too long). Exit status\n"
      "100: the job failed for good, and goes to the dead letters. Any other status, or a run longer than the job's\n"
      "timeout: the attempt failed. Then the job waits as its backoff says, or is dead when its attempts are used up;\n"
      "the end of standard error is kept with it. A timeout does not end a command that leaves its process group\n"
      "(setsid).\n"
      "\n"
      "A command that cannot be started for lack of descriptors, processes, memory or a shell is no attempt: its job\n"
      "goes back, and this worker waits before its next claim. Exit code 3: no command could be started for\n"
      "--give-up-after, or output of commands could not be passed on.\n"
      "\n"
      "SIGTERM or SIGINT: running commands end, and no new one begins. A second signal ends them (SIGTERM, after 5 s\n"
      "SIGKILL) and gives their jobs back.\n"
      "\n"
      "Examples:\n"
      "  ringmill work /tmp/jobs --exec 'cat'\n"
      "  ringmill work /tmp/jobs --exec './thumbnail' --kind thumbnail --concurrency 4\n"
      "  ringmill work /tmp/jobs --exec 'mail -s \"job $RINGMILL_JOB_ID\" ops@example.org' --levels high,default "
      "--drain");
  return {app, [words] { return run_work(*words); }};
}

}  // namespace ringmill::cli
