// The programs of docs/examples, built and run: each says what its .expected file says.
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include <ringmill/engine.h>

#include "tests/support/await.h"
#include "tests/support/program.h"
#include "tests/support/scratch.h"

namespace ringmill::test {
namespace {

const std::filesystem::path folder_of_examples = std::filesystem::path(RINGMILL_SOURCES) / "docs/examples";

std::string expected_of(const std::string& name) {
  std::ifstream file(folder_of_examples / (name + ".expected"));
  if (!file) throw std::runtime_error("docs/examples has no " + name + ".expected");
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The names of the examples that have a file of this kind.
std::set<std::string> examples_with(const std::string& extension) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder_of_examples)) {
    if (entry.path().extension() == extension) names.insert(entry.path().stem());
  }
  return names;
}

/// A place for the engine that an example makes, with the default options, as a reader's would.
class Examples : public testing::Test {
 protected:
  ~Examples() override { static_cast<void>(Engine::remove(directory_, true)); }

  Ran run(const std::string& name) { return Program("example-" + name, {directory_}).end(); }

  ScratchFolder folder_;
  const std::filesystem::path directory_ = folder_.path() / "engine";
};

void expect_as_expected(const std::string& name, const Ran& ran) {
  EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
  EXPECT_EQ(ran.out, expected_of(name));
  EXPECT_EQ(ran.err, "");
}

TEST_F(Examples, all_of_them_are_run_here) {
  const std::set<std::string> run_here{"batch", "follow_up", "producer", "status", "worker"};
  EXPECT_EQ(examples_with(".cc"), run_here);
  EXPECT_EQ(examples_with(".expected"), run_here);
}

TEST_F(Examples, batch_says_what_is_expected) { expect_as_expected("batch", run("batch")); }

TEST_F(Examples, follow_up_says_what_is_expected) {
  const Ran ran = run("follow-up");
  EXPECT_EQ(ran.exit_code, 0) << testing::PrintToString(ran);
  EXPECT_EQ(ran.out, expected_of("follow_up"));
}

TEST_F(Examples, status_says_what_is_expected) { expect_as_expected("status", run("status")); }

TEST_F(Examples, producer_says_what_is_expected) { expect_as_expected("producer", run("producer")); }

TEST_F(Examples, producer_may_run_again_on_the_same_engine) {
  run("producer");
  expect_as_expected("producer", run("producer"));
}

TEST_F(Examples, worker_runs_the_producers_jobs_and_ends_by_sigterm_as_expected) {
  run("producer");
  Program worker("example-worker", {directory_});
  ASSERT_TRUE(await([&] { return worker.out().find("Barbara") != std::string::npos; })) << worker.out();
  expect_as_expected("worker", worker.end_by(SIGTERM));
}

TEST_F(Examples, worker_without_an_engine_says_so_and_fails) {
  const Ran ran = run("worker");
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_EQ(ran.out, "");
  EXPECT_NE(ran.err.find(directory_.string()), std::string::npos) << ran.err;
}

}  // namespace
}  // namespace ringmill::test
