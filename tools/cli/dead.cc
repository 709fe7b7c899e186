// ringmill dead: lists, retries, exports and purges dead letters.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include <ringmill/engine.h>

#include "core/dead_letters/store.h"
#include "core/engine/letter_retry.h"
#include "core/instance/engine_files.h"
#include "server/job_json.h"
#include "tools/cli/command.h"
#include "tools/cli/dead_letters.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

namespace {

using Json = nlohmann::ordered_json;
using Access = DeadLetterStore::Access;
using Order = DeadLetterStore::Order;

struct DeadWords {
  std::filesystem::path directory;
  std::string action;
  std::string id_text;
  std::optional<std::string> kind;
  std::optional<std::string> level;
  std::optional<std::string> cause;
  std::optional<std::string> tag;
  std::optional<std::chrono::nanoseconds> older;
  std::optional<std::uint64_t> limit;
  bool all = false;
  bool json = false;

  JobId id() const { return JobId::parse(id_text).value_or(JobId()); }
  bool has_id() const { return !id_text.empty(); }
  bool has_filter() const { return kind || level || cause || older || tag; }
  DeadLetterFilter filter() const {
    DeadLetterFilter filter{.kind = kind, .level = level, .tag = tag};
    if (cause) filter.cause = death_cause_of(*cause);
    if (older) filter.died_before = std::chrono::system_clock::now() - *older;
    return filter;
  }
};

/// Returns what the arguments lack, or have too much of; empty if they are right.
std::string fault_of(const DeadWords& words) {
  const bool changes = words.action == "retry" || words.action == "purge";
  if (words.has_id() && !words.id()) return "a job id has 16 lower-case hexadecimal digits: " + words.id_text;
  if (words.action == "show" && !words.has_id()) return "show needs an ID";
  if (words.action == "list" && words.has_id()) return "list takes no ID; use show";
  if (words.has_id() + words.has_filter() + words.all > 1) return "give an ID, or filters, or --all";
  if (changes && !words.has_id() && !words.has_filter() && !words.all) {
    return words.action + " needs an ID, a filter (--kind, --level, --cause, --older, --tag), or --all";
  }
  if (words.limit && words.action != "list" && words.action != "export") return "--limit is for list and export";
  return {};
}

int no_letter(const DeadWords& words) {
  return fail("dead", exit_no, "there is no dead letter of job " + words.id_text);
}

/// Not one of ours to blame the engine for: asked for one letter, it is not there.
int fail_to_find(const DeadWords& words, const Error& error) {
  return error.code() == ErrorCode::not_found ? no_letter(words) : fail("dead", error);
}

/// Calls `visit` for each letter that the arguments select. Returns nothing if there is no letter of the given id.
Result<std::optional<std::uint64_t>> each(const DeadWords& words, const DeadLetterStore& store, Order order,
                                          const std::function<bool(const DeadLetter&)>& visit) {
  if (!words.has_id()) {
    const auto count = store.list(words.filter(), order, visit);
    if (!count) return std::unexpected(count.error());
    return *count;
  }
  const auto letter = store.find(words.id());
  if (!letter && letter.error().code() == ErrorCode::not_found) return std::nullopt;
  if (!letter) return std::unexpected(letter.error());
  visit(*letter);
  return 1;
}

/// The cause first; the error's first line, as far as it fits a terminal.
std::string why(const DeadLetter& letter) {
  constexpr std::size_t most = 60;
  const std::string line = ringmill::shown(letter.last_error.substr(0, letter.last_error.find('\n')));
  std::size_t end = std::min(line.size(), most);
  while (end < line.size() && end > 0 && (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) --end;
  return line.substr(0, end) + (end < line.size() ? "..." : "");
}

std::string attempts_of(const DeadLetter& letter) {
  return letter.max_attempts == 0 ? std::to_string(letter.attempts)
                                  : fmt::format("{}/{}", letter.attempts, letter.max_attempts);
}

/// Prints as it goes, in pieces: columns are as wide as their piece needs, and there may be a million letters.
class LetterTable {
 public:
  explicit LetterTable(Output& output) : output_(output) {}
  void add(const DeadLetter& letter) {
    if (!table_) table_.emplace(headings_);
    table_->row({letter.id.to_string(), letter.kind, letter.level, std::string(name_of(letter.cause)),
                 attempts_of(letter), time_text(letter.died_at), why(letter)});
    if (++rows_ % most_rows == 0) print();
  }
  void print() {
    if (table_) table_->print(output_);
    table_.reset();
  }

 private:
  static constexpr std::size_t most_rows = 1000;
  Output& output_;
  const std::vector<std::string> headings_{"id", "kind", "level", "cause", ">attempts", "died at", "error"};
  std::optional<Table> table_;
  std::size_t rows_ = 0;
};

int run_list(const DeadWords& words, const DeadLetterStore& store) {
  Output output;
  LetterTable table(output);
  std::uint64_t shown = 0;
  const auto show = [&](const DeadLetter& letter) {
    if (words.limit && shown == *words.limit) return false;
    ++shown;
    if (words.json) {
      output.json(letter_json(letter));
    } else {
      table.add(letter);
    }
    return output.wanted();
  };
  const auto listed = store.list(words.filter(), Order::newest_first, show);
  table.print();
  if (!listed) {
    output.flush();
    return fail("dead", listed.error());
  }
  if (shown == 0 && !words.json) output.line("no dead letters");
  return output.finish(exit_done);
}

void print_letter(const DeadLetter& letter, Output& output) {
  const auto line = [&output](std::string_view name, const std::string& value) {
    output.line(fmt::format("{:<14} {}", name, value));
  };
  line("id", letter.id.to_string());
  line("kind", letter.kind);
  line("level", letter.level);
  line("cause", std::string(name_of(letter.cause)));
  line("attempts", attempts_of(letter));
  line("enqueued at", time_text(letter.enqueued_at));
  line("died at", time_text(letter.died_at));
  line("worker", letter.worker >= 0 ? "participant " + std::to_string(letter.worker) : "-");
  line("timeout", letter.lease.count() != 0 ? format_duration(letter.lease) : "the engine's");
  line("backoff", letter.backoff.empty() ? "none" : letter.backoff);
  line("keep result", letter.keep_result.count() != 0 ? format_duration(letter.keep_result) : "no");
  line("on worker lost", letter.bury_when_worker_lost ? "bury" : "retry");
  if (!letter.tag.empty()) line("tag", ringmill::shown(letter.tag));
  if (!letter.trace_parent.empty()) line("traceparent", letter.trace_parent);
  if (letter.retried_from) line("retried from", letter.retried_from.to_string());
  line("error", ringmill::shown(letter.last_error));
  const std::string length = letter.payload_cut_from == 0 ? fmt::format("{} bytes", letter.payload.size())
                                                          : fmt::format("{} bytes, of which the first {} are kept",
                                                                        letter.payload_cut_from, letter.payload.size());
  line("payload", length + ": " + ringmill::shown(payload_of(letter)));
}

int run_show(const DeadWords& words, const DeadLetterStore& store) {
  const auto letter = store.find(words.id());
  if (!letter) return fail_to_find(words, letter.error());
  Output output;
  if (words.json) {
    Json json = letter_json(*letter);
    add_payload(json, payload_of(*letter));
    output.json(json);
  } else {
    print_letter(*letter, output);
  }
  return output.finish(exit_done);
}

int run_export(const DeadWords& words, const DeadLetterStore& store) {
  Output output;
  std::uint64_t shown = 0;
  const auto exported = each(words, store, Order::oldest_first, [&](const DeadLetter& letter) {
    if (words.limit && shown == *words.limit) return false;
    ++shown;
    output.json(export_json(letter));
    return output.wanted();
  });
  output.flush();
  if (!exported) return fail("dead", exported.error());
  if (!*exported) return no_letter(words);
  return output.finish(exit_done);
}

int run_purge(const DeadWords& words, DeadLetterStore& store) {
  const std::array ids{words.id()};
  const auto count = words.has_id() ? store.remove(ids) : store.purge(words.filter());
  if (!count) return fail("dead", count.error());
  if (words.has_id() && *count == 0) return no_letter(words);
  Output output;
  if (words.json) {
    output.json({{"purged", *count}});
  } else {
    output.line(fmt::format("{} purged", *count));
  }
  return output.finish(exit_done);
}

int finish_retry(const LetterRetry& retry, Output& output) {
  output.flush();
  const std::string so_far = fmt::format("; letters that were retried: {}", retry.count());
  if (const auto& error = retry.error()) return fail("dead", exit_code_of(error->code()), error->message() + so_far);
  if (retry.kept() != 0) {
    return fail("dead", exit_no,
                fmt::format("{} stay dead, the first because: {}{}", retry.kept(), retry.first_kept(), so_far));
  }
  return output.finish(exit_done);
}

int run_retry(const DeadWords& words, DeadLetterStore& store) {
  const auto lock = store.lock_retries();  // retry.T1
  if (!lock) return fail("dead", lock.error());
  auto engine = Engine::open(words.directory);
  if (!engine) return fail("dead", engine.error());
  auto participant = engine->attach(Role::producer);
  if (!participant) return fail("dead", participant.error());
  Output output;
  const auto print = [&](JobId letter, JobId job) {
    if (words.json) {
      output.json({{"id", letter.to_string()}, {"retried_as", job.to_string()}});
    } else {
      output.line(fmt::format("{} retried as {}", letter.to_string(), job.to_string()));
    }
    output.flush();
  };
  LetterRetry retry(store, *engine, **participant, print);
  const auto seen =
      each(words, store, Order::oldest_first, [&](const DeadLetter& letter) { return retry.add(letter); });
  if (!seen) return fail("dead", seen.error());
  if (!*seen) return no_letter(words);
  retry.flush();
  return finish_retry(retry, output);
}

/// No job was ever buried.
int run_on_nothing(const DeadWords& words) {
  if (words.has_id()) return no_letter(words);
  Output output;
  if (words.action == "list" && !words.json) output.line("no dead letters");
  if (words.action == "purge" && words.json) output.json({{"purged", 0}});
  if (words.action == "purge" && !words.json) output.line("0 purged");
  return output.finish(exit_done);
}

int run_dead(const DeadWords& words) {
  if (const std::string fault = fault_of(words); !fault.empty()) {
    return fail("dead", exit_usage, fault + "; see `ringmill dead --help`");
  }
  const auto opened = open_dead_letters_to_read(words.directory);
  if (!opened) return fail("dead", opened.error());
  if (!*opened) return run_on_nothing(words);
  if (words.action == "list") return run_list(words, **opened);
  if (words.action == "show") return run_show(words, **opened);
  if (words.action == "export") return run_export(words, **opened);
  const auto directory = EngineFiles::open(words.directory);
  if (!directory) return fail("dead", directory.error());
  auto store = DeadLetterStore::open(directory->folder(), Access::read_write);
  if (!store) return fail("dead", store.error());
  return words.action == "retry" ? run_retry(words, *store) : run_purge(words, *store);
}

}  // namespace

Command add_dead(CLI::App& program) {
  auto words = std::make_shared<DeadWords>();
  CLI::App* app = program.add_subcommand("dead", "Jobs that ended badly: list, show, retry, export, purge");
  add_directory(*app, words->directory);
  app->add_option("ACTION", words->action, "list, show, retry, export or purge")
      ->required()
      ->check(CLI::IsMember({"list", "show", "retry", "export", "purge"}));
  app->add_option("ID", words->id_text, "The job's id, for show, or to name one letter");
  app->add_option("--kind", words->kind, "Only letters of this kind")->type_name("NAME");
  app->add_option("--level", words->level, "Only letters of this level")->type_name("NAME");
  app->add_option("--cause", words->cause, "Only letters of this cause")
      ->check(
          CLI::IsMember({"failed", "rejected", "worker_lost", "lease_expired", "timeout", "expired", "parent_dead"}));
  app->add_option("--tag", words->tag, "Only letters with this tag")->type_name("TEXT");
  add_duration(*app, "--older", words->older, "Only letters of jobs that died longer ago than this");
  add_count(*app, "--limit", words->limit, "list, export: at most so many");
  app->add_flag("--all", words->all, "retry, purge: every letter");
  app->add_flag("--json", words->json, "JSON: a line per letter, with the keys of `ringmill job` and cause");
  app->footer(
      "retry enqueues jobs again in their levels, under new ids, with their attempts at zero. A letter is removed\n"
      "once its job is durable. A retry that is killed may have enqueued a job and left its letter. export prints\n"
      "what `ringmill enqueue --from-json` reads, the oldest first, and removes nothing.\n"
      "\n"
      "Exit code 1: no such letter, the engine is full, or a letter could not be retried; standard error says which.\n"
      "\n"
      "Examples:\n"
      "  ringmill dead /tmp/jobs list --kind mail\n"
      "  ringmill dead /tmp/jobs show 0000000001000000\n"
      "  ringmill dead /tmp/jobs retry --cause worker_lost\n"
      "  ringmill dead /tmp/jobs export --all > letters.json && ringmill dead /tmp/jobs purge --older 7d");
  return {app, [words] { return run_dead(*words); }};
}

}  // namespace ringmill::cli
