// enqueue -> claim -> complete between processes: jobs completed per second.
#include "bench/lifecycle.h"

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "bench/engine_throughput.h"
#include "bench/message.h"
#include "bench/subject.h"
#include "bench/throughput.h"
#include "bench/workload.h"

namespace ringmill::bench {
namespace {

/// An idle or blocked process looks this often whether the run is over.
constexpr std::chrono::milliseconds patience{50};

bool waited_in_vain(const Error& error) noexcept {
  return error.code() == ErrorCode::timed_out || error.code() == ErrorCode::would_block;
}

bool produce_one_by_one(RunControl& control, std::size_t index, Subject& subject, Durability durability) {
  Message message;
  const JobRequest request{
      .kind = subject.kind, .level = subject.level, .payload = message.bytes(), .durability = durability};
  control.start_together();
  while (!control.stopping()) {
    ++message.words[0];
    auto id = subject.participant->enqueue(request, patience);
    if (id) {
      control.produced[index].add(1);
    } else if (!waited_in_vain(id.error())) {
      return report_failure("enqueue", id.error().message());
    }
  }
  return true;
}

bool produce_in_batches(RunControl& control, std::size_t index, Subject& subject, std::size_t batch,
                        Durability durability) {
  std::array<Message, Participant::most_in_batch> messages{};
  std::array<JobRequest, Participant::most_in_batch> requests{};
  std::array<JobId, Participant::most_in_batch> ids{};
  for (std::size_t at = 0; at < batch; ++at) {
    requests[at] = {
        .kind = subject.kind, .level = subject.level, .payload = messages[at].bytes(), .durability = durability};
  }
  std::uint64_t sequence = 0;
  control.start_together();
  while (!control.stopping()) {
    for (Message& message : std::span(messages).first(batch)) message.words[0] = ++sequence;
    auto sent = subject.participant->enqueue_batch(std::span(requests).first(batch), ids, patience);
    if (sent) {
      control.produced[index].add(*sent);
    } else if (!waited_in_vain(sent.error())) {
      return report_failure("enqueue_batch", sent.error().message());
    }
  }
  return true;
}

bool work_one_by_one(RunControl& control, std::size_t index, Subject& subject) {
  control.start_together();
  while (!control.stopping()) {
    auto job = subject.participant->claim(patience);
    if (!job) {
      if (waited_in_vain(job.error())) continue;
      return report_failure("claim", job.error().message());
    }
    consume(job->payload());
    if (auto completed = job->complete(); !completed) return report_failure("complete", completed.error().message());
    control.done[index].add(1);
  }
  return true;
}

bool work_in_batches(RunControl& control, std::size_t index, Subject& subject, std::size_t batch) {
  std::array<Job, Participant::most_in_batch> jobs;
  control.start_together();
  while (!control.stopping()) {
    auto claimed = subject.participant->claim_batch(std::span(jobs).first(batch), patience);
    if (!claimed) {
      if (waited_in_vain(claimed.error())) continue;
      return report_failure("claim_batch", claimed.error().message());
    }
    const std::span<Job> held = std::span(jobs).first(*claimed);
    for (const Job& job : held) consume(job.payload());
    const std::size_t completed = subject.participant->complete_batch(held);
    if (completed != held.size()) return report_failure("complete_batch", "a lease was lost");
    control.done[index].add(completed);
  }
  return true;
}

}  // namespace

EngineBody lifecycle_producer(std::size_t batch, Durability durability) {
  return [batch, durability](RunControl& control, std::size_t index, Subject& subject) {
    return batch == 1 ? produce_one_by_one(control, index, subject, durability)
                      : produce_in_batches(control, index, subject, batch, durability);
  };
}

EngineBody lifecycle_worker(std::size_t batch) {
  return [batch](RunControl& control, std::size_t index, Subject& subject) {
    return batch == 1 ? work_one_by_one(control, index, subject) : work_in_batches(control, index, subject, batch);
  };
}

std::vector<Workload> lifecycle_workloads() {
  std::vector<Workload> workloads;
  for (const Durability durability : {Durability::memory, Durability::journaled}) {
    for (const std::size_t pairs : {1, 2, 4}) {
      for (const std::size_t batch : {1, 16, 64}) {
        const std::string size = batch == 1 ? "single" : fmt::format("batch{}", batch);
        workloads.push_back({fmt::format("lifecycle.{0}.{1}p{1}w.{2}", name_of(durability), pairs, size),
                             {"jobs_per_s"},
                             [=](const Surroundings& surroundings) {
                               return measure_engine(surroundings, {.produce = lifecycle_producer(batch, durability),
                                                                    .work = lifecycle_worker(batch),
                                                                    .pairs = pairs,
                                                                    .notes = journal_notes});
                             }});
      }
    }
  }
  return workloads;
}

}  // namespace ringmill::bench
