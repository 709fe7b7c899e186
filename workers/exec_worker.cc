#include "workers/exec_worker.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <new>
#include <string>
#include <thread>

#include "core/base/log.h"
#include "ipc/clock.h"

namespace ringmill {

namespace {

constexpr int status_rejected = 100;
/// A shell whose command was ended by signal N exits with this and N.
constexpr int status_of_signal = 128;
constexpr int no_interrupt = -1;
constexpr std::uint64_t for_ever_ns = ~std::uint64_t{0};
/// The interval at which a running command's job is checked for a cancellation.
constexpr std::uint64_t look_every_ns = 50'000'000;

Result<File> make_event() {
  File event = File::above_standard(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return std::unexpected(system_error("eventfd", "a worker of commands"));
  return event;
}

WorkerOptions worker_options(const ExecOptions& options) {
  return {.threads = options.concurrency,
          .levels = options.levels,
          .policy = options.policy,
          .prefetch = 1,  // no job waits behind a command
          .drain = options.drain,
          .give_up_after = options.give_up_after};
}

std::uint64_t to_ns(std::chrono::milliseconds time) noexcept {
  return static_cast<std::uint64_t>(time.count()) * 1'000'000;
}

/// A failure of the worker itself: its own arguments fit.
JobOutcome not_started(const Error& error) {
  return JobOutcome::unable("the command could not be started: " + error.message());
}

/// Linux passes on at most 128 KiB in one text of arguments or environment (MAX_ARG_STRLEN).
constexpr std::size_t most_command_bytes = 128 * 1024 - 1;
constexpr std::size_t most_parents_bytes = 64 * 1024;

/// How a command gets the ids of its job's parents.
struct Parents {
  std::string ids;
  File file;  // with the ids, if they are too many
};

/// While it lives the keeper knows of the job's command, so that the command does not outlive this process.
class NotedSession {
 public:
  explicit NotedSession(Job& job) noexcept : job_(job) { job_.note_session(1); }
  NotedSession(const NotedSession&) = delete;
  NotedSession& operator=(const NotedSession&) = delete;
  ~NotedSession() { job_.note_session(0); }

 private:
  Job& job_;
};

/// A service manager that stops this worker signals its commands as well, at the same moment. Such an end is no failure
/// of the command. Our own signal may come a little later.
bool ended_with_worker(const JobContext& job, const CommandEnd& end) {
  const int signal = end.signal != 0 ? end.signal : end.status - status_of_signal;
  if (signal != SIGTERM && signal != SIGINT && signal != SIGHUP) return false;
  for (int looks = 0; looks < 10 && !job.is_stopping(); ++looks) {
    std::this_thread::sleep_for(std::chrono::milliseconds{10});
  }
  return job.is_stopping();
}

/// Puts a longer list into a file in memory, which lives as long as a process has it open.
Result<Parents> hand_over_parents(const std::vector<JobId>& parents) {
  std::string ids;
  for (const JobId parent : parents) ids += (ids.empty() ? "" : ",") + parent.to_string();
  if (ids.size() <= most_parents_bytes) return Parents{std::move(ids), File()};
  File file(::memfd_create("ringmill-parents", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!file) return std::unexpected(system_error("memfd_create", "the list of a job's parents"));
  ids += '\n';
  if (auto written = write_all(file, ids, "the list of a job's parents"); !written) {
    return std::unexpected(written.error());
  }
  ::lseek(file.descriptor(), 0, SEEK_SET);
  ::fcntl(file.descriptor(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL);
  return Parents{{}, std::move(file)};
}

}  // namespace

ExecWorker::ExecWorker(Engine& engine, ExecOptions options)
    : options_(std::move(options)),
      most_result_bytes_(engine.most_payload_bytes()),
      ending_(make_event()),
      worker_(engine, worker_options(options_)) {
  const auto handler = [this](JobContext& job) { return run_command(job); };
  for (const std::string& kind : options_.kinds) worker_.on(kind, handler);
  if (options_.kinds.empty()) worker_.on_any(handler);
}

Result<void> ExecWorker::run() {
  if (!ending_) return std::unexpected(ending_.error());
  if (options_.command.empty()) return std::unexpected(Error(ErrorCode::invalid_argument, "the command is empty"));
  if (options_.command.size() > most_command_bytes || options_.command.contains('\0')) {
    return std::unexpected(Error(ErrorCode::invalid_argument,
                                 "the command has a byte 0, or more than the 131071 bytes that the system passes on in "
                                 "one argument; put it into a file"));
  }
  if (options_.lease < std::chrono::milliseconds{2} || options_.lease > std::chrono::hours{24 * 24}) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "a command's lease is 2 ms to 24 days"));
  }
  if (options_.kill_grace < std::chrono::milliseconds{0}) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "the time from SIGTERM to SIGKILL is not negative"));
  }
  if (auto able = Command::can_learn_ends(); !able) return able;
  return worker_.run();
}

void ExecWorker::stop() noexcept { worker_.stop(); }

void ExecWorker::stop_now() noexcept {
  worker_.stop();
  constexpr std::uint64_t one = 1;
  if (ending_) [[maybe_unused]]
    const ssize_t written = ::write(ending_->descriptor(), &one, sizeof one);
}

