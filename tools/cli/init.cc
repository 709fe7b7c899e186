// ringmill init: creates an engine.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <memory>
#include <vector>

#include <ringmill/engine.h>

#include "core/instance/engine_configuration.h"
#include "ipc/layout.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

struct InitWords {
  std::filesystem::path directory;
  std::string levels;
  std::string weights;
  std::string mode;
  std::string reserve;
  std::string most;
  std::string results;
  std::chrono::nanoseconds lease{};
  std::chrono::nanoseconds keep_memory{-1};
  CreateOptions options;
};

/// NAME=JOBS or NAME=N% of the capacity, several with commas; "none".
Result<std::vector<LevelReserve>> read_reserve(const std::string& words, std::uint32_t capacity) {
  const auto invalid = [](const std::string& text) {
    return std::unexpected(
        Error(ErrorCode::invalid_argument, "--reserve: not a level and its room like high=5% or high=2000", text));
  };
  std::vector<LevelReserve> reserve;
  if (words == "none") return reserve;
  for (const std::string& text : split_list(words)) {
    const std::size_t sign = text.rfind('=');
    if (sign == text.npos || sign == 0) return invalid(text);
    const bool is_share = text.ends_with('%');
    const auto number = parse_number(text.substr(sign + 1, text.size() - sign - 1 - (is_share ? 1 : 0)));
    if (!number || *number > (is_share ? 1000 : most_cells)) return invalid(text);
    const std::uint64_t jobs = is_share ? (capacity * *number + 99) / 100 : *number;
    reserve.push_back({.level = text.substr(0, sign), .jobs = static_cast<std::uint32_t>(jobs)});
  }
  return reserve;
}

/// NAME=N jobs or NAME=N%, several with commas.
Result<std::vector<LevelLimit>> read_most(const std::string& words) {
  std::vector<LevelLimit> limits;
  for (const std::string& text : split_list(words)) {
    const std::size_t sign = text.rfind('=');
    const auto most = sign != text.npos && sign != 0 ? read_level_limits(text.substr(sign + 1)) : std::nullopt;
    if (!most) {
      return std::unexpected(
          Error(ErrorCode::invalid_argument, "--most: not a level and its limit like low=50% or low=60000", text));
    }
    limits.push_back({.level = text.substr(0, sign), .limits = *most});
  }
  return limits;
}

/// N, or N% of the capacity.
Result<std::uint32_t> read_results(const std::string& text, std::uint32_t capacity) {
  const bool is_share = text.ends_with('%');
  const auto number = parse_number(text.substr(0, text.size() - (is_share ? 1 : 0)));
  if (!number || *number > (is_share ? 100 : most_cells)) {
    return std::unexpected(
        Error(ErrorCode::invalid_argument, "--results: not a number of results, or a share like 50%", text));
  }
  return static_cast<std::uint32_t>(is_share ? (capacity * *number + 99) / 100 : *number);
}

Result<CreateOptions> read_options(const InitWords& words) {
  CreateOptions options = words.options;
  const auto invalid = [](const char* summary, const std::string& detail) {
    return std::unexpected(Error(ErrorCode::invalid_argument, summary, detail));
  };
  if (!words.levels.empty()) options.levels = split_list(words.levels);
  if (!words.weights.empty()) {
    for (const std::string& text : split_list(words.weights)) {
      const auto weight = parse_number(text);
      if (!weight || *weight > 1000) return invalid("--weights: a weight is a number from 1 to 1000", text);
      options.weights.push_back(static_cast<std::uint32_t>(*weight));
    }
  }
  if (!words.mode.empty()) {
    const auto mode = parse_number(words.mode, 8);
    if (!mode || *mode > 07777) return invalid("--mode: not an octal mode like 0700", words.mode);
    options.mode = static_cast<std::uint32_t>(*mode);
  }
  options = with_chosen_sizes(std::move(options));
  if (!words.reserve.empty()) {
    auto reserve = read_reserve(words.reserve, options.capacity);
    if (!reserve) return std::unexpected(reserve.error());
    options.reserve = std::move(*reserve);
  }
  if (!words.most.empty()) {
    auto limits = read_most(words.most);
    if (!limits) return std::unexpected(limits.error());
    options.level_limits = std::move(*limits);
  }
  if (words.keep_memory.count() >= 0) {
    options.keep_memory = std::chrono::ceil<std::chrono::milliseconds>(words.keep_memory);
  }
  if (!words.results.empty()) {
    const auto results = read_results(words.results, options.capacity);
    if (!results) return std::unexpected(results.error());
    options.results = *results;
  }
  if (words.lease.count() != 0) options.lease = std::chrono::ceil<std::chrono::milliseconds>(words.lease);
  return options;
}

