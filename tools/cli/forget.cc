// ringmill forget: deletes kept results and unique keys of ended jobs.
#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/engine/forgetting.h"
#include "core/inspect/job_view.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

struct ForgetWords {
  std::filesystem::path directory;
  std::string id;
  std::string kind;
  std::string level;
  std::optional<std::chrono::nanoseconds> older;
  bool all = false;

  bool has_filter() const noexcept { return !kind.empty() || !level.empty() || older; }
};

bool is_meant(const ForgetWords& words, const JobInfo& info, std::chrono::system_clock::time_point now) {
  if (info.state != JobState::completed && info.state != JobState::cancelled) return false;
  if (!words.kind.empty() && info.kind != words.kind) return false;
  if (!words.level.empty() && info.level != words.level) return false;
  return !words.older || info.ended_at < now - *words.older;
}

std::vector<JobId> meant_jobs(const ForgetWords& words, const Segment& segment) {
  std::vector<JobId> ids;
  const auto now = std::chrono::system_clock::now();
  const CellChunks chunks = segment.chunks();
  for (CellIndex index = chunks.next_there(0); index < segment.geometry().capacity;
       index = chunks.next_there(index + 1)) {
    const auto view = view_job(segment, index);
    if (view && is_meant(words, view->info, now)) ids.push_back(view->info.id);
  }
  return ids;
}

int forget_one(const ForgetWords& words, Forgetting& forgetting) {
  const auto id = JobId::parse(words.id);
  if (!id) return fail("forget", exit_usage, "a job id has 16 lower-case hexadecimal digits: " + words.id);
  const auto forgotten = forgetting.forget(*id);
  if (!forgotten) {
    const bool is_no = forgotten.error().code() == ErrorCode::not_found;
    return fail("forget", is_no ? exit_no : exit_code_of(forgotten.error().code()), forgotten.error().message());
  }
  if (!*forgotten) return fail("forget", exit_no, "nothing is kept of this job: " + words.id);
  return exit_done;
}

int forget_many(const ForgetWords& words, Forgetting& forgetting) {
  std::uint64_t count = 0;
  std::uint64_t needed = 0;
  for (const JobId id : meant_jobs(words, forgetting.segment())) {
    const auto forgotten = forgetting.forget(id);
    count += forgotten && *forgotten ? 1U : 0U;
    needed += !forgotten && forgotten.error().code() == ErrorCode::busy ? 1U : 0U;
  }
  Output output;
  output.line(fmt::format("{} forgotten", count));
  if (needed == 0) return output.finish(exit_done);
  static_cast<void>(output.finish(exit_done));
  return fail("forget", exit_no, fmt::format("{} stay: other jobs need to know how they ended; try again", needed));
}

int run_forget(const ForgetWords& words) {
  const int ways = (words.id.empty() ? 0 : 1) + (words.has_filter() ? 1 : 0) + (words.all ? 1 : 0);
  if (ways != 1) {
    return fail("forget", exit_usage,
                "name one ID, or --kind, --level and --older, or --all; see `ringmill forget --help`");
  }
  const auto begun = Forgetting::begin(words.directory);
  if (!begun) return fail("forget", begun.error());
  return words.id.empty() ? forget_many(words, **begun) : forget_one(words, **begun);
}

}  // namespace

Command add_forget(CLI::App& program) {
  auto words = std::make_shared<ForgetWords>();
  CLI::App* app = program.add_subcommand("forget", "Delete kept results and unique keys of ended jobs");
  add_directory(*app, words->directory);
  app->add_option("ID", words->id, "One job");
  app->add_option("--kind", words->kind, "Only jobs of this kind")->type_name("NAME");
  app->add_option("--level", words->level, "Only jobs of this level")->type_name("NAME");
  add_duration(*app, "--older", words->older, "Only jobs that ended longer ago than this");
  app->add_flag("--all", words->all, "All ended jobs");
  app->footer(
      "A job enqueued with --keep-result or --unique-for occupies a cell until that time is over. This command frees\n"
      "the cell at once: result, history and unique key are gone, and the job's state is `ended`. Dead jobs are in a\n"
      "file of their own: `ringmill dead DIR purge`.\n"
      "\n"
      "Exit code 1: nothing is kept of this job, it is not over, or another job needs to know how it ended.\n"
      "\n"
      "Examples:\n"
      "  ringmill forget /tmp/jobs 0000000001000000\n"
      "  ringmill forget /tmp/jobs --kind report --older 1d\n"
      "  ringmill forget /tmp/jobs --all");
  return {app, [words] { return run_forget(*words); }};
}

}  // namespace ringmill::cli
