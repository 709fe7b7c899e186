// ringmill enqueue: puts jobs in and prints their ids.
#include <fmt/format.h>

#include <array>
#include <map>
#include <memory>
#include <optional>

#include <ringmill/engine.h>

#include "tools/cli/command.h"
#include "tools/cli/job_source.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

struct EnqueueWords {
  std::filesystem::path directory;
  std::string kind;
  std::string level;
  std::string payload;
  std::string payload_file;
  std::string lines;
  std::string from_json;
  std::string durability = "journaled";
  std::chrono::nanoseconds lease{};
  std::chrono::nanoseconds wait{std::chrono::seconds(30)};
  bool quiet = false;
};

/// Why enqueueing stopped, and the exit code that says so.
struct Stop {
  int exit_code;
  std::string message;
};

/// Gathers jobs into batches, enqueues them, prints their ids.
class Enqueueing {
 public:
  Enqueueing(const EnqueueWords& words, Engine& engine, Participant& participant)
      : words_(words), engine_(engine), participant_(participant) {}

  std::optional<Stop> add(InputJob job) {
    const auto kind = kind_of(job.kind.value_or(words_.kind));
    if (!kind) return Stop{exit_code_of(kind.error().code()), kind.error().message()};
    const auto level = level_of(job.level.value_or(words_.level));
    if (!level) return Stop{exit_usage, level.error().message()};
    if (job.payload.size() > engine_.most_payload_bytes()) {
      return Stop{exit_usage,
                  fmt::format("the payload does not fit a cell: {} bytes, at most {}; make the engine with a "
                              "larger --cell-size",
                              job.payload.size(), engine_.most_payload_bytes())};
    }
    payloads_[count_] = std::move(job.payload);
    requests_[count_] = {*kind, *level, as_payload(payloads_[count_]),
                         std::chrono::ceil<std::chrono::milliseconds>(job.lease.value_or(words_.lease)),
                         durability_of(words_.durability).value_or(Durability::journaled)};
    ++count_;
    return count_ == requests_.size() ? flush() : std::nullopt;
  }

  std::optional<Stop> flush() {
    if (count_ == 0) return std::nullopt;
    const std::size_t asked = std::exchange(count_, 0);
    const auto done = participant_.enqueue_batch(std::span(requests_).first(asked), ids_, words_.wait);
    if (!done && done.error().code() != ErrorCode::would_block && done.error().code() != ErrorCode::timed_out) {
      return Stop{exit_code_of(done.error().code()), done.error().message()};
    }
    const std::size_t entered = done.value_or(0);
    total_ += entered;
    for (std::size_t n = 0; n < entered && !words_.quiet; ++n) output_.line(ids_[n].to_string());
    output_.flush();
    if (entered == asked) return std::nullopt;
    return Stop{exit_no, fmt::format("the engine is full (waited {} for room); start a worker, or make a larger engine",
                                     format_duration(words_.wait))};
  }

  std::uint64_t total() const noexcept { return total_; }
  Output& output() noexcept { return output_; }

 private:
  Result<Kind> kind_of(const std::string& name) {
    if (name.empty())
      return std::unexpected(Error(ErrorCode::invalid_argument, "the job has no kind", "name it with --kind"));
    if (const auto found = kinds_.find(name); found != kinds_.end()) return found->second;
    auto kind = engine_.kind(name);
    if (kind) kinds_.emplace(name, *kind);
    return kind;
  }

  /// Without a name: the level called "default", or the only one there is.
  Result<Level> level_of(const std::string& name) {
    if (const auto found = levels_.find(name); found != levels_.end()) return found->second;
    auto level = engine_.level(name.empty() ? "default" : name);
    if (!level && name.empty() && engine_.level_count() == 1) level = Level{0};
    if (!level && name.empty()) {
      return std::unexpected(Error(ErrorCode::invalid_argument, "no --level was named, and none is called default",
                                   level.error().message()));
    }
    if (level) levels_.emplace(name, *level);
    return level;
  }

  const EnqueueWords& words_;
  Engine& engine_;
  Participant& participant_;
  Output output_;
  std::map<std::string, Kind> kinds_;
  std::map<std::string, Level> levels_;
  std::array<std::string, Participant::most_in_batch> payloads_;
  std::array<JobRequest, Participant::most_in_batch> requests_;
  std::array<JobId, Participant::most_in_batch> ids_;
  std::size_t count_ = 0;
  std::uint64_t total_ = 0;
};

Stop stop_of(const Error& error) {
  // A file that is not there is the caller's word; not_found elsewhere means the engine.
  const bool usage = error.code() == ErrorCode::not_found || error.code() == ErrorCode::permission_denied;
  return {usage ? exit_usage : exit_code_of(error.code()), error.message()};
}

