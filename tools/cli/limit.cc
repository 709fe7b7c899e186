// ringmill limit: how often jobs of a kind may begin, and how many may run at a time.
#include <fmt/format.h>

#include <cctype>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include <ringmill/engine.h>

#include "core/inspect/engine_view.h"
#include "ipc/name_table.h"
#include "server/job_json.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

using Json = nlohmann::ordered_json;

struct LimitWords {
  std::filesystem::path directory;
  std::string kind;
  std::optional<Rate> rate;
  std::optional<std::uint32_t> burst;
  std::optional<std::uint32_t> concurrency;
  bool off = false;
  bool json = false;
};

/// 10/1s, 100/m: so many in each such time; a unit alone means one of it.
std::optional<Rate> parse_rate(std::string_view text) {
  const std::size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  std::string period(text.substr(slash + 1));
  if (!period.empty() && std::isalpha(static_cast<unsigned char>(period.front())) != 0) period.insert(0, 1, '1');
  const auto count = parse_number(text.substr(0, slash));
  const auto time = parse_duration(period);
  if (!count || !time || *count == 0 || *count > std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
  return Rate{.count = static_cast<std::uint32_t>(*count), .period = *time};
}

std::string rate_text(const KindLimits& limits) {
  if (limits.rate.count == 0) return "-";
  return fmt::format("{}/{}", limits.rate.count, format_duration(limits.rate.period));
}

nlohmann::ordered_json kind_json(const KindStatus& kind) {
  const KindLimits& limits = kind.limits;
  const bool has_rate = limits.rate.count != 0;
  return {
      {"kind", kind.name},
      {"paused", kind.paused},
      {"paused_since", time_json(kind.paused_since)},
      {"rate", has_rate ? Json{{"count", limits.rate.count},
                               {"period_us", std::chrono::floor<std::chrono::microseconds>(limits.rate.period).count()}}
                        : Json()},
      {"burst", has_rate ? Json(limits.burst) : Json()},
      {"concurrency", limits.concurrency != 0 ? Json(limits.concurrency) : Json()},
      {"queued", kind.queued},
      {"waiting", kind.waiting},
      {"running", kind.running}};
}

int list(const LimitWords& words) {
  const auto view = EngineView::open(words.directory);
  if (!view) return fail("limit", view.error());
  const EngineStatus status = view->status();
  Output output;
  if (words.json) {
    for (const KindStatus& kind : status.kinds) output.json(kind_json(kind));
    return output.finish(exit_done);
  }
  if (status.kinds.empty()) {
    output.line("no kind is limited or paused");
    return output.finish(exit_done);
  }
  Table table({"kind", "paused since", ">rate", ">burst", ">concurrency", ">queued", ">waiting", ">running"});
  for (const KindStatus& kind : status.kinds) {
    const KindLimits& limits = kind.limits;
    table.row({kind.name, time_text(kind.paused_since), rate_text(limits),
               limits.rate.count != 0 ? std::to_string(limits.burst) : "-",
               limits.concurrency != 0 ? std::to_string(limits.concurrency) : "-", std::to_string(kind.queued),
               std::to_string(kind.waiting), std::to_string(kind.running)});
  }
  table.print(output);
  return output.finish(exit_done);
}

KindLimits present_limits(const Engine& engine, const std::string& name) {
  for (const KindStatus& kind : engine.status().kinds) {
    if (kind.name == name) return kind.limits;
  }
  return {};
}

int set(const LimitWords& words) {
  auto engine = Engine::open(words.directory, {.embedded_keeper = false});
  if (!engine) return fail("limit", engine.error());
  const KindLimits present = present_limits(*engine, words.kind);
  KindLimits limits = words.off ? KindLimits{} : present;
  if (words.rate) limits.rate = *words.rate;
  if (words.burst) limits.burst = *words.burst;
  if (words.concurrency) limits.concurrency = *words.concurrency;
  if (words.burst && limits.rate.count == 0) {
    return fail("limit", exit_usage, "a burst is of a rate: give --rate as well; see `ringmill limit --help`");
  }
  // A kind that has no limits needs no number, which it would keep for good: the name may be a typing error.
  if (limits != KindLimits{} || present != KindLimits{} || !is_valid_name(words.kind)) {
    const auto kind = engine->kind(words.kind);
    if (!kind) return fail("limit", kind.error());
    if (auto limited = engine->limit(*kind, limits); !limited) return fail("limit", limited.error());
  }
  Output output;
  if (limits == KindLimits{}) {
    output.line("kind " + words.kind + " has no limits");
  } else {
    std::string line = "kind " + words.kind + ":";
    if (limits.rate.count != 0) {
      line += fmt::format(" {} may begin, {} at once", rate_text(limits), limits.burst);
    }
    if (limits.concurrency != 0) {
      line += fmt::format("{} {} may run at a time", limits.rate.count != 0 ? "," : "", limits.concurrency);
    }
    output.line(line);
  }
  return output.finish(exit_done);
}

int run(const LimitWords& words) {
  const bool changes = words.rate || words.burst || words.concurrency || words.off;
  if (words.kind.empty()) {
    if (changes) return fail("limit", exit_usage, "name the kind with --kind; see `ringmill limit --help`");
    return list(words);
  }
  if (!changes) return fail("limit", exit_usage, "say --rate, --concurrency or --off; see `ringmill limit --help`");
  return set(words);
}

}  // namespace

Command add_limit(CLI::App& program) {
  auto words = std::make_shared<LimitWords>();
  CLI::App* app = program.add_subcommand("limit", "Limit how often jobs of a kind begin, and how many run at a time");
  add_directory(*app, words->directory);
  app->add_option("--kind", words->kind, "The kind; without it the limits are listed")->type_name("NAME");
  app->add_option_function<std::string>(
         "--rate",
         [words](const std::string& text) {
           words->rate = parse_rate(text);
           if (!words->rate)
             throw CLI::ValidationError("--rate", "'" + text + "' is not a rate like 10/1s, 100/m, 1/30s");
         },
         "N jobs may begin in each period, as 10/s or 100/m")
      ->type_name("N/PERIOD");
  app->add_option("--burst", words->burst, "How many may begin at once after a pause [1]")
      ->check(CLI::Range(1U, 10'000U));
  app->add_option("--concurrency", words->concurrency, "The most jobs that run at a time, over all workers")
      ->check(CLI::Range(1U, 256U));
  app->add_flag("--off", words->off, "Remove the limits that are not named");
  app->add_flag("--json", words->json, "List as JSON lines");
  app->footer(
      "Limits hold in the whole engine, over all levels, workers and processes, at once and across a restart of the\n"
      "machine. A changed rate begins with a full bucket. Jobs that a limit holds back are shown as queued, and do\n"
      "not delay the jobs behind them. Only a keeper brings them back: any process that has the engine open, or\n"
      "`ringmill keeper`. Limits that are not named stay as they are; with --off they are removed.\n"
      "\n"
      "Examples:\n"
      "  ringmill limit /tmp/jobs --kind mail --rate 10/s --burst 20\n"
      "  ringmill limit /tmp/jobs --kind resize --concurrency 4\n"
      "  ringmill limit /tmp/jobs --kind mail --off\n"
      "  ringmill limit /tmp/jobs");
  return {app, [words] { return run(*words); }};
}

}  // namespace ringmill::cli
