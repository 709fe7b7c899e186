// ringmill status: shows an engine at one moment.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "core/inspect/engine_view.h"
#include "server/job_json.h"
#include "tools/cli/command.h"
#include "tools/cli/dead_letters.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

using Json = nlohmann::ordered_json;

Json status_json(const EngineStatus& status) {
  Json json;
  json["engine"] = {
      {"id", status.engine_id},           {"path", status.path},           {"layout_version", status.layout_version},
      {"capacity", status.capacity},      {"cell_size", status.cell_size}, {"created_at", time_json(status.created_at)},
      {"max_payload", status.max_payload}};
  json["levels"] = Json::array();
  for (const LevelStatus& level : status.levels) {
    json["levels"].push_back({{"name", level.name},
                              {"queued", level.queued},
                              {"delayed", level.delayed},
                              {"blocked", level.blocked},
                              {"running", level.running},
                              {"completed", level.completed},
                              {"kept", level.kept},
                              {"most", level.most},
                              {"paused", level.paused},
                              {"paused_since", time_json(level.paused_since)}});
  }
  json["totals"] = totals_json(status.totals);
  json["participants"] = Json::array();
  for (const ParticipantStatus& participant : status.participants) {
    json["participants"].push_back({{"id", participant.number},
                                    {"pid", participant.pid},
                                    {"role", participant.role},
                                    {"alive", participant.alive},
                                    {"running", participant.running}});
  }
  const bool elected = status.keeper_pid != 0;
  json["keeper"] = {{"pid", elected ? Json(status.keeper_pid) : Json()},
                    {"alive", status.keeper_alive},
                    {"trouble", status.keeper_trouble.empty() ? Json() : Json(status.keeper_trouble)},
                    {"since", elected ? time_json(status.keeper_since) : Json()}};
  json["results"] = {{"count", status.results.count},
                     {"bytes", status.results.bytes},
                     {"values", status.results.values},
                     {"limit", status.results.limit},
                     {"evicted", status.results.evicted}};
  json["memory"] = {{"bytes", status.memory_bytes},
                    {"cells_free", status.cells_free},
                    {"cells_used", status.cells_used},
                    {"arena_bytes", status.arena_bytes},
                    {"arena_used", status.arena_used}};
  const JournalStatus& journal = status.journal;
  json["journal"] = {{"mode", journal.mode},
                     {"segments", journal.segments},
                     {"bytes", journal.bytes},
                     {"limit", journal.limit},
                     {"durable_lag_us", journal.durable_lag.count()},
                     {"bytes_per_s", journal.bytes_per_s},
                     {"last_error", journal.last_error},
                     {"bytes_written", journal.bytes_written},
                     {"records_written", journal.records_written},
                     {"jobs_elided", journal.jobs_elided},
                     {"note", journal.note}};
  return json;
}

/// An unreadable file is reported; the rest is shown all the same.
Json dead_letters_json(const Result<DeadLetterTotals>& totals) {
  if (!totals) return {{"count", Json()}, {"bytes", Json()}, {"limit", Json()}, {"error", totals.error().message()}};
  return {{"count", totals->letters},
          {"bytes", totals->bytes},
          {"limit", totals->limits.bytes},
          {"count_limit", totals->limits.letters},
          {"oldest", totals->oldest ? time_json(*totals->oldest) : Json()},
          {"dropped", totals->dropped},
          {"expired", totals->expired}};
}

std::string dead_letters_text(const Result<DeadLetterTotals>& totals) {
  if (!totals) return "cannot be read: " + totals.error().message();
  if (totals->letters == 0 && totals->dropped == 0) return "none";
  return fmt::format("{} of at most {}, {} of {}, the oldest of {}; {} dropped for want of room", totals->letters,
                     totals->limits.letters, format_size(totals->bytes), format_size(totals->limits.bytes),
                     totals->oldest ? time_text(*totals->oldest) : "-", totals->dropped);
}

Result<DeadLetterTotals> dead_letter_totals(const std::filesystem::path& directory) {
  const auto store = open_dead_letters_to_read(directory);
  if (!store) return std::unexpected(store.error());
  // Before the first burial, the limits are those that it will set.
  return *store ? (*store)->totals() : DeadLetterTotals{};
}

std::string keeper_text(const EngineStatus& status) {
  if (status.keeper_pid == 0) return "none: the next process that opens the engine keeps";
  const std::string since = " since " + time_text(status.keeper_since);
  if (!status.keeper_trouble.empty()) return "STANDS STILL: " + status.keeper_trouble + ";" + since;
  if (status.keeper_alive) return fmt::format("process {}{}", status.keeper_pid, since);
  return fmt::format("process {}{} is gone: the next process that opens the engine keeps", status.keeper_pid, since);
}

std::string journal_text(const JournalStatus& journal) {
  if (journal.mode == "none") {
    return journal.last_error.empty() ? "nothing written yet" : "FAILED: " + journal.last_error;
  }
  const std::string state =
      !journal.last_error.empty() ? "FAILED: " + journal.last_error
      : journal.durable_lag.count() == 0
          ? "all durable"
          : fmt::format("{} behind", format_duration(std::chrono::nanoseconds(journal.durable_lag)));
  return fmt::format("{}, {} segments, {} of {}, {}", journal.mode, journal.segments, format_size(journal.bytes),
                     format_size(journal.limit), state);
}

