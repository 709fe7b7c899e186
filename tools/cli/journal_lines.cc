#include "tools/cli/journal_lines.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "core/durability/journaled_notes.h"
#include "core/durability/recovery.h"
#include "core/instance/engine_files.h"
#include "core/journal/read_only_device.h"
#include "core/journal/reader.h"
#include "core/table/results.h"
#include "ipc/layout.h"
#include "ipc/name_table.h"
#include "server/job_json.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

using Json = nlohmann::ordered_json;

class JournalLines : public JournalVisitor {
 public:
  JournalLines(const JournalLinesOptions& options, Output& output) noexcept : options_(options), output_(output) {}

  void on_job(const JournalPlace& place, const JobRecord& record, std::span<const std::byte> payload) override {
    if (!wanted()) return;
    const auto at = std::chrono::system_clock::time_point(std::chrono::milliseconds(record.enqueued_at_ms()));
    const std::string kind = name_of_kind(record.kind);
    const std::string text(as_text(payload));
    if (!options_.json) {
      line(place, "job", JobId(record.id),
           fmt::format("kind {}, level {}, attempts {}, payload {}, enqueued at {}{}", kind, record.level,
                       record.attempts(), record.payload_bytes, time_text(at),
                       options_.payload ? "  " + shown(text) : ""));
      return;
    }
    Json json = begin_line(place, "job", JobId(record.id));
    json["kind"] = kind;
    json["level"] = record.level;
    json["attempts"] = record.attempts();
    json["max_attempts"] = record.most_attempts;
    json["lease_ms"] = record.lease_ms;
    json["payload_size"] = record.payload_bytes;
    json["enqueued_at"] = time_json(at);
    if (options_.payload) put_bytes(json, "payload", text);
    output_.json(json);
  }

  void on_part(const JournalPlace& place, const PartRecord& record, std::span<const std::byte> part) override {
    if (!wanted()) return;
    const std::string text(as_text(part));
    const std::uint64_t begin = std::uint64_t{record.number} * most_part_bytes;
    if (!options_.json) {
      line(place, "part", JobId(record.id),
           fmt::format("payload {} to {} of {}{}", begin, begin + record.part_bytes, record.payload_bytes,
                       options_.payload ? "  " + shown(text) : ""));
      return;
    }
    Json json = begin_line(place, "part", JobId(record.id));
    json["part"] = record.number;
    json["part_size"] = record.part_bytes;
    json["payload_size"] = record.payload_bytes;
    if (options_.payload) put_bytes(json, "payload", text);
    output_.json(json);
  }

  void on_result_part(const JournalPlace& place, const ResultPartRecord& record,
                      std::span<const std::byte> part) override {
    if (!wanted()) return;
    const std::string text(as_text(part));
    const std::uint64_t begin = std::uint64_t{record.number} * most_part_bytes;
    if (!options_.json) {
      line(place, "result", JobId(record.id),
           fmt::format("result {} to {} of {}{}", begin, begin + record.part_bytes, record.result_bytes,
                       options_.payload ? "  " + shown(text) : ""));
      return;
    }
    Json json = begin_line(place, "result_part", JobId(record.id));
    json["part"] = record.number;
    json["part_size"] = record.part_bytes;
    json["result_size"] = record.result_bytes;
    if (options_.payload) put_bytes(json, "result", text);
    output_.json(json);
  }

