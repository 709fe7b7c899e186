// Jobs: enqueue, claim, settle.
#include <array>
#include <utility>

#include "clients/c/codes.h"
#include "clients/c/handles.h"
#include "clients/c/requests.h"

using ringmill::ClaimOptions;
using ringmill::Job;
using ringmill::JobId;
using ringmill::JobRequest;
using ringmill::Participant;
using ringmill::Result;
using ringmill::Settled;
using ringmill::c::copy_text;
using ringmill::c::element;
using ringmill::c::Given;
using ringmill::c::guarded;
using ringmill::c::LeaseTable;
using ringmill::c::number_of;
using ringmill::c::report;
using ringmill::c::report_bad_struct;
using ringmill::c::Row;
using ringmill::c::span_of;
using ringmill::c::take_request;
using ringmill::c::text_of;
using ringmill::c::wait_of;

namespace {

constexpr std::uint32_t most_in_batch = Participant::most_in_batch;
static_assert(RM_MOST_BATCH == Participant::most_in_batch && RM_MOST_LEASES == Participant::most_leases);

rm_code enqueue_one(rm_participant& participant, const rm_request& request, rm_id& id, std::int64_t wait_ns,
                    rm_error* error) {
  JobRequest job;
  if (const auto why = take_request(&request, request.size, job); !why.empty()) {
    return report(error, RM_INVALID_ARGUMENT, why);
  }
  const Result<JobId> made = participant.get()->enqueue(job, wait_of(wait_ns));
  if (!made) return report(error, made.error());
  id = made->value();
  return RM_OK;
}

/// Converts all before any is enqueued, so that a bad one refuses the batch.
rm_code enqueue_many(rm_participant& participant, const rm_request* requests, std::uint32_t count, rm_id* ids,
                     std::uint32_t& done, std::int64_t wait_ns, rm_error* error) {
  Row<JobRequest, most_in_batch> batch(count);
  for (std::uint32_t n = 0; n < count; ++n) {
    const auto why = take_request(element(requests, requests->size, n), requests->size, batch[n]);
    if (!why.empty()) return report(error, RM_INVALID_ARGUMENT, why);
  }
  Row<JobId, most_in_batch> made(count);
  const auto enqueued = participant.get()->enqueue_batch(batch.first(count), made.first(count), wait_of(wait_ns));
  if (!enqueued) return report(error, enqueued.error());
  done = static_cast<std::uint32_t>(*enqueued);
  for (std::uint32_t n = 0; n < done; ++n) ids[n] = made[n].value();
  if (done == count) return RM_OK;
  return report(error, wait_ns == 0 ? RM_WOULD_BLOCK : RM_TIMED_OUT);
}

/// What a settling call returned, as the caller's struct has it.
void set_outcome(rm_settlement& settlement, const Result<void>& ended, std::uint32_t settled) noexcept {
  settlement.outcome = ended ? RM_OK : ringmill::c::code_of(ended.error().code());
  settlement.settled = settled;
}
void set_outcome(rm_settlement& settlement, const Result<Settled>& settled) noexcept {
  settlement.outcome = settled ? RM_OK : ringmill::c::code_of(settled.error().code());
  settlement.settled = settled ? number_of(*settled) : std::uint32_t{RM_OVER};
}

/// Returns false if there is no such way to settle.
bool end_run(Job& job, rm_settlement& settlement) {
  const std::chrono::milliseconds delay(settlement.delay_ms);
  const std::string_view text = text_of(settlement.text);
  const std::string_view said = text_of(settlement.said);
  switch (settlement.what) {
    case RM_COMPLETE:
      set_outcome(settlement, job.complete(span_of(settlement.text)), RM_OVER);
      return true;
    case RM_FAIL:
      set_outcome(settlement, job.fail(text, said));
      return true;
    case RM_RETRY_IN:
      set_outcome(settlement, job.retry_in(delay, text, said));
      return true;
    case RM_TIME_OUT:
      set_outcome(settlement, job.time_out(text, said));
      return true;
    case RM_SNOOZE:
      set_outcome(settlement, job.snooze(delay), RM_WAITS);
      return true;
    case RM_RELEASE:
      set_outcome(settlement, job.release(), RM_WAITS);
      return true;
    case RM_REJECT:
      set_outcome(settlement, job.reject(text, said), RM_DEAD);
      return true;
    case RM_CANCEL:
      set_outcome(settlement, job.cancel(), RM_OVER);
      return true;
    default:
      return false;
  }
}

[[gnu::always_inline]] inline void settle_one(LeaseTable& leases, rm_settlement& settlement) {
  Job* const job = leases.find(settlement.lease);
  if (job == nullptr) {
    settlement.settled = RM_OVER;
    settlement.outcome = RM_NOT_HELD;
  } else if (!end_run(*job, settlement)) {
    settlement.settled = RM_OVER;
    settlement.outcome = RM_INVALID_ARGUMENT;  // it is still held
  } else if (!job->held()) {
    leases.forget(settlement.lease);
  }
}

/// The settlements of a caller's list, from one of them on.
class Settlements {
 public:
  Settlements(rm_settlement* list, std::uint32_t count) noexcept : list_(list), size_(list->size), count_(count) {}
  std::uint32_t count() const noexcept { return count_; }
  rm_settlement& operator[](std::uint32_t n) const noexcept {
    return *static_cast<rm_settlement*>(element(list_, size_, n));
  }
  Settlements from(std::uint32_t n) const noexcept {
    Settlements rest = *this;
    rest.list_ = &(*this)[n];
    rest.count_ -= n;
    return rest;
  }