/// A job per line, as text or as JSON.
std::optional<Stop> enqueue_lines(const EnqueueWords& words, std::size_t most_payload, Enqueueing& enqueueing) {
  const bool json = !words.from_json.empty();
  // Escapes take up to six bytes for one of the payload. The longest of the rest is the error of an exported letter.
  constexpr std::size_t most_beside_payload = 64 * 1024;
  auto reader = LineReader::open(json ? words.from_json : words.lines,
                                 json ? 6 * most_payload + most_beside_payload : most_payload);
  if (!reader) return stop_of(reader.error());
  const auto at_line = [&](Stop stop) {
    // The jobs before it are the caller's business as much as if the line were not there.
    auto earlier = enqueueing.flush();
    if (earlier) return *earlier;
    stop.message = fmt::format("line {}: {}", reader->number(), stop.message);
    return stop;
  };
  while (true) {
    std::string_view line;
    const auto more = reader->next(line);
    if (!more) return at_line(stop_of(more.error()));
    if (!*more) return enqueueing.flush();
    InputJob job;
    if (json) {
      auto parsed = parse_json_job(line);
      if (!parsed) return at_line(stop_of(parsed.error()));
      job = std::move(*parsed);
    } else {
      job.payload = line;
    }
    if (auto stop = enqueueing.add(std::move(job))) return stop->exit_code == exit_no ? *stop : at_line(*stop);
    if (!reader->has_next()) {
      if (auto stop = enqueueing.flush()) return stop;
    }
  }
}

std::optional<Stop> enqueue_one(const EnqueueWords& words, std::size_t most_payload, Enqueueing& enqueueing) {
  InputJob job{.payload = words.payload};
  if (!words.payload_file.empty()) {
    auto payload = read_payload_file(words.payload_file, most_payload);
    if (!payload) return stop_of(payload.error());
    job.payload = std::move(*payload);
  }
  if (auto stop = enqueueing.add(std::move(job))) return stop;
  return enqueueing.flush();
}

int run_enqueue(const EnqueueWords& words) {
  if (words.kind.empty() && words.from_json.empty()) {
    return fail("enqueue", exit_usage, "--kind is required; see `ringmill enqueue --help`");
  }
  auto engine = Engine::open(words.directory);
  if (!engine) return fail("enqueue", engine.error());
  auto participant = engine->attach(Role::producer);
  if (!participant) return fail("enqueue", participant.error());
  Enqueueing enqueueing(words, *engine, **participant);
  const bool lines = !words.lines.empty() || !words.from_json.empty();
  const auto stop = lines ? enqueue_lines(words, engine->most_payload_bytes(), enqueueing)
                          : enqueue_one(words, engine->most_payload_bytes(), enqueueing);
  if (words.quiet) enqueueing.output().line(std::to_string(enqueueing.total()));
  if (!stop) return enqueueing.output().finish(exit_done);
  static_cast<void>(enqueueing.output().finish(exit_done));
  return fail("enqueue", stop->exit_code, fmt::format("{}; jobs that went in: {}", stop->message, enqueueing.total()));
}

}  // namespace

Command add_enqueue(CLI::App& program) {
  auto words = std::make_shared<EnqueueWords>();
  CLI::App* app = program.add_subcommand("enqueue", "Put jobs in; print an id per job");
  add_directory(*app, words->directory);
  app->add_option("--kind", words->kind, "The task's name: 1 to 63 characters of [A-Za-z0-9._:/-]")->type_name("NAME");
  app->add_option("--level", words->level, "The priority level (the one called default, or the only one)")
      ->type_name("NAME");
  auto* input = app->add_option_group("payload", "Without one of these the payload is empty; `-` is standard input");
  input->add_option("--payload", words->payload, "This text")->type_name("TEXT");
  input->add_option("--payload-file", words->payload_file, "The file's bytes")->type_name("FILE");
  input->add_option("--lines", words->lines, "A job per line: each line is a payload")->type_name("FILE");
  input
      ->add_option(
          "--from-json", words->from_json,
          "A job per line: each an object with payload (or payload_base64), kind, level, timeout; what is left "
          "out is as the command line says")
      ->type_name("FILE");
  input->require_option(0, 1);
  add_duration(*app, "--timeout", words->lease, "How long a worker may hold the job (the engine's default lease)");
  add_duration(*app, "--wait-for-room", words->wait,
               "How long to wait, for each batch, while the engine is full (30s)");
  app->add_option("--durability", words->durability,
                  "memory: survives any process, not a reboot; journaled: on the disk within about a millisecond; "
                  "durable: on the disk before its id is printed")
      ->check(CLI::IsMember({"memory", "journaled", "durable"}))
      ->capture_default_str();
  app->add_flag("--quiet", words->quiet, "Print only the count");
  app->footer(
      "Exit code 1: the engine stayed full; standard error says how many jobs went in.\n"
      "\n"
      "Examples:\n"
      "  ringmill enqueue /tmp/jobs --kind greet --payload world\n"
      "  ringmill enqueue /tmp/jobs --kind thumbnail --level high --payload-file request.json --timeout 30s\n"
      "  find . -name '*.jpg' | ringmill enqueue /tmp/jobs --kind thumbnail --lines - --quiet\n"
      "  echo '{\"kind\":\"mail\",\"payload\":{\"to\":\"a@b.c\"}}' | ringmill enqueue /tmp/jobs --from-json -");
  return {app, [words] { return run_enqueue(*words); }};
}

}  // namespace ringmill::cli
