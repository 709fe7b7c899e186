// ringmill explain: why a job does not run, in one sentence.
#include "server/explanation.h"

#include <fmt/format.h>

#include <memory>

#include "tools/cli/command.h"
#include "tools/cli/dead_letters.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

int run_explain(const std::filesystem::path& directory, const std::string& text) {
  const auto id = JobId::parse(text);
  if (!id) return fail("explain", exit_usage, "a job id has 16 lower-case hexadecimal digits: " + text);
  const auto view = EngineView::open(directory);
  if (!view) return fail("explain", view.error());
  const auto info = find_job(view->segment(), *id);
  std::string sentence;
  if (info && info->state != JobState::ended) {
    const auto job = view_job(view->segment(), index_of(*id));
    // Between the two reads it may have ended, or changed several times.
    if (job && job->info.id == *id) sentence = explanation_of(*view, *job);
  }
  if (sentence.empty()) {
    const auto letter = look_for_letter("explain", directory, *id);
    if (!letter) return fail("explain", letter.error());
    if (!*letter && !info) return fail("explain", exit_no, info.error().message());
    JobInfo ended = *letter ? JobInfo{} : *info;
    if (!*letter) ended.retried_as = retried_as(directory, *id);
    sentence = *letter ? explanation_of(**letter) : explanation_of_ended(ended);
  }
  Output output;
  output.line(fmt::format("job {} {}", text, sentence));
  return output.finish(exit_done);
}

int run_explain_level(const std::filesystem::path& directory, const std::string& name) {
  const auto view = EngineView::open(directory);
  if (!view) return fail("explain", view.error());
  const auto sentence = explanation_of_level(*view, name);
  if (!sentence) return fail("explain", exit_no, sentence.error().message());
  Output output;
  output.line(fmt::format("level {} {}", name, *sentence));
  return output.finish(exit_done);
}

}  // namespace

Command add_explain(CLI::App& program) {
  struct Words {
    std::filesystem::path directory;
    std::string id;
    std::string level;
  };
  auto words = std::make_shared<Words>();
  CLI::App* app = program.add_subcommand("explain", "Explain in one sentence why a job does not run, or is refused");
  add_directory(*app, words->directory);
  app->add_option("ID", words->id, "The job's id, as enqueue printed it");
  app->add_option("--level", words->level, "Instead of ID: whether this level takes another job, and what bounds it");
  app->footer(
      "The answer is true of one moment; nothing is written. Exit code 1: no job ever had this id, or there is no\n"
      "such level.\n"
      "\n"
      "Examples:\n"
      "  ringmill explain /tmp/jobs 0000000001000000\n"
      "  ringmill explain /tmp/jobs --level low");
  return {app, [words] {
            if (words->id.empty() == words->level.empty()) {
              return fail("explain", exit_usage, "give either the ID of a job or --level NAME");
            }
            return words->level.empty() ? run_explain(words->directory, words->id)
                                        : run_explain_level(words->directory, words->level);
          }};
}

}  // namespace ringmill::cli
