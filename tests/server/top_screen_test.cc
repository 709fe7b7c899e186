// What `ringmill top` shows, compared as text.
#include "server/top_screen.h"

#include <gtest/gtest.h>

#include "ipc/statistics.h"

namespace ringmill {
namespace {

using namespace std::chrono_literals;

Durations durations_of(std::initializer_list<std::chrono::nanoseconds> times) {
  std::vector<std::uint64_t> counts(duration_buckets);
  std::chrono::duration<double> sum{0};
  for (const auto time : times) {
    ++counts[duration_bucket(static_cast<std::uint64_t>(time.count()))];
    sum += time;
  }
  return {std::move(counts), sum};
}

TopModel model() {
  TopModel model;
  model.directory = "/var/lib/jobs";
  Look& look = model.look;
  look.seconds = 1;
  look.now.at = std::chrono::system_clock::time_point(1'790'000'000s);
  LevelStatistics high;
  high.name = "high";
  high.depth = 12;
  high.running = 3;
  high.oldest = 1'500ms;
  LevelStatistics low;
  low.name = "low";
  low.depth = 1'234'567;
  low.is_estimate = true;
  low.paused = true;
  look.now.levels = {high, low};
  look.levels.resize(2);
  look.levels[0] = {.in_per_s = 1'200,
                    .out_per_s = 1'150.4,
                    .failed_per_s = 0,
                    .retried_per_s = 0,
                    .wait = durations_of({4ms, 4ms, 4ms, 90ms})};
  KindStatistics mail;
  mail.name = "mail";
  mail.running = 3;
  mail.totals = {
      .enqueued = 100, .attempts = 100, .failed = 4, .retried = 3, .completed = 90, .dead = 1, .cancelled = 0};
  look.now.kinds = {mail};
  look.kinds = {{.started_per_s = 1'150,
                 .completed_per_s = 1'149,
                 .failed_per_s = 1.5,
                 .run = durations_of({300us, 300us, 5ms})}};
  ParticipantStatistics worker;
  worker.number = 2;
  worker.pid = 4'321;
  worker.role = "worker";
  worker.alive = true;
  worker.completed = 90;
  worker.running = {{.id = JobId(0x1000007), .kind = "mail", .level = "high", .running_for = 12s}};
  look.now.participants = {worker};
  look.participants = {{.completed_per_s = 88, .busy = 0.93}};
  look.now.keeper = {.pid = 99,
                     .alive = true,
                     .since = {},
                     .turns = 5,
                     .busy = 1ms,
                     .longest_turn = 2'300us,
                     .last_turn_ago = 20ms,
                     .trouble = ""};
  look.keeper_busy = 0.012;
  look.now.journal.mode = "io_uring";
  look.now.journal.bytes = 8U << 20;
  look.now.journal.limit = 64U << 20;
  look.now.journal.segments = 2;
  look.journal_bytes_per_s = 3'000'000;
  look.dead_letters = DeadLetterCount{.count = 7, .bytes = 100, .limit = 1'000, .dropped = 0};
  model.history["high"] = {0, 5, 10, 20, 40, 80};
  return model;
}

std::string text_of(const Screen& screen) {
  std::string text;
  for (const std::string& line : screen.lines()) text += line + "|\n";
  return text;
}

TEST(TopScreenInProcess, levels_at_80_by_12) {
  EXPECT_EQ(text_of(render_top(model(), 80, 12)),
            R"(ringmill /var/lib/jobs  2026-09-21T14:13:20.000Z|
jobs     in 1.2k/s  out 1.2k/s  failed 0/s  waiting 1.2M  running 3|
keeper   process 99  busy 1.2%  longest turn 2.3ms  last turn 20ms ago|
journal  io_uring  2.9 MiB/s  lag 0us  8.0 MiB of 64.0 MiB in 2 files|
dead     7 letters   lost workers 0   expired leases 0   participants 1|
|
LEVEL               WAIT   RUN   IN/s  OUT/s FAIL/s  OLDEST   w.p50   w.p99 OUT/|
high                  12     3   1.2k   1.2k      0    1.5s   4.1ms    88ms|
low                ~1.2M     0      0      0      0  PAUSED       -       -|
|
|
? help  Tab view  s sort: name  / filter  space freeze  q quit  P R pause, resum|
)");
}

TEST(TopScreenInProcess, levels_with_their_rates_drawn_at_120_by_10) {
  const auto lines = render_top(model(), 120, 10).lines();
  EXPECT_EQ(lines[7],
            "high                  12     3   1.2k   1.2k      0    1.5s   4.1ms    88ms               ▁▁▁▂▄█");
  TopModel plain = model();
  plain.has_unicode = false;
  EXPECT_EQ(render_top(plain, 120, 10).lines()[7],
            "high                  12     3   1.2k   1.2k      0    1.5s   4.1ms    88ms               ___.=@");
}

TEST(TopScreenInProcess, kinds_and_workers) {
  TopModel shown = model();
  shown.view = TopView::kinds;
  EXPECT_EQ(render_top(shown, 120, 12).lines()[6],
            "KIND                   RUN  START/s  DONE/s  FAIL/s  COMPLETED   FAILED   DEAD   r.p50   r.p99");
  EXPECT_EQ(render_top(shown, 120, 12).lines()[7],
            "mail                     3     1.1k    1.1k     1.5         90        4      1   311us   5.0ms");
  shown.view = TopView::workers;
  EXPECT_EQ(render_top(shown, 120, 12).lines()[7],
            "   2     4321 worker     93%      88         90        0     1     12s mail");
}

TEST(TopScreenInProcess, a_small_screen_shows_what_fits) {
  for (const auto& [width, height] : {std::pair{40, 10}, {1, 1}, {5, 3}, {200, 60}}) {
    const Screen screen = render_top(model(), width, height);
    EXPECT_EQ(screen.width(), width);
    EXPECT_EQ(screen.height(), height);
  }
  EXPECT_EQ(render_top(model(), 40, 10).lines()[0], "ringmill /var/lib/jobs  2026-09-21T14:13");
}

TEST(TopScreenInProcess, hostile_text_becomes_question_marks_and_one_line) {
  TopModel shown = model();
  shown.view = TopView::dead_letters;
  shown.letters = {{.id = "0000000001000007",
                    .kind = "\x1b[31mred",
                    .cause = "failed",
                    .died_at = "-",
                    .error = "a\nb\x9b\xc3\xa9\t<script>"}};
  EXPECT_EQ(render_top(shown, 120, 12).lines()[7],
            std::string("0000000001000007 ?[31mred         failed        -                        a?b?") +
                std::string(3, '?') + "<script>");
}

TEST(TopScreenInProcess, without_an_engine_it_says_why) {
  TopModel shown = model();
  shown.error = "the engine's shared memory is gone";
  const auto lines = render_top(shown, 80, 12).lines();
  EXPECT_EQ(lines[2], "no engine to look at: the engine's shared memory is gone");
  EXPECT_EQ(lines[7], "");
}

TEST(TopScreenInProcess, rows_are_filtered_and_sorted_and_the_selected_one_is_marked) {
  TopModel shown = model();
  shown.sort = TopSort::load;
  EXPECT_EQ(top_rows(shown), (std::vector<std::string>{"low", "high"}));
  shown.filter = "hi";
  EXPECT_EQ(top_rows(shown), std::vector<std::string>{"high"});
  shown.selected = "high";
  EXPECT_EQ(render_top(shown, 80, 12).at(0, 7).style, Style::selected);
  shown.filter = "nothing like it";
  EXPECT_EQ(render_top(shown, 80, 12).lines()[7], "nothing matches the filter");
}

TEST(TopScreenInProcess, a_long_list_scrolls_to_the_selected_row) {
  TopModel shown = model();
  shown.look.now.levels.resize(50);
  shown.look.levels.resize(50);
  for (std::size_t n = 0; n < 50; ++n) shown.look.now.levels[n].name = "level-" + std::to_string(n);
  shown.selected = "level-40";
  bool is_there = false;
  for (const std::string& line : render_top(shown, 80, 15).lines()) is_there |= line.starts_with("level-40 ");
  EXPECT_TRUE(is_there);
}

}  // namespace
}  // namespace ringmill
