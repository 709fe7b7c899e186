// Jobs as shell commands. What `ringmill work` shows of this (payload, environment, kinds and levels, several at once,
// the first SIGTERM) is in tests/cli/work_test.cc.
#include "workers/exec_worker.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "tests/support/child.h"
#include "tests/support/log_capture.h"
#include "tests/support/processes.h"
#include "tests/support/shared_block.h"
#include "tests/support/worker_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

/// The second attempt is done at once, whatever the first one does.
std::string first_time(const std::string& command) { return "test $RINGMILL_ATTEMPT = 2 && exit 0; " + command; }

struct ExecWorld : WorkerWorld {
  using WorkerWorld::WorkerWorld;

  /// Runs everything that waits.
  WorkerStatus drain(ExecOptions options) {
    options.drain = true;
    options.on_result = [this](const ExecResult& result) {
      std::string all;
      must(result.read([&](std::string_view piece) {
        all += piece;
        return true;
      }));
      results.push_back({result.id, std::move(all), result.was_cut});
    };
    ExecWorker worker(engine, std::move(options));
    must(worker.run());
    return worker.status();
  }

  struct Result {
    JobId id;
    std::string output;
    bool was_cut;
  };
  std::vector<Result> results;
};

TEST(ExecWorkers, the_output_of_a_command_that_ends_with_0_is_its_jobs_result) {
  ExecWorld world;
  const JobId id = world.add("7");
  world.drain({.command = "read n; echo $((n * n)); echo noise >&2"});
  ASSERT_EQ(world.results.size(), 1U);
  EXPECT_EQ(world.results[0].id, id);
  EXPECT_EQ(world.results[0].output, "49\n");
  EXPECT_FALSE(world.results[0].was_cut);
}

TEST(ExecWorkers, a_command_that_fails_has_no_result) {
  ExecWorld world;
  world.add();
  const LogCapture said;
  world.drain({.command = first_time("echo half; exit 1")});
  ASSERT_EQ(world.results.size(), 1U);
  EXPECT_EQ(world.results[0].output, "");
}

TEST(ExecWorkers, what_a_command_writes_is_passed_on_whole) {
  ExecWorld world;
  world.add();
  const WorkerStatus did = world.drain({.command = "seq 300000"});
  EXPECT_EQ(did.completed, 1U);
  ASSERT_EQ(world.results.size(), 1U);
  std::string expected;
  for (int n = 1; n <= 300000; ++n) expected += std::to_string(n) + "\n";
  EXPECT_TRUE(world.results[0].output == expected) << world.results[0].output.size() << " bytes";
  EXPECT_FALSE(world.results[0].was_cut);
}

