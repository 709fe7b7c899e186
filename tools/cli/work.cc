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
  app->add_option("--concurrency", words->concurrency, "How many commands run at once, 1 to 128")
      ->capture_default_str()
      ->type_name("N");
  app->add_flag("--drain", words->drain, "End when nothing is left to run");
  add_duration(*app, "--give-up-after", words->give_up_after,
               "End with exit code 3 when no command could be started for so long (60s)");
  add_size(
      *app, "--most-output", words->most_output,
      "How much of what a command writes is passed on (1GiB); beyond 64 KiB it waits in a temporary file, in TMPDIR "
      "or /var/tmp");
  app->footer(
      "The command gets the payload on standard input, and RINGMILL_JOB_ID, RINGMILL_KIND, RINGMILL_LEVEL,\n"
      "RINGMILL_ATTEMPT and RINGMILL_PARENTS (the ids of the jobs it has waited for, with commas between; their "
      "results\n"
      "are shown by `ringmill job` meanwhile) in its environment; more than 64 KiB of ids are in the file that\n"
      "RINGMILL_PARENTS_FILE names.\n"
      "Exit status 0: the job is done; what the command wrote on standard output is written to ours when it has "
      "ended,\n"
      "byte for byte, and kept as the job's result if the job asked for that (of a long one the beginning). 100: it\n"
      "failed for good, and goes to the dead letters. Any other, or longer than the job's timeout: the attempt "
      "failed,\n"
      "and the job waits as its backoff says, or is dead when its attempts are used up; the end of standard error is\n"
      "kept with it. A command that leaves its process group (setsid) is not ended by a timeout.\n"
      "\n"
      "A command that cannot be started for lack of descriptors, processes, memory or a shell is no attempt: its job\n"
      "goes back, and this worker waits before it takes another one. Exit code 3: it stayed so for --give-up-after, "
      "or\n"
      "something that commands wrote could not be passed on.\n"
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
