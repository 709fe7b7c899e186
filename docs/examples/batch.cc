// Sixty-four jobs with one call, and sixty-four out of the engine with another: the fast way when there are many.
#include <algorithm>
#include <array>
#include <iostream>

#include <ringmill/engine.h>

using namespace ringmill;

int report(const Error& error) {
  std::cerr << error.message() << '\n';
  return 1;
}

int main(int count, char** arguments) {
  const std::filesystem::path directory = count > 1 ? arguments[1] : "/tmp/ringmill-batch";
  if (const auto created = Engine::create(directory); !created) return report(created.error());
  auto engine = Engine::open(directory);
  if (!engine) return report(engine.error());
  const auto square = engine->kind("square");
  if (!square) return report(square.error());
  auto participant = engine->attach(Role::worker);  // one thread, both roles
  if (!participant) return report(participant.error());

  std::array<std::uint32_t, Participant::most_in_batch> numbers;
  std::array<JobRequest, numbers.size()> requests;
  for (std::uint32_t n = 0; n < numbers.size(); ++n) {
    numbers[n] = n + 1;
    requests[n] = {.kind = *square, .payload = std::as_bytes(std::span(&numbers[n], 1))};
  }
  std::array<JobId, requests.size()> ids;
  const auto enqueued = (*participant)->enqueue_batch(requests, ids);
  if (!enqueued) return report(enqueued.error());
  std::cout << *enqueued << " jobs wait\n";

  std::array<Job, Participant::most_in_batch> jobs;
  const auto claimed = (*participant)->claim_batch(jobs);
  if (!claimed) return report(claimed.error());
  std::uint64_t sum = 0;
  for (const Job& job : std::span(jobs).first(*claimed)) {
    std::uint32_t number = 0;
    std::ranges::copy(job.payload(), std::as_writable_bytes(std::span(&number, 1)).begin());
    sum += std::uint64_t{number} * number;
  }
  std::cout << (*participant)->complete_batch(jobs) << " jobs completed, the sum of their squares is " << sum << '\n';
}
