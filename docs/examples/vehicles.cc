// Events of vehicles: those of one vehicle run in their order, one at a time, whatever fails; a census comes regularly.
//   vehicles DIR send VEHICLES EVENTS   so many events of each vehicle
//   vehicles DIR work                   until SIGTERM; any number of processes
#include <iostream>
#include <map>
#include <mutex>

#include <ringmill/engine.h>
#include <ringmill/program.h>
#include <ringmill/schedules.h>
#include <ringmill/typed.h>
#include <ringmill/worker.h>

using namespace ringmill;
using namespace std::chrono_literals;

struct Event {
  int vehicle;
  int number;
};

void send(Engine& engine, int vehicles, int events) {
  const auto producer = or_exit(engine.attach(Role::producer));
  const Kind kind = or_exit(engine.kind("event"));
  const JobOptions soon{.retry_policy = or_exit(engine.retry_policy("fixed:1ms"))};
  for (int n = 0; n < vehicles * events; ++n) {
    const Event event{n % vehicles, n / vehicles};
    const std::string key = std::to_string(event.vehicle);  // its events run one after the other
    or_exit(producer->enqueue({.kind = kind, .payload = encoded(event), .options = soon, .serial_key = key}, 10s));
  }
}

void work(Engine& engine) {
  std::mutex mutex;
  std::map<int, int> done;  // how many events of each vehicle
  Worker worker(engine, {.threads = 4});
  worker.on("event", typed<Event>([&](JobContext& job, const Event& event) {
              if (event.number % 10 == 3 && job.attempt() == 1) return JobOutcome::fail("no signal");
              const std::lock_guard lock(mutex);
              if (done[event.vehicle]++ != event.number) return JobOutcome::reject("out of order");
              return JobOutcome::complete();
            }));
  worker.on("census", [&](JobContext&) {
    const std::lock_guard lock(mutex);
    int events = 0;
    for (const auto& [vehicle, count] : done) events += count;
    std::cout << done.size() << " vehicles, " << events << " events" << std::endl;
    return JobOutcome::complete();
  });
  or_exit(Schedules(engine).put({.name = "census", .every = 100ms, .kind = "census", .level = "high"}));
  const auto signals = or_exit(SignalStop::install(worker));
  or_exit(worker.run());
}

int main(int count, char** arguments) {
  if (count < 3) return 2;
  auto engine = or_exit(Engine::open_or_create(arguments[1]));
  if (arguments[2] == std::string_view("work")) work(engine);
  if (arguments[2] == std::string_view("send") && count > 4) {
    send(engine, std::stoi(arguments[3]), std::stoi(arguments[4]));
  }
}
