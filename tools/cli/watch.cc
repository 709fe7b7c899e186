// ringmill watch: alerts on an engine, for people, programs and Nagios. It survives the engine's absence.
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "server/job_json.h"
#include "server/looker.h"
#include "server/watching.h"
#include "tools/cli/command.h"
#include "tools/cli/options.h"
#include "tools/cli/output.h"
#include "tools/cli/report.h"
#include "tools/cli/service.h"

extern char** environ;

namespace ringmill::cli {

namespace {

using Json = nlohmann::ordered_json;
using Clock = std::chrono::steady_clock;

constexpr int exit_warning = 1;  // as Nagios plugins have them
constexpr int exit_critical = 2;

struct WatchWords {
  std::filesystem::path directory;
  std::vector<std::string> when;
  std::vector<std::string> warn;
  std::chrono::nanoseconds holds_for{0};
  std::chrono::nanoseconds interval{std::chrono::seconds{5}};
  std::chrono::nanoseconds repeat{0};
  std::string exec;
  bool once = false;
  bool json = false;
};

/// What is said of one change.
struct Change {
  std::string alert;  // raised, repeated, cleared
  std::string severity;
  std::string condition;
  std::string value;
  std::string engine;
};

/// Runs a command with the fields in its environment: nothing of them stands in the command line.
void run_hook(const std::string& command, const Change& change) {
  std::vector<std::string> fields{"RINGMILL_ALERT=" + change.alert, "RINGMILL_SEVERITY=" + change.severity,
                                  "RINGMILL_CONDITION=" + change.condition, "RINGMILL_VALUE=" + change.value,
                                  "RINGMILL_ENGINE=" + change.engine};
  std::vector<char*> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.push_back(*entry);
  for (std::string& field : fields) environment.push_back(field.data());
  environment.push_back(nullptr);
  std::string shell = "sh";
  std::string flag = "-c";
  std::string text = command;
  char* const arguments[] = {shell.data(), flag.data(), text.data(), nullptr};
  pid_t child = 0;
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  const int failure = ::posix_spawn(&child, "/bin/sh", nullptr, &attributes, arguments, environment.data());
  ::posix_spawnattr_destroy(&attributes);
  if (failure != 0) fail("watch", exit_done, "the command of --exec cannot be run: " + error_text(failure));
}

void reap_hooks() noexcept {
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

class Watch {
 public:
  explicit Watch(const WatchWords& words) : words_(words), looker_(words.directory) {}

  Result<void> begin() {
    for (const auto& [texts, severity] : {std::pair{&words_.warn, "warning"}, {&words_.when, "critical"}}) {
      for (const std::string& text : *texts) {
        auto condition = Condition::parse(text);
        if (!condition) return std::unexpected(condition.error());
        alerts_.push_back({Alert(*std::move(condition), words_.holds_for, words_.repeat), severity});
      }
    }
    return {};
  }

  /// One look. An exit code as of Nagios.
  int once() {
    if (needs_two_looks()) {
      static_cast<void>(looker_.look());
      ::usleep(static_cast<useconds_t>(std::min<std::int64_t>(words_.interval.count(), 1'000'000'000) / 1000));
    }
    const auto look = looker_.look();
    Output output;
    if (!look) {
      say(output, {"raised", "critical", "the engine can be looked at", look.error().message(), name()});
      return output.finish(exit_critical);
    }
    int worst = exit_done;
    for (const Watched& watched : alerts_) {
      const Condition& condition = watched.alert.condition();
      const auto value = condition.value_at(*look);
      const bool holds = value && condition.holds(*value);
      if (holds) worst = std::max(worst, watched.severity == "critical" ? exit_critical : exit_warning);
      const char* const alert = !value ? "unknown" : holds ? "raised" : "clear";
      say(output, {alert, watched.severity, condition.text, value ? condition.shown_value(*value) : "unknown", name()});
    }
    return output.finish(worst);
  }

  void look(Clock::time_point now, Output& output) {
    const auto look = looker_.look();
    note_absence(look, output);
    for (Watched& watched : alerts_) {
      const Condition& condition = watched.alert.condition();
      const auto value = look ? condition.value_at(*look) : std::nullopt;
      tell(watched.alert.update(now, value),
           {"", watched.severity, condition.text, value ? condition.shown_value(*value) : "unknown", name()}, output);
    }
    output.flush();
  }

 private:
  struct Watched {
    Alert alert;
    std::string severity;
  };

  std::string name() const { return words_.directory.string(); }
  /// Rates are of the time between two looks.
  bool needs_two_looks() const {
    return std::ranges::any_of(alerts_, [](const Watched& watched) {
      const std::string& of = watched.alert.condition().name;
      return of == "in" || of == "out" || of == "failures";
    });
  }

  /// That there is no engine is an alert of its own.
  void note_absence(const Result<Look>& look, Output& output) {
    if (!look && !is_absent_) {
      tell(Alert::Event::raised, {"", "critical", "the engine can be looked at", look.error().message(), name()},
           output);
    } else if (look && is_absent_) {
      tell(Alert::Event::cleared, {"", "critical", "the engine can be looked at", "it can", name()}, output);
    }
    is_absent_ = !look;
  }

  void tell(Alert::Event event, Change change, Output& output) {
    if (event == Alert::Event::none) return;
    change.alert = event == Alert::Event::raised ? "raised" : event == Alert::Event::cleared ? "cleared" : "repeated";
    say(output, change);
    output.flush();
    if (!words_.exec.empty()) run_hook(words_.exec, change);
  }

  void say(Output& output, const Change& change) const {
    const std::string at = time_text(std::chrono::system_clock::now());
    if (words_.json) {
      output.json({{"at", at},
                   {"alert", change.alert},
                   {"severity", change.severity},
                   {"condition", change.condition},
                   {"value", change.value},
                   {"engine", change.engine}});
    } else {
      output.line(fmt::format("{} {} {}: {} ({})", at, change.alert, change.severity, change.condition, change.value));
    }
  }

  WatchWords words_;
  Looker looker_;
  std::vector<Watched> alerts_;
  bool is_absent_ = false;
};

int run_watch(const WatchWords& words) {
  Watch watch(words);
  if (auto begun = watch.begin(); !begun) return fail("watch", exit_usage, begun.error().message());
  if (words.once) return watch.once();
  sigset_t ends;
  sigemptyset(&ends);
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) sigaddset(&ends, signal);
  ::sigprocmask(SIG_BLOCK, &ends, nullptr);
  Output output;
  tell_manager("READY=1");
  auto next = Clock::now();
  while (output.wanted()) {
    watch.look(Clock::now(), output);
    reap_hooks();
    next = std::max(next + words.interval, Clock::now());
    const auto left = std::max(next - Clock::now(), Clock::duration(0));
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
    const timespec time{.tv_sec = static_cast<std::time_t>(seconds.count()),
                        .tv_nsec = std::chrono::duration_cast<std::chrono::nanoseconds>(left - seconds).count()};
    if (::sigtimedwait(&ends, nullptr, &time) > 0) break;
  }
  return output.finish(exit_done);
}

}  // namespace

Command add_watch(CLI::App& program) {
  auto words = std::make_shared<WatchWords>();
  CLI::App* app = program.add_subcommand("watch", "Watch an engine: say, or run a command, when a condition holds");
  add_directory(*app, words->directory);
  app->add_option("--when", words->when, "A condition (critical); may be given several times")->type_name("COND");
  app->add_option("--warn", words->warn, "The same, as a warning")->type_name("COND");
  add_duration(*app, "--for", words->holds_for, "How long it has to hold without a break (0s)");
  add_duration(*app, "--interval", words->interval, "Between two looks (5s)");
  add_duration(*app, "--repeat", words->repeat, "Repeat a raised alert this often (never)");
  app->add_option("--exec", words->exec,
                  "Run this at each change, with RINGMILL_ALERT, _SEVERITY, _CONDITION, _VALUE "
                  "and _ENGINE in its environment")
      ->type_name("CMD");
  app->add_flag("--once", words->once, "Look once; exit code 0 (all well), 1 (a warning), 2 (critical), as Nagios has");
  app->add_flag("--json", words->json, "A JSON object per line");
  app->final_callback([words] {
    if (words->when.empty() && words->warn.empty()) throw CLI::ValidationError("--when", "is required");
    if (words->interval < std::chrono::milliseconds(50)) throw CLI::ValidationError("--interval", "is at least 50ms");
  });
  std::string names;
  for (const std::string& line : condition_names()) names += line + "\n";
  app->footer(
      "An alert is raised once per episode, and cleared when its value is back by a quarter of the bound. That there\n"
      "is no engine to look at is an alert, too; the command goes on. Looking writes nothing and recovers nothing.\n"
      "\n"
      "Conditions compare one of these by > or < with a number, a duration or a share:\n" +
      names +
      "\n"
      "Examples:\n"
      "  ringmill watch /tmp/jobs --when 'oldest(high) > 30s' --for 1m --exec 'notify \"$RINGMILL_CONDITION\"'\n"
      "  ringmill watch /tmp/jobs --once --when 'dead > 10' --warn 'full > 80%'");
  return {app, [words] { return run_watch(*words); }};
}

}  // namespace ringmill::cli
