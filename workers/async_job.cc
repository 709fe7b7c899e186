// The public calls of a job in flight.
#include "core/base/exceptions.h"
#include "workers/async_run.h"

namespace ringmill {

namespace {

Error is_empty() noexcept { return Error(ErrorCode::not_held, "this AsyncJob is empty, or was moved from"); }

}  // namespace

AsyncJob& AsyncJob::operator=(AsyncJob&& other) noexcept {
  if (this == &other) return *this;
  if (run_) run_->abandon();
  run_ = std::move(other.run_);
  return *this;
}

AsyncJob::~AsyncJob() {
  if (run_) run_->abandon();
}

JobId AsyncJob::id() const noexcept { return run_->id(); }
std::string_view AsyncJob::kind() const noexcept { return run_->kind(); }
std::string_view AsyncJob::level() const noexcept { return run_->level(); }
std::uint32_t AsyncJob::attempt() const noexcept { return run_->attempt(); }
std::span<const std::byte> AsyncJob::payload() const noexcept { return run_->payload(); }
std::vector<JobId> AsyncJob::parents() const { return run_->parents(); }

Result<Settled> AsyncJob::settle(const JobOutcome& outcome) try {
  if (!run_) return std::unexpected(is_empty());
  return run_->settle(outcome);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<JobId> AsyncJob::follow_up(const LinkedRequest& request, std::chrono::nanoseconds wait) try {
  if (!run_) return std::unexpected(is_empty());
  return run_->follow_up(request, wait);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<UniqueJob> AsyncJob::follow_up_unique(const JobRequest& request, std::string_view key,
                                             std::chrono::milliseconds unique_for, std::chrono::nanoseconds wait) try {
  if (!run_) return std::unexpected(is_empty());
  return run_->follow_up_unique(request, key, unique_for, wait);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

void AsyncJob::report_progress(std::uint64_t number, std::string_view text) noexcept {
  if (run_) run_->report_progress(number, text);
}

bool AsyncJob::should_stop() const noexcept { return !run_ || run_->should_stop(); }
bool AsyncJob::is_stopping() const noexcept { return !run_ || run_->is_stopping(); }

}  // namespace ringmill
