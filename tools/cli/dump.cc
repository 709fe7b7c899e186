// ringmill dump: the contents of shared memory, or of a copy of it. Nothing is written; no lock is taken.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/inspect/engine_view.h"
#include "core/inspect/invariants.h"
#include "core/inspect/job_list.h"
#include "core/inspect/job_view.h"
#include "core/inspect/status_view.h"
#include "core/levels/level_names.h"
#include "ipc/clock.h"
#include "ipc/registry.h"
#include "server/job_json.h"
#include "tools/cli/command.h"
#include "tools/cli/dead_letters.h"
#include "tools/cli/journal_lines.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

using Json = nlohmann::ordered_json;

struct DumpWords {
  std::filesystem::path directory;
  std::filesystem::path from;
  std::string state;
  std::string level;
  std::string kind;
  std::string tag;
  std::optional<std::uint64_t> limit;
  bool json = false;
  bool payload = false;
  bool rings = false;
  bool participants = false;
  bool check = false;
  bool at_rest = false;
  bool journal = false;
  bool dead = false;

  JobFilter filter() const {
    JobFilter filter{.state = job_state_of(state)};
    if (!level.empty()) filter.level = level;
    if (!kind.empty()) filter.kind = kind;
    if (!tag.empty()) filter.tag = tag;
    return filter;
  }
};

/// Columns as wide as the names that the engine knows, so that lines can be printed as they are found.
class JobLines {
 public:
  explicit JobLines(const Segment& segment) {
    for (const std::uint32_t n : levels_in_use(segment)) {
      level_width_ = std::max(level_width_, level_name(segment, n).size());
    }
    for (std::uint32_t n = 0; n < most_kinds; ++n) {
      kind_width_ = std::max(kind_width_, segment.kinds().name_of(n).value_or("").size());
    }
  }
  std::string heading() const {
    return fmt::format("{:<16}  {:<9}  {:<{}}  {:<{}}  {:>8}  {:>7}  {:>6}  {}", "id", "state", "level", level_width_,
                       "kind", kind_width_, "attempts", "payload", "worker", "enqueued at");
  }
  std::string line(const JobInfo& info) const {
    return fmt::format("{:<16}  {:<9}  {:<{}}  {:<{}}  {:>8}  {:>7}  {:>6}  {}", info.id.to_string(),
                       name_of(info.state), info.level, level_width_, info.kind, kind_width_, info.attempts,
                       info.payload_size, info.worker >= 0 ? std::to_string(info.worker) : "-",
                       time_text(info.enqueued_at));
  }

 private:
  std::size_t level_width_ = 5;
  std::size_t kind_width_ = 4;
};

void dump_jobs(const DumpWords& words, const Segment& segment, Output& output) {
  const JobLines lines(segment);
  std::uint64_t shown = 0;
  for_each_job(segment, words.filter(), [&](const JobView& view) {
    if (words.limit && shown == *words.limit) return false;
    const JobInfo& info = view.info;
    std::string payload;
    if (words.payload) {
      auto copy = copy_payload(segment, view);
      if (!copy) return true;  // over, or on its way: as if we had come a moment later
      payload = as_text(*copy);
    }
    if (words.json) {
      Json json = job_json(info);
      if (words.payload) add_payload(json, payload);
      output.json(json);
    } else {
      if (shown == 0) output.line(lines.heading() + (words.payload ? std::string(15, ' ') + "payload" : ""));
      output.line(lines.line(info) + (words.payload ? "  " + ringmill::shown(payload) : ""));
    }
    ++shown;
    return output.wanted();
  });
  if (!words.json && shown == 0) output.line("no jobs");
}

void dump_rings(const DumpWords& words, const Segment& segment, Output& output) {
  Table table({"ring", ">slots", ">head", ">tail", ">live hints", ">dead hints", "overflow"});
  for (const std::uint32_t n : levels_in_use(segment)) {
    const RingView ring = view_ring(segment, n);
    if (words.json) {
      output.json({{"record", "ring"},
                   {"level", ring.level},
                   {"slots", ring.slots},
                   {"head", ring.head},
                   {"tail", ring.tail},
                   {"live_hints", ring.live_hints},
                   {"dead_hints", ring.dead_hints},
                   {"overflow", ring.overflow}});
    } else {
      table.row({ring.level, std::to_string(ring.slots), std::to_string(ring.head), std::to_string(ring.tail),
                 std::to_string(ring.live_hints), std::to_string(ring.dead_hints), ring.overflow ? "yes" : "no"});
    }
  }
  if (!words.json) table.print(output);
}

