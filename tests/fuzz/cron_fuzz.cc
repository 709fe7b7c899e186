// Cron expressions and names of zones: refused, or ticks that go on, and an expression that says the same again.
#include "core/schedules/cron.h"
#include "tests/fuzz/fuzz.h"

namespace ringmill::test {

void run(Input input) {
  using namespace std::chrono;
  const seconds when(input.take<std::int64_t>() % 8'000'000'000);  // about the years 1716 to 2223
  const std::string zone_name = input.take_text(input.take<std::uint8_t>() % 32);
  const auto zone = Zone::load(zone_name);
  const auto cron = Cron::parse(input.rest());
  if (!cron) {
    check(cron.error().code() == ErrorCode::invalid_argument, "another error than invalid_argument");
    return;
  }
  const auto again = Cron::parse(cron->text());
  check(again && again->text() == cron->text(), "an expression that is another one when it is read again");
  auto at = system_clock::time_point(when);
  for (int tick = 0; tick < 5; ++tick) {
    const auto next = cron->next_after(at, zone ? *zone : Zone());
    if (!next) return;
    check(*next > at, "a tick that is not later");
    check(again->next_after(at, zone ? *zone : Zone()) == next, "another tick of the same expression");
    at = *next;
  }
}

}  // namespace ringmill::test