  void on_large_job(const JournalPlace& place, const LargeJobRecord& record) override {
    if (!wanted()) return;
    const auto at = std::chrono::system_clock::time_point(std::chrono::milliseconds(record.job.enqueued_at_ms()));
    const std::string kind = name_of_kind(record.job.kind);
    if (!options_.json) {
      line(place, "large", JobId(record.job.id),
           fmt::format("kind {}, level {}, attempts {}, payload {} in parts from segment {} on, enqueued at {}", kind,
                       record.job.level, record.job.attempts(), record.job.payload_bytes, record.first_segment,
                       time_text(at)));
      return;
    }
    Json json = begin_line(place, "large_job", JobId(record.job.id));
    json["kind"] = kind;
    json["level"] = record.job.level;
    json["attempts"] = record.job.attempts();
    json["max_attempts"] = record.job.most_attempts;
    json["lease_ms"] = record.job.lease_ms;
    json["payload_size"] = record.job.payload_bytes;
    json["first_segment"] = record.first_segment;
    json["enqueued_at"] = time_json(at);
    output_.json(json);
  }

  void on_ended(const JournalPlace& place, JobId id) override {
    if (!wanted()) return;
    if (options_.json) {
      output_.json(begin_line(place, "ended", id));
    } else {
      line(place, "ended", id, "every job that this cell had before is over");
    }
  }

  void on_attempts(const JournalPlace& place, JobId id, std::uint16_t attempts) override {
    if (!wanted()) return;
    if (options_.json) {
      Json json = begin_line(place, "attempts", id);
      json["attempts"] = attempts;
      output_.json(json);
    } else {
      line(place, "attempts", id, fmt::format("{} have ended", attempts));
    }
  }

  void on_kind(const JournalPlace& place, std::uint32_t kind, std::string_view name) override {
    if (is_valid_name(name)) kinds_[kind] = name;
    if (!wanted()) return;
    if (options_.json) {
      Json json = begin_line(place, "kind", JobId());
      json["kind"] = kind;
      json["name"] = name;
      output_.json(json);
    } else {
      line(place, "kind", JobId(), fmt::format("{} is {}", kind, shown(std::string(name))));
    }
  }

  void on_change(const JournalPlace& place, const ChangeRecord& record, std::string_view text) override {
    if (!wanted()) return;
    const std::string said(text);
    const bool has_due = record.due_ms() != 0;
    const bool is_dead = record.state == JournaledState::dead;
    const auto started = moment(record.started & (ChangeRecord::wall_bit - 1));
    const auto ended = moment(record.ended_at_ms);
    if (!options_.json) {
      std::string line_text = fmt::format("{}, attempts {}", name_of_state(record.state), record.attempts);
      if (is_dead) line_text += fmt::format(", cause {}", name_of_cause(record.cause));
      if (has_due) {
        line_text += fmt::format(", {} {}", record.is_wall() ? "at" : "for a span that ends",
                                 time_text(moment(record.due_ms())));
      }
      if (record.is_result_in_parts()) line_text += ", result in parts";
      if (record.text_bytes != 0) line_text += fmt::format(", text {}", record.text_bytes);
      if (options_.payload) line_text += "  " + shown(said);
      line(place, "change", JobId(record.id), line_text);
      return;
    }
    Json json = begin_line(place, "change", JobId(record.id));
    json["state"] = name_of_state(record.state);
    json["attempts"] = record.attempts;
    json["cause"] = is_dead ? Json(name_of_cause(record.cause)) : Json();
    json["due_at"] = has_due ? time_json(moment(record.due_ms())) : Json();
    json["due_is_moment"] = has_due ? Json(record.is_wall()) : Json();
    json["started_at"] = time_json(started);
    json["ended_at"] = time_json(ended);
    json["text_size"] = record.text_bytes;
    if (record.is_result_cut()) {
      json["result_cut"] = true;
      json["result_refused"] = reason_of(ResultNote::refusal_of(record.cause));
    }
    if (record.is_result_in_parts()) json["result_in_parts"] = true;
    if (options_.payload) put_bytes(json, "text", said);
    output_.json(json);
  }

