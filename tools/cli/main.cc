// The command `ringmill`: parses the arguments, runs one command.
#include <exception>
#include <string>
#include <vector>

#include "tools/cli/command.h"
#include "tools/cli/json_log.h"
#include "tools/cli/output.h"
#include "tools/cli/process_start.h"
#include "tools/cli/report.h"

namespace {

using namespace ringmill::cli;

int show(const std::string& text) {
  Output output;
  output.text(text);
  return output.finish(exit_done);
}

int refuse(const CLI::App& program, const CLI::ParseError& error) {
  const auto chosen = program.get_subcommands();
  if (!chosen.empty()) {
    const std::string command = chosen.front()->get_name();
    return fail(command, exit_usage, std::string(error.what()) + "; see `ringmill " + command + " --help`");
  }
  const auto unknown = program.remaining();
  return fail("", exit_usage,
              (unknown.empty() ? std::string(error.what()) : "no such command: " + unknown.front()) +
                  "; see `ringmill --help`");
}

int run(int argc, char** argv) {
  CLI::App program("ringmill: a job engine for one Linux host, in shared memory", "ringmill");
  program.footer(
      "Example: a queue, a job, a worker\n"
      "  ringmill init /tmp/jobs\n"
      "  ringmill enqueue /tmp/jobs --kind greet --payload world\n"
      "  ringmill work /tmp/jobs --exec 'cat' --drain\n"
      "\n"
      "`ringmill COMMAND --help` explains a command, with examples.\n"
      "Exit codes: 0 done; 1 the answer is no (no such job, check failed, would block); 2 usage; 3 engine or system "
      "failed.");
  program.set_version_flag("--version", "ringmill " RINGMILL_VERSION);
  std::string log_form = "text";
  program.add_option("--log", log_form, "The form of the log on standard error: text, or json, an object a line")
      ->check(CLI::IsMember({"text", "json"}))
      ->type_name("FORM");
  program.require_subcommand(1);
  const std::vector<Command> commands{
      add_init(program),   add_enqueue(program), add_work(program),     add_status(program),     add_job(program),
      add_cancel(program), add_dump(program),    add_dead(program),     add_keeper(program),     add_recover(program),
      add_verify(program), add_remove(program),  add_schedule(program), add_wait(program),       add_explain(program),
      add_pause(program),  add_resume(program),  add_limit(program),    add_level(program),      add_forget(program),
      add_resize(program), add_top(program),     add_metrics(program),  add_serve(program),      add_watch(program),
      add_value(program),  add_backup(program),  add_upgrade(program),  add_completion(program), add_manual(program)};
  try {
    program.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    return show(program.help());
  } catch (const CLI::CallForVersion& version) {
    return show(std::string(version.what()) + "\n");
  } catch (const CLI::ParseError& error) {
    return refuse(program, error);
  }
  if (log_form == "json") log_as_json();
  for (const Command& command : commands) {
    if (*command.words) return command.run();
  }
  return exit_usage;
}

}  // namespace

int main(int argc, char** argv) {
  if (!fill_standard_descriptors()) return exit_failed;  // no descriptor to say it on
  set_signal_actions();
  leave_first_process_behind();
  try {
    return run(argc, argv);
  } catch (const std::exception& exception) {  // out of memory, and what the standard library throws
    return fail("", exit_failed, exception.what());
  }
}
