// ringmill enqueue: enqueues jobs and prints their ids.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <expected>
#include <map>
#include <memory>
#include <optional>

#include <ringmill/engine.h>
#include <ringmill/graph.h>

#include "ipc/name_table.h"
#include "tools/cli/command.h"
#include "tools/cli/job_options.h"
#include "tools/cli/job_source.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"
#include "tools/cli/wait.h"

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
  std::chrono::nanoseconds room_wait{std::chrono::seconds(30)};
  OptionWords options;
  std::string unique;
  std::chrono::nanoseconds unique_for{};
  std::optional<std::chrono::nanoseconds> wait_timeout;
  std::vector<std::string> after;
  std::string on_parent_dead = "cancel";
  std::string callback;
  std::string callback_payload;
  bool chain = false;
  bool wait = false;
  bool quiet = false;
  bool no_keeper = false;

  /// Linked jobs are enqueued all or none.
  bool are_linked() const noexcept { return !after.empty() || chain || !callback.empty(); }
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
      : words_(words), engine_(engine), participant_(participant), option_reader_(engine) {}

  std::optional<Stop> add(InputJob job) {
    if (auto stop = gather(std::move(job))) return stop;
    if (words_.are_linked()) return link();
    return count_ == requests_.size() ? flush() : std::nullopt;
  }

  /// The one job of a command with --unique or --wait, at once; its id is not printed.
  std::expected<UniqueJob, Stop> add_one(InputJob job) {
    if (auto stop = gather(std::move(job))) return std::unexpected(*std::move(stop));
    count_ = 0;
    if (words_.unique.empty()) {
      const auto id = participant_.enqueue(requests_[0], words_.room_wait);
      if (!id) return std::unexpected(stop_of_one(id.error()));
      ++total_;
      return UniqueJob{.id = *id, .is_new = true};
    }
    const auto unique = participant_.enqueue_unique(
        requests_[0], words_.unique, std::chrono::ceil<std::chrono::milliseconds>(words_.unique_for), words_.room_wait);
    if (!unique) return std::unexpected(stop_of_one(unique.error()));
    total_ += unique->is_new ? 1 : 0;
    return *unique;
  }

  /// Enqueues all added jobs at once, if they are linked, and the callback after them.
  std::optional<Stop> finish() {
    if (!words_.are_linked()) return flush();
    if (!words_.callback.empty()) {
      if (auto stop = gather({.payload = words_.callback_payload, .kind = words_.callback})) return stop;
      count_ = 0;
      std::vector<JobGraph::Node> all;
      for (JobGraph::Node node = 0; node < graph_.size(); ++node) all.push_back(node);
      graph_.add(requests_[0], all, on_parent_dead());
    }
    const auto ids = graph_.enqueue(participant_, words_.room_wait);
    if (!ids) return stop_of_one(ids.error());
    total_ = ids->size();
    for (const JobId id : *ids) {
      if (!words_.quiet) output_.line(id.to_string());
    }
    return std::nullopt;
  }

  std::optional<Stop> flush() {
    if (count_ == 0) return std::nullopt;
    const std::size_t asked = std::exchange(count_, 0);
    ids_.fill(JobId());
    auto done = participant_.enqueue_batch(std::span(requests_).first(asked), ids_, words_.room_wait);
    if (!done && done.error().code() == ErrorCode::not_durable) {
      note_entered(static_cast<std::size_t>(std::ranges::find(ids_, JobId()) - ids_.begin()));
    }
    if (!done && done.error().code() != ErrorCode::would_block && done.error().code() != ErrorCode::timed_out) {
      return Stop{exit_code_of(done.error().code()), done.error().message()};
    }
    const std::size_t entered = done.value_or(0);
    note_entered(entered);
    if (entered == asked) return std::nullopt;
    return engine_is_full(done ? "the engine is full" : done.error().message());
  }

  std::uint64_t total() const noexcept { return total_; }
  Output& output() noexcept { return output_; }

 private:
  /// Adds a job to those that flush() enqueues.
  std::optional<Stop> gather(InputJob job) {
    const auto stop_at = [](const Error& error) { return Stop{exit_code_of(error.code()), error.message()}; };
    const std::string kind_name = job.kind.value_or(words_.kind);
    if (auto named = check_kind(kind_name); !named) return stop_at(named.error());
    const auto level = level_of(job.level.value_or(words_.level));
    if (!level) return Stop{exit_usage, level.error().message()};
    const OptionWords option_words = job.options.or_else(words_.options);
    const auto without_policy = OptionReader::read_all_but_policy(option_words);
    if (!without_policy) return stop_at(without_policy.error());
    if (const auto most = engine_.most_payload_bytes(*without_policy); job.payload.size() > most) {
      return Stop{exit_usage,
                  fmt::format("the payload is too long: {} bytes, at most {}; `ringmill resize` with a larger "
                              "--max-payload makes room",
                              job.payload.size(), most)};
    }
    // Intern names last, when nothing else is wrong with the job: they stay for good.
    const auto options = option_reader_.read(option_words);
    if (!options) return stop_at(options.error());
    const auto kind = kind_of(kind_name);
    if (!kind) return stop_at(kind.error());
    payloads_[count_] = std::move(job.payload);
    requests_[count_] = {.kind = *kind,
                         .level = *level,
                         .payload = as_payload(payloads_[count_]),
                         .lease = std::chrono::ceil<std::chrono::milliseconds>(job.lease.value_or(words_.lease)),
                         .durability = durability_of(words_.durability).value_or(Durability::journaled),
                         .options = *options,
                         .tag = tags_[count_] = option_words.tag.value_or(""),
                         .trace_parent = traces_[count_] = option_words.trace_parent.value_or(""),
                         .serial_key = serial_keys_[count_] = option_words.serial_key.value_or(""),
                         .serial_retry = option_words.serial_retry.value_or(SerialRetry::wait)};
    ++count_;
    return std::nullopt;
  }

  OnParentDead on_parent_dead() const noexcept {
    return words_.on_parent_dead == "run" ? OnParentDead::run : OnParentDead::cancel;
  }

  /// Adds the gathered job to the linked ones.
  std::optional<Stop> link() {
    count_ = 0;
    std::vector<JobGraph::Node> before;
    if (words_.chain && graph_.size() != 0) before.push_back(static_cast<JobGraph::Node>(graph_.size() - 1));
    const JobGraph::Node node = graph_.add(requests_[0], before, on_parent_dead());
    std::vector<JobId> after;
    for (const std::string& text : words_.after) {
      if (const auto id = JobId::parse(text)) after.push_back(*id);  // fault_of() has seen to it
    }
    graph_.wait_for(node, after);
    return std::nullopt;
  }

  /// The first ones of ids_.
  void note_entered(std::size_t count) {
    total_ += count;
    for (std::size_t n = 0; n < count && !words_.quiet; ++n) output_.line(ids_[n].to_string());
    output_.flush();
  }

  Stop engine_is_full(std::string_view why) const {
    return {exit_no, fmt::format("{} (waited {} for room); start a worker, or make a larger engine", why,
                                 format_duration(words_.room_wait))};
  }
  Stop stop_of_one(const Error& error) const {
    const bool is_full = error.code() == ErrorCode::would_block || error.code() == ErrorCode::timed_out;
    return is_full ? engine_is_full(error.message()) : Stop{exit_code_of(error.code()), error.message()};
  }

  static Result<void> check_kind(const std::string& name) {
    const auto invalid = [](const char* summary, const std::string& detail) {
      return std::unexpected(Error(ErrorCode::invalid_argument, summary, detail));
    };
    if (name.empty()) return invalid("the job has no kind", "name it with --kind");
    if (!is_valid_name(name)) return invalid("a kind's name has 1 to 63 characters of [A-Za-z0-9._:/-]", name);
    return {};
  }

  Result<Kind> kind_of(const std::string& name) {
    if (const auto found = kinds_.find(name); found != kinds_.end()) return found->second;
    auto kind = engine_.kind(name);
    if (kind) kinds_.emplace(name, *kind);
    return kind;
  }

  /// Without a name: the level called "default", or the only one there is.
  Result<Level> level_of(const std::string& name) {
    if (const auto found = levels_.find(name); found != levels_.end()) return found->second;
    auto level = engine_.level(name.empty() ? "default" : name);
    if (!level && name.empty() && engine_.level_count() == 1) level = Level{};
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
  OptionReader option_reader_;
  std::array<std::string, Participant::most_in_batch> payloads_;
  std::array<std::string, Participant::most_in_batch> tags_;
  std::array<std::string, Participant::most_in_batch> traces_;
  std::array<std::string, Participant::most_in_batch> serial_keys_;
  std::array<JobRequest, Participant::most_in_batch> requests_;
  std::array<JobId, Participant::most_in_batch> ids_;
  std::size_t count_ = 0;
  JobGraph graph_;
  std::uint64_t total_ = 0;
};

