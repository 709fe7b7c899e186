// Enqueues three greetings. Run it first: it creates the engine if there is none.
#include <iostream>
#include <string_view>

#include <ringmill/engine.h>

using namespace ringmill;

int report(const Error& error) {
  std::cerr << error.message() << '\n';
  return 1;
}

int main(int count, char** arguments) {
  const std::filesystem::path directory = count > 1 ? arguments[1] : "/tmp/ringmill-example";
  const auto created = Engine::create(directory);
  if (!created && created.error().code() != ErrorCode::already_exists) return report(created.error());

  auto engine = Engine::open(directory);
  if (!engine) return report(engine.error());
  const auto greet = engine->kind("greet");
  if (!greet) return report(greet.error());
  const auto level = engine->level("default");
  if (!level) return report(level.error());
  auto producer = engine->attach(Role::producer);
  if (!producer) return report(producer.error());

  for (const std::string_view name : {"Ada", "Grace", "Barbara"}) {
    const auto id = (*producer)->enqueue({.kind = *greet, .level = *level, .payload = as_payload(name)});
    if (!id) return report(id.error());
    std::cout << "a greeting for " << name << " waits for a worker\n";
  }
}
