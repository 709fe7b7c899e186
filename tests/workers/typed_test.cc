// Handlers that get values, and the log of their failures.
#include <ringmill/json.h>
#include <ringmill/log.h>
#include <ringmill/typed.h>

#include <mutex>
#include <string>
#include <vector>

#include "tests/support/worker_test.h"

namespace ringmill::test {

struct SensorValue {
  std::uint32_t sensor = 0;
  double value = 0;
};

struct TypedMail {
  std::string to;
  int tries = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(TypedMail, to, tries)

}  // namespace ringmill::test

template <>
struct ringmill::PayloadTraits<ringmill::test::TypedMail> : ringmill::JsonPayload<ringmill::test::TypedMail> {};

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

TEST(TypedHandlersInProcess, a_handler_gets_the_value_that_was_enqueued) {
  WorkerWorld world;
  must(world.producer->enqueue({.kind = must(world.engine.kind("reading")), .payload = encoded(SensorValue{7, 1.5})}));
  must(world.producer->enqueue({.kind = must(world.engine.kind("mail")), .payload = encoded(TypedMail{"ann", 3})}));
  Worker worker(world.engine, {.drain = true});
  std::vector<std::string> seen;
  worker.on("reading", typed<SensorValue>([&](JobContext&, const SensorValue& reading) {
              seen.push_back(std::to_string(reading.sensor));
              return JobOutcome::complete();
            }));
  worker.on("mail", typed<TypedMail>([&](JobContext& job, const TypedMail& mail) {
              seen.push_back(mail.to + std::string(as_text(job.payload())));
              return JobOutcome::complete();
            }));
  must(worker.run());
  EXPECT_EQ(seen, (std::vector<std::string>{"7", R"(ann{"to":"ann","tries":3})"}));
}

TEST(TypedHandlersInProcess, a_payload_that_is_no_such_value_is_rejected) {
  WorkerWorld world;
  for (const std::string_view payload : {"no json", "{\"to\": 1}"}) world.add(payload);
  Worker worker(world.engine, {.drain = true});
  worker.on(kind_name, typed<TypedMail>([](JobContext&, const TypedMail&) { return JobOutcome::complete(); }));
  must(worker.run());
  EXPECT_EQ(worker.status().dead, 2U);
  EXPECT_FALSE(decoded<SensorValue>(as_payload("short")));
}

/// The lines of a test; the former log comes back with its end.
class Lines {
 public:
  explicit Lines(LogLevel least) {
    set_log(
        [this](LogLevel, std::string_view line) {
          const std::lock_guard lock(mutex_);
          lines_.emplace_back(line);
        },
        least);
  }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;
  ~Lines() { set_log({}); }

  std::vector<std::string> with(std::string_view text) const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> found;
    for (const std::string& line : lines_) {
      if (line.contains(text)) found.push_back(line);
    }
    return found;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

TEST(LogOfWorkersInProcess, a_fault_of_many_jobs_is_a_few_lines_that_name_kind_and_level) {
  WorkerWorld world;
  for (int n = 0; n < 100; ++n) world.add(std::to_string(n), kind_name, "low");
  const Lines lines(LogLevel::warn);
  Worker worker(world.engine, {.threads = 2, .drain = true});
  worker.on(kind_name, [](JobContext& job) {
    return JobOutcome::reject("user " + std::string(as_text(job.payload())) + " is unknown");
  });
  must(worker.run());
  const auto said = lines.with("is unknown");
  ASSERT_EQ(said.size(), 7U);  // the 1st, 2nd, 4th, ... 64th
  EXPECT_NE(said[0].find("(kind test, level low)"), std::string::npos) << said[0];
  EXPECT_NE(said[6].find("has come 64 times"), std::string::npos) << said[6];
}

TEST(LogOfWorkersInProcess, lines_below_the_least_level_do_not_reach_the_callback) {
  WorkerWorld world;
  world.add();
  const Lines lines(LogLevel::error);
  Worker worker(world.engine, {.drain = true});
  worker.on(kind_name, [](JobContext&) { return JobOutcome::reject("never"); });
  must(worker.run());
  EXPECT_TRUE(lines.with("never").empty());
}

}  // namespace
}  // namespace ringmill::test
