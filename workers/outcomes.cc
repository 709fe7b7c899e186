#include "workers/outcomes.h"

#include <exception>
#include <span>
#include <system_error>
#include <utility>

namespace ringmill {

namespace {

/// Errors of a process that has used up what it may have. What a handler does with memory is the job's affair as often
/// as not: a std::bad_alloc is an attempt that failed.
bool is_own_lack(const std::error_code& code) noexcept {
  constexpr std::errc lacks[] = {std::errc::too_many_files_open, std::errc::too_many_files_open_in_system,
                                 std::errc::resource_unavailable_try_again, std::errc::not_enough_memory};
  return std::ranges::any_of(lacks, [&code](std::errc lack) { return code == lack; });
}

Result<Settled> as(Result<void> done, Settled what) {
  if (!done) return std::unexpected(std::move(done.error()));
  return what;
}

}  // namespace

Result<Settled> settle_by(Job& job, const JobOutcome& outcome) {
  const auto result = std::as_bytes(std::span(outcome.text()));
  switch (outcome.what()) {
    case JobOutcome::What::complete:
      return as(outcome.is_cut() ? job.complete_cut(result) : job.complete(result), Settled::over);
    case JobOutcome::What::fail:
      return job.fail(outcome.reason(), outcome.said());
    case JobOutcome::What::time_out:
      return job.time_out(outcome.reason(), outcome.said());
    case JobOutcome::What::retry_in:
      return job.retry_in(outcome.delay(), outcome.reason(), outcome.said());
    case JobOutcome::What::reject:
      return as(job.reject(outcome.reason(), outcome.said()), Settled::dead);
    case JobOutcome::What::snooze:
      return as(job.snooze(outcome.delay()), Settled::waits);
    case JobOutcome::What::release:
    case JobOutcome::What::unable:
      return as(job.release(), Settled::waits);
    case JobOutcome::What::cancel:
      return as(job.cancel(), Settled::over);
  }
  return std::unexpected(Error(ErrorCode::invalid_argument, "not an outcome"));
}

JobOutcome outcome_of_thrown() {
  try {
    throw;
  } catch (const std::system_error& thrown) {
    const std::string text = std::string("the handler threw: ") + thrown.what();
    return is_own_lack(thrown.code()) ? JobOutcome::unable(text) : JobOutcome::fail(text);
  } catch (const std::exception& thrown) {
    return JobOutcome::fail(std::string("the handler threw: ") + thrown.what());
  } catch (...) {
    return JobOutcome::fail("the handler threw something that is no std::exception");
  }
}

}  // namespace ringmill