/// Names stay until `recover --from-journal`.
std::uint32_t names_taken(const NameTable& names) {
  std::uint32_t count = 0;
  for (std::uint32_t n = 0; n < names.count(); ++n) count += names.name_of(n) ? 1U : 0U;
  return count;
}

Json names_json(const Segment& segment) {
  return {{"kinds", names_taken(segment.kinds())},
          {"kinds_limit", segment.kinds().count()},
          {"retry_policies", names_taken(segment.retry_policies())},
          {"retry_policies_limit", segment.retry_policies().count()}};
}

std::string kind_text(const KindStatus& kind) {
  std::string text = "kind " + kind.name;
  if (kind.paused) text += " is paused since " + time_text(kind.paused_since);
  if (kind.limits != KindLimits{}) text += kind.paused ? ", and limited" : " is limited";
  return text + fmt::format(": {} queued, {} running (`ringmill limit` says more)", kind.queued, kind.running);
}

void print_text(const EngineStatus& status, const Result<DeadLetterTotals>& dead, const Json& names, Output& output) {
  output.line(fmt::format("engine   {}  {}", status.engine_id, status.path));
  output.line(fmt::format("         layout {}, made {}", status.layout_version, time_text(status.created_at)));
  output.line(fmt::format("memory   {}: {} cells of {} bytes, {} used, {} free", format_size(status.memory_bytes),
                          status.capacity, status.cell_size, status.cells_used, status.cells_free));
  if (status.arena_bytes != 0) {
    output.line(fmt::format("         an arena of {} for payloads of up to {}, {} used",
                            format_size(status.arena_bytes), format_size(status.max_payload),
                            format_size(status.arena_used)));
  }
  const ResultsStatus& results = status.results;
  output.line(fmt::format("results  {} kept, {}{}{}", results.count, format_size(results.bytes),
                          results.limit != 0 ? fmt::format(", at most {}", results.limit) : "",
                          results.evicted != 0 ? fmt::format("; {} went before their time", results.evicted) : ""));
  if (status.unlinked) output.line("         its file was removed: jobs go on, but no new process can join");
  output.line("keeper   " + keeper_text(status));
  output.line("journal  " + journal_text(status.journal));
  if (!status.journal.note.empty()) output.line("         " + status.journal.note);
  output.line("dead     " + dead_letters_text(dead));
  output.line(fmt::format("names    {} of {} kinds, {} of {} retry policies", names["kinds"].get<int>(),
                          names["kinds_limit"].get<int>(), names["retry_policies"].get<int>(),
                          names["retry_policies_limit"].get<int>()));
  const Totals& totals = status.totals;
  output.line(fmt::format("totals   {} enqueued, {} completed, {} failed, {} retried, {} dead, {} cancelled",
                          totals.enqueued, totals.completed, totals.failed, totals.retried, totals.dead,
                          totals.cancelled));
  output.line(fmt::format("         {} came back from lost workers, {} from leases that expired", totals.worker_lost,
                          totals.lease_expired));
  output.line("");
  Table levels({"level", ">weight", ">queued", ">delayed", ">running", ">completed", ">kept room", ">most"});
  for (const LevelStatus& level : status.levels) {
    levels.row({level.name, std::to_string(level.weight), std::to_string(level.queued), std::to_string(level.delayed),
                std::to_string(level.running), std::to_string(level.completed), std::to_string(level.kept),
                level.most == 0 ? "-" : std::to_string(level.most)});
  }
  levels.print(output);
  for (const LevelStatus& level : status.levels) {
    if (level.paused) output.line("level " + level.name + " is paused since " + time_text(level.paused_since));
  }
  for (const KindStatus& kind : status.kinds) output.line(kind_text(kind));
  output.line("");
  if (status.participants.empty()) {
    output.line("no participants");
    return;
  }
  Table participants({">participant", ">pid", "role", "alive", ">running"});
  for (const ParticipantStatus& participant : status.participants) {
    participants.row({std::to_string(participant.number), std::to_string(participant.pid), participant.role,
                      participant.alive ? "yes" : "no", std::to_string(participant.running)});
  }
  participants.print(output);
}

int run_status(const std::filesystem::path& directory, bool json) {
  const auto view = EngineView::open(directory);
  if (!view) return fail("status", view.error());
  const EngineStatus status = view->status();
  const auto dead = dead_letter_totals(directory);
  Output output;
  if (json) {
    Json answer = status_json(status);
    answer["dead_letters"] = dead_letters_json(dead);
    answer["names"] = names_json(view->segment());
    output.json(answer);
  } else {
    print_text(status, dead, names_json(view->segment()), output);
  }
  return output.finish(exit_done);
}

}  // namespace

Command add_status(CLI::App& program) {
  struct Words {
    std::filesystem::path directory;
    bool json = false;
  };
  auto words = std::make_shared<Words>();
  CLI::App* app = program.add_subcommand("status", "Show an engine: levels, totals, participants, keeper, memory");
  add_directory(*app, words->directory);
  app->add_flag("--json", words->json, "One JSON object");
  app->footer(
      "Counts of jobs are read from the table; the totals are statistics. The command writes nothing, and works\n"
      "without living participants.\n"
      "\n"
      "Examples:\n"
      "  ringmill status /tmp/jobs\n"
      "  ringmill status /tmp/jobs --json | jq '.levels[] | {name, queued}'");
  return {app, [words] { return run_status(words->directory, words->json); }};
}

}  // namespace ringmill::cli