  void on_options(const JournalPlace& place, const OptionsRecord& record) override {
    if (!wanted()) return;
    const bool buries = (record.cell_flags & cell_flag::bury_on_worker_lost) != 0;
    const std::string policy = name_of_policy(record.retry_policy);
    const std::string unique = (record.unique_low | record.unique_high) != 0
                                   ? fmt::format("{:016x}{:016x}", record.unique_high, record.unique_low)
                                   : std::string();
    if (!options_.json) {
      std::string line_text = "retry " + policy;
      if (buries) line_text += ", buried when its worker is lost";
      if (record.expires_at_ms != 0) line_text += ", expires at " + time_text(moment(record.expires_at_ms));
      if (record.keep_ms != 0) line_text += fmt::format(", kept {} ms", record.keep_ms);
      if (!unique.empty()) line_text += ", unique " + unique;
      line(place, "options", JobId(record.id), line_text);
      return;
    }
    Json json = begin_line(place, "options", JobId(record.id));
    json["retry"] = policy;
    json["on_worker_lost"] = buries ? "bury" : "retry";
    json["expires_at"] = time_json(moment(record.expires_at_ms));
    json["keep_ms"] = record.keep_ms;
    json["unique"] = unique.empty() ? Json() : Json(unique);
    output_.json(json);
  }

  void on_links(const JournalPlace& place, const LinksRecord& record) override {
    if (!wanted()) return;
    const JobId leader(record.born_of);
    const bool is_follow_up = record.rule == static_cast<std::uint8_t>(BornRule::after_it);
    if (!options_.json) {
      std::string line_text = fmt::format("waits for {}", record.parents);
      if (record.runs_all_the_same != 0) line_text += ", runs when one is dead";
      if (leader)
        line_text += fmt::format(", {} {}", is_follow_up ? "a follow-up of" : "came with", leader.to_string());
      line(place, "links", JobId(record.id), line_text);
      return;
    }
    Json json = begin_line(place, "links", JobId(record.id));
    json["parents"] = record.parents;
    json["on_parent_dead"] = record.runs_all_the_same != 0 ? "run" : "cancel";
    json["born_of"] = leader ? Json(leader.to_string()) : Json();
    json["follow_up"] = leader && is_follow_up;
    output_.json(json);
  }

  void on_notes(const JournalPlace& place, const NotesRecord& record, std::string_view tag) override {
    if (!wanted()) return;
    const Notes notes = notes_of(record, tag);
    const std::string trace = notes.trace.text();
    const bool has_key = (notes.serial_low | notes.serial_high) != 0;
    const std::string key = has_key ? fmt::format("{:016x}{:016x}", notes.serial_high, notes.serial_low) : "";
    if (!options_.json) {
      std::vector<std::string> parts;
      if (!tag.empty()) parts.push_back("tag " + shown(tag));
      if (!trace.empty()) parts.push_back("traceparent " + trace);
      if (notes.retried_from) parts.push_back("the dead letter " + notes.retried_from.to_string() + " again");
      if (has_key) parts.push_back("serial key " + key);
      line(place, "notes", JobId(record.id), fmt::format("{}", fmt::join(parts, ", ")));
      return;
    }
    Json json = begin_line(place, "notes", JobId(record.id));
    put_bytes(json, "tag", std::string(tag));
    json["traceparent"] = trace.empty() ? Json() : Json(trace);
    json["retried_from"] = notes.retried_from ? Json(notes.retried_from.to_string()) : Json();
    json["serial_key_hash"] = has_key ? Json(key) : Json();
    output_.json(json);
  }

  void on_retry_policy(const JournalPlace& place, std::uint32_t policy, std::string_view text) override {
    std::string& name = policies_[policy] = text;
    std::ranges::replace(name, '/', ',');  // names have no comma
    if (!wanted()) return;
    if (options_.json) {
      Json json = begin_line(place, "retry_policy", JobId());
      json["retry_policy"] = policy;
      json["text"] = name;
      output_.json(json);
    } else {
      line(place, "policy", JobId(), fmt::format("{} is {}", policy, shown(name)));
    }
  }

