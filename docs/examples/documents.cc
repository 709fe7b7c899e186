// Documents: urgent ones before the batch, a busy model is asked again, and what is dead is reviewed and retried.
//   documents DIR submit LEVEL NAME...   to the level `urgent` or `batch`; durable when it says so
//   documents DIR work [PASSWORD]        until SIGTERM
//   documents DIR review                 shows the dead letters
//   documents DIR retry                  sends all of them back
#include <iostream>

#include <ringmill/dead_letters.h>
#include <ringmill/engine.h>
#include <ringmill/program.h>
#include <ringmill/worker.h>

using namespace ringmill;
using namespace std::chrono_literals;

void submit(Engine& engine, const char* level_name, char** names) {
  const auto producer = or_exit(engine.attach(Role::producer));
  const Level level = or_exit(engine.level(level_name));
  const Kind extract = or_exit(engine.kind("extract"));
  for (; *names != nullptr; ++names) {
    or_exit(producer->enqueue({.kind = extract, .level = level, .payload = *names, .durability = Durability::durable},
                              10s));
    std::cout << level_name << " document " << *names << " is submitted\n";
  }
}

void work(Engine& engine, bool has_password) {
  const Kind summarise = or_exit(engine.kind("summarise"));
  const JobOptions patient{.max_attempts = 5, .retry_policy = or_exit(engine.retry_policy("exponential:20ms,2,1s"))};
  Worker worker(engine, {.threads = 2, .policy = Policy::strict, .prefetch = 1});
  worker.on("extract", [&](JobContext& job) {
    const std::string name(as_text(job.payload()));
    if (name.ends_with(".locked") && !has_password) return JobOutcome::reject(name + " needs a password");
    const auto next = job.follow_up({.kind = summarise, .payload = "the text of " + name, .options = patient});
    return next ? JobOutcome::complete() : JobOutcome::fail(next.error());
  });
  worker.on("summarise", [](JobContext& job) {
    if (job.attempt() < 3) return JobOutcome::fail("the model is busy");
    std::cout << job.level() << ": a summary of " << as_text(job.payload()) << std::endl;
    return JobOutcome::complete();
  });
  const auto signals = or_exit(SignalStop::install(worker));
  or_exit(worker.run());
}

int main(int count, char** arguments) {
  if (count < 3) return 2;
  auto engine = or_exit(Engine::open_or_create(arguments[1], {.levels = {"urgent", "batch"}, .weights = {9, 1}}));
  const std::string_view what = arguments[2];
  DeadLetters letters(engine);
  if (what == "submit" && count > 4) submit(engine, arguments[3], arguments + 4);
  if (what == "work") work(engine, arguments[3] != nullptr);
  if (what == "review") {
    or_exit(letters.list({}, [](const DeadLetter& letter) {
      std::cout << letter.kind << ' ' << as_text(letter.payload) << ": " << name_of(letter.cause) << ", "
                << letter.last_error << '\n';
      return true;
    }));
  }
  if (what == "retry") std::cout << or_exit(letters.retry(DeadLetterFilter{})).retried << " retried\n";
}
