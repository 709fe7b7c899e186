// Greets until SIGTERM or SIGINT. Then it finishes its current greeting, and releases those that it has not begun.
#include <iostream>

#include <ringmill/engine.h>
#include <ringmill/worker.h>

using namespace ringmill;

int report(const Error& error) {
  std::cerr << error.message() << '\n';
  return 1;
}

int main(int count, char** arguments) {
  auto engine = Engine::open(count > 1 ? arguments[1] : "/tmp/ringmill-example");
  if (!engine) return report(engine.error());

  Worker worker(*engine);
  worker.on("greet", [](JobContext& job) {
    std::cout << "Hello, " << as_text(job.payload()) << "!" << std::endl;
    return JobOutcome::complete();
  });

  const auto signals = SignalStop::install(worker);
  if (!signals) return report(signals.error());
  if (const auto ran = worker.run(); !ran) return report(ran.error());
  std::cout << worker.status().completed << " greetings done\n";
}
