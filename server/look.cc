#include "server/look.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "server/job_json.h"

namespace ringmill {

namespace {

using Json = nlohmann::ordered_json;

/// Per second. What has become less began anew.
double rate(std::uint64_t before, std::uint64_t now, double seconds) noexcept {
  if (seconds <= 0) return 0;
  return static_cast<double>(now - (before <= now ? before : 0)) / seconds;
}

std::optional<Durations> recent(const std::optional<Durations>* before, const std::optional<Durations>& now) {
  if (!now || before == nullptr || !*before) return now;
  Durations since = now->since(**before);
  return since.count() != 0 ? since : now;
}

template <class Range, class Key, class Value>
const typename Range::value_type* find_in(const Range* range, Key key, const Value& value) {
  if (range == nullptr) return nullptr;
  const auto place = std::ranges::find(*range, value, key);
  return place != range->end() ? &*place : nullptr;
}

LevelRates level_rates(const LevelStatistics* before, const LevelStatistics& now, double seconds) {
  const JobTotals from = before != nullptr ? before->totals : JobTotals{};
  return {.in_per_s = rate(from.enqueued, now.totals.enqueued, seconds),
          .out_per_s = rate(from.ended(), now.totals.ended(), seconds),
          .failed_per_s = rate(from.failed, now.totals.failed, seconds),
          .retried_per_s = rate(from.retried, now.totals.retried, seconds),
          .wait = recent(before != nullptr ? &before->wait : nullptr, now.wait)};
}

KindRates kind_rates(const KindStatistics* before, const KindStatistics& now, double seconds) {
  const JobTotals from = before != nullptr ? before->totals : JobTotals{};
  return {.started_per_s = rate(from.attempts, now.totals.attempts, seconds),
          .completed_per_s = rate(from.completed, now.totals.completed, seconds),
          .failed_per_s = rate(from.failed, now.totals.failed, seconds),
          .run = recent(before != nullptr ? &before->run : nullptr, now.run)};
}

/// A participant that is busy with one job for long counts it only when it is over: until then the job itself tells.
double busy_share(const ParticipantStatistics* before, const ParticipantStatistics& now, double seconds) {
  if (seconds <= 0) return now.running.empty() ? 0 : 1;
  const double counted =
      before != nullptr ? std::chrono::duration<double>(now.busy - before->busy).count() / seconds : 0;
  const double running =
      now.running.empty() ? 0 : std::chrono::duration<double>(now.running.front().running_for).count() / seconds;
  return std::clamp(std::max(counted, running), 0.0, 1.0);
}

double rounded(double value) noexcept { return std::round(value * 1000) / 1000; }

Json ms_of(std::chrono::nanoseconds time) { return rounded(std::chrono::duration<double, std::milli>(time).count()); }
Json quantile_ms(const std::optional<Durations>& durations, double share) {
  const auto time = durations ? durations->quantile(share) : std::nullopt;
  return time ? ms_of(*time) : Json();
}

Json totals_json(const JobTotals& totals) {
  return {{"enqueued", totals.enqueued},  {"attempts", totals.attempts},   {"failed", totals.failed},
          {"retried", totals.retried},    {"completed", totals.completed}, {"dead", totals.dead},
          {"cancelled", totals.cancelled}};
}

Json level_json(const LevelStatistics& level, const LevelRates& rates) {
  return {{"name", level.name},
          {"depth", level.depth},
          {"depth_is_estimate", level.is_estimate},
          {"running", level.running},
          {"oldest_ms", level.oldest ? ms_of(*level.oldest) : Json()},
          {"in_per_s", rounded(rates.in_per_s)},
          {"out_per_s", rounded(rates.out_per_s)},
          {"failed_per_s", rounded(rates.failed_per_s)},
          {"retried_per_s", rounded(rates.retried_per_s)},
          {"wait_p50_ms", quantile_ms(rates.wait, 0.5)},
          {"wait_p99_ms", quantile_ms(rates.wait, 0.99)},
          {"paused", level.paused},
          {"paused_since", time_json(level.paused_since)},
          {"totals", totals_json(level.totals)}};
}

Json kind_json(const KindStatistics& kind, const KindRates& rates) {
  return {{"name", kind.name},
          {"started", kind.totals.attempts + kind.running},
          {"completed", kind.totals.completed},
          {"failed", kind.totals.failed},
          {"retried", kind.totals.retried},
          {"dead", kind.totals.dead},
          {"running", kind.running},
          {"started_per_s", rounded(rates.started_per_s)},
          {"completed_per_s", rounded(rates.completed_per_s)},
          {"failed_per_s", rounded(rates.failed_per_s)},
          {"run_p50_ms", quantile_ms(rates.run, 0.5)},
          {"run_p99_ms", quantile_ms(rates.run, 0.99)}};
}

Json participant_json(const ParticipantStatistics& participant, const ParticipantRates& rates) {
  Json running = Json::array();
  for (const RunningJob& job : participant.running) {
    running.push_back(
        {{"id", job.id.to_string()}, {"kind", job.kind}, {"level", job.level}, {"running_ms", ms_of(job.running_for)}});
  }
  return {{"id", participant.number},
          {"pid", participant.pid},
          {"role", participant.role},
          {"alive", participant.alive},
          {"since", time_json(participant.since)},
          {"enqueued", participant.enqueued},
          {"completed", participant.completed},
          {"failed", participant.failed},
          {"completed_per_s", rounded(rates.completed_per_s)},
          {"busy", rounded(rates.busy)},
          {"running", std::move(running)}};
}

Json keeper_json(const KeeperStatistics& keeper, double busy) {
  const bool elected = keeper.pid != 0;
  return {{"pid", elected ? Json(keeper.pid) : Json()},
          {"alive", keeper.alive},
          {"trouble", keeper.trouble.empty() ? Json() : Json(keeper.trouble)},
          {"since", elected ? time_json(keeper.since) : Json()},
          {"turns", keeper.turns},
          {"busy", rounded(busy)},
          {"longest_turn_ms", ms_of(keeper.longest_turn)},
          {"last_turn_ago_ms", keeper.last_turn_ago ? ms_of(*keeper.last_turn_ago) : Json()}};
}

Json journal_json(const JournalStatus& journal, double bytes_per_s) {
  return {{"mode", journal.mode},
          {"note", journal.note},
          {"segments", journal.segments},
          {"bytes", journal.bytes},
          {"limit", journal.limit},
          {"durable_lag_us", journal.durable_lag.count()},
          {"bytes_per_s", rounded(bytes_per_s)},
          {"records_written", journal.records_written},
          {"last_error", journal.last_error}};
}

}  // namespace

Look look_between(const EngineStatistics* before, EngineStatistics now, std::optional<DeadLetterCount> dead_letters) {
  Look look;
  look.now = std::move(now);
  look.dead_letters = dead_letters;
  if (before != nullptr && before->engine_id == look.now.engine_id) {
    look.seconds = std::chrono::duration<double>(look.now.at - before->at).count();
  }
  const double seconds = std::max(look.seconds, 0.0);
  if (seconds == 0) before = nullptr;
  for (const LevelStatistics& level : look.now.levels) {
    const auto* former = find_in(before ? &before->levels : nullptr, &LevelStatistics::level, level.level);
    look.levels.push_back(level_rates(former, level, seconds));
  }
  for (const KindStatistics& kind : look.now.kinds) {
    const auto* former = find_in(before ? &before->kinds : nullptr, &KindStatistics::name, kind.name);
    look.kinds.push_back(kind_rates(former, kind, seconds));
  }
  for (const ParticipantStatistics& participant : look.now.participants) {
    const auto* former =
        find_in(before ? &before->participants : nullptr, &ParticipantStatistics::number, participant.number);
    look.participants.push_back(
        {.completed_per_s = rate(former ? former->completed : participant.completed, participant.completed, seconds),
         .busy = busy_share(former, participant, seconds)});
  }
  if (before != nullptr) {
    look.journal_bytes_per_s = rate(before->journal.bytes_written, look.now.journal.bytes_written, seconds);
    const std::chrono::duration<double> busy = look.now.keeper.busy - before->keeper.busy;
    look.keeper_busy = std::clamp(busy.count() / seconds, 0.0, 1.0);
  }
  return look;
}

Json json_of(const Look& look) {
  const EngineStatistics& now = look.now;
  Json json;
  json["at"] = time_json(now.at);
  json["seconds"] = rounded(look.seconds);
  json["engine"] = {{"id", now.engine_id},
                    {"path", now.path},
                    {"layout_version", now.layout_version},
                    {"capacity", now.capacity},
                    {"memory_bytes", now.memory_bytes},
                    {"unlinked", now.unlinked}};
  json["totals"] = totals_json(now.totals);
  json["levels"] = Json::array();
  for (std::size_t n = 0; n < now.levels.size(); ++n) {
    json["levels"].push_back(level_json(now.levels[n], look.levels[n]));
  }
  json["kinds"] = Json::array();
  for (std::size_t n = 0; n < now.kinds.size(); ++n) json["kinds"].push_back(kind_json(now.kinds[n], look.kinds[n]));
  json["participants"] = Json::array();
  for (std::size_t n = 0; n < now.participants.size(); ++n) {
    json["participants"].push_back(participant_json(now.participants[n], look.participants[n]));
  }
  json["keeper"] = keeper_json(now.keeper, look.keeper_busy);
  json["journal"] = journal_json(now.journal, look.journal_bytes_per_s);
  json["dead_letters"] = look.dead_letters ? Json{{"count", look.dead_letters->count},
                                                  {"bytes", look.dead_letters->bytes},
                                                  {"limit", look.dead_letters->limit},
                                                  {"dropped", look.dead_letters->dropped}}
                                           : Json();
  return json;
}

}  // namespace ringmill
