// ringmill value.
#include "tests/cli/command_line.h"

namespace ringmill::test {
namespace {

class ValueCommand : public CommandLine {};

TEST_F(ValueCommand, sets_gets_increments_lists_and_removes) {
  EXPECT_EQ(on_engine("value", {"set", "greeting", "good morning", "--ttl", "1h"}).exit_code, 0);
  EXPECT_EQ(on_engine("value", {"get", "greeting"}).out, "good morning");
  EXPECT_EQ(on_engine("value", {"set", "greeting", "no", "--if-absent"}).exit_code, 1);
  EXPECT_EQ(on_engine("value", {"increment", "visits"}).out, "1\n");
  EXPECT_EQ(on_engine("value", {"increment", "visits", "41"}).out, "42\n");
  EXPECT_EQ(on_engine("value", {"list"}).out, "greeting  12 bytes  good morning\nvisits  2 bytes  42\n");
  EXPECT_EQ(on_engine("value", {"wait", "visits", "--json"}).json()["value"], "42");
  EXPECT_EQ(on_engine("value", {"remove", "visits"}).exit_code, 0);
  EXPECT_EQ(on_engine("value", {"get", "visits"}).exit_code, 1);
  EXPECT_EQ(on_engine("value", {"wait", "visits", "--timeout", "10ms"}).exit_code, 1);
  EXPECT_EQ(on_engine("status", {"--json"}).json()["results"]["values"], 1);
}

}  // namespace
}  // namespace ringmill::test