Result<SignalStop> ExecWorker::stop_on_signals() {
  return SignalStop::install([this](std::uint32_t count) {
    if (count > 1) {
      log().info("second stop signal: running commands are ended, and their jobs wait again");
      stop_now();
      return;
    }
    log().info("stop signal: running commands go on to their end, and no new one starts; a second signal ends them");
    stop();
  });
}

JobOutcome ExecWorker::run_command(JobContext& job) {
  try {
    return run_shell(job);
  } catch (const std::bad_alloc&) {
    return JobOutcome::unable("this process has no memory left");
  }
}

JobOutcome ExecWorker::run_shell(JobContext& job) {
  // From here on the lease's length is known: a job may have one of its own.
  if (!job.extend(options_.lease)) return JobOutcome::release();
  const std::uint64_t half_lease_ns = to_ns(options_.lease) / 2;
  const std::uint64_t begin_ns = steady_clock_ns();
  std::uint64_t extend_at_ns = begin_ns + half_lease_ns;
  const std::uint64_t over_at_ns = job.lease().count() == 0 ? for_ever_ns : begin_ns + to_ns(job.lease());
  const auto parents = hand_over_parents(job.parents());
  if (!parents) return not_started(parents.error());
  // Without a tag or a trace they are empty: those of the worker are not the job's.
  const std::array<std::string, 8> environment{
      "RINGMILL_JOB_ID=" + job.id().to_string(),
      "RINGMILL_KIND=" + std::string(job.kind()),
      "RINGMILL_LEVEL=" + std::string(job.level()),
      "RINGMILL_ATTEMPT=" + std::to_string(job.attempt()),
      "RINGMILL_TAG=" + job.tag(),
      "TRACEPARENT=" + job.trace_parent(),
      "RINGMILL_PARENTS=" + parents->ids,
      std::string("RINGMILL_PARENTS_FILE=") + (parents->file ? "/dev/fd/3" : "")};
  const std::uint64_t most_output =
      std::max<std::uint64_t>(options_.on_result ? options_.most_output : most_result_bytes_, Command::most_output);
  const CommandExtras extras{.most_spooled = most_output - Command::most_output,
                             .handed_over = parents->file ? &parents->file : nullptr};
  const NotedSession noted(job.job());
  auto command = Command::start(options_.command, environment, job.payload(), extras);
  if (!command) return not_started(command.error());
  job.job().note_session(command->process());
  while (true) {
    const std::uint64_t look_at_ns = std::min(steady_clock_ns() + look_every_ns, over_at_ns);
    switch (command->wait(ending_->descriptor(), look_at_ns)) {
      case Command::Event::ended:
        return outcome_of(job, command->finish());
      case Command::Event::interrupted:
        static_cast<void>(end(*command));
        return JobOutcome::release();
      case Command::Event::time_over:
        if (job.should_stop()) {
          static_cast<void>(end(*command));
          return JobOutcome::cancel();
        }
        if (steady_clock_ns() >= over_at_ns) {
          return JobOutcome::time_out(
              fmt::format("the command ran for longer than {} ms and was ended", job.lease().count()),
              end(*command).error_text);
        }
        if (steady_clock_ns() < extend_at_ns) break;
        if (!job.extend(options_.lease)) {
          log().warn("job {}: the lease was lost while its command ran, so the command is ended", job.id().to_string());
          static_cast<void>(end(*command));
          return JobOutcome::release();
        }
        extend_at_ns = steady_clock_ns() + half_lease_ns;
        break;
    }
  }
}

/// SIGTERM, time to obey, then SIGKILL for whatever is left of the group. The shell is reaped last: until then its
/// process id, which names the group, is not used again.
CommandEnd ExecWorker::end(Command& command) const {
  command.signal_group(SIGTERM);
  command.wait(no_interrupt, steady_clock_ns() + to_ns(options_.kill_grace));
  command.signal_group(SIGKILL);
  while (command.wait(no_interrupt, for_ever_ns) != Command::Event::ended) continue;
  return command.finish();
}

/// Standard output, byte for byte, if there is room for a result so long.
JobOutcome ExecWorker::completed(JobContext& job, const CommandEnd& end) {
  const std::size_t room = job.job().result_room();
  const bool is_kept = room != ~std::size_t{0};
  if (!is_kept) return JobOutcome::complete();
  if (end.output_was_cut || end.output.size() + end.more_output.size() > room) {
    return JobOutcome::complete_cut(end.output);
  }
  std::string result = end.output;
  const auto read = end.more_output.read([&result](std::string_view piece) {
    result += piece;
    return true;
  });
  return read ? JobOutcome::complete(std::move(result)) : JobOutcome::complete_cut(end.output);
}

JobOutcome ExecWorker::outcome_of(JobContext& job, const CommandEnd& end) const {
  if (end.exec_errno != 0) return not_started(system_error("execve", "/bin/sh", end.exec_errno));
  if (end.status == 0) {
    if (options_.on_result) options_.on_result({job.id(), end.output, end.more_output, end.output_was_cut});
    return completed(job, end);
  }
  if (ended_with_worker(job, end)) return JobOutcome::release();
  std::string reason = "the command ended with status " + std::to_string(end.status);
  if (end.signal != 0) reason = "the command was ended by signal " + std::to_string(end.signal);
  if (end.status < 0 && end.signal == 0) reason = "the command ended, and another part of this process took its status";
  if (end.status == status_rejected) return JobOutcome::reject(std::move(reason), end.error_text);
  return JobOutcome::fail(std::move(reason), end.error_text);
}

}  // namespace ringmill