  void damage(const JournalDamage& damage) {
    const auto& [segment, slot, offset, bytes, reason, suspects] = damage;
    if (options_.json) {
      output_.json(
          {{"type", "damage"}, {"segment", segment}, {"offset", offset}, {"bytes", bytes}, {"reason", reason}});
    } else {
      output_.line("damage: " + text_of(damage));
    }
  }

 private:
  /// Counts the lines. The rest is read without a word: damage may stand behind.
  bool wanted() noexcept {
    if (!output_.wanted() || (options_.limit && shown_ == *options_.limit)) return false;
    ++shown_;
    return true;
  }
  std::string name_of_kind(std::uint32_t kind) const {
    const auto found = kinds_.find(kind);
    return found != kinds_.end() ? found->second : fmt::format("{}", kind);
  }
  std::string name_of_policy(std::uint32_t policy) const {
    if (policy == 0) return "default";
    const auto found = policies_.find(policy);
    return found != policies_.end() ? found->second : fmt::format("{}", policy);
  }
  static std::string_view name_of_state(JournaledState state) noexcept {
    switch (state) {
      case JournaledState::waits:
        return "queued";
      case JournaledState::delayed:
        return "delayed";
      case JournaledState::completed:
        return "completed";
      case JournaledState::cancelled:
        return "cancelled";
      case JournaledState::dead:
        return "dead";
      case JournaledState::blocked:
        return "blocked";
    }
    return "unknown";
  }
  static std::string name_of_cause(std::uint8_t cause) {
    if (cause > static_cast<std::uint8_t>(DeathCause::parent_dead)) return fmt::format("{}", cause);
    return std::string(name_of(static_cast<DeathCause>(cause)));
  }
  /// What a damaged but right-looking record may say is bounded: a clock shows no later times.
  static std::chrono::system_clock::time_point moment(std::uint64_t ms) noexcept {
    constexpr std::uint64_t latest_ms = std::uint64_t{1} << 43;
    return std::chrono::system_clock::time_point(std::chrono::milliseconds(std::min(ms, latest_ms)));
  }
  static Json begin_line(const JournalPlace& place, std::string_view type, JobId id) {
    Json json{{"segment", place.segment}, {"offset", place.offset}, {"block", place.block}, {"type", type}};
    if (id) json["id"] = id.to_string();
    return json;
  }
  void line(const JournalPlace& place, std::string_view type, JobId id, const std::string& rest) {
    if (shown_ == 1)
      output_.line(fmt::format("{:>8}  {:>10}  {:>8}  {:<8}  {:<16}", "segment", "offset", "block", "type", "id"));
    output_.line(fmt::format("{:>8}  {:>10}  {:>8}  {:<8}  {:<16}  {}", place.segment, place.offset, place.block, type,
                             id ? id.to_string() : "-", rest));
  }

  const JournalLinesOptions& options_;
  Output& output_;
  std::map<std::uint32_t, std::string> kinds_;
  std::map<std::uint32_t, std::string> policies_;
  std::uint64_t shown_ = 0;
};

}  // namespace

int dump_journal(const std::filesystem::path& directory, const JournalLinesOptions& options) {
  const auto engine = EngineFiles::open(directory, EngineFiles::For::look);
  if (!engine) return fail("dump", engine.error());
  const auto folder = engine->open_journal_folder();
  if (!folder) return fail("dump", folder.error());
  auto device = ReadOnlyDevice::open(*folder);
  if (!device) return fail("dump", device.error());
  Output output;
  JournalLines lines(options, output);
  const auto report = read_journal(*device, engine->journal_id(), lines,
                                   {.segment_bytes = engine->journal_geometry().segment_bytes, .progress = {}});
  if (!report) {
    output.flush();
    return fail("dump", report.error());
  }
  for (const JournalDamage& damage : report->damage) lines.damage(damage);
  if (!options.json && report->records == 0) output.line("no records");
  return output.finish(report->damage.empty() ? exit_done : exit_no);
}

}  // namespace ringmill::cli
