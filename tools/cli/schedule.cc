// ringmill schedule: recurring jobs.
#include <fmt/format.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include <ringmill/engine.h>

#include "core/instance/engine_files.h"
#include "core/schedules/schedule_book.h"
#include "server/schedule_json.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

using Json = nlohmann::ordered_json;
using std::chrono::milliseconds;
using std::chrono::system_clock;

struct ScheduleWords {
  std::filesystem::path directory;
  std::string action;
  std::string name;
  std::string cron;
  std::string zone = "UTC";
  std::chrono::nanoseconds every{};
  std::string kind;
  std::string level = "default";
  std::string payload;
  std::string missed = "once";
  std::chrono::nanoseconds timeout{};
  std::uint16_t max_attempts = default_max_attempts;
  std::string backoff;
  std::string tag;
  std::chrono::nanoseconds expires{};
  bool no_overlap = false;
  bool replace = false;
  bool json = false;
  bool has_every = false;
  bool has_zone = false;
  /// An option that only `add` takes.
  bool has_job = false;
};

int refuse(const std::string& message) {
  return fail("schedule", exit_usage, message + "; see `ringmill schedule --help`");
}

/// A missing or existing schedule is an answer (exit code 1), not a failure.
int fail_schedule(const Error& error) {
  return fail("schedule", error.code() == ErrorCode::not_found ? exit_no : exit_code_of(error.code()), error.message());
}

Result<TickTimes> times_of(const ScheduleWords& words) {
  if (words.cron.empty()) return EveryTimes{std::chrono::ceil<milliseconds>(words.every)};
  auto cron = Cron::parse(words.cron);
  if (!cron) return std::unexpected(cron.error());
  auto zone = Zone::load(words.zone);
  if (!zone) return std::unexpected(zone.error());
  return CronTimes{*std::move(cron), *std::move(zone)};
}

/// Checks that the engine can take the job, as far as that is known.
Result<void> check_job(const ScheduleWords& words) {
  auto engine = Engine::open(words.directory, {.embedded_keeper = false});
  if (!engine) return std::unexpected(engine.error());
  if (const auto level = engine->level(words.level); !level) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "--level", level.error().message()));
  }
  if (words.payload.size() > engine->most_payload_bytes()) {
    return std::unexpected(
        Error(ErrorCode::too_large, "the payload is too long",
              fmt::format("{} bytes, at most {}; `ringmill resize` with a larger --max-payload makes room",
                          words.payload.size(), engine->most_payload_bytes())));
  }
  if (!words.backoff.empty()) {
    if (const auto policy = engine->retry_policy(words.backoff); !policy) return std::unexpected(policy.error());
  }
  // Intern the names last, and at once: the command that adds a schedule gets the error of a bad name, or of one too
  // many.
  if (const auto kind = engine->kind(words.kind); !kind) return std::unexpected(kind.error());
  return {};
}

std::string tick_text(const std::optional<TickTime>& tick) { return tick ? format_time(*tick) : "-"; }

/// If shared memory is gone, dynamic levels are not checked.
std::optional<Segment> segment_of(const EngineFiles& engine) {
  auto segment = engine.open_segment_to_read();
  return segment ? std::optional(*std::move(segment)) : std::nullopt;
}

int run_add(const ScheduleWords& words, const EngineFiles& engine, ScheduleBook& book) {
  if (words.cron.empty() != words.has_every) return refuse("add needs one of --cron and --every");
  if (words.has_every && words.has_zone) return refuse("--zone belongs to --cron; an interval has no zone");
  if (words.kind.empty()) return refuse("add needs --kind");
  const auto missed = missed_ticks_of(words.missed);
  if (!missed) return refuse("--missed is skip, once or all, not '" + words.missed + "'");
  auto times = times_of(words);
  if (!times) return fail_schedule(times.error());
  // Check before anything is interned; add() checks again.
  if (!words.replace && book.find(words.name)) return fail_schedule(ScheduleBook::is_there_already(words.name));
  if (auto checked = check_job(words); !checked) return fail("schedule", checked.error());
  Schedule schedule{.name = words.name, .times = *std::move(times)};
  schedule.kind = words.kind;
  schedule.level = words.level;
  schedule.payload = words.payload;
  schedule.missed = *missed;
  schedule.job = {.lease = std::chrono::ceil<milliseconds>(words.timeout),
                  .max_attempts = words.max_attempts,
                  .backoff = words.backoff,
                  .expires = std::chrono::ceil<milliseconds>(words.expires),
                  .no_overlap = words.no_overlap,
                  .tag = words.tag};
  const auto now = system_clock::now();
  if (auto added = words.replace ? book.put(schedule, now) : book.add(schedule, now); !added) {
    return fail_schedule(added.error());
  }
  const auto stored = book.find(words.name);
  if (!stored) return fail_schedule(stored.error());
  Output output;
  if (words.json) {
    const auto segment = segment_of(engine);
    output.json(schedule_json(*stored, ScheduleOutlook(segment ? &*segment : nullptr)));
  } else {
    output.line("next tick " + tick_text(next_tick(*stored, stored->done_until())));
  }
  return output.finish(exit_done);
}

