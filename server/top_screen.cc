#include "server/top_screen.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "core/base/values.h"

namespace ringmill {

namespace {

constexpr std::size_t most_history = 120;
constexpr int history_width = 20;
constexpr int list_begin = 6;  // the first line of the list, its heading

/// At most five characters: 999, 1.2k, 34k, 5.6M.
std::string short_number(double value) {
  if (value < 0.05) return "0";
  if (value < 10) return fmt::format("{:.{}f}", value, value == std::floor(value) ? 0 : 1);
  constexpr std::array<const char*, 4> units{"", "k", "M", "G"};
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < units.size()) {
    value /= 1000;
    ++unit;
  }
  return value < 10 && unit != 0 ? fmt::format("{:.1f}{}", value, units[unit])
                                 : fmt::format("{:.0f}{}", value, units[unit]);
}

/// At most six characters: 250us, 1.2ms, 45ms, 3.4s, 12m, 5h, 3d.
std::string short_time(std::chrono::nanoseconds time) {
  const double seconds = std::chrono::duration<double>(time).count();
  const auto with = [](double value, const char* unit) {
    return value < 9.95 ? fmt::format("{:.1f}{}", value, unit) : fmt::format("{:.0f}{}", value, unit);
  };
  if (seconds < 1e-3) return fmt::format("{:.0f}us", seconds * 1e6);
  if (seconds < 1) return with(seconds * 1e3, "ms");
  if (seconds < 120) return with(seconds, "s");
  if (seconds < 7200) return with(seconds / 60, "m");
  if (seconds < 172800) return with(seconds / 3600, "h");
  return with(seconds / 86400, "d");
}

std::string short_time(std::optional<std::chrono::nanoseconds> time, const char* none) {
  return time ? short_time(*time) : none;
}
std::string quantile(const std::optional<Durations>& durations, double share) {
  return short_time(durations ? durations->quantile(share) : std::nullopt, "-");
}

std::u32string sparkline(const std::deque<double>& values, bool has_unicode) {
  constexpr std::u32string_view blocks = U"▁▂▃▄▅▆▇█";
  constexpr std::u32string_view ascii = U"_.-=+*#@";
  const std::u32string_view steps = has_unicode ? blocks : ascii;
  const std::size_t count = std::min<std::size_t>(values.size(), history_width);
  const auto first = values.end() - static_cast<std::ptrdiff_t>(count);
  const double most = count == 0 ? 0 : *std::max_element(first, values.end());
  std::u32string line(history_width - count, U' ');
  for (auto value = first; value != values.end(); ++value) {
    const double share = most > 0 ? *value / most : 0;
    line += steps[std::min<std::size_t>(static_cast<std::size_t>(share * 7.999), 7)];
  }
  return line;
}

struct Column {
  const char* heading;
  int width;
  bool right = true;
};

/// Cells of one row, and how it looks.
struct Row {
  std::string name;
  std::vector<std::string> cells;
  std::u32string history;
  Style style = Style::plain;
  double load = 0;
  double latency = 0;
};

struct List {
  std::vector<Column> columns;
  std::vector<Row> rows;
};

double seconds_of(std::optional<std::chrono::nanoseconds> time) {
  return time ? std::chrono::duration<double>(*time).count() : 0;
}
double seconds_of(const std::optional<Durations>& durations) {
  return seconds_of(durations ? durations->quantile(0.99) : std::nullopt);
}

List levels_list(const TopModel& model) {
  List list{.columns = {{"LEVEL", 16, false},
                        {"WAIT", 7},
                        {"RUN", 5},
                        {"IN/s", 6},
                        {"OUT/s", 6},
                        {"FAIL/s", 6},
                        {"OLDEST", 7},
                        {"w.p50", 7},
                        {"w.p99", 7},
                        {"OUT/s", history_width, false}},
            .rows = {}};
  for (std::size_t n = 0; n < model.look.now.levels.size(); ++n) {
    const LevelStatistics& level = model.look.now.levels[n];
    const LevelRates& rates = model.look.levels[n];
    const auto history = model.history.find(level.name);
    Row row;
    row.name = level.name;
    row.cells = {level.name,
                 (level.is_estimate ? "~" : "") + short_number(static_cast<double>(level.depth)),
                 short_number(static_cast<double>(level.running)),
                 short_number(rates.in_per_s),
                 short_number(rates.out_per_s),
                 short_number(rates.failed_per_s),
                 level.paused ? "PAUSED" : short_time(level.oldest, "-"),
                 quantile(rates.wait, 0.5),
                 quantile(rates.wait, 0.99)};
    if (history != model.history.end()) row.history = sparkline(history->second, model.has_unicode);
    row.style = level.paused || rates.failed_per_s > 0 ? Style::bad : Style::plain;
    row.load = rates.out_per_s + static_cast<double>(level.depth);
    row.latency = seconds_of(level.oldest);
    list.rows.push_back(std::move(row));
  }
  return list;
}

List kinds_list(const TopModel& model) {
  List list{.columns = {{"KIND", 20, false},
                        {"RUN", 5},
                        {"START/s", 8},
                        {"DONE/s", 7},
                        {"FAIL/s", 7},
                        {"COMPLETED", 10},
                        {"FAILED", 8},
                        {"DEAD", 6},
                        {"r.p50", 7},
                        {"r.p99", 7}},
            .rows = {}};
  for (std::size_t n = 0; n < model.look.now.kinds.size(); ++n) {
    const KindStatistics& kind = model.look.now.kinds[n];
    const KindRates& rates = model.look.kinds[n];
    Row row;
    row.name = kind.name;
    row.cells = {kind.name,
                 short_number(static_cast<double>(kind.running)),
                 short_number(rates.started_per_s),
                 short_number(rates.completed_per_s),
                 short_number(rates.failed_per_s),
                 std::to_string(kind.totals.completed),
                 std::to_string(kind.totals.failed),
                 std::to_string(kind.totals.dead),
                 quantile(rates.run, 0.5),
                 quantile(rates.run, 0.99)};
    row.style = rates.failed_per_s > 0 ? Style::bad : Style::plain;
    row.load = rates.started_per_s;
    row.latency = seconds_of(rates.run);
    list.rows.push_back(std::move(row));
  }
  return list;
}

List workers_list(const TopModel& model) {
  List list{.columns = {{"ID", 4},
                        {"PID", 8},
                        {"ROLE", 8, false},
                        {"BUSY", 5},
                        {"DONE/s", 7},
                        {"COMPLETED", 10},
                        {"FAILED", 8},
                        {"RUNS", 5},
                        {"FOR", 7},
                        {"KIND", 20, false}},
            .rows = {}};
  for (std::size_t n = 0; n < model.look.now.participants.size(); ++n) {
    const ParticipantStatistics& participant = model.look.now.participants[n];
    const ParticipantRates& rates = model.look.participants[n];
    const RunningJob* const job = participant.running.empty() ? nullptr : &participant.running.front();
    Row row;
    row.name = std::to_string(participant.number);
    row.cells = {row.name,
                 std::to_string(participant.pid),
                 participant.alive ? participant.role : "GONE",
                 fmt::format("{:.0f}%", rates.busy * 100),
                 short_number(rates.completed_per_s),
                 std::to_string(participant.completed),
                 std::to_string(participant.failed),
                 std::to_string(participant.running.size()),
                 job != nullptr ? short_time(job->running_for) : "-",
                 job != nullptr ? job->kind : ""};
    row.style = participant.alive ? Style::plain : Style::bad;
    row.load = rates.busy;
    row.latency = job != nullptr ? seconds_of(job->running_for) : 0;
    list.rows.push_back(std::move(row));
  }
  return list;
}

List letters_list(const TopModel& model) {
  List list{.columns = {{"ID", 16, false},
                        {"KIND", 16, false},
                        {"CAUSE", 13, false},
                        {"DIED AT", 24, false},
                        {"ERROR", 40, false}},
            .rows = {}};
  for (const TopLetter& letter : model.letters) {
    Row row;
    row.name = letter.id;
    row.cells = {letter.id, letter.kind, letter.cause, letter.died_at, letter.error};
    list.rows.push_back(std::move(row));
  }
  return list;
}

List list_of(const TopModel& model) {
  List list;
  switch (model.view) {
    case TopView::levels:
      list = levels_list(model);
      break;
    case TopView::kinds:
      list = kinds_list(model);
      break;
    case TopView::workers:
      list = workers_list(model);
      break;
    case TopView::dead_letters:
      list = letters_list(model);
      break;
  }
  if (!model.filter.empty()) {
    std::erase_if(list.rows, [&model](const Row& row) {
      return std::ranges::none_of(
          row.cells, [&model](const std::string& cell) { return cell.find(model.filter) != std::string::npos; });
    });
  }
  if (model.sort == TopSort::load) std::ranges::stable_sort(list.rows, std::greater{}, &Row::load);
  if (model.sort == TopSort::latency) std::ranges::stable_sort(list.rows, std::greater{}, &Row::latency);
  return list;
}

int put_cell(Screen& screen, int x, int y, const Column& column, const std::string& text, Style style) {
  std::string shown = printable(text);
  const auto width = static_cast<std::size_t>(column.width);
  if (shown.size() > width) shown.resize(width);
  const int offset = column.right ? static_cast<int>(width - shown.size()) : 0;
  screen.put(x + offset, y, shown, style);
  return x + column.width + 1;
}

void put_list(Screen& screen, const TopModel& model) {
  const List list = list_of(model);
  int x = 0;
  for (const Column& column : list.columns) x = put_cell(screen, x, list_begin, column, column.heading, Style::strong);
  const int room = screen.height() - list_begin - 2;
  const auto selected = std::ranges::find(list.rows, model.selected, &Row::name);
  const auto place = selected != list.rows.end() ? static_cast<int>(selected - list.rows.begin()) : 0;
  const int first = std::max(0, place - room + 1);
  for (int line = 0; line < room && first + line < static_cast<int>(list.rows.size()); ++line) {
    const Row& row = list.rows[static_cast<std::size_t>(first + line)];
    const int y = list_begin + 1 + line;
    x = 0;
    for (std::size_t n = 0; n < row.cells.size(); ++n) {
      x = put_cell(screen, x, y, list.columns[n], row.cells[n], row.style);
    }
    screen.put(x, y, row.history, Style::good);
    if (row.name == model.selected) screen.set_style(y, Style::selected);
  }
  if (list.rows.empty()) {
    screen.put(0, list_begin + 1, model.filter.empty() ? "nothing here" : "nothing matches the filter", Style::faint);
  }
}

void put_summary(Screen& screen, const TopModel& model) {
  const EngineStatistics& now = model.look.now;
  double in = 0;
  double out = 0;
  double failed = 0;
  std::uint64_t waiting = 0;
  std::uint64_t running = 0;
  for (std::size_t n = 0; n < now.levels.size(); ++n) {
    in += model.look.levels[n].in_per_s;
    out += model.look.levels[n].out_per_s;
    failed += model.look.levels[n].failed_per_s;
    waiting += now.levels[n].depth;
    running += now.levels[n].running;
  }
  int x = screen.put(
      0, 1,
      fmt::format("jobs     in {}/s  out {}/s  failed {}/s  waiting {}  running {}  ", short_number(in),
                  short_number(out), short_number(failed), short_number(static_cast<double>(waiting)), running));
  if (const auto all = model.history.find(""); all != model.history.end()) {
    screen.put(x, 1, sparkline(all->second, model.has_unicode), Style::good);
  }
  const KeeperStatistics& keeper = now.keeper;
  const std::string age = short_time(keeper.last_turn_ago, "never");
  const std::string keeper_text = keeper.pid == 0
                                      ? "none: the next process that opens the engine keeps"
                                      : fmt::format("process {}{}  busy {:.1f}%  longest turn {}  last turn {} ago",
                                                    keeper.pid, keeper.alive ? "" : " IS GONE",
                                                    model.look.keeper_busy * 100, short_time(keeper.longest_turn), age);
  const bool is_well = keeper.alive && keeper.trouble.empty();
  screen.put(0, 2, "keeper   " + (keeper.trouble.empty() ? keeper_text : "STANDS STILL: " + printable(keeper.trouble)),
             is_well ? Style::plain : Style::bad);
  const JournalStatus& journal = now.journal;
  const std::string journal_text =
      fmt::format("journal  {}  {}/s  lag {}  {} of {} in {} files{}", journal.mode,
                  format_size(static_cast<std::uint64_t>(model.look.journal_bytes_per_s)),
                  short_time(journal.durable_lag), format_size(journal.bytes), format_size(journal.limit),
                  journal.segments, journal.last_error.empty() ? "" : "  FAILED: " + printable(journal.last_error));
  screen.put(0, 3, journal_text, journal.last_error.empty() ? Style::plain : Style::bad);
  const std::string dead = model.look.dead_letters ? std::to_string(model.look.dead_letters->count) : "unreadable";
  screen.put(0, 4,
             fmt::format("dead     {} letters   lost workers {}   expired leases {}   participants {}", dead,
                         now.totals.worker_lost, now.totals.lease_expired, now.participants.size()));
}

constexpr std::array<const char*, 13> help_text{
    "Tab or 1 2 3 4    levels, kinds, workers, dead letters",
    "j k or arrows     select a row",
    "Enter             what is known of the job of the row",
    "s                 sort: by name, by load, by latency",
    "/                 filter rows by a text; Esc clears it",
    "space             freeze and go on",
    "P R               pause and resume the selected level or kind",
    "? q               this help; quit",
    "",
    "Upper case acts on the engine; --read-only refuses it. Looking changes nothing.",
    "~ an estimate: it counts delayed and blocked jobs too. OLDEST: how long the",
    "first job waits. w. and r.: waits and runs, a sample with weights, exact to",
    "12.5 %; waits also to a scheduler tick of 1 to 4 ms."};

void put_lines(Screen& screen, const auto& lines) {
  int y = list_begin;
  for (const auto& line : lines) {
    if (y >= screen.height() - 1) break;
    screen.put(0, y++, printable(line));
  }
}

std::string footer(const TopModel& model) {
  if (model.is_typing_filter) return "filter: " + printable(model.filter) + "_";
  if (!model.message.empty()) return printable(model.message);
  constexpr std::array<const char*, 3> sorts{"name", "load", "latency"};
  return fmt::format("? help  Tab view  s sort: {}  / filter{}  space freeze  q quit{}",
                     sorts[static_cast<std::size_t>(model.sort)],
                     model.filter.empty() ? "" : ": " + printable(model.filter),
                     model.is_read_only ? "  [read only]" : "  P R pause, resume");
}

}  // namespace

