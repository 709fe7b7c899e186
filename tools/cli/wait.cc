// ringmill wait: until a job is over.
#include "tools/cli/wait.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"
#include "tools/cli/view.h"

namespace ringmill::cli {

namespace {

/// Why, and what its last attempt said.
int tell_dead(std::string_view command, const JobInfo& info) {
  const std::string cause = info.cause ? fmt::format(" ({})", name_of(*info.cause)) : "";
  const std::string why = info.last_error.empty() ? "" : ": " + shown(info.last_error);
  return fail(command, exit_no, fmt::format("job {} is dead{}{}", info.id.to_string(), cause, why));
}

}  // namespace

int wait_and_tell(std::string_view command, const Engine& engine, JobId id,
                  std::optional<std::chrono::nanoseconds> timeout) {
  const auto info = engine.wait(id, timeout.value_or(std::chrono::nanoseconds::max()));
  if (!info && info.error().code() == ErrorCode::not_found) return fail(command, exit_no, info.error().message());
  if (!info) return fail(command, info.error());
  switch (info->state) {
    case JobState::completed: {
      Output output;
      output.text(info->result);
      if (info->result_cut) {
        const std::string text = fmt::format("the result of job {} was longer: {} bytes of it are kept", id.to_string(),
                                             info->result.size());
        return output.finish(fail(command, exit_done, text));
      }
      return output.finish(exit_done);
    }
    case JobState::cancelled:
      return fail(command, exit_no, fmt::format("job {} was cancelled", id.to_string()));
    case JobState::dead:
      return tell_dead(command, *info);
    default:
      return exit_done;
  }
}

namespace {

/// The job's end as one JSON object, whatever it is.
int wait_and_show(const Engine& engine, JobId id, std::optional<std::chrono::nanoseconds> timeout) {
  const auto info = engine.wait(id, timeout.value_or(std::chrono::nanoseconds::max()));
  if (!info && info.error().code() == ErrorCode::not_found) return fail("wait", exit_no, info.error().message());
  if (!info) return fail("wait", info.error());
  Output output;
  output.json(job_json(*info));
  return output.finish(info->state == JobState::dead || info->state == JobState::cancelled ? exit_no : exit_done);
}

struct WaitWords {
  std::filesystem::path directory;
  std::string id;
  bool json = false;
  std::optional<std::chrono::nanoseconds> timeout;
};

int run_wait(const WaitWords& words) {
  const auto id = JobId::parse(words.id);
  if (!id) return fail("wait", exit_usage, "a job id has 16 lower-case hexadecimal digits: " + words.id);
  const auto engine = Engine::open(words.directory, {.embedded_keeper = false});
  if (!engine) return fail("wait", engine.error());
  if (words.json) return wait_and_show(*engine, *id, words.timeout);
  return wait_and_tell("wait", *engine, *id, words.timeout);
}

}  // namespace

Command add_wait(CLI::App& program) {
  auto words = std::make_shared<WaitWords>();
  CLI::App* app = program.add_subcommand("wait", "Wait until a job is over; print its result");
  add_directory(*app, words->directory);
  app->add_option("ID", words->id, "The job's id, as enqueue printed it")->required();
  add_duration(*app, "--timeout", words->timeout, "Wait no longer than this (for ever); 0s: only look");
  app->add_flag("--json", words->json,
                "One JSON object as of `ringmill job`; a result that is no UTF-8 is result_base64");
  app->footer(
      "A result is there if the job was enqueued with --keep-result, for so long. Nothing is printed if the job "
      "ended\n"
      "without a kept result or a dead letter: exit code 0. Of a result that was too long for its "
      "cell the beginning\n"
      "is printed, and standard error says so (result_cut in JSON).\n"
      "Exit code 1: the job is dead or was cancelled, is not over in time, or never was; standard error says which.\n"
      "\n"
      "Example:\n"
      "  id=$(ringmill enqueue /tmp/jobs --kind add --payload '1 2' --keep-result 1h)\n"
      "  ringmill wait /tmp/jobs $id --timeout 30s");
  return {app, [words] { return run_wait(*words); }};
}

}  // namespace ringmill::cli
