// The public calls of a participant: each checks its thread, then calls the part that does the work.
#include "core/participant/participant_implementation.h"

#include "core/base/exceptions.h"
#include "core/base/log.h"
#include "core/participant/attach.h"
#include "ipc/waking.h"

namespace ringmill {

namespace {

std::uint64_t to_ns(std::chrono::nanoseconds wait) noexcept {
  return wait.count() <= 0 ? 0 : static_cast<std::uint64_t>(wait.count());
}

}  // namespace

Result<std::unique_ptr<Participant>> attach(const std::shared_ptr<EngineCore>& engine, Role role, Binding binding) {
  if (engine->segment.signals().removed.load() != 0) {
    return std::unexpected(Error(ErrorCode::not_found, "the engine was removed", engine->directory.path().string()));
  }
  const auto number = enter_engine(*engine, role, binding);
  if (!number) return std::unexpected(number.error());
  const auto leave = [&engine](const std::uint32_t* entered) { engine->registry.leave(*entered); };
  std::unique_ptr<const std::uint32_t, decltype(leave)> entered(&*number, leave);  // until the participant does it
  auto part = std::make_unique<Participant::Implementation>(engine, *number, binding);
  static_cast<void>(entered.release());
  ring_keeper(engine->segment);  // so that it watches us from now on
  return std::unique_ptr<Participant>(new Participant(std::move(part)));
}

Participant::Participant(std::unique_ptr<Implementation> implementation) noexcept
    : implementation_(std::move(implementation)) {}

Participant::~Participant() {
  if (implementation_->context().is_mine()) return;
  // In the child of a fork, or on another thread: the entry is not ours to leave. It is reaped when its own thread
  // ends; the mapping must stay, because that thread's robust list points into it.
  const bool forked = implementation_->context().misuse().code() == ErrorCode::after_fork;
  if (!forked)
    log().error("participant {} was destroyed by another thread than its own; its jobs return when that thread ends",
                number());
  static_cast<void>(implementation_.release());
}

Result<void> Participant::check_owner() const noexcept {
  if (!implementation_->context().is_mine()) return std::unexpected(implementation_->context().misuse());
  const Visiting visiting(implementation_->context());
  return {};
}

int Participant::number() const noexcept { return static_cast<int>(implementation_->context().number); }
std::uint32_t Participant::held() const noexcept { return implementation_->context().lease_book.held(); }
void Participant::wake() noexcept { implementation_->context().wake(); }

Result<JobId> Participant::enqueue(const JobRequest& request, std::chrono::nanoseconds wait) {
  if (!implementation_->context().is_mine()) return std::unexpected(implementation_->context().misuse());
  const Visiting visiting(implementation_->context());
  return implementation_->producer().enqueue(request, to_ns(wait));
}

Result<std::size_t> Participant::enqueue_batch(std::span<const JobRequest> requests, std::span<JobId> ids,
                                               std::chrono::nanoseconds wait) try {
  if (!implementation_->context().is_mine()) return std::unexpected(implementation_->context().misuse());
  const Visiting visiting(implementation_->context());
  return implementation_->producer().enqueue_batch(requests, ids, to_ns(wait));
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<UniqueJob> Participant::enqueue_unique(const JobRequest& request, std::string_view key,
                                              std::chrono::milliseconds unique_for, std::chrono::nanoseconds wait) try {
  if (!implementation_->context().is_mine()) return std::unexpected(implementation_->context().misuse());
  const Visiting visiting(implementation_->context());
  return implementation_->unique_producer().enqueue(request, key, unique_for, to_ns(wait));
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<void> Participant::enqueue_together(std::span<const LinkedRequest> jobs, std::span<JobId> ids,
                                           std::chrono::nanoseconds wait) try {
  if (!implementation_->context().is_mine()) return std::unexpected(implementation_->context().misuse());
  const Visiting visiting(implementation_->context());
  return implementation_->linked_producer().enqueue_together(jobs, ids, to_ns(wait));
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

DurabilityTicket Participant::ticket() const noexcept { return implementation_->tickets().ticket(); }

Result<void> Participant::wait_durable(DurabilityTicket ticket, std::chrono::nanoseconds wait) try {
  if (!implementation_->context().is_mine()) return std::unexpected(implementation_->context().misuse());
  return implementation_->tickets().wait_durable(ticket, to_ns(wait));
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<bool> Participant::is_durable(DurabilityTicket ticket) const try {
  return implementation_->tickets().is_durable(ticket);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

void Participant::when_durable(DurabilityTicket ticket, std::function<void(Result<void>)> done) {
  if (!implementation_->context().is_mine()) {
    done(std::unexpected(implementation_->context().misuse()));
    return;
  }
  implementation_->tickets().when_durable(ticket, std::move(done));
}

std::size_t Participant::poll_durable() {
  if (!implementation_->context().is_mine()) return 0;
  return implementation_->tickets().poll_durable();
}

Result<void> Participant::subscribe(const ClaimOptions& options) try {
  if (!implementation_->context().is_mine()) return std::unexpected(implementation_->context().misuse());
  const Visiting visiting(implementation_->context());
  return implementation_->consumer().subscribe(options);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<Job> Participant::claim(std::chrono::nanoseconds wait) {
  if (!implementation_->context().is_mine()) return std::unexpected(implementation_->context().misuse());
  const Visiting visiting(implementation_->context());
  return implementation_->consumer().claim(*this, to_ns(wait));
}

Result<std::size_t> Participant::claim_batch(std::span<Job> out, std::chrono::nanoseconds wait) try {
  if (!implementation_->context().is_mine()) return std::unexpected(implementation_->context().misuse());
  const Visiting visiting(implementation_->context());
  return implementation_->consumer().claim_batch(*this, out, to_ns(wait));
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

std::size_t Participant::complete_batch(std::span<Job> jobs) {
  if (!implementation_->context().is_mine()) return 0;
  const Visiting visiting(implementation_->context());
  return implementation_->settler().complete_batch(jobs);
}

Result<Cancelled> Participant::cancel(JobId id) try {
  if (!implementation_->context().is_mine()) return std::unexpected(implementation_->context().misuse());
  const Visiting visiting(implementation_->context());
  return implementation_->job_control().cancel(id);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<std::optional<BegunWait>> Participant::begin_wait() try {
  if (!implementation_->context().is_mine()) return std::unexpected(implementation_->context().misuse());
  const Visiting visiting(implementation_->context());
  return implementation_->consumer().begin_wait();
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

bool Participant::sleep(BegunWait wait, std::chrono::nanoseconds timeout) const noexcept {
  return implementation_->context().sleep(wait.sequence, to_ns(timeout));
}

void Participant::end_wait(bool claims) noexcept {
  if (implementation_->context().is_mine()) implementation_->consumer().end_wait(claims);
}

void Participant::pass_on_wake() const noexcept { implementation_->context().pass_on_wake(); }

void Participant::release_prefetched() {
  if (!implementation_->context().is_mine()) return;
  const Visiting visiting(implementation_->context());
  implementation_->consumer().release_prefetched();
}

Job& Job::operator=(Job&& other) noexcept {
  if (this == &other) return *this;
  if (held()) static_cast<void>(release());
  lease_ = other.lease_;
  other.lease_.holder = nullptr;
  return *this;
}

void Job::give_back() noexcept { static_cast<void>(release()); }

namespace {

Error not_held() noexcept {
  return Error(ErrorCode::not_held, "this Job holds nothing: it was settled before, moved from, or never filled");
}
Error lease_revoked() noexcept {
  return Error(ErrorCode::lease_lost, "the lease was revoked: another worker has the job");
}

/// What a call returns that has settled or kept a job, or lost its lease.
inline Result<void> won_or_revoked(HeldLease& lease, bool won) noexcept {
  if (won) [[likely]]
    return {};
  lease.word = was_lost;
  return std::unexpected(lease_revoked());
}

/// Milliseconds that count: negative ones do not.
std::uint64_t to_ms(std::chrono::milliseconds time) noexcept {
  return time.count() <= 0 ? 0 : static_cast<std::uint64_t>(time.count());
}

}  // namespace

inline Participant::Implementation* Participant::Implementation::holder_of(const HeldLease& lease) noexcept {
  if (!is_held(lease)) return nullptr;
  Implementation* const participant = lease.holder->implementation_.get();
  return participant->context().is_mine() ? participant : nullptr;
}

Error Participant::Implementation::no_holder(const HeldLease& lease) noexcept {
  if (is_held(lease)) return lease.holder->implementation_->context().misuse();
  return lease.word == was_lost ? lease_revoked() : not_held();
}

Result<Settled> Participant::Implementation::fail_held(HeldLease& lease, std::string_view error, std::string_view said,
                                                       std::optional<std::uint64_t> delay_ms, DeathCause cause) try {
  Implementation* const holder = holder_of(lease);
  if (holder == nullptr) return std::unexpected(no_holder(lease));
  const Visiting visiting(holder->context());
  const auto settled = holder->settler().fail(lease, error, said, delay_ms, cause);
  if (settled) return *settled;
  lease.word = was_lost;
  return std::unexpected(lease_revoked());
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<void> Job::complete(Payload result) {
  auto* const holder = Participant::Implementation::holder_of(lease_);
  if (holder == nullptr) return std::unexpected(Participant::Implementation::no_holder(lease_));
  const Visiting visiting(holder->context());
  return won_or_revoked(lease_, holder->settler().complete(lease_, result));
}

Result<void> Job::complete_cut(Payload beginning) {
  auto* const holder = Participant::Implementation::holder_of(lease_);
  if (holder == nullptr) return std::unexpected(Participant::Implementation::no_holder(lease_));
  const Visiting visiting(holder->context());
  return won_or_revoked(lease_, holder->settler().complete_cut(lease_, beginning));
}

std::size_t Job::result_room() const noexcept {
  if (!held() || !lease_.holder->implementation_->context().is_mine()) return 0;
  return lease_.holder->implementation_->settler().room_for_result(lease_);
}

Result<Settled> Job::fail(std::string_view error, std::string_view said) {
  return Participant::Implementation::fail_held(lease_, error, said, std::nullopt);
}

Result<Settled> Job::retry_in(std::chrono::milliseconds delay, std::string_view error, std::string_view said) {
  return Participant::Implementation::fail_held(lease_, error, said, to_ms(delay));
}

Result<Settled> Job::time_out(std::string_view error, std::string_view said) {
  return Participant::Implementation::fail_held(lease_, error, said, std::nullopt, DeathCause::timeout);
}

Result<void> Job::snooze(std::chrono::milliseconds delay) {
  auto* const holder = Participant::Implementation::holder_of(lease_);
  if (holder == nullptr) return std::unexpected(Participant::Implementation::no_holder(lease_));
  const Visiting visiting(holder->context());
  return won_or_revoked(lease_, holder->settler().snooze(lease_, to_ms(delay)));
}

Result<void> Job::reject(std::string_view error, std::string_view said) {
  auto* const holder = Participant::Implementation::holder_of(lease_);
  if (holder == nullptr) return std::unexpected(Participant::Implementation::no_holder(lease_));
  const Visiting visiting(holder->context());
  return won_or_revoked(lease_, holder->settler().reject(lease_, error, said));
}

Result<void> Job::cancel() {
  auto* const holder = Participant::Implementation::holder_of(lease_);
  if (holder == nullptr) return std::unexpected(Participant::Implementation::no_holder(lease_));
  const Visiting visiting(holder->context());
  return won_or_revoked(lease_, holder->settler().end_as_cancelled(lease_));
}

Result<void> Job::release() {
  auto* const holder = Participant::Implementation::holder_of(lease_);
  if (holder == nullptr) {
    const Error why = Participant::Implementation::no_holder(lease_);
    lease_.holder = nullptr;
    return std::unexpected(why);
  }
  const Visiting visiting(holder->context());
  return won_or_revoked(lease_, holder->settler().release(lease_));
}

Result<void> Job::extend(std::chrono::milliseconds lease) {
  auto* const holder = Participant::Implementation::holder_of(lease_);
  if (holder == nullptr) return std::unexpected(Participant::Implementation::no_holder(lease_));
  const Visiting visiting(holder->context());
  if (lease.count() < 1 || lease > std::chrono::hours{24 * 24}) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "a lease is 1 ms to 24 days"));
  }
  return won_or_revoked(lease_,
                        holder->settler().extend(lease_, static_cast<std::uint64_t>(lease.count()) * 1'000'000));
}

Result<JobId> Job::follow_up(const LinkedRequest& request, std::chrono::nanoseconds wait) try {
  auto* const holder = Participant::Implementation::holder_of(lease_);
  if (holder == nullptr) return std::unexpected(Participant::Implementation::no_holder(lease_));
  const Visiting visiting(holder->context());
  return holder->linked_producer().follow_up(lease_, request, to_ns(wait));
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<UniqueJob> Job::follow_up_unique(const JobRequest& request, std::string_view key,
                                        std::chrono::milliseconds unique_for, std::chrono::nanoseconds wait) try {
  auto* const holder = Participant::Implementation::holder_of(lease_);
  if (holder == nullptr) return std::unexpected(Participant::Implementation::no_holder(lease_));
  const Visiting visiting(holder->context());
  return holder->linked_producer().follow_up_unique(lease_, request, key, unique_for, to_ns(wait));
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

bool Job::lacked_room() const noexcept {
  return held() && lease_.holder->implementation_->follow_ups().was_refused(lease_.slot);
}

std::uint32_t Job::follow_ups() const noexcept {
  return held() ? static_cast<std::uint32_t>(lease_.holder->implementation_->follow_ups().of(lease_.slot).size()) : 0;
}

std::vector<JobId> Job::parents() const {
  return held() ? lease_.holder->implementation_->job_control().parents_of(lease_) : std::vector<JobId>{};
}

std::string Job::tag() const {
  return held() ? std::string(lease_.holder->implementation_->job_control().notes_of(lease_).tag()) : std::string();
}

std::string Job::trace_parent() const {
  return held() ? lease_.holder->implementation_->job_control().notes_of(lease_).trace.text() : std::string();
}

bool Job::should_stop() const noexcept {
  return held() && lease_.holder->implementation_->job_control().should_stop(lease_);
}

std::chrono::nanoseconds Job::time_left() const noexcept {
  return held() ? lease_.holder->implementation_->job_control().time_left(lease_) : std::chrono::nanoseconds::zero();
}

std::chrono::milliseconds Job::lease() const noexcept {
  return held() ? lease_.holder->implementation_->job_control().asked_lease(lease_) : std::chrono::milliseconds::zero();
}

void Job::note_session(int session) noexcept {
  if (!held() || !lease_.holder->implementation_->context().is_mine()) return;
  lease_.holder->implementation_->context().entry.session.store(static_cast<std::uint64_t>(std::max(session, 0)));
}

void Job::report_progress(std::uint64_t number, std::string_view text) noexcept {
  if (!held() || !lease_.holder->implementation_->context().is_mine()) return;
  lease_.holder->implementation_->job_control().report_progress(lease_, number, text);
}

}  // namespace ringmill
