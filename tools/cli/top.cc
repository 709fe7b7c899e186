// ringmill top: an engine live. Looking writes nothing; keys in upper case act, if they may.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include <ringmill/engine.h>

#include "core/dead_letters/store.h"
#include "server/explanation.h"
#include "server/job_json.h"
#include "server/looker.h"
#include "tools/cli/command.h"
#include "tools/cli/dead_letters.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"
#include "tools/cli/terminal.h"

namespace ringmill::cli {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds least_interval{50};
/// Of `--once` without a terminal.
constexpr int plain_width = 120;
constexpr int plain_height = 40;
constexpr std::size_t most_letters = 200;
constexpr int lines_per_heading = 20;

struct TopWords {
  std::filesystem::path directory;
  std::chrono::nanoseconds interval{std::chrono::seconds{1}};
  bool once = false;
  bool json = false;
  bool read_only = false;
};

/// The newest dead letters.
std::vector<TopLetter> newest_letters(const std::filesystem::path& directory) {
  std::vector<TopLetter> letters;
  const auto store = open_dead_letters_to_read(directory);
  if (!store || !*store) return letters;
  static_cast<void>((*store)->list({}, DeadLetterStore::Order::newest_first, [&letters](const DeadLetter& letter) {
    letters.push_back({letter.id.to_string(), letter.kind, std::string(name_of(letter.cause)),
                       time_text(letter.died_at), letter.last_error});
    return letters.size() < most_letters;
  }));
  return letters;
}

/// A look, and the next one after the interval: only two looks make rates.
Result<Look> look_with_rates(Looker& looker, std::chrono::nanoseconds interval) {
  if (auto first = looker.look(); !first) return first;
  std::this_thread::sleep_for(interval);
  return looker.look();
}

std::string line_of(const Look& look) {
  LevelRates sum;
  std::uint64_t waiting = 0;
  std::uint64_t running = 0;
  std::chrono::nanoseconds oldest{0};
  for (std::size_t n = 0; n < look.levels.size(); ++n) {
    sum.in_per_s += look.levels[n].in_per_s;
    sum.out_per_s += look.levels[n].out_per_s;
    sum.failed_per_s += look.levels[n].failed_per_s;
    waiting += look.now.levels[n].depth;
    running += look.now.levels[n].running;
    oldest = std::max(oldest, look.now.levels[n].oldest.value_or(oldest));
  }
  return fmt::format("{} {:>10.0f} {:>10.0f} {:>8.0f} {:>10} {:>8} {:>10.3f} {:>8.3f}", time_text(look.now.at),
                     sum.in_per_s, sum.out_per_s, sum.failed_per_s, waiting, running,
                     std::chrono::duration<double>(oldest).count(),
                     std::chrono::duration<double>(look.now.journal.durable_lag).count());
}

/// Lines for a file, a pipe, or another program.
int print_lines(const TopWords& words) {
  Looker looker(words.directory);
  Output output;
  auto look = look_with_rates(looker, words.interval);
  for (int line = 0; output.wanted(); ++line) {
    if (!look) {
      output.flush();
      return fail("top", look.error());
    }
    if (words.json) {
      output.json(json_of(*look));
    } else {
      if (line % lines_per_heading == 0) {
        output.line(fmt::format("{:<24} {:>10} {:>10} {:>8} {:>10} {:>8} {:>10} {:>8}", "time", "in/s", "out/s",
                                "failed/s", "waiting", "running", "oldest s", "lag s"));
      }
      output.line(line_of(*look));
    }
    if (words.once) break;
    output.flush();
    std::this_thread::sleep_for(words.interval);
    look = looker.look();
  }
  return output.finish(exit_done);
}

int print_screen(const TopWords& words) {
  Looker looker(words.directory);
  TopModel model;
  auto look = look_with_rates(looker, words.interval);
  if (!look) return fail("top", look.error());
  model.directory = words.directory.string();
  model.look = *std::move(look);
  model.is_read_only = true;
  Output output;
  for (const TopView view : {TopView::levels, TopView::kinds, TopView::workers}) {
    model.view = view;
    const std::vector<std::string> lines = render_top(model, plain_width, plain_height).lines();
    const std::size_t first = view == TopView::levels ? 0 : 5;
    for (std::size_t n = first; n + 1 < lines.size(); ++n) {
      if (n > 6 && lines[n].empty()) break;
      output.line(lines[n]);
    }
  }
  return output.finish(exit_done);
}

/// The terminal, until its user leaves.
class LiveTop {
 public:
  LiveTop(const TopWords& words, Terminal terminal)
      : words_(words), looker_(words.directory), terminal_(std::move(terminal)) {
    model_.directory = words.directory.string();
    model_.is_read_only = words.read_only;
    const char* const locale = std::getenv("LC_ALL") != nullptr && *std::getenv("LC_ALL") != '\0'
                                   ? std::getenv("LC_ALL")
                                   : std::getenv("LANG");
    const std::string_view name = locale != nullptr ? locale : "";
    model_.has_unicode = name.find("UTF-8") != std::string_view::npos || name.find("utf8") != std::string_view::npos;
  }