 private:
  rm_settlement* list_;
  std::uint32_t size_;
  std::uint32_t count_;
};

/// Completes the first jobs of the list as one batch, as far as they stand side by side in the table and nothing is to
/// be said of them. Returns how many; 0: the first one is to be settled alone.
std::uint32_t complete_run(Participant& participant, LeaseTable& leases, const Settlements& list) {
  Job* first = nullptr;
  std::uint32_t length = 0;
  for (; length < list.count(); ++length) {
    const rm_settlement& settlement = list[length];
    if (settlement.what != RM_COMPLETE || settlement.text.size != 0) break;
    Job* const job = leases.find(settlement.lease);
    if (job == nullptr || (length != 0 && job != first + length)) break;
    if (length == 0) first = job;
  }
  if (length < 2) return 0;
  const std::span<Job> jobs(first, length);
  const bool is_each_completed = participant.complete_batch(jobs) == length;
  leases.forget_run(jobs);
  for (std::uint32_t n = 0; n < length; ++n) {
    rm_settlement& settlement = list[n];
    settlement.settled = RM_OVER;
    settlement.outcome = RM_OK;
    if (is_each_completed) continue;
    // One that was lost says so once more; one that was completed is not held.
    const auto again = jobs[n].complete();
    if (!again && again.error().code() == ringmill::ErrorCode::lease_lost) settlement.outcome = RM_LEASE_LOST;
  }
  return length;
}

std::string_view why_not_settled(rm_code outcome) noexcept {
  if (outcome == RM_NOT_HELD) return "no lease of this participant: the job was settled before, or is another's";
  if (outcome == RM_LEASE_LOST) return "the lease was revoked: another worker has the job";
  if (outcome == RM_INVALID_ARGUMENT) return "rm_settlement.what is none of RM_COMPLETE to RM_TIME_OUT";
  return "a job could not be settled: its rm_settlement.outcome says why";
}

rm_code settle_many(rm_participant& participant, const Settlements& list, rm_error* error) {
  if (const auto owned = participant.get()->check_owner(); !owned) return report(error, owned.error());
  for (std::uint32_t n = 0; n < list.count();) {
    const std::uint32_t run = complete_run(*participant.get(), *participant.leases, list.from(n));
    if (run == 0) settle_one(*participant.leases, list[n]);
    n += std::max(run, 1U);
  }
  for (std::uint32_t n = 0; n < list.count(); ++n) {
    if (list[n].outcome != RM_OK) return report(error, list[n].outcome, why_not_settled(list[n].outcome));
  }
  return RM_OK;
}

rm_code settle_all(rm_participant& participant, rm_settlement* list, std::uint32_t count, rm_error* error) {
  if (count == 0) return RM_OK;
  if (list == nullptr || list->size < sizeof(rm_settlement)) return report_bad_struct(error, "rm_settlement");
  if (count != 1) return settle_many(participant, {list, count}, error);
  settle_one(*participant.leases, *list);
  if (list->outcome == RM_OK) [[likely]]
    return RM_OK;
  // From another thread, or in the child of a fork, nothing was settled.
  if (const auto owned = participant.get()->check_owner(); !owned) {
    return list->outcome = report(error, owned.error());
  }
  return report(error, list->outcome, why_not_settled(list->outcome));
}

rm_claimed claimed_of(const Job& job, rm_lease lease) noexcept {
  return {.size = sizeof(rm_claimed),
          .kind = static_cast<std::uint32_t>(job.kind()),
          .level = static_cast<std::uint32_t>(job.level()),
          .attempt = job.attempt(),
          .lease = lease,
          .id = job.id().value(),
          .payload = {job.payload().data(), job.payload().size()},
          .timeout_ms = job.lease().count()};
}

void hand_out(const Job& job, LeaseTable& leases, rm_claimed& place, std::uint32_t size) noexcept {
  place = claimed_of(job, leases.take_in(job));
  place.size = size;
}

/// Unlike a batch, it claims in advance.
[[gnu::always_inline]] inline rm_code claim_one(rm_participant& participant, rm_claimed& place, std::uint32_t& got,
                                                std::int64_t wait_ns, rm_error* error) {
  LeaseTable& leases = *participant.leases;
  Job* const free = leases.free_place();
  if (free == nullptr) return report(error, RM_WOULD_BLOCK);
  Result<Job> job = participant.get()->claim(wait_of(wait_ns));
  if (!job) return report(error, job.error());
  hand_out(*std::construct_at(free, *std::move(job)), leases, place,
           place.size);  // an empty Job has nothing to destroy
  got = 1;
  return RM_OK;
}

rm_code claim_many(rm_participant& participant, rm_claimed* jobs, std::uint32_t room, std::uint32_t& got,
                   std::int64_t wait_ns, rm_error* error) {
  LeaseTable& leases = *participant.leases;
  const std::span<Job> places = leases.free_run(std::min(room, most_in_batch));
  if (places.empty()) return report(error, RM_WOULD_BLOCK);
  const auto claimed = participant.get()->claim_batch(places, wait_of(wait_ns));
  if (!claimed) return report(error, claimed.error());
  const std::uint32_t size = jobs->size;
  for (; got < *claimed; ++got) {
    hand_out(places[got], leases, *static_cast<rm_claimed*>(element(jobs, size, got)), size);
  }
  return RM_OK;
}

/// `got` is 0.
[[gnu::always_inline]] inline rm_code claim_jobs(rm_participant& participant, rm_claimed* jobs, std::uint32_t room,
                                                 std::uint32_t& got, std::int64_t wait_ns, rm_error* error) {
  if (jobs == nullptr || jobs->size < sizeof(rm_claimed)) return report_bad_struct(error, "rm_claimed");
  if (room == 1) [[likely]]
    return claim_one(participant, *jobs, got, wait_ns, error);
  return room == 0 ? rm_code{RM_OK} : claim_many(participant, jobs, room, got, wait_ns, error);
}

template <class Number, class Value>
std::vector<Value> values_of(const Number* numbers, std::uint32_t count) {
  std::vector<Value> values;
  for (std::uint32_t n = 0; numbers != nullptr && n < count; ++n) values.push_back(Value{numbers[n]});
  return values;
}

}  // namespace