Stop stop_of(const Error& error) {
  // A missing input file is a usage error; not_found elsewhere means the engine.
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
    // Enqueue the jobs before a wrong line, as if that line did not exist.
    auto earlier = enqueueing.flush();
    if (earlier) return *earlier;
    stop.message = fmt::format("line {}: {}", reader->number(), stop.message);
    return stop;
  };
  while (true) {
    std::string_view line;
    const auto more = reader->next(line);
    if (!more) return at_line(stop_of(more.error()));
    if (!*more) return enqueueing.finish();
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

std::expected<InputJob, Stop> one_job(const EnqueueWords& words, std::size_t most_payload) {
  InputJob job{.payload = words.payload};
  if (words.payload_file.empty()) return job;
  auto payload = read_payload_file(words.payload_file, most_payload);
  if (!payload) return std::unexpected(stop_of(payload.error()));
  job.payload = std::move(*payload);
  return job;
}

std::optional<Stop> enqueue_one(const EnqueueWords& words, std::size_t most_payload, Enqueueing& enqueueing) {
  auto job = one_job(words, most_payload);
  if (!job) return job.error();
  if (auto stop = enqueueing.add(*std::move(job))) return stop;
  return enqueueing.finish();
}

/// Handles --unique and --wait, which need the single job.
int run_known(const EnqueueWords& words, Engine& engine, std::unique_ptr<Participant> participant) {
  Enqueueing enqueueing(words, engine, *participant);
  auto job = one_job(words, engine.most_payload_bytes());
  if (!job) return fail("enqueue", job.error().exit_code, job.error().message);
  const auto entered = enqueueing.add_one(*std::move(job));
  if (!entered) return fail("enqueue", entered.error().exit_code, entered.error().message);
  const std::string id = entered->id.to_string();
  if (!entered->is_new) fail("enqueue", exit_done, "the job with this unique key is there already: " + id);
  // A waiting caller gives up its registry entry: entries are few, and workers need them.
  participant.reset();
  if (words.wait) return wait_and_tell("enqueue", engine, entered->id, words.wait_timeout);
  enqueueing.output().line(words.quiet ? std::to_string(enqueueing.total()) : id);
  return enqueueing.output().finish(exit_done);
}

/// Returns what the arguments lack, or have too much of; empty if they are right.
std::string fault_of(const EnqueueWords& words) {
  const bool is_one = words.lines.empty() && words.from_json.empty();
  if (words.kind.empty() && words.from_json.empty()) return "--kind is required";
  if (words.wait && !is_one) return "--wait is for one job, not for --lines or --from-json";
  if (!words.unique.empty() && !is_one) return "--unique is for one job, not for --lines or --from-json";
  if (words.chain && is_one) return "--chain is for --lines or --from-json: each of the jobs waits for the one before";
  if (words.chain && !words.callback.empty()) return "--chain has its last line as its end: not with --callback";
  if (words.are_linked() && (words.wait || !words.unique.empty())) {
    return "--after, --chain and --callback go with neither --wait nor --unique; use `ringmill wait`";
  }
  for (const std::string& text : words.after) {
    if (!JobId::parse(text)) return "a job id has 16 lower-case hexadecimal digits: " + text;
  }
  if (words.wait && words.quiet) return "--wait prints the result: not with --quiet";
  return {};
}

int run_enqueue(EnqueueWords words) {
  if (const std::string fault = fault_of(words); !fault.empty()) {
    return fail("enqueue", exit_usage, fault + "; see `ringmill enqueue --help`");
  }
  // The result must be there when this command reads it, and for a `wait` after this one gave up.
  if (words.wait && !words.options.keep_result) {
    constexpr std::chrono::nanoseconds least = std::chrono::minutes(5);
    constexpr std::chrono::nanoseconds most = std::chrono::days(3650);  // the most that a result is kept
    words.options.keep_result = std::clamp(words.wait_timeout.value_or(least), least, most);
  }
  auto engine = Engine::open(words.directory, {.embedded_keeper = !words.no_keeper});
  if (!engine) return fail("enqueue", engine.error());
  auto participant = engine->attach(Role::producer);
  if (!participant) return fail("enqueue", participant.error());
  if (words.wait || !words.unique.empty()) return run_known(words, *engine, *std::move(participant));
  Enqueueing enqueueing(words, *engine, **participant);
  const bool lines = !words.lines.empty() || !words.from_json.empty();
  const auto stop = lines ? enqueue_lines(words, engine->most_payload_bytes(), enqueueing)
                          : enqueue_one(words, engine->most_payload_bytes(), enqueueing);
  if (words.quiet) enqueueing.output().line(std::to_string(enqueueing.total()));
  if (!stop) return enqueueing.output().finish(exit_done);
  static_cast<void>(enqueueing.output().finish(exit_done));
  return fail("enqueue", stop->exit_code, fmt::format("{}; jobs that went in: {}", stop->message, enqueueing.total()));
}

void add_links(CLI::App& app, EnqueueWords& words) {
  app.add_option("--after", words.after, "Wait until these jobs are over")->delimiter(',')->type_name("ID,...");
  app.add_flag("--chain", words.chain, "Each job waits for that of the line before; all are enqueued, or none");
  auto* callback = app.add_option("--callback", words.callback,
                                  "Add a job of this kind that waits for all the others; all are enqueued, or none. "
                                  "Its worker finds their ids in RINGMILL_PARENTS")
                       ->type_name("KIND");
  app.add_option("--callback-payload", words.callback_payload, "The payload of the callback")
      ->needs(callback)
      ->type_name("TEXT");
  app.add_option("--on-parent-dead", words.on_parent_dead,
                 "When a job that it waits for is dead or cancelled: cancel (the job is, too) or run (it runs in "
                 "any case)")
      ->check(CLI::IsMember({"cancel", "run"}))
      ->capture_default_str();
}

}  // namespace