  void run() {
    auto next = Clock::now();
    while (true) {
      if (Clock::now() >= next) {
        if (!model_.is_frozen) look();
        next = Clock::now() + words_.interval;
      }
      const Terminal::Size size = terminal_.size();
      terminal_.show(render_top(model_, size.width, size.height));
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now());
      const int key = terminal_.wait_for_key(left);
      if (key == static_cast<int>(Key::end)) return;
      if (key == static_cast<int>(Key::none)) continue;
      model_.message.clear();
      if (!(model_.is_typing_filter ? take_filter_key(key) : take_key(key))) return;
    }
  }

 private:
  void look() {
    auto look = looker_.look();
    if (look) {
      model_.error.clear();
      model_.look = *std::move(look);
      remember(model_);
    } else {
      model_.error = look.error().message();
    }
    if (model_.view == TopView::dead_letters) model_.letters = newest_letters(words_.directory);
  }

  bool take_filter_key(int key) {
    constexpr int escape = 27;
    constexpr int del = 127;
    if (key == escape) model_.filter.clear();
    if (key == escape || key == '\r' || key == '\n') {
      model_.is_typing_filter = false;
    } else if (key == del || key == '\b') {
      if (!model_.filter.empty()) model_.filter.pop_back();
    } else if (key >= ' ' && key < del && model_.filter.size() < 60) {
      model_.filter += static_cast<char>(key);
    }
    return true;
  }

  void turn_to(TopView view) {
    model_.view = view;
    model_.selected.clear();
    model_.job.clear();
    model_.shows_help = false;
    if (view == TopView::dead_letters) model_.letters = newest_letters(words_.directory);
  }

  void move(int step) {
    const std::vector<std::string> rows = top_rows(model_);
    if (rows.empty()) return;
    const auto place = std::ranges::find(rows, model_.selected);
    const auto last = static_cast<std::ptrdiff_t>(rows.size()) - 1;
    const std::ptrdiff_t now = place != rows.end() ? place - rows.begin() + step : 0;
    model_.selected = rows[static_cast<std::size_t>(std::clamp<std::ptrdiff_t>(now, 0, last))];
  }

  /// Returns false if the key ends the command.
  bool take_key(int key) {
    constexpr int views = 4;
    const int view = static_cast<int>(model_.view);
    switch (key) {
      case 'q':
        return false;
      case ' ':
        model_.is_frozen = !model_.is_frozen;
        break;
      case '?':
        model_.shows_help = !model_.shows_help;
        break;
      case '\t':
        turn_to(static_cast<TopView>((view + 1) % views));
        break;
      case static_cast<int>(Key::back_tab):
        turn_to(static_cast<TopView>((view + views - 1) % views));
        break;
      case '1':
      case '2':
      case '3':
      case '4':
        turn_to(static_cast<TopView>(key - '1'));
        break;
      case 'j':
      case static_cast<int>(Key::down):
        move(1);
        break;
      case 'k':
      case static_cast<int>(Key::up):
        move(-1);
        break;
      case 's':
        model_.sort = static_cast<TopSort>((static_cast<int>(model_.sort) + 1) % 3);
        break;
      case '/':
        model_.is_typing_filter = true;
        break;
      case 27:
        model_.filter.clear();
        model_.job.clear();
        model_.shows_help = false;
        break;
      case '\r':
      case '\n':
        show_job();
        break;
      case 'P':
      case 'R':
        pause(key == 'P');
        break;
      default:
        model_.message = "no such key; ? shows them";
    }
    return true;
  }