rm_code rm_enqueue(rm_participant* participant, const rm_request* requests, uint32_t count, rm_id* ids, uint32_t* done,
                   int64_t wait_ns, rm_error* error) {
  return guarded(error, [&] {
    std::uint32_t none = 0;
    std::uint32_t& enqueued = done == nullptr ? none : *done;
    enqueued = 0;
    if (participant->get() == nullptr) return participant->detached(error);
    if (count == 0) return rm_code{RM_OK};
    if (requests == nullptr || ids == nullptr) return report(error, RM_INVALID_ARGUMENT, "an argument is NULL");
    if (count > most_in_batch) return report(error, RM_INVALID_ARGUMENT, "more jobs than RM_MOST_BATCH");
    if (count != 1) return enqueue_many(*participant, requests, count, ids, enqueued, wait_ns, error);
    const rm_code made = enqueue_one(*participant, *requests, *ids, wait_ns, error);
    enqueued = made == RM_OK ? 1 : 0;
    return made;
  });
}

rm_code rm_enqueue_unique(rm_participant* participant, const rm_request* request, rm_bytes key, int64_t unique_for_ms,
                          rm_id* id, int* is_new, int64_t wait_ns, rm_error* error) {
  return guarded(error, [&] {
    if (participant->get() == nullptr) return participant->detached(error);
    if (request == nullptr || id == nullptr) return report(error, RM_INVALID_ARGUMENT, "an argument is NULL");
    JobRequest job;
    if (const auto why = take_request(request, request->size, job); !why.empty()) {
      return report(error, RM_INVALID_ARGUMENT, why);
    }
    const auto found = participant->get()->enqueue_unique(job, text_of(key), std::chrono::milliseconds(unique_for_ms),
                                                          wait_of(wait_ns));
    if (!found) return report(error, found.error());
    *id = found->id.value();
    if (is_new != nullptr) *is_new = found->is_new ? 1 : 0;
    return rm_code{RM_OK};
  });
}