Command add_enqueue(CLI::App& program) {
  auto words = std::make_shared<EnqueueWords>();
  CLI::App* app = program.add_subcommand("enqueue", "Enqueue jobs; print an id per job");
  add_directory(*app, words->directory);
  app->add_option("--kind", words->kind, "The task's name: 1 to 63 characters of [A-Za-z0-9._:/-]")->type_name("NAME");
  app->add_option("--level", words->level, "The priority level (the one called default, or the only one)")
      ->type_name("NAME");
  auto* input = app->add_option_group("payload", "Without one of these the payload is empty; `-` is standard input");
  input->add_option("--payload", words->payload, "The payload itself")->type_name("TEXT");
  input->add_option("--payload-file", words->payload_file, "A file with the payload")->type_name("FILE");
  input->add_option("--lines", words->lines, "A job per line: each line is a payload")->type_name("FILE");
  input
      ->add_option("--from-json", words->from_json,
                   "A job per line: a JSON object with payload (or payload_base64), kind, level, timeout, delay, at, "
                   "max_attempts, backoff, expires, keep_result, on_worker_lost; the command line gives the defaults")
      ->type_name("FILE");
  input->require_option(0, 1);
  add_duration(*app, "--timeout", words->lease, "How long a worker may hold the job (the engine's default lease)");
  add_duration(*app, "--wait-for-room", words->room_wait, "How long each batch waits while the engine is full (30s)");
  app->add_option("--durability", words->durability,
                  "memory: survives any process, not a reboot; journaled: on the disk within about a millisecond; "
                  "durable: on the disk before its id is printed")
      ->check(CLI::IsMember({"memory", "journaled", "durable"}))
      ->capture_default_str();
  add_job_options(*app, words->options);
  auto* unique =
      app->add_option(
             "--unique", words->unique,
             "Enqueue only if no job with this key lives; otherwise print that job's id, and say so on standard error")
          ->type_name("KEY")
          ->check([](const std::string& key) { return key.empty() ? "the key is empty" : ""; });
  add_duration(*app, "--unique-for", words->unique_for, "The key also counts for this long after the job's end (0s)")
      ->needs(unique);
  add_links(*app, *words);
  auto* wait = app->add_flag("--wait", words->wait, "Wait for the job's end and print its result, not its id");
  add_duration(*app, "--wait-timeout", words->wait_timeout, "Wait at most this long (for ever)")->needs(wait);
  app->add_flag("--quiet", words->quiet, "Print only the count");
  app->add_flag("--no-keeper", words->no_keeper, "Never be the engine's keeper: another process keeps");
  app->footer(
      "Exit code 1: the engine stayed full; standard error says how many jobs were enqueued. With --wait also: the\n"
      "job is dead or cancelled, or not over in time; standard error says which. --wait keeps the result while it\n"
      "waits, and at least 5 minutes, unless --keep-result says otherwise.\n"
      "\n"
      "Examples:\n"
      "  ringmill enqueue /tmp/jobs --kind greet --payload world\n"
      "  ringmill enqueue /tmp/jobs --kind thumbnail --level high --payload-file request.json --timeout 30s\n"
      "  find . -name '*.jpg' | ringmill enqueue /tmp/jobs --kind thumbnail --lines - --quiet\n"
      "  ringmill enqueue /tmp/jobs --kind report --at 2027-01-01T00:00:00Z --max-attempts 5 --backoff list:1m,10m\n"
      "  ringmill enqueue /tmp/jobs --kind charge --unique order-17 --unique-for 1d --on-worker-lost bury\n"
      "  ringmill enqueue /tmp/jobs --kind notify --after 0000000001000000 --on-parent-dead run\n"
      "  printf 'page1\\npage2\\n' | ringmill enqueue /tmp/jobs --kind render --lines - --callback join\n"
      "  ringmill enqueue /tmp/jobs --kind add --payload '1 2' --wait --wait-timeout 30s\n"
      "  echo '{\"kind\":\"mail\",\"payload\":{\"to\":\"a@b.c\"}}' | ringmill enqueue /tmp/jobs --from-json -");
  return {app, [words] { return run_enqueue(*words); }};
}

}  // namespace ringmill::cli
