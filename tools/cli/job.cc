// ringmill job: what is known of one job.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "tools/cli/command.h"
#include "tools/cli/dead_letters.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"
#include "tools/cli/view.h"

namespace ringmill::cli {

namespace {

struct JobWords {
  std::filesystem::path directory;
  std::string id;
  bool json = false;
};

void print_text(const JobInfo& info, Output& output) {
  const auto line = [&output](std::string_view name, const std::string& value) {
    output.line(fmt::format("{:<13} {}", name, value));
  };
  line("id", info.id.to_string());
  line("state", std::string(name_of(info.state)));
  if (info.state == JobState::ended) return;
  line("kind", info.kind);
  line("level", info.level);
  line("attempts", std::to_string(info.attempts));
  line("payload", std::to_string(info.payload_size) + " bytes");
  line("enqueued at", time_text(info.enqueued_at));
  line("started at", time_text(info.started_at));
  line("worker", info.worker >= 0 ? "participant " + std::to_string(info.worker) : "-");
}

void print_text(const DeadLetter& letter, Output& output) {
  print_text({.id = letter.id,
              .kind = letter.kind,
              .level = letter.level,
              .state = JobState::dead,
              .attempts = letter.attempts,
              .payload_size = static_cast<std::uint32_t>(letter.payload.size()),
              .enqueued_at = letter.enqueued_at,
              .worker = letter.worker},
             output);
  output.line(fmt::format("{:<13} {}", "died at", time_text(letter.died_at)));
  output.line(fmt::format("{:<13} {}", "cause", name_of(letter.cause)));
  output.line(fmt::format("{:<13} {}", "error", escaped(letter.last_error)));
}

/// Nothing: no dead letter of this job.
Result<std::optional<DeadLetter>> find_dead(const std::filesystem::path& directory, JobId id) {
  const auto store = open_dead_letters_to_read(directory);
  if (!store) return std::unexpected(store.error());
  if (!*store) return std::nullopt;
  auto letter = (*store)->find(id);
  if (letter) return *std::move(letter);
  if (letter.error().code() == ErrorCode::not_found) return std::nullopt;
  return std::unexpected(letter.error());
}

int run_job(const JobWords& words) {
  const auto id = JobId::parse(words.id);
  if (!id) return fail("job", exit_usage, "a job id has 16 lower-case hexadecimal digits: " + words.id);
  const auto view = EngineView::open(words.directory);
  if (!view) return fail("job", view.error());
  const auto info = find_job(view->segment(), *id);
  // What the table knows of an ended job, or of one from before a recovery, is less than its letter says.
  if (!info || info->state == JobState::ended) {
    const auto letter = find_dead(words.directory, *id);
    if (!letter) return fail("job", letter.error());
    if (*letter) {
      Output output;
      if (words.json) {
        output.json(letter_json(**letter));
      } else {
        print_text(**letter, output);
      }
      return output.finish(exit_done);
    }
  }
  if (!info) return fail("job", exit_no, info.error().message());
  Output output;
  if (words.json) {
    output.json(job_json(*info));
  } else {
    print_text(*info, output);
  }
  return output.finish(exit_done);
}

}  // namespace

Command add_job(CLI::App& program) {
  auto words = std::make_shared<JobWords>();
  CLI::App* app = program.add_subcommand("job", "Show what is known of one job");
  add_directory(*app, words->directory);
  app->add_option("ID", words->id, "The job's id, as enqueue printed it")->required();
  app->add_flag("--json", words->json, "One JSON object; what is not known is null");
  app->footer(
      "A job that is over and of which nothing was kept is in state `ended`; one that ended badly is `dead`, with its\n"
      "cause (see `ringmill dead`). Exit code 1: no job ever had this id.\n"
      "\n"
      "Examples:\n"
      "  ringmill job /tmp/jobs 0000000001000000\n"
      "  ringmill job /tmp/jobs 0000000001000000 --json | jq -r .state");
  return {app, [words] { return run_job(*words); }};
}

}  // namespace ringmill::cli