int run_list(const ScheduleWords& words, const EngineFiles& engine, ScheduleBook& book) {
  std::vector<Schedule> schedules;
  if (words.name.empty()) {
    auto all = book.list();
    if (!all) return fail_schedule(all.error());
    schedules = *std::move(all);
  } else {
    auto one = book.find(words.name);
    if (!one) return fail_schedule(one.error());
    schedules.push_back(*std::move(one));
  }
  Output output;
  const auto segment = segment_of(engine);
  const ScheduleOutlook outlook(segment ? &*segment : nullptr);
  Table table({"name", "times", "kind", "level", "missed", "last tick", "next tick", "trouble"});
  for (const Schedule& schedule : schedules) {
    if (words.json) {
      output.json(schedule_json(schedule, outlook));
    } else {
      table.row({schedule.name, times_text(schedule.times), schedule.kind, schedule.level,
                 std::string(name_of(schedule.missed)), tick_text(schedule.last_tick),
                 schedule.paused ? "paused" : tick_text(outlook.next_tick(schedule)), outlook.trouble(schedule)});
    }
  }
  if (!words.json) table.print(output);
  return output.finish(exit_done);
}

int run_change(const ScheduleWords& words, ScheduleBook& book) {
  Result<void> done;
  if (words.action == "remove") done = book.remove(words.name);
  if (words.action == "pause") done = book.pause(words.name);
  if (words.action == "resume") done = book.resume(words.name, system_clock::now());
  return done ? exit_done : fail_schedule(done.error());
}

int run_schedule(const ScheduleWords& words) {
  if (words.name.empty() && words.action != "list") return refuse(words.action + " needs the NAME of a schedule");
  if (words.has_job && words.action != "add") return refuse("only add says when and what");
  const auto engine =
      EngineFiles::open(words.directory, words.action == "list" ? EngineFiles::For::look : EngineFiles::For::use);
  if (!engine) return fail("schedule", engine.error());
  ScheduleBook book(engine->folder());
  if (words.action == "add") return run_add(words, *engine, book);
  if (words.action == "list") return run_list(words, *engine, book);
  return run_change(words, book);
}

}  // namespace

Command add_schedule(CLI::App& program) {
  auto words = std::make_shared<ScheduleWords>();
  CLI::App* app = program.add_subcommand("schedule", "Add, list, remove, pause and resume recurring jobs");
  add_directory(*app, words->directory);
  app->add_option("ACTION", words->action, "add, list, remove, pause or resume")
      ->required()
      ->check(CLI::IsMember({"add", "list", "remove", "pause", "resume"}));
  app->add_option("NAME", words->name, "The schedule's name: 1 to 63 characters of [A-Za-z0-9._:/-]");
  std::vector<CLI::Option*> of_add;
  of_add.push_back(app->add_option("--cron", words->cron,
                                   "Five fields (minute hour day-of-month month day-of-week), or @hourly @daily "
                                   "@weekly @monthly @yearly")
                       ->type_name("EXPR"));
  CLI::Option* zone = app->add_option("--zone", words->zone, "The time zone of --cron, such as Europe/Berlin")
                          ->capture_default_str()
                          ->type_name("ZONE");
  CLI::Option* every = add_duration(*app, "--every", words->every, "An interval from now on, 100ms to 3650d");
  of_add.push_back(app->add_option("--kind", words->kind, "The task's name")->type_name("NAME"));
  of_add.push_back(
      app->add_option("--level", words->level, "The priority level")->capture_default_str()->type_name("NAME"));
  of_add.push_back(app->add_option("--payload", words->payload, "Each job's payload")->type_name("TEXT"));
  of_add.push_back(app->add_option("--missed", words->missed,
                                   "What is enqueued for ticks that passed while no keeper ran: once (one job "
                                   "for all of them), skip (none), all (a job for each)")
                       ->capture_default_str()
                       ->type_name("skip|once|all"));
  of_add.push_back(add_duration(*app, "--timeout", words->timeout, "As of enqueue, of each job"));
  of_add.push_back(app->add_option("--max-attempts", words->max_attempts, "As of enqueue")->type_name("N"));
  of_add.push_back(app->add_option("--backoff", words->backoff, "As of enqueue")->type_name("POLICY"));
  of_add.push_back(add_duration(*app, "--expires", words->expires, "As of enqueue"));
  of_add.push_back(app->add_option("--tag", words->tag, "As of enqueue")->type_name("TEXT"));
  of_add.push_back(app->add_flag("--no-overlap", words->no_overlap, "Pass a tick over while the last one's job runs"));
  of_add.push_back(
      app->add_flag("--replace", words->replace,
                    "In the place of one of this name, which goes on where it is if its times are the same"));
  of_add.insert(of_add.end(), {zone, every});
  app->add_flag("--json", words->json, "One JSON object per schedule");
  app->footer(
      "A time that a clock change skips comes at the first instant after the change; a time that it repeats comes\n"
      "once. Entries with * in the minute or hour follow real time. A paused schedule has no ticks. A schedule whose\n"
      "job cannot be enqueued (its level was removed, the engine is full) does not delay the others: list shows since\n"
      "when it fails and why, and it is retried. After the clock was set back, resume lets a schedule begin anew.\n"
      "\n"
      "Exit code 1: no such schedule, or, for add, it exists already.\n"
      "\n"
      "Examples:\n"
      "  ringmill schedule /tmp/jobs add report --cron '30 2 * * mon-fri' --zone Europe/Berlin --kind report\n"
      "  ringmill schedule /tmp/jobs add beat --every 30s --kind beat --missed skip\n"
      "  ringmill schedule /tmp/jobs list\n"
      "  ringmill schedule /tmp/jobs pause report");
  return {app, [words, zone, every, of_add] {
            words->has_zone = zone->count() > 0;
            words->has_every = every->count() > 0;
            for (const CLI::Option* option : of_add) words->has_job = words->has_job || option->count() > 0;
            return run_schedule(*words);
          }};
}

}  // namespace ringmill::cli
