// ringmill forget.
#include "tests/cli/command_line.h"

namespace ringmill::test {
namespace {

class ForgetCommand : public CommandLine {
 protected:
  std::string completed(const std::string& kind) {
    const std::string id =
        on_engine("enqueue", {"--kind", kind, "--payload", "x", "--keep-result", "3650d"}).lines().at(0);
    EXPECT_EQ(on_engine("work", {"--exec", "cat", "--drain"}).exit_code, 0);
    EXPECT_EQ(state_of(id), "completed");
    return id;
  }
  Ran forget(const std::vector<std::string>& words) { return on_engine("forget", words); }
};

TEST_F(ForgetCommand, one_job_is_forgotten_once) {
  const std::string id = completed("k");
  EXPECT_EQ(forget({id}).exit_code, 0);
  EXPECT_EQ(state_of(id), "ended");
  expect_error(forget({id}), 1, "nothing is kept");
  expect_error(forget({"00000000ffffffff"}), 1, "no such job");
  expect_error(forget({enqueue("waits")}), 1, "not over");
}

TEST_F(ForgetCommand, jobs_are_chosen_by_kind_level_and_age) {
  const std::string mail = completed("mail");
  const std::string report = completed("report");
  EXPECT_EQ(forget({"--kind", "mail", "--older", "1h"}).out, "0 forgotten\n");
  EXPECT_EQ(forget({"--kind", "mail"}).out, "1 forgotten\n");
  EXPECT_EQ(state_of(mail), "ended");
  EXPECT_EQ(state_of(report), "completed");
  EXPECT_EQ(forget({"--level", "low"}).out, "0 forgotten\n");
  EXPECT_EQ(forget({"--all"}).out, "1 forgotten\n");
  expect_error(forget({}), 2, "--all");
  expect_error(forget({report, "--all"}), 2, "--all");
}

}  // namespace
}  // namespace ringmill::test
