// Readings of sensors: producers send them, workers look at each, an anomaly overtakes all else, a report sums up.
//   readings DIR produce COUNT    sends, waits for the report, prints it; any number of processes
//   readings DIR work             until SIGTERM; any number of processes
#include <iostream>

#include <ringmill/engine.h>
#include <ringmill/graph.h>
#include <ringmill/program.h>
#include <ringmill/typed.h>
#include <ringmill/worker.h>

using namespace ringmill;
using namespace std::chrono_literals;

struct Reading {
  int sensor;
  double celsius;
};

void produce(Engine& engine, int count) {
  const Kind reading = or_exit(engine.kind("reading"));
  const auto producer = or_exit(engine.attach(Role::producer));
  JobGraph graph;
  std::vector<JobGraph::Node> readings;
  for (int n = 0; n < count; ++n) {
    const Reading payload{n % 7, n % 50 == 49 ? 99.0 : 20.0};
    readings.push_back(graph.add({.kind = reading, .payload = encoded(payload)}));
  }
  graph.add({.kind = or_exit(engine.kind("report")), .options = {.keep_result = 1h}}, readings);  // after all of them
  const auto ids = or_exit(graph.enqueue(*producer, 10s));
  std::cout << or_exit(engine.wait(ids.back(), 60s)).result << '\n';
}

void work(Engine& engine) {
  const Kind anomaly = or_exit(engine.kind("anomaly"));
  const Level high = or_exit(engine.level("high"));
  Worker worker(engine, {.threads = 2, .policy = Policy::strict});
  worker.on("reading", typed<Reading>([&](JobContext& job, const Reading& reading) {
              if (reading.celsius > 90) {
                const auto sent = job.follow_up({.kind = anomaly, .level = high, .payload = job.payload()});
                if (!sent) return JobOutcome::fail(sent.error());
              }
              return JobOutcome::complete(encoded(reading.celsius));
            }));
  worker.on("anomaly", typed<Reading>([](JobContext&, const Reading& reading) {
              std::cout << "sensor " << reading.sensor << " is at " << reading.celsius << " degrees" << std::endl;
              return JobOutcome::complete();
            }));
  worker.on("report", [&](JobContext& job) {
    double sum = 0;
    const auto readings = job.parents();
    for (const JobId reading : readings) {
      const auto info = engine.job(reading);
      if (!info) return JobOutcome::fail(info.error());
      sum += decoded<double>(as_payload(info->result)).value_or(0);
    }
    return JobOutcome::complete(std::to_string(readings.size()) + " readings, " + std::to_string(sum) + " degrees");
  });
  const auto signals = or_exit(SignalStop::install(worker));
  or_exit(worker.run());
}

int main(int count, char** arguments) {
  if (count < 3) return 2;
  auto engine = or_exit(Engine::open_or_create(arguments[1]));
  if (arguments[2] == std::string_view("work")) work(engine);
  if (arguments[2] == std::string_view("produce") && count > 3) produce(engine, std::stoi(arguments[3]));
}
