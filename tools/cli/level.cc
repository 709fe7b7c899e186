// ringmill level: dynamic levels, and the limits of all.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include <ringmill/engine.h>

#include "core/inspect/engine_view.h"
#include "core/instance/engine_files.h"
#include "core/schedules/schedule_book.h"
#include "server/job_json.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

using Json = nlohmann::ordered_json;

struct LevelWords {
  std::filesystem::path directory;
  std::string action;
  std::string name;
  LevelOptions options;
  bool has_options = false;
  std::string most;
  bool json = false;
};

int fail_level(const Error& error) {
  const bool is_no = error.code() == ErrorCode::not_found;
  return fail("level", is_no ? exit_no : exit_code_of(error.code()), error.message());
}

int run_list(const LevelWords& words) {
  const auto view = EngineView::open(words.directory);
  if (!view) return fail("level", view.error());
  Output output;
  Table table({"level", "made", ">weight", ">ring", ">queued", ">delayed", ">running", ">most"});
  for (const LevelStatus& level : view->status().levels) {
    if (!words.name.empty() && level.name != words.name) continue;
    if (words.json) {
      output.json(Json{{"name", level.name},
                       {"weight", level.weight},
                       {"ring", level.ring},
                       {"made_at_run_time", level.is_made_at_run_time},
                       {"queued", level.queued},
                       {"delayed", level.delayed},
                       {"blocked", level.blocked},
                       {"running", level.running},
                       {"completed", level.completed},
                       {"most", level.most},
                       {"paused", level.paused}});
    } else {
      table.row({level.name, level.is_made_at_run_time ? "at run time" : "with the engine",
                 std::to_string(level.weight), std::to_string(level.ring), std::to_string(level.queued),
                 std::to_string(level.delayed), std::to_string(level.running),
                 level.most == 0 ? "-" : std::to_string(level.most)});
    }
  }
  if (!words.json) table.print(output);
  return output.finish(exit_done);
}

/// Recurring jobs of a removed level fail until a level of that name exists again.
void tell_of_schedules(const LevelWords& words) {
  const auto engine = EngineFiles::open(words.directory);
  if (!engine) return;
  const auto schedules = ScheduleBook(engine->path()).list();
  if (!schedules) {
    fail("level", exit_done, "it is removed; whether schedules use it is not known: " + schedules.error().message());
    return;
  }
  std::string names;
  for (const Schedule& schedule : *schedules) {
    if (schedule.level == words.name) names += (names.empty() ? "" : ", ") + schedule.name;
  }
  if (names.empty()) return;
  fail("level", exit_done,
       fmt::format("it is removed; schedules that use it fail until there is a level {} again: {}", words.name, names));
}

int run_set(const LevelWords& words) {
  const auto limits = read_level_limits(words.most);
  if (!limits) return fail("level", exit_usage, "set needs --most N, --most N% or --most none");
  auto engine = Engine::open(words.directory, {.embedded_keeper = false});
  if (!engine) return fail("level", engine.error());
  const auto level = engine->level(words.name);
  if (!level) return fail_level(level.error());
  const auto limited = engine->limit(*level, *limits);
  return limited ? exit_done : fail_level(limited.error());
}

int run_level(const LevelWords& words) {
  if (words.has_options && words.action != "add") {
    return fail("level", exit_usage, "only add has --weight and --ring");
  }
  if (!words.most.empty() && words.action != "set") return fail("level", exit_usage, "only set has --most");
  if (words.action == "list") return run_list(words);
  if (words.name.empty()) return fail("level", exit_usage, words.action + " needs the NAME of a level");
  if (words.action == "set") return run_set(words);
  const bool is_add = words.action == "add";
  // A removal waits for the journal, which a keeper writes.
  auto engine = Engine::open(words.directory, {.embedded_keeper = !is_add});
  if (!engine) return fail("level", engine.error());
  if (!is_add) {
    const auto removed = engine->remove_level(words.name);
    if (!removed) return fail_level(removed.error());
    tell_of_schedules(words);
    return exit_done;
  }
  const auto added = engine->add_level(words.name, words.options);
  return added ? exit_done : fail_level(added.error());
}

}  // namespace

Command add_level(CLI::App& program) {
  auto words = std::make_shared<LevelWords>();
  CLI::App* app = program.add_subcommand("level", "Add, list and remove dynamic levels; limit any level");
  add_directory(*app, words->directory);
  app->add_option("ACTION", words->action, "add, list, remove or set")
      ->required()
      ->check(CLI::IsMember({"add", "list", "remove", "set"}));
  app->add_option("NAME", words->name, "The level's name: 1 to 63 characters of [A-Za-z0-9._:/-]");
  CLI::Option* weight = app->add_option("--weight", words->options.weight, "Its share of the claims, 1 to 1000")
                            ->capture_default_str()
                            ->type_name("N");
  CLI::Option* ring = app->add_option("--ring", words->options.ring,
                                      "The slots of its ring, 16 to 65536 (4096, or what is left); further jobs wait "
                                      "in the keeper's overflow queue, in order")
                          ->type_name("N");
  app->add_option(
         "--most", words->most,
         "set: the most jobs that the level may hold, kept results included: a number, a share of the capacity, "
         "or none")
      ->type_name("N[%]");
  app->add_flag("--json", words->json, "list: one JSON object per level");
  app->footer(
      "Up to 1024 dynamic levels can be added while the engine runs. They are less urgent than the fixed ones, and a\n"
      "worker of all levels takes their jobs too. Only an empty level can be removed; workers that claim from it get\n"
      "an error. A level that holds as many jobs as --most says refuses further ones, but for follow-ups.\n"
      "\n"
      "Exit code 1: the level exists already; or, for remove, there is none, or it is not empty.\n"
      "\n"
      "Examples:\n"
      "  ringmill level /tmp/jobs add tenant-7 --weight 2\n"
      "  ringmill level /tmp/jobs list --json\n"
      "  ringmill level /tmp/jobs set low --most 50%\n"
      "  ringmill level /tmp/jobs remove tenant-7");
  return {app, [words, weight, ring] {
            words->has_options = weight->count() > 0 || ring->count() > 0;
            return run_level(*words);
          }};
}

}  // namespace ringmill::cli