int Screen::put(int x, int y, std::string_view text, Style style) {
  return put(x, y, std::u32string(text.begin(), text.end()), style);
}

int Screen::put(int x, int y, std::u32string_view text, Style style) {
  if (y < 0 || y >= height()) return x;
  for (const char32_t character : text) {
    if (x >= 0 && x < width_) cells_[static_cast<std::size_t>(y) * width_ + x] = {character, style};
    ++x;
  }
  return x;
}

void Screen::set_style(int y, Style style) {
  for (int x = 0; x < width_; ++x) cells_[static_cast<std::size_t>(y) * width_ + x].style = style;
}

std::vector<std::string> Screen::lines() const {
  std::vector<std::string> lines;
  for (int y = 0; y < height(); ++y) {
    std::string line;
    for (int x = 0; x < width_; ++x) {
      const char32_t c = at(x, y).character;
      if (c < 0x80) {
        line += static_cast<char>(c);
      } else {  // of the sparkline: three bytes
        line += static_cast<char>(0xe0 | c >> 12);
        line += static_cast<char>(0x80 | (c >> 6 & 0x3f));
        line += static_cast<char>(0x80 | (c & 0x3f));
      }
    }
    line.erase(line.find_last_not_of(' ') + 1);
    lines.push_back(std::move(line));
  }
  return lines;
}

