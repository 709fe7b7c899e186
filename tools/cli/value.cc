// ringmill value: the engine's key-value store.
#include <fmt/format.h>

#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>

#include <ringmill/engine.h>
#include <ringmill/values.h>

#include "core/inspect/engine_view.h"
#include "core/inspect/job_view.h"
#include "core/table/job_table.h"
#include "server/job_json.h"
#include "tools/cli/command.h"
#include "tools/cli/job_source.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

using Json = nlohmann::ordered_json;

struct ValueWords {
  std::filesystem::path directory;
  std::string action;
  std::string key;
  std::string text;
  std::filesystem::path file;
  std::string durability;
  std::optional<std::chrono::nanoseconds> ttl;
  std::optional<std::chrono::nanoseconds> timeout;
  std::optional<std::uint64_t> seen;
  bool is_if_absent = false;
  bool json = false;
};

int fail_value(const Error& error) {
  const bool is_no = error.code() == ErrorCode::not_found || error.code() == ErrorCode::timed_out;
  return fail("value", is_no ? exit_no : exit_code_of(error.code()), error.message());
}

int show(const ValueWords& words, const Value& value) {
  Output output;
  if (words.json) {
    Json json;
    put_bytes(json, "key", words.key);
    put_bytes(json, "value", value.bytes);
    json["version"] = value.version;
    output.json(json);
  } else {
    output.text(value.bytes);
  }
  return output.finish(exit_done);
}

int run_list(const ValueWords& words) {
  const auto view = EngineView::open(words.directory);
  if (!view) return fail("value", view.error());
  const Segment& segment = view->segment();
  const JobTable table(segment);
  Output output;
  for (CellIndex index = 0; index < table.capacity() && output.wanted(); ++index) {
    const auto look = segment.look();
    if (!table.is_there(index)) continue;
    if (table.word(index).state() != CellState::completed) continue;
    if ((table.header(index).flags.load() & cell_flag::is_value) == 0) continue;
    const auto job = view_job(segment, index);
    if (!job) continue;
    const auto payload = copy_payload(segment, *job);
    if (!payload) continue;  // it has just gone
    const std::string key(as_text(*payload));
    if (words.json) {
      Json json;
      put_bytes(json, "key", key);
      put_bytes(json, "value", job->info.result);
      output.json(json);
    } else {
      output.line(fmt::format("{}  {} bytes  {}", key, job->info.result.size(), job->info.result));
    }
  }
  return output.finish(exit_done);
}

Result<ValueOptions> options_of(const ValueWords& words) {
  ValueOptions options{.only_if_absent = words.is_if_absent};
  if (words.ttl) options.ttl = std::chrono::ceil<std::chrono::milliseconds>(*words.ttl);
  if (!words.durability.empty()) {
    const auto durability = durability_of(words.durability);
    if (!durability) {
      return std::unexpected(
          Error(ErrorCode::invalid_argument, "--durability: memory, journaled or durable", words.durability));
    }
    options.durability = *durability;
  }
  return options;
}

int run_set(const ValueWords& words, Values& values, const Engine& engine) {
  const auto options = options_of(words);
  if (!options) return fail("value", options.error());
  std::string bytes = words.text;
  if (!words.file.empty()) {
    auto read = read_payload_file(words.file, engine.most_payload_bytes());
    if (!read) return fail("value", read.error());
    bytes = *std::move(read);
  }
  const auto set = values.set(words.key, as_payload(bytes), *options);
  if (!set) return fail_value(set.error());
  return *set ? exit_done : fail("value", exit_no, "there is a value already");
}

int run_increment(const ValueWords& words, Values& values) {
  const auto options = options_of(words);
  if (!options) return fail("value", options.error());
  std::int64_t by = 1;
  if (!words.text.empty()) {
    const char* const end = words.text.data() + words.text.size();
    const auto [stopped, error] = std::from_chars(words.text.data(), end, by);
    if (error != std::errc() || stopped != end) return fail("value", exit_usage, "no number: " + words.text);
  }
  const auto sum = values.increment(words.key, by, *options);
  if (!sum) return fail_value(sum.error());
  Output output;
  output.line(std::to_string(*sum));
  return output.finish(exit_done);
}

int run_value(const ValueWords& words) {
  if (words.action == "list") return run_list(words);
  if (words.key.empty()) return fail("value", exit_usage, words.action + " needs a KEY");
  auto engine = Engine::open(words.directory);
  if (!engine) return fail("value", engine.error());
  const auto participant = engine->attach(Role::tool);
  if (!participant) return fail("value", participant.error());
  Values values(**participant);
  if (words.action == "set") return run_set(words, values, *engine);
  if (words.action == "increment") return run_increment(words, values);
  if (words.action == "remove") {
    const auto removed = values.remove(words.key);
    if (!removed) return fail_value(removed.error());
    return *removed ? exit_done : fail("value", exit_no, "no such value");
  }
  const auto value = words.action == "get"
                         ? values.get(words.key)
                         : values.wait(words.key, words.timeout.value_or(std::chrono::nanoseconds::max()), words.seen);
  return value ? show(words, *value) : fail_value(value.error());
}

}  // namespace

Command add_value(CLI::App& program) {
  auto words = std::make_shared<ValueWords>();
  CLI::App* app = program.add_subcommand("value", "Read and change values: a small key-value store");
  add_directory(*app, words->directory);
  app->add_option("ACTION", words->action, "get, set, remove, increment, list or wait")
      ->required()
      ->check(CLI::IsMember({"get", "set", "remove", "increment", "list", "wait"}));
  app->add_option("KEY", words->key, "The key: any bytes that fit a cell, 144 with the default ones");
  app->add_option("VALUE", words->text, "set: the value; increment: the number that is added (1)");
  app->add_option("--file", words->file, "set: a file with the value; - is standard input")->type_name("FILE");
  add_duration(*app, "--ttl", words->ttl, "set, increment of no value: how long it lives (24h)");
  app->add_flag("--if-absent", words->is_if_absent, "set: only if there is no value");
  app->add_option("--durability", words->durability, "set, increment: memory, journaled or durable, as of a job")
      ->type_name("D");
  add_duration(*app, "--timeout", words->timeout, "wait: no longer than this (for ever)");
  add_count(*app, "--version", words->seen, "wait: until the value has another version than this one");
  app->add_flag("--json", words->json, "get, wait, list: JSON; what is not UTF-8 is in key_base64 and value_base64");
  app->footer(
      "A value takes a cell, as a kept result does, and is as durable as a job. When more results and values are kept\n"
      "than `init --results` says, the oldest results go first, values last.\n"
      "\n"
      "Exit code 1: no such value, there is one (--if-absent), or not in time.\n"
      "\n"
      "Examples:\n"
      "  ringmill value /tmp/jobs set greeting 'good morning' --ttl 1h\n"
      "  ringmill value /tmp/jobs increment visits\n"
      "  ringmill value /tmp/jobs wait greeting --timeout 10s");
  return {app, [words] { return run_value(*words); }};
}

}  // namespace ringmill::cli
