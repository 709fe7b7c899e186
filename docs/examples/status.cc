// Looks at an engine: what waits at which level, and how one job stands.
#include <iostream>

#include <ringmill/engine.h>

using namespace ringmill;

int report(const Error& error) {
  std::cerr << error.message() << '\n';
  return 1;
}

int main(int count, char** arguments) {
  const std::filesystem::path directory = count > 1 ? arguments[1] : "/tmp/ringmill-status";
  if (const auto created = Engine::create(directory); !created) return report(created.error());
  auto engine = Engine::open(directory);
  if (!engine) return report(engine.error());
  const auto mail = engine->kind("mail");
  if (!mail) return report(mail.error());
  auto participant = engine->attach(Role::producer);
  if (!participant) return report(participant.error());

  JobId last;
  for (const char* name : {"high", "low", "low"}) {
    const auto level = engine->level(name);
    if (!level) return report(level.error());
    const auto id = (*participant)->enqueue({.kind = *mail, .level = *level, .payload = as_payload("Dear reader")});
    if (!id) return report(id.error());
    last = *id;
  }
  for (const LevelStatus& level : engine->status().levels) {
    std::cout << level.name << ": " << level.queued << " queued, " << level.running << " running\n";
  }

  const auto cancelled = (*participant)->cancel(last);
  if (!cancelled) return report(cancelled.error());
  const auto job = engine->job(last);
  if (!job) return report(job.error());
  std::cout << "the last one was cancelled; it is " << name_of(job->state) << '\n';
}