std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c < ' ' || c > '~') c = '?';
  }
  return out;
}

std::vector<std::string> top_rows(const TopModel& model) {
  std::vector<std::string> names;
  for (const Row& row : list_of(model).rows) names.push_back(row.name);
  return names;
}

Screen render_top(const TopModel& model, int width, int height) {
  Screen screen(std::max(width, 1), std::max(height, 1));
  const std::string state = model.is_frozen ? "  FROZEN" : "";
  screen.put(0, 0,
             fmt::format("ringmill {}  {}{}", printable(model.directory),
                         model.error.empty() ? format_time(model.look.now.at) : "", state),
             Style::strong);
  if (!model.error.empty()) {
    screen.put(0, 2, "no engine to look at: " + printable(model.error), Style::bad);
  } else {
    put_summary(screen, model);
  }
  if (model.shows_help) {
    put_lines(screen, help_text);
  } else if (!model.job.empty()) {
    put_lines(screen, model.job);
  } else if (model.error.empty()) {
    put_list(screen, model);
  }
  screen.put(0, screen.height() - 1, footer(model), Style::faint);
  return screen;
}

void remember(TopModel& model) {
  const auto keep = [&model](const std::string& name, double value) {
    std::deque<double>& values = model.history[name];
    values.push_back(value);
    if (values.size() > most_history) values.pop_front();
  };
  double all = 0;
  for (std::size_t n = 0; n < model.look.now.levels.size(); ++n) {
    keep(model.look.now.levels[n].name, model.look.levels[n].out_per_s);
    all += model.look.levels[n].out_per_s;
  }
  keep("", all);
}

}  // namespace ringmill