std::string_view name_of_state(ParticipantState state) {
  switch (state) {
    case ParticipantState::free:
      return "free";
    case ParticipantState::starting:
      return "starting";
    case ParticipantState::alive:
      return "attached";
    case ParticipantState::reaping:
      return "reaping";
  }
  return "unknown";
}

void dump_participants(const DumpWords& words, const EngineView& view, Output& output) {
  Table table(
      {">participant", ">pid", ">thread", "role", "state", "alive", ">running", ">enqueued", ">completed", "since"});
  for (const ParticipantStatus& status : view.status().participants) {
    const auto number = static_cast<std::uint32_t>(status.number);
    const ParticipantEntry& entry = view.segment().participant(number);
    const auto state = name_of_state(EntryState::of(entry).state);
    const std::optional<bool> alive = view.is_alive(number);
    const auto since = wall_time(entry.attached_at_ns.load());
    if (words.json) {
      output.json({{"record", "participant"},
                   {"id", status.number},
                   {"pid", status.pid},
                   {"thread", entry.thread_id.load()},
                   {"role", status.role},
                   {"state", state},
                   {"alive", alive ? Json(*alive) : Json()},
                   {"running", status.running},
                   {"enqueued", entry.enqueued.load()},
                   {"completed", entry.completed.load()},
                   {"since", time_json(since)}});
    } else {
      table.row({std::to_string(status.number), std::to_string(status.pid), std::to_string(entry.thread_id.load()),
                 status.role, std::string(state),
                 !alive   ? "?"
                 : *alive ? "yes"
                          : "no",
                 std::to_string(status.running), std::to_string(entry.enqueued.load()),
                 std::to_string(entry.completed.load()), time_text(since)});
    }
  }
  if (!words.json) table.print(output);
}

/// Returns the findings in the dead letters of an engine. A copy has no dead letters.
std::vector<std::string> check_dead_letters(const DumpWords& words, const EngineView& view) {
  if (view.is_copy()) return {};
  const auto store = open_dead_letters_to_read(words.directory);
  if (!store && store.error().code() == ErrorCode::permission_denied) {
    fail("dump", exit_done, "the dead letters are not checked: " + store.error().message());
    return {};
  }
  if (!store) return {store.error().message()};
  if (!*store) return {};
  auto findings = (*store)->check();
  if (!findings) return {findings.error().message()};
  for (std::string& finding : *findings) finding.insert(0, "dead letters: ");
  return *std::move(findings);
}

/// True when nothing is broken.
bool dump_check(const DumpWords& words, const EngineView& view, Output& output) {
  const bool at_rest = words.at_rest || view.is_at_rest();
  std::vector<std::string> findings = check_invariants(view.segment(), at_rest);
  std::ranges::move(check_dead_letters(words, view), std::back_inserter(findings));
  for (const std::string& finding : findings) {
    if (words.json) {
      output.json({{"record", "finding"}, {"text", finding}});
    } else {
      output.line("broken: " + finding);
    }
  }
  if (words.json) {
    output.json({{"record", "check"}, {"ok", findings.empty()}, {"findings", findings.size()}, {"at_rest", at_rest}});
  } else if (findings.empty()) {
    output.line(at_rest ? "every invariant holds, also those of an engine at rest" : "every invariant holds");
  }
  return findings.empty();
}

/// The newest first.
int dump_dead(const DumpWords& words, Output& output) {
  const auto store = open_dead_letters_to_read(words.directory);
  if (!store) return fail("dump", store.error());
  DeadLetterFilter filter;
  if (!words.kind.empty()) filter.kind = words.kind;
  if (!words.level.empty()) filter.level = words.level;
  if (!words.tag.empty()) filter.tag = words.tag;
  std::uint64_t shown = 0;
  const auto show = [&](const DeadLetter& letter) {
    if (words.limit && shown == *words.limit) return false;
    ++shown;
    const std::string payload = words.payload ? payload_of(letter) : "";
    if (words.json) {
      Json json = letter_json(letter);
      if (words.payload) add_payload(json, payload);
      output.json(json);
    } else {
      output.line(fmt::format("{}  dead  {}  {}  {}  {}{}", letter.id.to_string(), letter.level, letter.kind,
                              name_of(letter.cause), time_text(letter.died_at),
                              words.payload ? "  " + ringmill::shown(payload) : ""));
    }
    return output.wanted();
  };
  if (*store) {
    const auto listed = (*store)->list(filter, DeadLetterStore::Order::newest_first, show);
    if (!listed) {
      output.flush();
      return fail("dump", listed.error());
    }
  }
  if (shown == 0 && !words.json) output.line("no dead letters");
  return output.finish(exit_done);
}

