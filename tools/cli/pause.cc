// ringmill pause and resume: stop and restart the jobs of a level or a kind.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <string>

#include <ringmill/engine.h>

#include "ipc/name_table.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

struct PauseWords {
  std::filesystem::path directory;
  std::string level;
  std::string kind;
};

enum class Change { pause, resume };

Result<void> change_level(Engine& engine, Change change, const std::string& name) {
  const auto level = engine.level(name);
  if (!level) return std::unexpected(level.error());
  return change == Change::pause ? engine.pause(*level) : engine.resume(*level);
}

bool has_rule(const Engine& engine, const std::string& name) {
  const auto is_it = [&name](const KindStatus& kind) { return kind.name == name; };
  return std::ranges::any_of(engine.status().kinds, is_it);
}

Result<void> change_kind(Engine& engine, Change change, const std::string& name) {
  // A kind that is not paused needs no number, which it would keep for good: the name may be a typing error.
  if (change == Change::resume && is_valid_name(name) && !has_rule(engine, name)) return {};
  const auto kind = engine.kind(name);
  if (!kind) return std::unexpected(kind.error());
  return change == Change::pause ? engine.pause(*kind) : engine.resume(*kind);
}

int run(Change change, const PauseWords& words) {
  const std::string command = change == Change::pause ? "pause" : "resume";
  auto engine = Engine::open(words.directory, {.embedded_keeper = false});
  if (!engine) return fail(command, engine.error());
  const bool is_level = !words.level.empty();
  const std::string& name = is_level ? words.level : words.kind;
  const auto changed = is_level ? change_level(*engine, change, name) : change_kind(*engine, change, name);
  if (!changed) {
    const bool no_such = changed.error().code() == ErrorCode::not_found;
    return fail(command, no_such ? exit_no : exit_code_of(changed.error().code()), changed.error().message());
  }
  Output output;
  output.line(fmt::format("{} {} {}", is_level ? "level" : "kind", name,
                          change == Change::pause ? "is paused: what waits there does not begin" : "goes on"));
  return output.finish(exit_done);
}

Command add(CLI::App& program, Change change, const char* name, const char* description, const char* footer) {
  auto words = std::make_shared<PauseWords>();
  CLI::App* app = program.add_subcommand(name, description);
  add_directory(*app, words->directory);
  auto* what = app->add_option_group("what");
  what->add_option("--level", words->level, "A level: no job of it is claimed")->type_name("NAME");
  what->add_option("--kind", words->kind, "A kind: none of its jobs begins, at any level")->type_name("NAME");
  what->require_option(1);
  app->footer(footer);
  return {app, [words, change] { return run(change, *words); }};
}

}  // namespace

Command add_pause(CLI::App& program) {
  return add(
      program, Change::pause, "pause", "Pause a level or a kind: none of its jobs begins until `resume`",
      "Running jobs go on, and so do those that a worker has claimed in advance. A pause holds in all processes at\n"
      "once, and across a restart of the machine. A paused kind does not hold up jobs of other kinds. Paused jobs are\n"
      "shown as queued; `ringmill explain` says why they wait.\n"
      "\n"
      "Examples:\n"
      "  ringmill pause /tmp/jobs --kind mail\n"
      "  ringmill pause /tmp/jobs --level low");
}

Command add_resume(CLI::App& program) {
  return add(
      program, Change::resume, "resume", "Resume a paused level or kind",
      "Jobs of a kind come back at the ends of their levels, ordered by level, then by time of enqueue. That needs a\n"
      "keeper: any process that has the engine open, or `ringmill keeper`. Jobs of a level have kept their places.\n"
      "Resuming what is not paused changes nothing.\n"
      "\n"
      "Example:\n"
      "  ringmill resume /tmp/jobs --kind mail");
}

}  // namespace ringmill::cli
