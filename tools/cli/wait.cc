// ringmill wait: waits until a job is over.
#include "tools/cli/wait.h"

#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/inspect/engine_view.h"
#include "core/inspect/job_view.h"
#include "server/job_json.h"
#include "tools/cli/command.h"
#include "tools/cli/dead_letters.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

/// Returns the cause, and the error of the last attempt.
int tell_dead(std::string_view command, const JobInfo& info) {
  const std::string cause = info.cause ? fmt::format(" ({})", name_of(*info.cause)) : "";
  const std::string why = info.last_error.empty() ? "" : ": " + shown(info.last_error);
  return fail(command, exit_no, fmt::format("job {} is dead{}{}", info.id.to_string(), cause, why));
}

int tell(std::string_view command, JobId id, const Result<JobInfo>& info) {
  if (!info && info.error().code() == ErrorCode::not_found) return fail(command, exit_no, info.error().message());
  if (!info) return fail(command, info.error());
  switch (info->state) {
    case JobState::completed: {
      Output output;
      output.text(info->result);
      if (info->result_cut) {
        const std::string text = fmt::format("the result of job {} is not whole, {} bytes of it are kept: {}",
                                             id.to_string(), info->result.size(), reason_of(info->result_refused));
        return output.finish(fail(command, exit_done, text));
      }
      return output.finish(exit_done);
    }
    case JobState::cancelled:
      return fail(command, exit_no, fmt::format("job {} was cancelled", id.to_string()));
    case JobState::dead:
      return tell_dead(command, *info);
    case JobState::ended:
      if (!info->evicted) return exit_done;
      return fail(command, exit_done, fmt::format("job {}: {}", id.to_string(), text_of_evicted));
    default:
      return exit_done;
  }
}

/// Prints the job's end as one JSON object.
int show(const Result<JobInfo>& info) {
  if (!info && info.error().code() == ErrorCode::not_found) return fail("wait", exit_no, info.error().message());
  if (!info) return fail("wait", info.error());
  Output output;
  output.json(job_json(*info));
  return output.finish(info->state == JobState::dead || info->state == JobState::cancelled ? exit_no : exit_done);
}

/// A process with read access only cannot announce that it waits, so it polls.
constexpr std::chrono::milliseconds look_every{20};
constexpr int looks_per_check = 50;

Result<JobInfo> wait_by_looking(const EngineView& view, const std::filesystem::path& directory, JobId id,
                                std::chrono::nanoseconds timeout) {
  using Clock = std::chrono::steady_clock;
  const auto begin = Clock::now();
  for (int looks = 1;; ++looks) {
    auto info = find_job(view.segment(), id);
    if (!info || info->state == JobState::ended) {
      const auto letter = look_for_letter("wait", directory, id);
      if (!letter) return std::unexpected(letter.error());
      return *letter ? info_of(**letter) : info;
    }
    if (is_over(info->state)) return info;
    if (view.segment().signals().removed.load() != 0) {
      return std::unexpected(Error(ErrorCode::not_found, "the engine was removed", directory.string()));
    }
    if (looks % looks_per_check == 0) {
      if (auto current = view.check_memory(); !current) return std::unexpected(current.error());
    }
    if (Clock::now() - begin >= timeout) {
      return std::unexpected(Error(ErrorCode::timed_out, "the job is not over yet", id.to_string()));
    }
    std::this_thread::sleep_for(look_every);
  }
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
  const auto timeout = words.timeout.value_or(std::chrono::nanoseconds::max());
  const auto finish = [&](const Result<JobInfo>& info) { return words.json ? show(info) : tell("wait", *id, info); };
  const auto engine = Engine::open(words.directory, {.embedded_keeper = false});
  if (engine) return finish(engine->wait(*id, timeout));
  if (engine.error().code() != ErrorCode::permission_denied) return fail("wait", engine.error());
  const auto view = EngineView::open(words.directory);
  if (!view) return fail("wait", view.error());
  return finish(wait_by_looking(*view, words.directory, *id, timeout));
}

}  // namespace

int wait_and_tell(std::string_view command, const Engine& engine, JobId id,
                  std::optional<std::chrono::nanoseconds> timeout) {
  return tell(command, id, engine.wait(id, timeout.value_or(std::chrono::nanoseconds::max())));
}

Command add_wait(CLI::App& program) {
  auto words = std::make_shared<WaitWords>();
  CLI::App* app = program.add_subcommand("wait", "Wait until a job is over; print its result");
  add_directory(*app, words->directory);
  app->add_option("ID", words->id, "The job's id, as enqueue printed it")->required();
  add_duration(*app, "--timeout", words->timeout, "Wait no longer than this (for ever); 0s: do not wait");
  app->add_flag("--json", words->json,
                "One JSON object, as of `ringmill job`; a result that is not UTF-8 is in result_base64");
  app->footer(
      "The result is kept if the job was enqueued with --keep-result, for that time. If the job ended without a kept\n"
      "result or a dead letter, nothing is printed, and the exit code is 0. Of a result for which there was no\n"
      "room the beginning is printed, and standard error says why (result_cut, result_refused in JSON).\n"
      "\n"
      "Exit code 1: the job is dead or was cancelled, is not over in time, or never existed; standard error says\n"
      "which.\n"
      "\n"
      "Example:\n"
      "  id=$(ringmill enqueue /tmp/jobs --kind add --payload '1 2' --keep-result 1h)\n"
      "  ringmill wait /tmp/jobs $id --timeout 30s");
  return {app, [words] { return run_wait(*words); }};
}

}  // namespace ringmill::cli
