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
  const std::set<std::string> run_here{"batch",    "documents", "follow_up", "producer",
                                       "readings", "status",    "vehicles",  "worker"};
  EXPECT_EQ(examples_with(".cc"), run_here);
  EXPECT_EQ(examples_with(".expected"), run_here);
}

/// Lines that are neither empty nor comments.
std::size_t count_code_lines(const std::string& name) {
  std::ifstream file(folder_of_examples / (name + ".cc"));
  std::size_t count = 0;
  for (std::string line; std::getline(file, line);) {
    const std::size_t begin = line.find_first_not_of(' ');
    if (begin != std::string::npos && line.compare(begin, 2, "//") != 0) ++count;
  }
  return count;
}

TEST_F(Examples, the_three_programs_need_sixty_lines_each) {
  for (const std::string name : {"readings", "documents", "vehicles"}) {
    EXPECT_GT(count_code_lines(name), 0U) << name;
    EXPECT_LE(count_code_lines(name), 60U) << name;
  }
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

TEST_F(Examples, readings_are_summed_up_and_anomalies_are_told) {
  Program worker("example-readings", {directory_, "work"});
  expect_as_expected("readings", Program("example-readings", {directory_, "produce", "100"}).end());
  EXPECT_TRUE(await([&] {
    const std::string out = worker.out();
    return out.find("sensor 0 is at 99 degrees") != std::string::npos &&
           out.find("sensor 1 is at 99 degrees") != std::string::npos;
  })) << worker.out();
  EXPECT_EQ(worker.end_by(SIGTERM).exit_code, 0);
}

TEST_F(Examples, readings_are_all_reported_though_a_worker_is_killed) {
  Program producer("example-readings", {directory_, "produce", "5000"});
  {
    Program worker("example-readings", {directory_, "work"});
    ASSERT_TRUE(await([&] { return worker.out().find("degrees") != std::string::npos; }));
    worker.end_by(SIGKILL);
  }
  Program worker("example-readings", {directory_, "work"});
  EXPECT_EQ(producer.end().out, "5000 readings, 107900.000000 degrees\n");
  EXPECT_EQ(worker.end_by(SIGTERM).exit_code, 0);
}

TEST_F(Examples, documents_that_are_dead_are_reviewed_and_retried) {
  const Ran submitted =
      Program("example-documents", {directory_, "submit", "batch", "plan.locked", "letter", "memo"}).end();
  EXPECT_EQ(submitted.exit_code, 0) << testing::PrintToString(submitted);
  EXPECT_EQ(Program("example-documents", {directory_, "submit", "urgent", "alarm"}).end().exit_code, 0);
  {
    Program worker("example-documents", {directory_, "work"});
    ASSERT_TRUE(await([&] {
      const std::string out = worker.out();
      return out.find("urgent: a summary of the text of alarm\n") != std::string::npos &&
             out.find("batch: a summary of the text of letter\n") != std::string::npos &&
             out.find("batch: a summary of the text of memo\n") != std::string::npos;
    })) << worker.out();
    const auto review = [&] { return Program("example-documents", {directory_, "review"}).end().out; };
    EXPECT_TRUE(await([&] { return !review().empty(); }));
    EXPECT_EQ(worker.end_by(SIGTERM).exit_code, 0);
  }
  expect_as_expected("documents", Program("example-documents", {directory_, "review"}).end());
  EXPECT_EQ(Program("example-documents", {directory_, "retry"}).end().out, "1 retried\n");
  Program worker("example-documents", {directory_, "work", "swordfish"});
  EXPECT_TRUE(await([&] { return worker.out() == "batch: a summary of the text of plan.locked\n"; })) << worker.out();
  EXPECT_EQ(worker.end_by(SIGTERM).exit_code, 0);
  EXPECT_EQ(Program("example-documents", {directory_, "review"}).end().out, "");
}

TEST_F(Examples, vehicles_keep_the_order_of_their_events) {
  EXPECT_EQ(Program("example-vehicles", {directory_, "send", "3", "30"}).end().exit_code, 0);
  Program worker("example-vehicles", {directory_, "work"});
  EXPECT_TRUE(await([&] { return worker.out().find(expected_of("vehicles")) != std::string::npos; })) << worker.out();
  EXPECT_EQ(worker.end_by(SIGTERM).exit_code, 0);
}

}  // namespace
}  // namespace ringmill::test
