#include "server/metrics_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/shown_text.h"

namespace ringmill {

namespace {

using Labels = std::vector<std::pair<std::string_view, std::string_view>>;

double seconds_of(std::chrono::nanoseconds time) noexcept { return std::chrono::duration<double>(time).count(); }

/// As the format wants it; bytes that are no UTF-8 become escapes.
std::string escaped(std::string_view text) {
  const std::string valid = is_utf8(text) ? std::string(text) : shown(text);
  std::string out;
  for (const char c : valid) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '"') {
      out += "\\\"";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

class MetricsText {
 public:
  void family(std::string_view name, std::string_view type, std::string_view help) {
    name_ = name;
    fmt::format_to(std::back_inserter(text_), "# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
  }
  template <class Number>
  void sample(const Labels& labels, Number value, std::string_view suffix = "") {
    text_ += name_;
    text_ += suffix;
    for (std::size_t n = 0; n < labels.size(); ++n) {
      fmt::format_to(std::back_inserter(text_), "{}{}=\"{}\"", n == 0 ? '{' : ',', labels[n].first,
                     escaped(labels[n].second));
    }
    fmt::format_to(std::back_inserter(text_), "{} {}\n", labels.empty() ? "" : "}", value);
  }
  template <class Number>
  void single(std::string_view name, std::string_view type, std::string_view help, Number value) {
    family(name, type, help);
    sample({}, value);
  }
  void histogram(std::string_view label, std::string_view of, const Durations& durations) {
    // Powers of two are edges of the engine's own buckets, so nothing is interpolated.
    for (std::uint32_t power = 16; power <= 42; power += 2) {
      const std::chrono::nanoseconds edge(std::int64_t{1} << power);
      const std::string le = fmt::format("{:.9g}", seconds_of(edge));
      sample({{label, of}, {"le", le}}, durations.count_below(edge), "_bucket");
    }
    sample({{label, of}, {"le", "+Inf"}}, durations.count(), "_bucket");
    sample({{label, of}}, durations.sum().count(), "_sum");
    sample({{label, of}}, durations.count(), "_count");
  }
  std::string take() { return std::move(text_); }

 private:
  std::string_view name_;
  std::string text_;
};

void add_levels(MetricsText& text, const EngineStatistics& now) {
  text.family("ringmill_jobs", "gauge", "Jobs of a level that wait for a worker, and that run.");
  for (const LevelStatistics& level : now.levels) {
    text.sample({{"level", level.name}, {"state", "queued"}}, level.depth);
    text.sample({{"level", level.name}, {"state", "running"}}, level.running);
  }
  text.family("ringmill_queue_latency_seconds", "gauge",
              "How long the oldest waiting job of a level waits; 0: none waits.");
  for (const LevelStatistics& level : now.levels) {
    text.sample({{"level", level.name}}, seconds_of(level.oldest.value_or(std::chrono::nanoseconds(0))));
  }
  text.family("ringmill_level_paused", "gauge", "1: the level is paused.");
  for (const LevelStatistics& level : now.levels) text.sample({{"level", level.name}}, level.paused ? 1 : 0);
}

void add_counts(MetricsText& text, const EngineStatistics& now) {
  text.family("ringmill_jobs_enqueued_total", "counter", "Jobs that were enqueued.");
  for (const PairStatistics& pair : now.pairs) {
    text.sample({{"level", pair.level}, {"kind", pair.kind}}, pair.totals.enqueued);
  }
  text.family("ringmill_attempts_total", "counter", "Attempts that ended.");
  for (const PairStatistics& pair : now.pairs) {
    text.sample({{"level", pair.level}, {"kind", pair.kind}}, pair.totals.attempts);
  }
  text.family("ringmill_jobs_finished_total", "counter", "Jobs that are over, by how they ended.");
  for (const KindStatistics& kind : now.kinds) {
    text.sample({{"kind", kind.name}, {"outcome", "completed"}}, kind.totals.completed);
    text.sample({{"kind", kind.name}, {"outcome", "dead"}}, kind.totals.dead);
    text.sample({{"kind", kind.name}, {"outcome", "cancelled"}}, kind.totals.cancelled);
  }
  text.family("ringmill_attempts_failed_total", "counter", "Attempts that failed.");
  for (const KindStatistics& kind : now.kinds) text.sample({{"kind", kind.name}}, kind.totals.failed);
  text.family("ringmill_retries_total", "counter",
              "Attempts after which the job waits again: failed, or the worker was lost.");
  for (const KindStatistics& kind : now.kinds) text.sample({{"kind", kind.name}}, kind.totals.retried);
  text.family("ringmill_leases_revoked_total", "counter", "Leases that were taken back, by cause.");
  text.sample({{"cause", "worker_lost"}}, now.totals.worker_lost);
  text.sample({{"cause", "lease_expired"}}, now.totals.lease_expired);
}

void add_times(MetricsText& text, const EngineStatistics& now) {
  text.family("ringmill_job_wait_seconds", "histogram",
              "How long jobs waited for a worker (a sample with weights; _dynamic: all levels made at run time).");
  for (const LevelStatistics& level : now.levels) {
    if (level.wait) text.histogram("level", level.name, *level.wait);
  }
  if (now.dynamic_wait.count() != 0) text.histogram("level", "_dynamic", now.dynamic_wait);
  text.family("ringmill_job_run_seconds", "histogram",
              "How long attempts took (a sample with weights; _other: kinds beyond the first 63).");
  for (const KindStatistics& kind : now.kinds) {
    if (kind.run) text.histogram("kind", kind.name, *kind.run);
  }
  if (now.other_runs.count() != 0) text.histogram("kind", "_other", now.other_runs);
}

void add_participants(MetricsText& text, const EngineStatistics& now) {
  std::map<std::string_view, std::uint64_t> roles{{"producer", 0}, {"worker", 0}, {"tool", 0}, {"keeper", 0}};
  std::uint64_t busy = 0;
  std::uint64_t idle = 0;
  for (const ParticipantStatistics& participant : now.participants) {
    if (!participant.alive) continue;
    ++roles[participant.role];
    if (participant.role == "worker") ++(participant.running.empty() ? idle : busy);
  }
  text.family("ringmill_participants", "gauge", "Living participants by role.");
  for (const auto& [role, count] : roles) text.sample({{"role", role}}, count);
  text.family("ringmill_workers", "gauge", "Living workers: with a job, and without.");
  text.sample({{"state", "running"}}, busy);
  text.sample({{"state", "idle"}}, idle);
}

void add_keeper(MetricsText& text, const KeeperStatistics& keeper) {
  text.single("ringmill_keeper_up", "gauge", "1: a living process keeps.", keeper.alive ? 1 : 0);
  if (keeper.last_turn_ago) {
    text.single("ringmill_keeper_heartbeat_age_seconds", "gauge", "Since the keeper's last turn has ended.",
                seconds_of(*keeper.last_turn_ago));
  }
  text.single("ringmill_keeper_turns_total", "counter", "Turns of the keeper's loop.", keeper.turns);
  text.single("ringmill_keeper_busy_seconds_total", "counter", "The time that the turns took.",
              seconds_of(keeper.busy));
  text.single("ringmill_keeper_longest_turn_seconds", "gauge", "The longest turn of the present keeper.",
              seconds_of(keeper.longest_turn));
}

void add_journal(MetricsText& text, const JournalStatus& journal) {
  text.family("ringmill_journal_info", "gauge", "How the journal is written.");
  text.sample({{"mode", journal.mode}}, 1);
  text.single("ringmill_journal_failed", "gauge", "1: the journal does not work, or does not keep up.",
              journal.last_error.empty() ? 0 : 1);
  text.single("ringmill_journal_lag_seconds", "gauge", "The age of the oldest change that is not durable.",
              std::chrono::duration<double>(journal.durable_lag).count());
  text.single("ringmill_journal_segments", "gauge", "Files of the journal that count.", journal.segments);
  text.single("ringmill_journal_bytes", "gauge", "Bytes of the journal on the disk.", journal.bytes);
  text.single("ringmill_journal_limit_bytes", "gauge", "The most bytes that the journal takes.", journal.limit);
  text.single("ringmill_journal_written_bytes_total", "counter", "Bytes that were written.", journal.bytes_written);
  text.single("ringmill_journal_records_total", "counter", "Records that were written.", journal.records_written);
}

}  // namespace

std::string metrics_text(const EngineStatistics& statistics, const std::optional<DeadLetterCount>& dead_letters,
                         std::string_view version) {
  MetricsText text;
  text.single("ringmill_up", "gauge", "1: the engine's memory is there.", statistics.unlinked ? 0 : 1);
  text.family("ringmill_build_info", "gauge", "The program that looks, and the layout of the engine's memory.");
  text.sample({{"version", version}, {"layout", std::to_string(statistics.layout_version)}}, 1);
  text.single("ringmill_capacity_jobs", "gauge", "Jobs that there is room for.", statistics.capacity);
  text.single("ringmill_memory_bytes", "gauge", "The size of the engine's shared memory.", statistics.memory_bytes);
  add_levels(text, statistics);
  add_counts(text, statistics);
  add_times(text, statistics);
  add_participants(text, statistics);
  add_keeper(text, statistics.keeper);
  add_journal(text, statistics.journal);
  if (dead_letters) {
    text.single("ringmill_dead_letters", "gauge", "Dead letters.", dead_letters->count);
    text.single("ringmill_dead_letters_bytes", "gauge", "Bytes of the dead letters.", dead_letters->bytes);
    text.single("ringmill_dead_letters_dropped_total", "counter", "Dead letters that went for want of room.",
                dead_letters->dropped);
  }
  return text.take();
}

std::string metrics_text_of_absence() {
  MetricsText text;
  text.single("ringmill_up", "gauge", "1: the engine's memory is there.", 0);
  return text.take();
}

}  // namespace ringmill
