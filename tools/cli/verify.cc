// ringmill verify: every block of the journal, checked. Nothing is written and no lock is taken.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/engine_directory.h"
#include "core/journal/parts.h"
#include "core/journal/read_only_device.h"
#include "core/journal/reader.h"
#include "ipc/state_word.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

using Json = nlohmann::ordered_json;

/// The jobs that a recovery would bring back: those that wait, now or later, those that are kept after their end, and
/// the dead that were not buried yet.
class LiveJobs : public WholeJobsVisitor {
 public:
  LiveJobs() : WholeJobsVisitor(false) {}

  void on_job(const JournalPlace&, const JobRecord& record, std::span<const std::byte>) override {
    Cell& cell = cell_of(record.id);
    cell.job = std::max(cell.job, record.id >> index_bits);
  }
  void on_ended(const JournalPlace&, JobId id) override {
    Cell& cell = cell_of(id.value());
    cell.ended_below = std::max(cell.ended_below, id.value() >> index_bits);
  }
  /// A life whose attempts are counted shows that those before it are over.
  void on_attempts(const JournalPlace&, JobId id, std::uint16_t) override { on_ended({}, id); }
  void on_change(const JournalPlace&, const ChangeRecord& record, std::string_view) override {
    on_ended({}, JobId(record.id));
  }
  void on_kind(const JournalPlace&, std::uint32_t, std::string_view) override {}

  std::uint64_t count() const noexcept {
    return static_cast<std::uint64_t>(
        std::ranges::count_if(cells_, [](const Cell& cell) { return cell.job != 0 && cell.job >= cell.ended_below; }));
  }

 private:
  struct Cell {
    std::uint64_t job = 0;  // the highest generation
    std::uint64_t ended_below = 0;
  };
  Cell& cell_of(std::uint64_t id) {
    const auto index = static_cast<std::size_t>(id & index_mask);
    if (index >= cells_.size()) cells_.resize(std::max(index + 1, std::min(2 * cells_.size(), index_mask + 1)));
    return cells_[index];
  }
  std::vector<Cell> cells_;
};

struct Verified {
  JournalReport report;
  std::uint64_t jobs_live = 0;
};

Result<Verified> read_once(const EngineDirectory& engine) {
  auto device = ReadOnlyDevice::open(engine.journal_path());
  if (!device) return std::unexpected(std::move(device.error()));
  LiveJobs jobs;
  auto report = read_journal(*device, engine.config().engine_id, jobs);
  if (!report) return std::unexpected(std::move(report.error()));
  return Verified{.report = *std::move(report), .jobs_live = jobs.count()};
}

/// A journal that is being written changes while it is read, and what was read of it may not fit together. Damage is
/// what two readings find in the same place.
Result<Verified> read_steadily(const EngineDirectory& engine) {
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
  const auto engine = EngineDirectory::open(path);
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
      "Nothing is written and no lock is taken: it works while the engine runs, and without its shared memory.\n"
      "Exit code 1: bytes that were durable once cannot be believed any more.\n"
      "\n"
      "Examples:\n"
      "  ringmill verify /tmp/jobs\n"
      "  ringmill verify /tmp/jobs --json | jq '.damage'");
  return {app, [words] { return run_verify(words->directory, words->json); }};
}

}  // namespace ringmill::cli