TEST(ExecWorkers, what_is_longer_than_the_bound_is_cut_and_says_so) {
  ExecWorld world;
  world.add();
  const WorkerStatus did = world.drain({.command = "head -c 1000000 /dev/zero", .most_output = 100'000});
  EXPECT_EQ(did.completed, 1U);
  ASSERT_EQ(world.results.size(), 1U);
  EXPECT_EQ(world.results[0].output.size(), 100'000U);
  EXPECT_TRUE(world.results[0].was_cut);
}

JobId add_by(Participant& producer, Engine& engine) {
  return must(producer.enqueue({.kind = must(engine.kind(kind_name)), .level = must(engine.level("default"))}));
}

bool has_worker(const Engine& engine) {
  return std::ranges::count(engine.status().participants, "worker", &ParticipantStatus::role) == 1;
}

/// The child's status: 0 if run() ended with `system` and a message that has this, and no attempt was counted.
int gives_up_with(ExecWorld& world, ExecOptions options, std::string_view part) {
  Engine opened = world.scratch.open(without_keeper);
  const JobId id = add_by(*must(opened.attach(Role::producer)), opened);
  options.give_up_after = 250ms;
  ExecWorker worker(opened, std::move(options));
  const auto ran = worker.run();
  if (code_of(ran) != ErrorCode::system) return 1;
  if (ran.error().message().find(part) == std::string::npos) return 2;
  const JobInfo info = must(opened.job(id));
  return info.state == JobState::queued && info.attempts == 0 ? 0 : 3;
}

TEST(ExecWorkers, a_shell_that_is_not_there_is_no_attempt_and_ends_the_worker) {
  ExecWorld world;
  const ScratchFolder folder;
  const auto nothing = folder.path() / "no-program";
  std::ofstream(nothing).close();
  SharedBlock<std::atomic<bool>> may_mount;
  Child child([&] {
    if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount(nothing.c_str(), "/bin/sh", nullptr, MS_BIND, nullptr) != 0) {
      return 0;
    }
    *may_mount = true;
    return gives_up_with(world, {.command = "true"}, "/bin/sh: Permission denied");
  });
  EXPECT_EQ(child.wait(), 0);
  if (!*may_mount) GTEST_SKIP() << "only root can hide the shell";
}

TEST(ExecWorkers, an_environment_that_the_system_does_not_pass_on_is_no_attempt_and_ends_the_worker) {
  ExecWorld world;
  Child child([&] {
    ::setenv("RINGMILL_TEST_LONG", std::string(200'000, 'x').c_str(), 1);
    return gives_up_with(world, {.command = "true"}, "Argument list too long");
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(ExecWorkers, a_process_without_descriptors_is_no_attempt_and_goes_on_when_there_are_some) {
  ExecWorld world;
  Child child([&] {
    Engine opened = world.scratch.open(without_keeper);
    const auto producer = must(opened.attach(Role::producer));
    ExecWorker worker(opened, {.command = "true"});
    rlimit normal{};
    ::getrlimit(RLIMIT_NOFILE, &normal);
    const LogCapture said;
    Running running(worker);
    // Once it has attached it needs no descriptor of its own, but for commands.
    const bool attached = await([&] { return has_worker(opened); });
    const rlimit none{.rlim_cur = 0, .rlim_max = normal.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
    const JobId id = add_by(*producer, opened);
    const bool told = await([&] { return said.has("Too many open files"); });
    const bool waits = must(opened.job(id)).attempts == 0;
    ::setrlimit(RLIMIT_NOFILE, &normal);
    const bool ended = await([&] { return must(opened.job(id)).state == JobState::ended; });
    const bool ran = running.stop().has_value() && worker.status().failed == 0;
    return attached && told && waits && ended && ran ? 0 : 1;
  });
  EXPECT_EQ(child.wait(), 0);
}

/// Of children that have ended: any process has some.
long page_faults_of_children() {
  rusage used{};
  ::getrusage(RUSAGE_CHILDREN, &used);
  return used.ru_minflt;
}

TEST(ExecWorkers, whatever_descriptor_is_lacking_no_process_has_begun) {
  ExecWorld world;
  Child child([&] {
    Engine opened = world.scratch.open(without_keeper);
    const auto producer = must(opened.attach(Role::producer));
    ExecWorker worker(opened, {.command = "true"});
    rlimit normal{};
    ::getrlimit(RLIMIT_NOFILE, &normal);
    const LogCapture said;
    Running running(worker);
    if (!await([&] { return has_worker(opened); })) return 1;
    const auto first_free = static_cast<rlim_t>(File(::dup(STDERR_FILENO)).descriptor());
    // From more than enough down to none: at one number after another another one is lacking.
    int failures = 0;
    for (rlim_t given = 24; given-- > 0;) {
      const long before = page_faults_of_children();
      const rlimit few{.rlim_cur = first_free + given, .rlim_max = normal.rlim_max};
      ::setrlimit(RLIMIT_NOFILE, &few);
      const std::uint64_t released = worker.status().released;
      const JobId id = add_by(*producer, opened);
      const auto has_failed = [&] { return worker.status().released > released; };
      const auto is_over = [&] { return must(opened.job(id)).state == JobState::ended; };
      if (!await([&] { return has_failed() || is_over(); })) return 2;
      const bool begun = page_faults_of_children() != before;
      ::setrlimit(RLIMIT_NOFILE, &normal);
      failures += has_failed() ? 1 : 0;
      if (begun == has_failed()) return 5;
      if (!await(is_over)) return 3;
    }
    if (failures < 7) return 6;
    return worker.status().failed == 0 && running.stop() ? 0 : 4;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(ExecWorkers, a_limit_of_file_size_cuts_what_a_command_said_and_ends_no_program) {
  ExecWorld world;
  Child child([&] {
    Engine opened = world.scratch.open(without_keeper);
    const JobId id = add_by(*must(opened.attach(Role::producer)), opened);
    bool was_cut = false;
    ExecOptions options{.command = "seq 100000"};  // more than what is kept in memory
    options.drain = true;
    options.on_result = [&was_cut](const ExecResult& result) { was_cut = result.was_cut; };
    ExecWorker worker(opened, std::move(options));
    const rlimit little{.rlim_cur = 4096, .rlim_max = 4096};
    ::setrlimit(RLIMIT_FSIZE, &little);
    if (!worker.run()) return 1;
    return was_cut && must(opened.job(id)).state == JobState::ended ? 0 : 2;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(ExecWorkers, a_user_without_processes_left_is_no_attempt) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become a user that may have none";
  CreateOptions options = small_engine();
  options.mode = 0755;  // entering reads which memory is the newest
  ExecWorld world(options, OpenOptions{});
  Child child([&] {
    Engine opened = world.scratch.open(without_keeper);
    const auto producer = must(opened.attach(Role::producer));
    ExecWorker worker(opened, {.command = "true", .give_up_after = 400ms});
    constexpr uid_t with_few = 61'234;
    if (::setresuid(with_few, with_few, with_few) != 0) return 1;
    const LogCapture said;
    Running running(worker);
    if (!await([&] { return has_worker(opened); })) return 2;
    const rlimit none{.rlim_cur = 0, .rlim_max = 0};
    ::setrlimit(RLIMIT_NPROC, &none);
    const JobId id = add_by(*producer, opened);
    const auto ran = running.wait();
    if (code_of(ran) != ErrorCode::system) return 3;
    if (!said.has("Resource temporarily unavailable")) return 4;
    return must(opened.job(id)).attempts == 0 ? 0 : 5;
  });
  EXPECT_EQ(child.wait(), 0);
}

TEST(ExecWorkers, more_parents_than_an_environment_holds_are_in_a_file) {
  CreateOptions options = small_engine();
  options.capacity = 64;
  options.cell_size = 65536;
  ExecWorld world(options, OpenOptions{});
  constexpr std::size_t count = 5000;
  std::vector<JobId> parents;
  std::string expected;
  const auto participant = must(world.engine.attach(Role::worker));
  for (std::size_t n = 0; n < count; ++n) {
    parents.push_back(must(participant->enqueue({.kind = world.kind, .level = world.level})));
    must(must(participant->claim()).complete());
    expected += (n == 0 ? "" : ",") + parents.back().to_string();
  }
  const LinkedRequest last{.request = {.kind = world.kind, .level = world.level}, .after = parents};
  std::array<JobId, 1> id{};
  must(participant->enqueue_together(std::span(&last, 1), id));
  ASSERT_TRUE(await([&] { return world.state_of(id[0]) == JobState::queued; }));
  world.drain({.command = "printf %s. \"$RINGMILL_PARENTS\"; cat $RINGMILL_PARENTS_FILE"});
  ASSERT_EQ(world.results.size(), 1U);
  EXPECT_EQ(world.results[0].output, "." + expected + "\n");
}

TEST(ExecWorkers, of_what_a_failed_command_said_the_last_line_is_kept) {
  CreateOptions options = small_engine();
  options.cell_size = 256;
  ExecWorld world(options);
  const JobOptions later{.retry_policy = must(world.engine.retry_policy("fixed:1h"))};
  const JobId id = must(world.producer->enqueue({.kind = world.kind, .level = world.level, .options = later}));
  ExecWorker worker(world.engine, {.command = "for n in $(seq 400); do echo debug: step $n of the import is fine >&2; "
                                              "done; echo FATAL: disk quota exceeded for user bob >&2; exit 1"});
  const LogCapture said;
  Running running(worker);
  ASSERT_TRUE(await([&] { return world.state_of(id) == JobState::delayed; }));
  must(running.stop());
  const std::string error = must(world.engine.job(id)).last_error;
  EXPECT_TRUE(error.starts_with("the command ended with status 1: [...] debug: step ")) << error;
  EXPECT_TRUE(error.ends_with("\nFATAL: disk quota exceeded for user bob")) << error;
  EXPECT_TRUE(said.has("FATAL: disk quota exceeded"));
}

TEST(ExecWorkers, the_largest_payload_passes_through_a_command) {
  CreateOptions options = small_engine();
  options.capacity = 64;
  options.cell_size = 65536;
  ExecWorld world(options);
  const std::string payload(world.engine.most_payload_bytes(), 'p');
  world.add(payload);
  world.drain({.command = "cat"});
  ASSERT_EQ(world.results.size(), 1U);
  EXPECT_EQ(world.results[0].output, payload);
}

TEST(ExecWorkers, every_exit_status_but_0_and_100_fails_the_attempt) {
  for (const char* status : {"1", "2", "75", "126", "255"}) {
    ExecWorld world;
    world.add();
    const LogCapture said;
    const WorkerStatus did = world.drain({.command = first_time(std::string("exit ") + status)});
    EXPECT_EQ(did.failed, 1U) << status;
    EXPECT_EQ(did.completed, 1U) << status;
    EXPECT_TRUE(
        said.has(std::string("attempt 1 failed, the job waits again: the command ended with status ") + status));
  }
}

TEST(ExecWorkers, a_command_that_ends_with_100_is_not_run_again) {
  ExecWorld world;
  const JobId id = world.add();
  const WorkerStatus did = world.drain({.command = "echo no such customer >&2; exit 100"});
  EXPECT_EQ(did.failed, 1U);
  EXPECT_EQ(did.dead, 1U);
  const JobInfo info = must(world.engine.job(id));
  EXPECT_EQ(info.state, JobState::dead);
  EXPECT_EQ(info.attempts, 1U);
}

TEST(ExecWorkers, a_command_that_runs_longer_than_its_jobs_timeout_is_ended_and_has_failed) {
  ExecWorld world;
  const JobOptions once{.max_attempts = 1};
  const JobId id =
      must(world.producer->enqueue({.kind = world.kind, .level = world.level, .lease = 200ms, .options = once}));
  const WorkerStatus did = world.drain({.command = "sleep 600 & sleep 600"});
  EXPECT_EQ(did.failed, 1U);
  EXPECT_EQ(did.dead, 1U);
  EXPECT_EQ(world.state_of(id), JobState::dead);
}

TEST(ExecWorkers, the_command_of_a_job_that_is_cancelled_is_ended) {
  ExecWorld world;
  const JobOptions kept{.keep_result = 1min};
  const JobId id = must(world.producer->enqueue({.kind = world.kind, .level = world.level, .options = kept}));
  ExecWorker worker(world.engine, {.command = "trap 'exit 0' TERM; sleep 600 & wait"});
  Running running(worker);
  ASSERT_TRUE(await([&] { return world.state_of(id) == JobState::running; }));
  EXPECT_EQ(must(world.producer->cancel(id)), Cancelled::asked_to_stop);
  ASSERT_TRUE(await([&] { return world.state_of(id) == JobState::cancelled; }));
  must(running.stop());
  EXPECT_EQ(worker.status().cancelled, 1U);
}

TEST(ExecWorkers, a_command_that_a_signal_ends_fails_the_attempt) {
  ExecWorld world;
  world.add();
  const LogCapture said;
  const WorkerStatus did = world.drain({.command = first_time("kill -SEGV $$")});
  EXPECT_EQ(did.failed, 1U);
  EXPECT_EQ(did.completed, 1U);
  EXPECT_TRUE(said.has("ended by signal 11"));
}

TEST(ExecWorkers, a_command_that_does_not_exist_fails_the_attempt_and_the_log_has_the_shells_words) {
  ExecWorld world;
  world.add();
  const LogCapture said;
  const WorkerStatus did = world.drain({.command = first_time("no-such-command-anywhere")});
  EXPECT_EQ(did.failed, 1U);
  EXPECT_EQ(did.completed, 1U);
  EXPECT_TRUE(said.has("status 127"));
  EXPECT_TRUE(said.has("no-such-command-anywhere"));
}

TEST(ExecWorkers, a_command_that_does_not_read_its_payload_completes_its_job) {
  ExecWorld world;
  world.add("never read");
  EXPECT_EQ(world.drain({.command = "exec 0<&-; exit 0"}).completed, 1U);
}

/// Commands that wait for a file, and note their shell's process id in another.
struct GatedWorld : ExecWorld {
  std::string note_and_wait() const {
    return "echo $$ > " + note().string() + "; while ! test -e " + gate().string() + "; do sleep 0.01; done";
  }
  std::filesystem::path note() const { return folder.path() / "pid"; }
  std::filesystem::path gate() const { return folder.path() / "gate"; }

  ScratchFolder folder;
};

TEST(ExecWorkers, the_lease_is_extended_as_long_as_the_command_runs) {
  GatedWorld world;
  Inside inside(world.scratch);
  const JobId id = world.add();
  ExecWorker worker(world.engine, {.command = world.note_and_wait(), .lease = 20ms});
  Running running(worker);
  noted_pid(world.note());
  StateWord before = inside.table().word(index_of(id));
  for (int times = 0; times < 3; ++times) {
    ASSERT_TRUE(await([&] { return inside.table().word(index_of(id)) != before; })) << times;
    before = inside.table().word(index_of(id));
    ASSERT_EQ(before.state(), CellState::running);
  }
  std::ofstream(world.gate()).close();
  EXPECT_TRUE(await([&] { return world.state_of(id) == JobState::ended; }));
}

TEST(ExecWorkers, a_lease_that_is_lost_ends_the_command) {
  GatedWorld world;
  Inside inside(world.scratch);
  const JobId id = world.add();
  const LogCapture said;
  ExecWorker worker(world.engine, {.command = first_time(world.note_and_wait()), .lease = 20ms});
  Running running(worker);
  const pid_t command = noted_pid(world.note());
  revoke_leases(inside);
  EXPECT_TRUE(await([&] { return is_gone(command); }));
  EXPECT_TRUE(await([&] { return world.state_of(id) == JobState::ended; })) << "the second attempt";
  must(running.stop());
  EXPECT_EQ(worker.status().lost, 1U);
  EXPECT_EQ(worker.status().completed, 1U);
  EXPECT_TRUE(said.has("the lease was lost while its command ran"));
}

TEST(ExecWorkers, stop_now_ends_the_command_and_gives_its_job_back_uncounted) {
  GatedWorld world;
  const JobId id = world.add();
  // It obeys SIGTERM by ending well: the job goes back all the same.
  ExecWorker worker(world.engine, {.command = "trap 'exit 0' TERM; " + world.note_and_wait()});
  Running running(worker);
  const pid_t command = noted_pid(world.note());
  worker.stop_now();
  must(running.wait());
  EXPECT_TRUE(is_gone(command));
  EXPECT_EQ(world.state_of(id), JobState::queued);
  EXPECT_EQ(world.attempts_of(id), 0U);
  EXPECT_EQ(worker.status().released, 1U);
}

TEST(ExecWorkers, a_command_that_ignores_sigterm_is_killed_after_the_grace) {
  GatedWorld world;
  const JobId id = world.add();
  ExecWorker worker(world.engine, {.command = "trap '' TERM; " + world.note_and_wait(), .kill_grace = 10ms});
  Running running(worker);
  const pid_t command = noted_pid(world.note());
  worker.stop_now();
  must(running.wait());
  EXPECT_TRUE(is_gone(command));
  EXPECT_EQ(world.state_of(id), JobState::queued);
}

TEST(ExecWorkers, what_a_command_has_started_ends_with_it) {
  GatedWorld world;
  world.add();
  // The shell obeys SIGTERM, what it has started does not.
  const std::string command = "(trap '' TERM; while :; do sleep 0.01; done) & echo $! > " + world.note().string() +
                              "; trap 'exit 0' TERM; wait";
  ExecWorker worker(world.engine, {.command = command, .kill_grace = 10s});
  Running running(worker);
  const pid_t started = noted_pid(world.note());
  worker.stop_now();
  must(running.wait());
  EXPECT_TRUE(await([&] { return is_gone(started); }));
}

TEST(ExecWorkers, a_second_sigterm_ends_the_command_and_gives_its_job_back) {
  GatedWorld world;
  const JobId id = world.add();
  SharedBlock<std::atomic<bool>> is_over;
  Child child([&] {
    ::signal(SIGTERM, SIG_IGN);  // what is in force again afterwards: the test may send one too many
    Engine opened = world.scratch.open(without_keeper);
    ExecWorker worker(opened, {.command = world.note_and_wait()});
    const auto signals = worker.stop_on_signals();
    const bool ran = signals && worker.run();
    *is_over = true;
    return ran ? 0 : 1;
  });
  const pid_t command = noted_pid(world.note());
  // Signals that come too close together are one.
  EXPECT_TRUE(await([&] {
    ::kill(child.pid(), SIGTERM);
    return is_over->load();
  }));
  EXPECT_EQ(child.wait(), 0);
  EXPECT_TRUE(is_gone(command));
  EXPECT_EQ(world.state_of(id), JobState::queued);
  EXPECT_EQ(world.attempts_of(id), 0U);
}

TEST(ExecWorkers, a_worker_that_is_killed_takes_its_commands_shell_with_it) {
  GatedWorld world;
  world.add();
  Child child([&] {
    Engine opened = world.scratch.open(without_keeper);
    return ExecWorker(opened, {.command = world.note_and_wait()}).run() ? 0 : 1;
  });
  const pid_t command = noted_pid(world.note());
  child.kill();
  EXPECT_TRUE(await([&] { return is_gone(command); }));
}

TEST(ExecWorkers, everything_that_a_killed_workers_command_has_started_dies_before_the_job_goes_on) {
  GatedWorld world;
  const JobId id = world.add();
  const std::filesystem::path inner = world.note().string() + "-inner";
  Child child([&] {
    Engine opened = world.scratch.open(without_keeper);
    const std::string inside = "trap \"\" HUP TERM; echo $$ > " + inner.string() + "; sleep 600";
    return ExecWorker(opened, {.command = "sh -c '" + inside + "' & wait"}).run() ? 0 : 1;
  });
  const pid_t left = noted_pid(inner);
  child.kill();
  EXPECT_FALSE(is_gone(left));  // only the shell dies with its worker
  const Engine keeper = world.scratch.open();
  auto next = must(world.engine.attach(Role::worker));
  const Job job = must(next->claim(10s));
  EXPECT_EQ(job.id(), id);
  EXPECT_TRUE(is_gone(left)) << "it ran beside the next attempt";
}

TEST(ExecWorkers, a_session_that_shared_memory_names_is_left_alone_if_it_is_no_command_of_the_job) {
  GatedWorld world;
  world.add();
  Child bystander([] {
    ::setsid();
    ::pause();
    return 0;
  });
  EXPECT_TRUE(await([&] { return ::getsid(bystander.pid()) == bystander.pid(); }));
  Child worker([&] {
    Engine opened = world.scratch.open(without_keeper);
    const auto participant = must(opened.attach(Role::worker));
    Job job = must(participant->claim(10s));
    job.note_session(bystander.pid());
    ::_exit(0);
    return 0;
  });
  EXPECT_EQ(worker.wait(), 0);
  const Engine keeper = world.scratch.open();
  auto next = must(world.engine.attach(Role::worker));
  EXPECT_EQ(must(next->claim(10s)).attempt(), 2U);
  EXPECT_FALSE(is_gone(bystander.pid()));
  bystander.kill();
}

TEST(ExecWorkers, a_command_that_is_ended_together_with_its_worker_counts_no_attempt) {
  GatedWorld world;
  const JobId id = world.add();
  ExecWorker worker(world.engine, {.command = world.note_and_wait()});
  Running running(worker);
  const pid_t command = noted_pid(world.note());
  ::kill(command, SIGTERM);  // as a service manager does, to all processes at once
  worker.stop();
  must(running.wait());
  EXPECT_EQ(world.attempts_of(id), 0U);
  EXPECT_TRUE(must(world.engine.job(id)).last_error.empty());
  EXPECT_EQ(world.state_of(id), JobState::queued);
}

TEST(ExecWorkers, options_out_of_their_bounds_are_refused) {
  ExecWorld world;
  const std::vector<ExecOptions> wrong{{.command = ""},
                                       {.command = "true", .concurrency = 0},
                                       {.command = "true", .lease = 1ms},
                                       {.command = "true", .lease = std::chrono::hours{24 * 25}},
                                       {.command = "true", .kill_grace = -1ms},
                                       {.command = "true", .give_up_after = 0ms},
                                       {.command = std::string("tr\0ue", 5)},
                                       {.command = std::string(131'072, 'x')}};
  for (std::size_t n = 0; n < wrong.size(); ++n) {
    ExecWorker worker(world.engine, wrong[n]);
    worker.stop();  // one that is not refused ends all the same
    EXPECT_EQ(code_of(worker.run()), ErrorCode::invalid_argument) << n;
  }
}

}  // namespace
}  // namespace ringmill::test