int run_init(const InitWords& words) {
  const auto options = read_options(words);
  if (!options) return fail("init", options.error());
  if (auto made = Engine::create(words.directory, *options); !made) return fail("init", made.error());
  auto engine = Engine::open(words.directory, {.embedded_keeper = false});
  if (!engine) return fail("init", engine.error());
  const EngineStatus status = engine->status();
  Output output;
  output.line(fmt::format("made engine {} in {}: {} jobs of up to {} bytes, levels {}, {} of shared memory",
                          status.engine_id, status.path, status.capacity, engine->most_payload_bytes(),
                          fmt::join(options->levels, ", "), format_size(status.memory_bytes)));
  return output.finish(exit_done);
}

}  // namespace

Command add_init(CLI::App& program) {
  auto words = std::make_shared<InitWords>();
  CLI::App* app = program.add_subcommand("init", "Create an engine: a directory and its shared memory");
  add_directory(*app, words->directory);
  app->add_option("--levels", words->levels, "Names of the fixed levels, the most urgent first (high,default,low)")
      ->type_name("NAME,...");
  app->add_option("--weights", words->weights, "Each level's share of the claims (6,3,1 for three levels, else all 1)")
      ->type_name("N,...");
  app->add_option("--capacity", words->options.capacity,
                  "How many jobs it holds at most, of whichever levels (4194304, or what a quarter of the tmpfs holds)")
      ->type_name("N");
  add_duration(*app, "--keep-memory", words->keep_memory,
               "For how long the memory of free cells is kept before it is given back (10s)");
  app->add_option("--reserve", words->reserve,
                  "Room beside that for single levels, as jobs or a share of the capacity; * is all dynamic "
                  "levels (5% for each but the last level, and for *)")
      ->type_name("LEVEL=N[%],...");
  app->add_option("--most", words->most,
                  "The most jobs that single levels may hold, kept results included, as jobs or a share of the "
                  "capacity; `ringmill level DIR set` changes it")
      ->type_name("LEVEL=N[%],...");
  app->add_option("--results", words->results,
                  "The most results that are kept at a time; when there are more, the oldest go (50% of the capacity; "
                  "0: as many as there is room for)")
      ->type_name("N[%]");
  add_size(*app, "--cell-size", words->options.cell_size,
           "Bytes of one cell, a power of two (256); it holds a payload of up to 64 bytes less");
  add_size(*app, "--max-payload", words->options.max_payload,
           "The longest payload, at most 64MiB (1MiB); if it fits a cell, no arena is made");
  add_size(*app, "--arena", words->options.arena,
           "The most shared memory for payloads that do not fit a cell (1GiB, or an eighth of the tmpfs; at least four "
           "times the longest)");
  app->add_option("--mode", words->mode, "Access rights of the engine's files, as of chmod (0700)")->type_name("MODE");
  app->add_option("--shm-dir", words->options.shm_dir, "A tmpfs for the shared memory (/dev/shm)")->type_name("PATH");
  add_size(*app, "--journal-limit", words->options.journal_limit,
           "The most bytes of the journal on the disk (three times a full engine, at least 64MiB)");
  app->add_option("--level-rings", words->options.level_rings, "Ring slots that all dynamic levels share (65536)")
      ->type_name("N");
  add_duration(*app, "--lease", words->lease, "How long a worker may hold a job that sets no --timeout (5m)");
  app->footer(
      "Examples:\n"
      "  ringmill init /var/lib/jobs\n"
      "  ringmill init /tmp/jobs --levels urgent,normal --weights 9,1 --capacity 10000 --cell-size 1KiB\n"
      "  ringmill init /srv/jobs --mode 0770     # the directory's group may use it too");
  return {app, [words] { return run_init(*words); }};
}

}  // namespace ringmill::cli
