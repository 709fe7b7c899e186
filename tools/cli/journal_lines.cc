#include "tools/cli/journal_lines.h"

#include <fmt/format.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

#include "core/engine_directory.h"
#include "core/journal/read_only_device.h"
#include "core/journal/reader.h"
#include "tools/cli/base64.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"
#include "tools/cli/view.h"

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
                       options_.payload ? "  " + escaped(text) : ""));
      return;
    }
    Json json = begin(place, "job", JobId(record.id));
    json["kind"] = kind;
    json["level"] = record.level;
    json["attempts"] = record.attempts();
    json["max_attempts"] = record.most_attempts;
    json["lease_ms"] = record.lease_ms;
    json["payload_size"] = record.payload_bytes;
    json["enqueued_at"] = time_json(at);
    if (options_.payload) json[is_utf8(text) ? "payload" : "payload_base64"] = is_utf8(text) ? text : to_base64(text);
    output_.json(json);
  }

  void on_ended(const JournalPlace& place, JobId id) override {
    if (!wanted()) return;
    if (options_.json) {
      output_.json(begin(place, "ended", id));
    } else {
      line(place, "ended", id, "every job that this cell had before is over");
    }
  }

  void on_attempts(const JournalPlace& place, JobId id, std::uint16_t attempts) override {
    if (!wanted()) return;
    if (options_.json) {
      Json json = begin(place, "attempts", id);
      json["attempts"] = attempts;
      output_.json(json);
    } else {
      line(place, "attempts", id, fmt::format("{} have ended", attempts));
    }
  }

  void on_kind(const JournalPlace& place, std::uint32_t kind, std::string_view name) override {
    kinds_[kind] = name;
    if (!wanted()) return;
    if (options_.json) {
      Json json = begin(place, "kind", JobId());
      json["kind"] = kind;
      json["name"] = name;
      output_.json(json);
    } else {
      line(place, "kind", JobId(), fmt::format("{} is {}", kind, escaped(std::string(name))));
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
  static Json begin(const JournalPlace& place, std::string_view type, JobId id) {
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
  std::uint64_t shown_ = 0;
};

}  // namespace

int dump_journal(const std::filesystem::path& directory, const JournalLinesOptions& options) {
  const auto engine = EngineDirectory::open(directory);
  if (!engine) return fail("dump", engine.error());
  auto device = ReadOnlyDevice::open(engine->journal_path());
  if (!device) return fail("dump", device.error());
  Output output;
  JournalLines lines(options, output);
  const auto report = read_journal(*device, engine->config().engine_id, lines);
  if (!report) {
    output.flush();
    return fail("dump", report.error());
  }
  for (const JournalDamage& damage : report->damage) lines.damage(damage);
  if (!options.json && report->records == 0) output.line("no records");
  return output.finish(report->damage.empty() ? exit_done : exit_no);
}

}  // namespace ringmill::cli
