// ringmill verify: checks every block of the journal. Nothing is written and no lock is taken.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/durability/live_jobs.h"
#include "core/durability/recovery.h"
#include "core/instance/engine_files.h"
#include "core/journal/read_only_device.h"
#include "core/journal/reader.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

using Json = nlohmann::ordered_json;

struct Verified {
  JournalReport report;
  std::uint64_t jobs_live = 0;
};

Result<Verified> read_once(const EngineFiles& engine) {
  const auto folder = engine.open_journal_folder();
  if (!folder) return std::unexpected(folder.error());
  auto device = ReadOnlyDevice::open(*folder);
  if (!device) return std::unexpected(std::move(device.error()));
  LiveJobs jobs(engine.config().capacity);
  auto report = read_journal(*device, engine.journal_id(), jobs,
                             {.segment_bytes = engine.journal_geometry().segment_bytes, .progress = {}});
  if (!report) return std::unexpected(std::move(report.error()));
  return Verified{.report = *std::move(report), .jobs_live = jobs.count()};
}

/// The journal may be written while it is read, so one reading may be inconsistent. Damage is what two readings find in
/// the same place.
Result<Verified> read_steadily(const EngineFiles& engine) {
  constexpr int most_readings = 5;
  std::vector<JournalDamage> before;
  for (int reading = 1;; ++reading) {
    auto verified = read_once(engine);
    if (!verified || verified->report.damage.empty()) return verified;
    std::vector<JournalDamage>& damage = verified->report.damage;
    const auto is_same = [](const JournalDamage& one, const JournalDamage& other) {
      return one.segment == other.segment && one.offset == other.offset && one.reason == other.reason;
    };
    if (std::ranges::equal(damage, before, is_same)) return verified;
    if (reading == most_readings) {
      std::erase_if(damage, [&](const JournalDamage& one) {
        return std::ranges::none_of(before, [&](const JournalDamage& other) { return is_same(one, other); });
      });
      return verified;
    }
    before = std::move(damage);
  }
}

void print_json(const Verified& verified, Output& output) {
  const JournalReport& report = verified.report;
  Json json{{"segments", report.segments},     {"blocks", report.blocks}, {"records", report.records},
            {"jobs_live", verified.jobs_live}, {"torn_tail", nullptr},    {"damage", Json::array()}};
  if (const auto& tail = report.torn_tail) json["torn_tail"] = {{"segment", tail->segment}, {"offset", tail->offset}};
  for (const JournalDamage& damage : report.damage) {
    Json suspects = Json::array();
    for (const JobId id : damage.suspects) suspects.push_back(id.to_string());
    json["damage"].push_back({{"segment", damage.segment},
                              {"offset", damage.offset},
                              {"bytes", damage.bytes},
                              {"reason", damage.reason},
                              {"suspects", std::move(suspects)}});
  }
  output.json(json);
}

void print_text(const Verified& verified, Output& output) {
  const JournalReport& report = verified.report;
  output.line(fmt::format("segments  {}", report.segments));
  output.line(fmt::format("blocks    {}, {} read and checked", report.blocks, format_size(report.bytes)));
  output.line(fmt::format("records   {}", report.records));
  output.line(fmt::format("jobs      {} live", verified.jobs_live));
  if (const auto& tail = report.torn_tail) {
    output.line(
        fmt::format("torn tail segment {}, offset {}: as a crash leaves it, or a write under way; nothing durable "
                    "is lost",
                    tail->segment, tail->offset));
  }
  for (const JournalDamage& damage : report.damage) output.line("damage    " + text_of(damage));
  if (report.damage.empty()) output.line("no damage");
}

int run_verify(const std::filesystem::path& path, bool json) {
  const auto engine = EngineFiles::open(path, EngineFiles::For::look);
  if (!engine) return fail("verify", engine.error());
  const auto verified = read_steadily(*engine);
  if (!verified) return fail("verify", verified.error());
  Output output;
  if (json) {
    print_json(*verified, output);
  } else {
    print_text(*verified, output);
  }
  return output.finish(verified->report.damage.empty() ? exit_done : exit_no);
}

}  // namespace

Command add_verify(CLI::App& program) {
  struct Words {
    std::filesystem::path directory;
    bool json = false;
  };
  auto words = std::make_shared<Words>();
  CLI::App* app = program.add_subcommand("verify", "Check every block of the journal");
  add_directory(*app, words->directory);
  app->add_flag("--json", words->json, "One JSON object");
  app->footer(
      "The command writes nothing and takes no lock. It works while the engine runs, and without its shared memory.\n"
      "\n"
      "Exit code 1: the journal is damaged: bytes that were durable are no longer right.\n"
      "\n"
      "Examples:\n"
      "  ringmill verify /tmp/jobs\n"
      "  ringmill verify /tmp/jobs --json | jq '.damage'");
  return {app, [words] { return run_verify(words->directory, words->json); }};
}

}  // namespace ringmill::cli
