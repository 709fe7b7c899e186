// ringmill wait: until a job is over.
#include "tools/cli/wait.h"

#include <fmt/format.h>

#include <memory>

#include "tools/cli/command.h"
#include "tools/cli/dead_letters.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

/// Of a job that is dead: what its last attempt said. Its cause is known once the letter is there.
int tell_dead(std::string_view command, JobId id, std::string_view cause, const std::string& last_error) {
  const std::string why = last_error.empty() ? "" : ": " + escaped(last_error);
  return fail(command, exit_no,
              fmt::format("job {} is dead{}{}", id.to_string(), cause.empty() ? "" : fmt::format(" ({})", cause), why));
}

/// Over, and the table knows no more: perhaps the dead letters do.
int tell_ended(std::string_view command, const std::filesystem::path& directory, JobId id) {
  const auto letter = find_dead_letter(directory, id);
  if (!letter) return fail(command, letter.error());
  if (!*letter) return exit_done;
  return tell_dead(command, id, name_of((*letter)->cause), (*letter)->last_error);
}

}  // namespace

int wait_and_tell(std::string_view command, const Engine& engine, const std::filesystem::path& directory, JobId id,
                  std::optional<std::chrono::nanoseconds> timeout) {
  const auto info = engine.wait(id, timeout.value_or(std::chrono::nanoseconds::max()));
  if (!info && info.error().code() == ErrorCode::not_found) {
    // A letter may be older than the engine's shared memory. If there is none, the engine's own word stands.
    const auto letter = find_dead_letter(directory, id);
    if (letter && *letter) return tell_dead(command, id, name_of((*letter)->cause), (*letter)->last_error);
    return fail(command, exit_no, info.error().message());
  }
  if (!info) return fail(command, info.error());
  switch (info->state) {
    case JobState::completed: {
      Output output;
      output.text(info->result);
      return output.finish(exit_done);
    }
    case JobState::cancelled:
      return fail(command, exit_no, fmt::format("job {} was cancelled", id.to_string()));
    case JobState::dead:
      return tell_dead(command, id, "", info->last_error);
    default:
      return tell_ended(command, directory, id);
  }
}

namespace {

struct WaitWords {
  std::filesystem::path directory;
  std::string id;
  std::optional<std::chrono::nanoseconds> timeout;
};

int run_wait(const WaitWords& words) {
  const auto id = JobId::parse(words.id);
  if (!id) return fail("wait", exit_usage, "a job id has 16 lower-case hexadecimal digits: " + words.id);
  const auto engine = Engine::open(words.directory, {.embedded_keeper = false});
  if (!engine) return fail("wait", engine.error());
  return wait_and_tell("wait", *engine, words.directory, *id, words.timeout);
}

}  // namespace

Command add_wait(CLI::App& program) {
  auto words = std::make_shared<WaitWords>();
  CLI::App* app = program.add_subcommand("wait", "Wait until a job is over; print its result");
  add_directory(*app, words->directory);
  app->add_option("ID", words->id, "The job's id, as enqueue printed it")->required();
  add_duration(*app, "--timeout", words->timeout, "Wait no longer than this (for ever); 0s: only look");
  app->footer(
      "A result is there if the job was enqueued with --keep-result, for so long. Of a job that is over, of which "
      "nothing\n"
      "was kept, and that has no dead letter, nothing is printed: exit code 0.\n"
      "Exit code 1: the job is dead or was cancelled, is not over in time, or never was; standard error says which.\n"
      "\n"
      "Example:\n"
      "  id=$(ringmill enqueue /tmp/jobs --kind add --payload '1 2' --keep-result 1h)\n"
      "  ringmill wait /tmp/jobs $id --timeout 30s");
  return {app, [words] { return run_wait(*words); }};
}

}  // namespace ringmill::cli
