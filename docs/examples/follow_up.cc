// Follow-ups: an order that is shipped becomes a mail and a report, exactly when its own end does.
#include <iostream>

#include <ringmill/engine.h>
#include <ringmill/worker.h>

using namespace ringmill;

int report(const Error& error) {
  std::cerr << error.message() << '\n';
  return 1;
}

int main(int count, char** arguments) {
  const std::filesystem::path directory = count > 1 ? arguments[1] : "/tmp/ringmill-follow-up";
  if (const auto created = Engine::create(directory); !created) return report(created.error());
  auto engine = Engine::open(directory);
  if (!engine) return report(engine.error());
  const auto order = engine->kind("order");
  const auto mail = engine->kind("mail");
  auto producer = engine->attach(Role::producer);
  if (!order || !mail || !producer) return 1;
  if (const auto id = (*producer)->enqueue({.kind = *order, .payload = as_payload("17")}); !id) {
    return report(id.error());
  }

  Worker worker(*engine, {.drain = true});
  worker.on("order", [&](JobContext& job) {
    const auto next = job.follow_up({.kind = *mail, .payload = job.payload()});
    if (!next) return JobOutcome::fail(next.error().message());
    // The first attempt fails: its follow-up is dropped, so no customer gets two mails.
    if (job.attempt() == 1) return JobOutcome::retry_in(std::chrono::milliseconds(1), "the warehouse is closed");
    std::cout << "order " << as_text(job.payload()) << " is shipped in attempt " << job.attempt() << '\n';
    return JobOutcome::complete();
  });
  worker.on("mail", [](JobContext& job) {
    std::cout << "a mail about order " << as_text(job.payload()) << '\n';
    return JobOutcome::complete();
  });
  if (const auto ran = worker.run(); !ran) return report(ran.error());
}
