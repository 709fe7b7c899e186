// What others take for the transfer alone: no leases, no completion, nothing survives a death in the middle of a call.
#include <fcntl.h>
#include <mqueue.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <boost/interprocess/ipc/message_queue.hpp>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <utility>

#include "bench/clock.h"
#include "bench/message.h"
#include "bench/peers/spsc_ring.h"
#include "bench/shared_block.h"
#include "bench/throughput.h"
#include "bench/workload.h"

namespace ringmill::bench {
namespace {

using boost::interprocess::message_queue;

/// Long enough that neither side waits for each message.
constexpr std::size_t boost_queue_depth = 4096;
constexpr long posix_queue_depth_wanted = 4096;

ThroughputPlan plan_of(const Surroundings& surroundings, Ending ending, Body producer, Body worker) {
  return {.producer = std::move(producer),
          .worker = std::move(worker),
          .ending = ending,
          .warm_up = surroundings.lengths.warm_up,
          .window = surroundings.lengths.throughput};
}

Measured outcome_of(const std::expected<Throughput, std::string>& throughput, std::vector<Number> notes) {
  if (!throughput) return std::unexpected(throughput.error());
  return Outcome{
      .measured = throughput->window, .figures = {{"msgs_per_s", throughput->per_second}}, .notes = std::move(notes)};
}

Measured run_spsc_ring(const Surroundings& surroundings) {
  SharedBlock<SpscRing> ring;
  const Body producer = [&](RunControl& control, std::size_t) {
    Message message;
    control.start_together();
    while (!control.stopping()) {
      ++message.words[0];
      while (!ring->push(message) && !control.stopping()) relax();
    }
    return true;
  };
  const Body worker = [&](RunControl& control, std::size_t index) {
    control.start_together();
    while (!control.stopping()) {
      const std::uint64_t taken = ring->pop_all([](const Message& message) { consume(message.bytes()); });
      if (taken == 0) relax();
      control.done[index].add(taken);
    }
    return true;
  };
  return outcome_of(measure_throughput(plan_of(surroundings, Ending::ask, producer, worker)),
                    {{"depth", static_cast<double>(SpscRing::slots)}});
}

Measured run_boost_queue(const Surroundings& surroundings) {
  const std::string name = "ringmill-bench." + std::to_string(getpid());
  std::unique_ptr<message_queue> queue;
  try {
    queue = std::make_unique<message_queue>(boost::interprocess::create_only, name.c_str(), boost_queue_depth,
                                            sizeof(Message));
    // The children inherit the mapping; without its name nothing can be left behind.
    message_queue::remove(name.c_str());
  } catch (const boost::interprocess::interprocess_exception& failure) {
    return std::unexpected(std::string("message_queue: ") + failure.what());
  }
  const Body producer = [&](RunControl& control, std::size_t) {
    Message message;
    control.start_together();
    for (;;) {
      ++message.words[0];
      queue->send(&message, sizeof message, 0);
    }
    return true;
  };
  const Body worker = [&](RunControl& control, std::size_t index) {
    Message message;
    message_queue::size_type received = 0;
    unsigned priority = 0;
    control.start_together();
    for (;;) {
      queue->receive(&message, sizeof message, received, priority);
      consume(message.bytes());
      control.done[index].add(1);
    }
    return true;
  };
  return outcome_of(measure_throughput(plan_of(surroundings, Ending::kill, producer, worker)),
                    {{"depth", static_cast<double>(boost_queue_depth)}});
}

/// The longest queue that this user may have, up to what we want: root may pass msg_max and raise its byte limit.
std::pair<mqd_t, long> open_longest_posix_queue(const char* name) {
  const rlimit unlimited{.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};
  setrlimit(RLIMIT_MSGQUEUE, &unlimited);
  long system_limit = 10;
  std::ifstream("/proc/sys/fs/mqueue/msg_max") >> system_limit;
  for (const long depth : {posix_queue_depth_wanted, system_limit}) {
    mq_attr attributes{};
    attributes.mq_maxmsg = depth;
    attributes.mq_msgsize = sizeof(Message);
    const mqd_t queue = mq_open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600, &attributes);
    if (queue != -1) return {queue, depth};
  }
  return {-1, 0};
}

Measured run_posix_queue(const Surroundings& surroundings) {
  const std::string name = "/ringmill-bench." + std::to_string(getpid());
  const auto [queue, depth] = open_longest_posix_queue(name.c_str());
  if (queue == -1) return std::unexpected(std::string("mq_open: ") + std::strerror(errno));
  // The children inherit the descriptor.
  mq_unlink(name.c_str());
  const Body producer = [queue = queue](RunControl& control, std::size_t) {
    Message message;
    control.start_together();
    do ++message.words[0];
    while (mq_send(queue, reinterpret_cast<const char*>(&message), sizeof message, 0) == 0);
    std::perror("ringmill-bench: mq_send");
    return false;
  };
  const Body worker = [queue = queue](RunControl& control, std::size_t index) {
    Message message;
    control.start_together();
    while (mq_receive(queue, reinterpret_cast<char*>(&message), sizeof message, nullptr) == sizeof message) {
      consume(message.bytes());
      control.done[index].add(1);
    }
    std::perror("ringmill-bench: mq_receive");
    return false;
  };
  Measured outcome = outcome_of(measure_throughput(plan_of(surroundings, Ending::kill, producer, worker)),
                                {{"depth", static_cast<double>(depth)}});
  mq_close(queue);
  return outcome;
}

}  // namespace

std::vector<Workload> peer_workloads() {
  return {{"ref.spsc64", {"msgs_per_s"}, run_spsc_ring},
          {"ref.boost_mq64", {"msgs_per_s"}, run_boost_queue},
          {"ref.posix_mq64", {"msgs_per_s"}, run_posix_queue}};
}

}  // namespace ringmill::bench