  void show_job() {
    model_.job.clear();
    std::string text = model_.view == TopView::dead_letters ? model_.selected : "";
    if (model_.view == TopView::workers) {
      for (const ParticipantStatistics& participant : model_.look.now.participants) {
        if (std::to_string(participant.number) == model_.selected && !participant.running.empty()) {
          text = participant.running.front().id.to_string();
        }
      }
    }
    const auto id = JobId::parse(text);
    if (!id) {
      model_.message = "no job to show: select a worker that runs one, or a dead letter";
      return;
    }
    model_.job = lines_about(*id);
  }

  std::vector<std::string> lines_about(JobId id) {
    std::vector<std::string> lines{"job " + id.to_string() + "   (Esc goes back)", ""};
    const auto view = looker_.view();
    const auto job = view && index_of(id) < (*view)->segment().geometry().capacity
                         ? view_job((*view)->segment(), index_of(id))
                         : std::nullopt;
    std::optional<JobInfo> info;
    if (job && job->info.id == id) {
      info = job->info;
      lines.push_back("it " + explanation_of(**view, *job));
    } else if (const auto letter = find_dead_letter(words_.directory, id); letter && *letter) {
      info = info_of(**letter);
      lines.push_back("it " + explanation_of(**letter));
    } else {
      const auto ended = view ? find_job((*view)->segment(), id) : Result<JobInfo>(JobInfo{});
      lines.push_back(explanation_of_ended(ended.value_or(JobInfo{})));
    }
    if (!info) return lines;
    const nlohmann::ordered_json json = job_json(*info);
    for (const auto& [key, value] : json.items()) {
      lines.push_back(fmt::format("{:<14} {}", key, value.is_string() ? value.get<std::string>() : value.dump()));
    }
    return lines;
  }

  void pause(bool pauses) {
    if (model_.is_read_only) {
      model_.message = "read only: started with --read-only";
      return;
    }
    if (model_.selected.empty() || (model_.view != TopView::levels && model_.view != TopView::kinds)) {
      model_.message = "select a level or a kind first";
      return;
    }
    const auto done = change_pause(pauses);
    const std::string what = (model_.view == TopView::levels ? "level " : "kind ") + model_.selected;
    model_.message = done ? what + (pauses ? " is paused" : " goes on") : done.error().message();
  }

  Result<void> change_pause(bool pauses) {
    auto engine = Engine::open(words_.directory, {.embedded_keeper = false});
    if (!engine) return std::unexpected(engine.error());
    if (model_.view == TopView::levels) {
      const auto level = engine->level(model_.selected);
      if (!level) return std::unexpected(level.error());
      return pauses ? engine->pause(*level) : engine->resume(*level);
    }
    const auto kind = engine->kind(model_.selected);
    if (!kind) return std::unexpected(kind.error());
    return pauses ? engine->pause(*kind) : engine->resume(*kind);
  }

  TopWords words_;
  Looker looker_;
  Terminal terminal_;
  TopModel model_;
};

int run_top(const TopWords& words) {
  if (words.json) return print_lines(words);
  if (words.once) return print_screen(words);
  auto terminal = Terminal::take();
  if (!terminal) return print_lines(words);
  LiveTop(words, *std::move(terminal)).run();
  return exit_done;
}

}  // namespace

Command add_top(CLI::App& program) {
  auto words = std::make_shared<TopWords>();
  CLI::App* app = program.add_subcommand("top", "Show an engine live: rates, depth, waits and runs, workers");
  add_directory(*app, words->directory);
  app->add_flag("--once", words->once, "Print once and end");
  app->add_flag("--json", words->json, "A JSON object per look");
  add_duration(*app, "--interval", words->interval, "Between two looks (1s)");
  app->add_flag("--read-only", words->read_only, "Refuse the keys that act on the engine");
  app->final_callback([words] {
    if (words->interval < least_interval) throw CLI::ValidationError("--interval", "is at least 50ms");
  });
  app->footer(
      "Looking writes nothing, recovers nothing, and costs the same whatever the table holds. Where standard output\n"
      "is no terminal, a line per look is printed. Keys: ? shows them. NO_COLOR is honoured.\n"
      "\n"
      "Examples:\n"
      "  ringmill top /tmp/jobs\n"
      "  ringmill top /tmp/jobs --once --json | jq '.levels[] | {name, depth, oldest_ms}'\n"
      "  ringmill top /tmp/jobs --interval 10s >> load.log");
  return {app, [words] { return run_top(*words); }};
}

}  // namespace ringmill::cli
