// ringmill job: shows one job.
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>

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
  if (info.retried_as) line("retried as", info.retried_as.to_string());
  if (info.evicted) {
    line("ended at", time_text(info.ended_at));
    line("result", std::string(text_of_evicted));
  }
  if (info.state == JobState::ended) return;
  line("kind", info.kind);
  line("level", info.level);
  if (!info.tag.empty()) line("tag", shown(info.tag));
  if (!info.trace_parent.empty()) line("traceparent", info.trace_parent);
  if (info.retried_from) line("retried from", info.retried_from.to_string());
  line("attempts", info.max_attempts == 0 ? std::to_string(info.attempts)
                                          : fmt::format("{} of {}", info.attempts, info.max_attempts));
  line("payload", std::to_string(info.payload_size) + " bytes");
  line("enqueued at", time_text(info.enqueued_at));
  if (info.state == JobState::delayed) line("due at", time_text(info.due_at));
  const bool runs_again =
      info.state == JobState::delayed || info.state == JobState::queued || info.state == JobState::blocked;
  line(runs_again ? "last started" : "started at", time_text(info.started_at));
  line(runs_again ? "last ended" : "ended at", time_text(info.ended_at));
  line("worker", info.worker >= 0 ? "participant " + std::to_string(info.worker) : "-");
  if (!info.parents.empty()) {
    std::string ids;
    for (const JobId parent : info.parents) ids += (ids.empty() ? "" : ", ") + parent.to_string();
    const std::uint64_t more = info.parent_count - std::min<std::uint64_t>(info.parent_count, info.parents.size());
    line("after", more == 0 ? ids : fmt::format("{} and {} more", ids, more));
  }
  if (has_progress(info)) line("progress", fmt::format("{} {}", info.progress, shown(info.progress_text)));
  if (!info.last_error.empty()) line("last error", shown(info.last_error));
  if (info.cause) line("cause", std::string(name_of(*info.cause)));
  if (info.state == JobState::completed) {
    line("result", fmt::format("{}{} bytes: {}", info.result_cut ? "cut, the first " : "", info.result.size(),
                               shown(info.result)));
    if (info.result_cut) line("not whole", std::string(reason_of(info.result_refused)));
  }
}

int run_job(const JobWords& words) {
  const auto id = JobId::parse(words.id);
  if (!id) return fail("job", exit_usage, "a job id has 16 lower-case hexadecimal digits: " + words.id);
  const auto view = EngineView::open(words.directory);
  if (!view) return fail("job", view.error());
  auto info = find_job(view->segment(), *id);
  // The table says less of an ended job, or of one from before a recovery, than its letter does.
  if (!info || info->state == JobState::ended) {
    const auto letter = look_for_letter("job", words.directory, *id);
    if (!letter) return fail("job", letter.error());
    if (*letter) info = info_of(**letter);
    if (info && info->state == JobState::ended) info->retried_as = retried_as(words.directory, *id);
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
  CLI::App* app = program.add_subcommand("job", "Show one job");
  add_directory(*app, words->directory);
  app->add_option("ID", words->id, "The job's id, as enqueue printed it")->required();
  app->add_flag("--json", words->json, "One JSON object; unknown values are null");
  app->footer(
      "A job that is over, and of which nothing was kept (--keep-result of enqueue), is in state `ended`. One that\n"
      "ended badly is `dead`, with its cause (see `ringmill dead`). Exit code 1: no job ever had this id.\n"
      "\n"
      "Examples:\n"
      "  ringmill job /tmp/jobs 0000000001000000\n"
      "  ringmill job /tmp/jobs 0000000001000000 --json | jq -r .state");
  return {app, [words] { return run_job(*words); }};
}

}  // namespace ringmill::cli