int run_dump(const DumpWords& words) {
  if (words.directory.empty() && words.from.empty()) {
    return fail("dump", exit_usage, "DIR or --from is required; see `ringmill dump --help`");
  }
  if (words.journal) {
    if (words.directory.empty()) return fail("dump", exit_usage, "--journal needs DIR");
    return dump_journal(words.directory, {.json = words.json, .payload = words.payload, .limit = words.limit});
  }
  if (words.dead) {
    if (words.directory.empty()) return fail("dump", exit_usage, "--dead needs DIR");
    Output output;
    return dump_dead(words, output);
  }
  const auto view =
      words.from.empty() ? EngineView::open(words.directory) : EngineView::open_copy(words.from, words.directory);
  if (!view) return fail("dump", view.error());
  Output output;
  int exit_code = exit_done;
  if (words.rings) dump_rings(words, view->segment(), output);
  if (words.participants) dump_participants(words, *view, output);
  if (words.check && !dump_check(words, *view, output)) exit_code = exit_no;
  if (!words.rings && !words.participants && !words.check) dump_jobs(words, view->segment(), output);
  return output.finish(exit_code);
}

}  // namespace

Command add_dump(CLI::App& program) {
  auto words = std::make_shared<DumpWords>();
  CLI::App* app = program.add_subcommand("dump", "List jobs, rings or participants; check every invariant");
  app->add_option("DIR", words->directory, "The engine's directory (may be left out with --from)");
  app->add_flag("--json", words->json, "JSON lines: a job has the keys of `ringmill job --json`");
  app->add_option("--state", words->state, "Only jobs in this state")
      ->check(CLI::IsMember({"queued", "delayed", "blocked", "running", "completed", "dead", "cancelled"}));
  app->add_option("--level", words->level, "Only jobs of this level")->type_name("NAME");
  app->add_option("--kind", words->kind, "Only jobs of this kind")->type_name("NAME");
  app->add_option("--tag", words->tag, "Only jobs with this tag")->type_name("TEXT");
  add_count(*app, "--limit", words->limit, "The most jobs to list");
  app->add_flag("--payload", words->payload, "With payloads (JSON: payload, or payload_base64 if it is not UTF-8)");
  app->add_flag("--rings", words->rings, "The levels' rings instead of jobs");
  app->add_flag("--participants", words->participants, "The registry's entries instead of jobs");
  CLI::Option* journal = app->add_flag("--journal", words->journal,
                                       "The journal's records instead, in the order in which they were written");
  for (const char* name : {"--state", "--level", "--kind", "--tag", "--rings", "--participants"}) {
    journal->excludes(app->get_option(name));
  }
  CLI::Option* dead = app->add_flag("--dead", words->dead, "The dead letters instead, the newest first");
  for (const char* name : {"--state", "--rings", "--participants", "--journal"}) dead->excludes(app->get_option(name));
  app->add_flag("--check", words->check, "Verify every invariant; exit code 1 if one is broken");
  app->add_flag(
      "--at-rest", words->at_rest,
      "With --check: also what holds only while no process works (done anyway if the engine has no participants)");
  app->add_option("--from", words->from,
                  "Read a copy: a segment's file, or a folder with ringmill-ID (and engine.json)")
      ->type_name("PATH");
  app->footer(
      "The command writes nothing and takes no lock. A job that changes meanwhile may be shown as it was before, or\n"
      "not at all. Jobs are listed in the order of their cells, not of their age.\n"
      "\n"
      "Examples:\n"
      "  ringmill dump /tmp/jobs --state running\n"
      "  ringmill dump /tmp/jobs --json --payload --kind mail --limit 10\n"
      "  ringmill dump /tmp/jobs --rings --participants --check\n"
      "  ringmill dump /tmp/jobs --journal --json | jq 'select(.type == \"job\")'\n"
      "  cp /dev/shm/ringmill-0123456789abcdef /tmp/copy && ringmill dump --from /tmp/copy --check");
  return {app, [words] { return run_dump(*words); }};
}

}  // namespace ringmill::cli