rm_code rm_wait_durable(rm_participant* participant, int64_t wait_ns, rm_error* error) {
  return guarded(error, [&] {
    if (participant->get() == nullptr) return participant->detached(error);
    Participant& waits = *participant->get();
    return report(error, waits.wait_durable(waits.ticket(), wait_of(wait_ns)));
  });
}

rm_code rm_cancel(rm_participant* participant, rm_id id, uint32_t* found, rm_error* error) {
  return guarded(error, [&] {
    if (participant->get() == nullptr) return participant->detached(error);
    const auto cancelled = participant->get()->cancel(JobId(id));
    if (!cancelled) return report(error, cancelled.error());
    if (found != nullptr) *found = number_of(*cancelled);
    return rm_code{RM_OK};
  });
}

rm_code rm_subscribe(rm_participant* participant, const rm_subscription* subscription, rm_error* error) {
  return guarded(error, [&] {
    if (participant->get() == nullptr) return participant->detached(error);
    ClaimOptions options{.prefetch = 1};
    if (subscription != nullptr) {
      const Given<rm_subscription> given(subscription, subscription->size);
      if (!given) return report_bad_struct(error, "rm_subscription");
      options.levels = values_of<std::uint32_t, ringmill::Level>(given->levels, given->level_count);
      options.kinds = values_of<std::uint32_t, ringmill::Kind>(given->kinds, given->kind_count);
      options.policy = given->strict != 0 ? ringmill::Policy::strict : ringmill::Policy::weighted;
      if (given->prefetch != 0) options.prefetch = given->prefetch;
    }
    return report(error, participant->get()->subscribe(options));
  });
}

rm_code rm_claim(rm_participant* participant, rm_claimed* jobs, uint32_t room, uint32_t* got, int64_t wait_ns,
                 rm_error* error) {
  return guarded(error, [&] {
    std::uint32_t none = 0;
    std::uint32_t& claimed = got == nullptr ? none : *got;
    claimed = 0;
    if (participant->get() == nullptr) return participant->detached(error);
    return claim_jobs(*participant, jobs, room, claimed, wait_ns, error);
  });
}

rm_code rm_settle(rm_participant* participant, rm_settlement* list, uint32_t count, rm_error* error) {
  return guarded(error, [&] {
    if (participant->get() == nullptr) return participant->detached(error);
    return settle_all(*participant, list, count, error);
  });
}

