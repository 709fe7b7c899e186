#include "tests/crash/operations.h"

#include <unistd.h>

#include <bit>
#include <cstdlib>
#include <cstring>
#include <string>
#include <utility>

#include <fmt/core.h>

#include "tests/crash/fail_once.h"

namespace ringmill::crash {
namespace {

/// Longer than any trial.
constexpr std::chrono::milliseconds long_extension = std::chrono::minutes(5);
constexpr std::chrono::milliseconds brief_extension{1};
constexpr std::chrono::milliseconds brief_delay{1};

// splitmix64: neighbours in, strangers out.
std::uint64_t mixed(std::uint64_t value) noexcept {
  value += 0x9e3779b97f4a7c15;
  value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9;
  value = (value ^ value >> 27) * 0x94d049bb133111eb;
  return value ^ value >> 31;
}

Result<void> call(Job& job, Ask ask) {
  switch (ask) {
    case Ask::fail:
      return test::fail_once(job);
    case Ask::release:
      return job.release();
    case Ask::retry:
      return test::fail_once(job, brief_delay, error_text);
    case Ask::reject:
      return job.reject(error_text);
    case Ask::bury: {
      const auto settled = job.fail(error_text);
      if (!settled) return std::unexpected(settled.error());
      return {};
    }
    case Ask::keep:
      return job.complete(as_payload(result_text));
    case Ask::keep_large:
      return job.complete(as_payload(large_result()));
    case Ask::snooze:
      return job.snooze(brief_delay);
    case Ask::extend:
      return job.extend(long_extension);
    case Ask::extend_briefly:
      return job.extend(brief_extension);
    default:
      return job.complete();
  }
}

Ask judged_as(Ask ask) noexcept {
  switch (ask) {
    case Ask::retry:
      return Ask::fail;
    case Ask::snooze:
      return Ask::release;
    case Ask::keep:
    case Ask::keep_large:
      return Ask::complete;
    default:
      return ask;
  }
}

void attach_only(Child& child) { child.attach(); }
void claim_one_urgent(Child& child) {
  child.attach();
  child.claim_urgent(1);
}
void claim_four_urgent(Child& child) {
  child.attach();
  child.claim_urgent(4);
}
void attach_to_claim(Child& child) {
  child.report().is_claiming = 1;
  child.attach();
  // The first claim would do it, with a walk over all levels that there can be.
  if (!child.participant().subscribe({})) ::_exit(Child::could_not_prepare);
}

/// `put` enqueues the request in one way or another.
template <class Put>
void enqueue_by(Child& child, const Put& put) {
  JobReport& report = child.report().jobs[first_own_serial];
  report.is_enqueuing = 1;
  const Result<JobId> id = put(child.request(first_own_serial, 1));
  if (!id && id.error().code() != ErrorCode::would_block) child.surprised_by(id.error().code());
  if (id) report.id = id->value();
  report.enqueued = id ? Answer::yes : Answer::no;
}

void enqueue(Child& child) {
  enqueue_by(child, [&child](const JobRequest& request) { return child.participant().enqueue(request); });
}
/// Into a ring that is full: the job goes to the keeper's overflow queue.
void enqueue_overflow(Child& child) {
  JobReport& report = child.report().jobs[first_own_serial];
  report.is_enqueuing = 1;
  const Result<JobId> id = child.participant().enqueue(child.request(first_own_serial, tube));
  if (!id && id.error().code() != ErrorCode::would_block) child.surprised_by(id.error().code());
  if (id) report.id = id->value();
  report.enqueued = id ? Answer::yes : Answer::no;
}
void enqueue_delayed(Child& child) {
  enqueue_by(child, [&child](JobRequest request) {
    const JobOptions options{.delay = brief_delay};
    request.options = options;
    return child.participant().enqueue(request);
  });
}
/// With a tag and a trace beside its payload.
void enqueue_noted(Child& child) {
  enqueue_by(child, [&child](JobRequest request) {
    request.tag = "order-17";
    request.trace_parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    return child.participant().enqueue(request);
  });
}
/// With a serial key: it waits for the keeper.
void enqueue_serial(Child& child) {
  enqueue_by(child, [&child](JobRequest request) {
    request.serial_key = "vehicle-17";
    return child.participant().enqueue(request);
  });
}
void enqueue_large(Child& child) {
  enqueue_by(child, [&child](const JobRequest&) {
    return child.participant().enqueue(child.large_request(first_own_serial, 1));
  });
}
void enqueue_unique(Child& child) {
  enqueue_by(child, [&child](const JobRequest& request) -> Result<JobId> {
    const auto job = child.participant().enqueue_unique(request, "the key of this trial");
    if (!job) return std::unexpected(job.error());
    return job->id;
  });
}

void enqueue_batch(Child& child) {
  std::array<JobRequest, 4> requests;
  std::array<JobId, 4> ids;
  for (std::uint32_t n = 0; n < 4; ++n) {
    requests[n] = child.request(first_own_serial + n, n % 3);
    child.report().jobs[first_own_serial + n].is_enqueuing = 1;
  }
  const Result<std::size_t> count = child.participant().enqueue_batch(requests, ids);
  if (!count && count.error().code() != ErrorCode::would_block) child.surprised_by(count.error().code());
  for (std::uint32_t n = 0; n < 4; ++n) {
    JobReport& report = child.report().jobs[first_own_serial + n];
    const bool is_in = count && n < *count;
    if (is_in) report.id = ids[n].value();
    report.enqueued = is_in ? Answer::yes : Answer::no;
  }
}

/// A chain, then a job that waits for none: all of them or none.
void enqueue_together(Child& child) {
  constexpr std::uint32_t count = 3;
  const std::array<std::uint32_t, 1> after_first{0};
  std::array<LinkedRequest, count> requests;
  std::array<JobId, count> ids;
  child.report().together = count;
  // The first one is urgent: claim_urgent() finds it. The one that waits does not fit its cell.
  for (std::uint32_t n = 0; n < count; ++n) {
    const std::uint32_t serial = first_own_serial + n;
    requests[n].request = n == 1 ? child.large_request(serial, n) : child.request(serial, n);
    child.report().jobs[first_own_serial + n].is_enqueuing = 1;
  }
  requests[1].after_earlier = after_first;
  const Result<void> done = child.participant().enqueue_together(requests, ids);
  if (!done && done.error().code() != ErrorCode::would_block) child.surprised_by(done.error().code());
  for (std::uint32_t n = 0; n < count; ++n) {
    JobReport& report = child.report().jobs[first_own_serial + n];
    if (done) report.id = ids[n].value();
    report.enqueued = done ? Answer::yes : Answer::no;
  }
}

/// A parent in hand, whose child waits for it.
void claim_a_parent(Child& child) {
  child.attach();
  enqueue_together(child);
  child.report().together = 0;
  child.claim_urgent(1);
}

/// The follow-up is asked for, and comes or not with the completion.
void complete_and_follow(Child& child) {
  JobReport& report = child.report().jobs[first_own_serial];
  child.report().follows = 1;
  report.is_enqueuing = 1;
  Job& job = child.held()[0];
  const Result<JobId> id = job.follow_up({.request = child.request(first_own_serial, 1)});
  if (!id) {
    if (id.error().code() != ErrorCode::would_block) child.surprised_by(id.error().code());
    child.report().follows = 0;
    report.enqueued = Answer::no;
    return child.settle(job, Ask::complete);
  }
  report.id = id->value();
  child.settle(job, Ask::complete);
  const Answer answer = child.report().jobs[0].answered;
  report.enqueued = answer;
}

/// The cells that producers may take, two of which hold jobs that stand there.
constexpr std::uint32_t all_but_two = 126;
constexpr std::uint32_t all_but_three = all_but_two - 1;
constexpr std::uint32_t kept_results = 8;
constexpr std::uint32_t one_chunk = 64;

void claim(Child& child) {
  Result<Job> job = child.participant().claim();
  if (job) return child.hold(*std::move(job));
  if (job.error().code() != ErrorCode::would_block) child.surprised_by(job.error().code());
}

void claim_batch(Child& child) {
  std::array<Job, 4> jobs;
  const Result<std::size_t> count = child.participant().claim_batch(jobs);
  if (!count) {
    if (count.error().code() != ErrorCode::would_block) child.surprised_by(count.error().code());
    return;
  }
  for (std::size_t n = 0; n < *count; ++n) child.hold(std::move(jobs[n]));
}

void complete(Child& child) { child.settle(child.held()[0], Ask::complete); }
void fail(Child& child) { child.settle(child.held()[0], Ask::fail); }
void retry(Child& child) { child.settle(child.held()[0], Ask::retry); }
void snooze(Child& child) { child.settle(child.held()[0], Ask::snooze); }
void reject(Child& child) { child.settle(child.held()[0], Ask::reject); }
void bury(Child& child) { child.settle(child.held()[0], Ask::bury); }
void keep_result(Child& child) { child.settle(child.held()[0], Ask::keep); }
void keep_large_result(Child& child) { child.settle(child.held()[0], Ask::keep_large); }
void release(Child& child) { child.settle(child.held()[0], Ask::release); }
void extend(Child& child) { child.settle(child.held()[0], Ask::extend); }
void extend_briefly(Child& child) { child.settle(child.held()[0], Ask::extend_briefly); }

void complete_batch(Child& child) {
  for (std::uint32_t serial = 0; serial < 4; ++serial) child.report().jobs[serial].asked = Ask::complete;
  const std::size_t count = child.participant().complete_batch(child.held());
  // It tells how many, not which: with some lost, each may be either.
  if (count != 0 && count != 4) return;
  for (std::uint32_t serial = 0; serial < 4; ++serial) {
    child.report().jobs[serial].answered = count == 4 ? Answer::yes : Answer::no;
  }
}

void cancel(Child& child) {
  JobReport& report = child.report().jobs[0];
  report.asked = Ask::cancel;
  const Result<Cancelled> outcome = child.participant().cancel(JobId(report.id));
  if (!outcome) return child.surprised_by(outcome.error().code());
  report.answered = *outcome == Cancelled::before_start ? Answer::yes : Answer::no;
}

/// Few tokens and one slot: of those that stand there one begins, and the others are parked, for either reason.
void attach_and_limit(Child& child) {
  attach_to_claim(child);
  child.limit_kind({.rate = {.count = 1, .period = brief_delay}, .burst = 2, .concurrency = 1});
}
void claim_limited(Child& child) {
  claim_batch(child);
  claim_batch(child);
}

/// One job in hand, others perhaps claimed in advance.
void claim_ahead(Child& child) {
  attach_to_claim(child);
  claim(child);
}
void leave(Child& child) {
  child.settle(child.held()[0], Ask::release);
  child.leave();
}

}  // namespace

Payload payload_of(std::uint64_t trial, std::uint32_t serial) noexcept {
  std::array<std::uint64_t, payload_bytes / 8> words{trial, serial};
  for (std::size_t n = 2; n < words.size(); ++n) words[n] = mixed(words[n - 1] ^ trial << 32 ^ serial);
  return std::bit_cast<Payload>(words);
}

LargePayload large_payload_of(std::uint64_t trial, std::uint32_t serial) noexcept {
  const Payload payload = payload_of(trial, serial);
  LargePayload large;
  for (std::size_t n = 0; n < large.size(); ++n) large[n] = payload[n % payload.size()];
  return large;
}

std::string_view large_result() noexcept {
  static const std::string text = [] {
    std::string repeated;
    while (repeated.size() < large_result_bytes) repeated += result_text;
    repeated.resize(large_result_bytes);
    return repeated;
  }();
  return text;
}

std::optional<std::uint32_t> serial_in(std::span<const std::byte> payload, std::uint64_t trial) noexcept {
  if (payload.size() != payload_bytes && payload.size() != large_payload_bytes) return std::nullopt;
  std::uint32_t serial = 0;
  std::memcpy(&serial, payload.data() + 8, sizeof serial);
  const LargePayload expected = large_payload_of(trial, serial);
  if (serial >= most_serials + most_fillers || std::memcmp(payload.data(), expected.data(), payload.size()) != 0) {
    return std::nullopt;
  }
  return serial;
}

void Report::clear(std::uint64_t new_trial) noexcept {
  std::memset(static_cast<void*>(this), 0, sizeof *this);
  trial = new_trial;
}

Child::Child(const std::filesystem::path& directory, Report& report, std::chrono::milliseconds lease)
    : directory_(directory), report_(&report), lease_(lease) {
  auto engine = Engine::open(directory, OpenOptions{.embedded_keeper = false});
  if (!engine) ::_exit(could_not_prepare);
  engine_.emplace(*std::move(engine));
  const auto kind = engine_->kind("sweep");
  if (!kind) ::_exit(could_not_prepare);
  kind_ = *kind;
  for (std::size_t n = 0; n < levels_.size(); ++n) {
    const auto level = engine_->level(n == tube ? tube_name : level_names[n]);
    if (!level) ::_exit(could_not_prepare);
    levels_[n] = *level;
  }
  for (std::uint32_t serial = 0; serial < most_serials; ++serial) {
    payloads_[serial] = payload_of(report.trial, serial);
    large_payloads_[serial] = large_payload_of(report.trial, serial);
  }
}

void Child::attach() {
  auto participant = engine_->attach(Role::worker);
  if (!participant) return surprised_by(participant.error().code());
  participant_ = *std::move(participant);
}

void Child::claim_urgent(std::size_t count) {
  const ClaimOptions options{.levels = {levels_[0]}, .policy = Policy::strict, .prefetch = 1};
  if (!participant_ || !participant_->subscribe(options)) ::_exit(could_not_prepare);
  for (std::size_t n = 0; n < count; ++n) {
    Result<Job> job = participant_->claim(std::chrono::seconds(1));
    if (!job) ::_exit(could_not_prepare);
    hold(*std::move(job));
  }
}

void Child::limit_kind(const KindLimits& limits) {
  if (!engine_->limit(kind_, limits)) ::_exit(could_not_prepare);
}

JobRequest Child::request(std::uint32_t serial, std::size_t level) const noexcept {
  return {.kind = kind_, .level = levels_[level], .payload = payloads_[serial], .lease = lease_};
}

JobRequest Child::large_request(std::uint32_t serial, std::size_t level) const noexcept {
  JobRequest large = request(serial, level);
  large.payload = large_payloads_[serial];
  return large;
}

void Child::hold(Job job) {
  const auto serial = serial_in(job.payload(), report_->trial);
  if (!serial) return surprised_by(ErrorCode::corrupt);
  if (*serial < most_serials) report_->jobs[*serial].is_claimed = 1;
  for (Job& place : held_) {
    if (place.held()) continue;
    place = std::move(job);
    return;
  }
}

void Child::settle(Job& job, Ask ask) {
  if (!job.held()) return;
  const auto serial = serial_in(job.payload(), report_->trial);
  if (!serial) return surprised_by(ErrorCode::corrupt);
  JobReport* const report = *serial < most_serials ? &report_->jobs[*serial] : nullptr;
  if (report != nullptr) {
    report->answered = Answer::none;
    report->asked = judged_as(ask);
  }
  if (report != nullptr && ask == Ask::keep) report->has_result = 1;
  if (report != nullptr && ask == Ask::keep_large) report->has_result = 2;
  const Result<void> result = call(job, ask);
  if (!result && result.error().code() != ErrorCode::lease_lost) surprised_by(result.error().code());
  if (report == nullptr) {
    if (result && ask == Ask::complete) ++report_->filler_ends[*serial - most_serials];
    return;
  }
  if (result && ask == Ask::extend) report->is_extended = 1;
  // The lease was promised for longer than this trial lasts.
  if (!result && ask == Ask::complete && report->is_extended == 1) surprised_by(ErrorCode::lease_lost);
  report->answered = result ? Answer::yes : Answer::no;
}

void Child::surprised_by(ErrorCode code) noexcept {
  std::uint32_t none = 0;
  report_->surprise.compare_exchange_strong(none, static_cast<std::uint32_t>(code) + 1);
}

void Child::finish() {
  for (Job& job : held_) settle(job, Ask::complete);
  participant_.reset();
  engine_.reset();
}

std::span<const Operation> operations() {
  static const std::array<Operation, 36> all{{
      {"enqueue", {1, 2}, attach_only, enqueue},
      {"enqueue_batch", {1, 2}, attach_only, enqueue_batch},
      {"claim", {0, 1, 2, 0}, attach_to_claim, claim},
      {"claim_batch", {0, 0, 1, 1, 2, 2}, attach_to_claim, claim_batch},
      {"claim_limited", {0, 0, 0, 1}, attach_and_limit, claim_limited},
      {"complete", {0, 1, 2}, claim_one_urgent, complete},
      {"complete_batch", {0, 0, 0, 0, 1, 2}, claim_four_urgent, complete_batch},
      {"enqueue_delayed", {1, 2}, attach_only, enqueue_delayed},
      {"enqueue_overflow", std::vector<std::size_t>(tube_ring, tube), attach_only, enqueue_overflow},
      {"enqueue_large", {1, 2, large_standing + 1}, attach_only, enqueue_large},
      {"claim_large", {large_standing, 1, 2, large_standing}, attach_to_claim, claim},
      {"complete_large", {large_standing, 1, 2}, claim_one_urgent, complete},
      {"enqueue_noted", {1, 2}, attach_only, enqueue_noted},
      {"enqueue_serial", {1, 2}, attach_only, enqueue_serial},
      {"enqueue_unique", {1, 2}, attach_only, enqueue_unique},
      {"enqueue_together", {1, 2}, attach_only, enqueue_together},
      {"complete_and_follow", {0, 1, 2}, claim_one_urgent, complete_and_follow},
      {"complete_parent", {1, 2}, claim_a_parent, complete},
      {"fail", {0, 1, 2}, claim_one_urgent, fail},
      {"retry", {0, 1, 2}, claim_one_urgent, retry},
      {"snooze", {0, 1, 2}, claim_one_urgent, snooze},
      {"reject", {0, 1, 2}, claim_one_urgent, reject},
      {"bury", {0, 1, 2}, claim_one_urgent, bury, {.max_attempts = 1}},
      {"keep_result", {0, 1, 2}, claim_one_urgent, keep_result, {.keep_result = brief_delay}},
      {"keep_large_result", {0, 1, 2}, claim_one_urgent, keep_large_result, {.keep_result = brief_delay}},
      {"release", {0, 1, 2}, claim_one_urgent, release},
      {"extend", {0, 1, 2}, claim_one_urgent, extend},
      {"extend_briefly", {0, 1, 2}, claim_one_urgent, extend_briefly},
      {"cancel", {0, 1, 2}, attach_only, cancel},
      {"attach", {1}, [](Child&) {}, attach_only},
      {"leave", {0, 0, 1, 2}, claim_ahead, leave},
      // With room for three more, one word of the free map has them and those that are kept for handlers.
      {"enqueue_near_full", {1, 2}, attach_only, enqueue, {}, 0, all_but_two - 3},
      {"enqueue_refused", {1, 2}, attach_only, enqueue, {}, 0, all_but_two},
      {"follow_up_full", {0, 1, 2}, claim_one_urgent, complete_and_follow, {}, 0, all_but_three},
      {"evict_result", {1, 2}, attach_only, enqueue, {}, kept_results, all_but_two - kept_results},
      {"grow", {1, 2}, attach_only, enqueue, {}, 0, one_chunk - 2, Shape::growing},
  }};
  return all;
}

const Operation& operation_named(std::string_view name) {
  for (const Operation& operation : operations()) {
    if (operation.name == name) return operation;
  }
  fmt::print(stderr, "kill-sweep: there is no operation {}\n", name);
  std::abort();
}

}  // namespace ringmill::crash