rm_code rm_settle_and_claim(rm_participant* participant, rm_settlement* list, uint32_t count, rm_claimed* jobs,
                            uint32_t room, uint32_t* got, int64_t wait_ns, rm_error* error) {
  return guarded(error, [&] {
    std::uint32_t none = 0;
    std::uint32_t& claimed = got == nullptr ? none : *got;
    claimed = 0;
    if (participant->get() == nullptr) return participant->detached(error);
    const rm_code settled = settle_all(*participant, list, count, error);
    // A job that could not be settled says so in its own outcome; misuse of the participant is told here.
    if (settled != RM_OK && !participant->get()->check_owner()) return settled;
    return claim_jobs(*participant, jobs, room, claimed, wait_ns, error);
  });
}

rm_code rm_extend(rm_participant* participant, rm_lease lease, int64_t lease_ms, rm_error* error) {
  return guarded(error, [&] {
    if (participant->get() == nullptr) return participant->detached(error);
    Job* const job = participant->leases->find(lease);
    if (job == nullptr) return report(error, RM_NOT_HELD, why_not_settled(RM_NOT_HELD));
    const Result<void> extended = job->extend(std::chrono::milliseconds(lease_ms));
    if (!job->held()) participant->leases->forget(lease);
    return report(error, extended);
  });
}

namespace {

const Job* held_job(const rm_participant* participant, rm_lease lease) noexcept {
  return participant->leases == nullptr ? nullptr : participant->leases->find(lease);
}

/// Copies a text of a held job, which is made for the call. 0: it is not held, or there was no memory.
std::size_t text_of_held(const rm_participant* participant, rm_lease lease, std::string (Job::*text_of_job)() const,
                         char* text, std::size_t room) noexcept {
  std::size_t length = 0;
  const auto look = [&] {
    const Job* const job = held_job(participant, lease);
    if (job == nullptr) return rm_code{RM_NOT_HELD};
    length = copy_text((job->*text_of_job)(), text, room);
    return rm_code{RM_OK};
  };
  return guarded(nullptr, look) == RM_OK ? length : 0;
}

}  // namespace

int rm_should_stop(const rm_participant* participant, rm_lease lease) {
  const Job* const job = held_job(participant, lease);
  return job != nullptr && job->should_stop() ? 1 : 0;
}

int64_t rm_time_left_ns(const rm_participant* participant, rm_lease lease) {
  const Job* const job = held_job(participant, lease);
  return job == nullptr ? 0 : job->time_left().count();
}

size_t rm_result_room(const rm_participant* participant, rm_lease lease) {
  const Job* const job = held_job(participant, lease);
  return job == nullptr ? 0 : job->result_room();
}

rm_code rm_report_progress(rm_participant* participant, rm_lease lease, uint64_t number, rm_bytes text) {
  if (participant->get() == nullptr) return RM_DETACHED;
  Job* const job = participant->leases->find(lease);
  if (job == nullptr) return RM_NOT_HELD;
  job->report_progress(number, text_of(text));
  return RM_OK;
}

size_t rm_tag(const rm_participant* participant, rm_lease lease, char* text, size_t room) {
  return text_of_held(participant, lease, &Job::tag, text, room);
}

size_t rm_trace_parent(const rm_participant* participant, rm_lease lease, char* text, size_t room) {
  return text_of_held(participant, lease, &Job::trace_parent, text, room);
}

uint32_t rm_parents(const rm_participant* participant, rm_lease lease, rm_id* ids, uint32_t room) {
  std::uint32_t count = 0;
  const auto look = [&] {
    const Job* const job = held_job(participant, lease);
    if (job == nullptr) return rm_code{RM_NOT_HELD};
    const std::vector<JobId> parents = job->parents();
    count = static_cast<std::uint32_t>(parents.size());
    for (std::uint32_t n = 0; n < std::min(count, room); ++n) ids[n] = parents[n].value();
    return rm_code{RM_OK};
  };
  return guarded(nullptr, look) == RM_OK ? count : 0;
}
