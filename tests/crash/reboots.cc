// Reboots: producers and workers at full load, all of them and the keeper killed at once, the shared memory taken away;
// then the engine is opened again and compared with a ledger that was kept outside. Again and again, on one engine.
//
// What the ledger holds of a job: enqueued (its ticket was durable before this was written), begun (a worker has it and
// may end it), ended (the ticket of its completion was durable before this was written). After each reboot a job that
// is enqueued and not begun must be there; one that is ended must not; one in between may be either.
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <fmt/core.h>
#include <spdlog/spdlog.h>

#include "tests/crash/fail_once.h"
#include "tests/support/child.h"
#include "tests/support/levels.h"
#include "tests/support/must.h"
#include "tests/support/scratch.h"
#include "tests/support/shared_block.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;
using Random = std::mt19937_64;

constexpr std::uint64_t most_serials = 1 << 24;
constexpr std::uint32_t capacity = 65536;
constexpr std::size_t payload_words = 8;
constexpr std::size_t producers = 2;
constexpr std::size_t workers = 2;
constexpr auto patience = 30s;

struct Ledger {
  std::atomic<std::uint64_t> next{1};
  std::atomic<std::uint64_t> enqueued_count{0};
  std::atomic<std::uint64_t> ended_count{0};
  std::atomic<std::uint32_t> failures{0};
  std::array<std::atomic<std::uint8_t>, most_serials> enqueued{};
  std::array<std::atomic<std::uint8_t>, most_serials> begun{};
  std::array<std::atomic<std::uint8_t>, most_serials> ended{};
};

/// Eight words that only this serial has.
std::array<std::uint64_t, payload_words> payload_of(std::uint64_t serial) {
  std::array<std::uint64_t, payload_words> words{};
  for (std::size_t n = 0; n < words.size(); ++n) words[n] = serial * (2 * n + 1) + n;
  return words;
}

/// The serial, when every byte is right.
std::uint64_t serial_of(std::span<const std::byte> payload) {
  std::array<std::uint64_t, payload_words> words{};
  if (payload.size() != sizeof words) return 0;
  std::memcpy(words.data(), payload.data(), sizeof words);
  return words == payload_of(words[0]) && words[0] < most_serials ? words[0] : 0;
}

/// Some wait for each batch, some take one ticket for many; what is told durable goes into the ledger.
int produce(Ledger& ledger, const ScratchEngine& scratch, std::uint64_t seed) {
  Random random(seed);
  Engine engine = scratch.open();
  const auto participant = must(engine.attach(Role::producer));
  const Kind kind = must(engine.kind("reboot"));
  while (true) {
    std::vector<std::uint64_t> sent;
    const std::size_t wanted = random() % 4 == 0 ? 1 : 1 + random() % 512;
    while (sent.size() < wanted) {
      const std::size_t count = std::min<std::size_t>(wanted - sent.size(), Participant::most_in_batch);
      std::array<std::array<std::uint64_t, payload_words>, Participant::most_in_batch> payloads;
      std::array<JobId, Participant::most_in_batch> ids;
      std::vector<JobRequest> requests;
      const std::uint64_t first = ledger.next.fetch_add(count);
      if (first + count >= most_serials) return 0;
      for (std::size_t n = 0; n < count; ++n) {
        payloads[n] = payload_of(first + n);
        requests.push_back({.kind = kind,
                            .level = level_at(engine, random() % engine.level_count()),
                            .payload = std::as_bytes(std::span(payloads[n]))});
      }
      const auto went = participant->enqueue_batch(requests, ids, 100ms);
      if (!went && went.error().code() != ErrorCode::timed_out) must(Result<void>(std::unexpected(went.error())));
      for (std::size_t n = 0; n < went.value_or(0); ++n) sent.push_back(first + n);
      if (!went) break;
    }
    must(participant->wait_durable(participant->ticket(), patience));
    for (const std::uint64_t serial : sent) ledger.enqueued[serial].store(1);
    ledger.enqueued_count.fetch_add(sent.size());
  }
}

int work(Ledger& ledger, const ScratchEngine& scratch, std::uint64_t seed) {
  Random random(seed);
  Engine engine = scratch.open();
  const auto participant = must(engine.attach(Role::worker));
  std::vector<std::uint64_t> completed;
  while (true) {
    // Now and then no worker runs for a while, so that jobs wait and the journal holds them.
    if (random() % 256 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(random() % 300));
    std::array<Job, Participant::most_in_batch> jobs;
    const auto count = participant->claim_batch(jobs, 10ms);
    if (count) {
      for (Job& job : std::span(jobs).first(*count)) {
        const std::uint64_t serial = serial_of(job.payload());
        if (serial == 0) return 1;
        // Some are kept waiting, so that all kinds of jobs are there at the end of power.
        if (random() % 64 == 0) {
          must(random() % 2 == 0 ? fail_once(job) : job.release());
          continue;
        }
        ledger.begun[serial].store(1);
        if (job.complete()) completed.push_back(serial);
      }
    } else if (count.error().code() != ErrorCode::timed_out) {
      return 1;
    }
    if (completed.size() < 1 + random() % 2000 && count) continue;
    must(participant->wait_durable(participant->ticket(), patience));
    for (const std::uint64_t serial : completed) ledger.ended[serial].store(1);
    ledger.ended_count.fetch_add(completed.size());
    completed.clear();
  }
}

struct Findings {
  std::uint64_t lost = 0;
  std::uint64_t resurrected = 0;
  std::uint64_t doubled = 0;
  std::uint64_t torn = 0;
  std::uint64_t recovered = 0;
};

void compare(const Ledger& ledger, const ScratchEngine& scratch, Findings& findings) {
  std::vector<std::uint8_t> seen(most_serials, 0);
  const auto core = scratch.open_core();
  const JobTable table(core->segment);
  std::vector<std::byte> payload(in_whole_lines(table.inline_bytes()));
  for (CellIndex index = 0; index < table.capacity(); ++index) {
    if (table.word(index).state() != CellState::queued) continue;
    ++findings.recovered;
    const std::uint32_t bytes = table.header(index).payload_bytes.load_once().at_most(table.inline_bytes());
    table.copy_out(index, payload.data(), bytes);
    const std::uint64_t serial = serial_of(std::span(payload).first(bytes));
    if (serial == 0) {
      ++findings.torn;
      continue;
    }
    if (seen[serial]++ != 0) ++findings.doubled;
    if (ledger.ended[serial].load() != 0) ++findings.resurrected;
  }
  for (std::uint64_t serial = 1; serial < std::min(ledger.next.load(), most_serials); ++serial) {
    if (ledger.enqueued[serial].load() != 0 && ledger.begun[serial].load() == 0 && seen[serial] == 0) ++findings.lost;
  }
}

int run(int count, char** words) {
  std::uint64_t reboots = 20;
  std::uint64_t seed = std::random_device{}();
  for (int at = 1; at + 1 < count; at += 2) {
    if (std::string_view(words[at]) == "--reboots") reboots = std::stoull(words[at + 1]);
    if (std::string_view(words[at]) == "--seed") seed = std::stoull(words[at + 1]);
  }
  fmt::print("seed {}\n", seed);
  spdlog::set_level(spdlog::level::err);
  Random random(seed);
  CreateOptions options;
  options.capacity = capacity;
  const ScratchEngine scratch(options);
  const SharedBlock<Ledger> ledger;
  Findings findings;
  for (std::uint64_t reboot = 1; reboot <= reboots; ++reboot) {
    std::vector<std::unique_ptr<Child>> children;
    for (std::size_t n = 0; n < producers; ++n) {
      children.push_back(std::make_unique<Child>([&, n] { return produce(*ledger, scratch, seed + reboot * 16 + n); }));
    }
    for (std::size_t n = 0; n < workers; ++n) {
      children.push_back(
          std::make_unique<Child>([&, n] { return work(*ledger, scratch, seed + reboot * 16 + 8 + n); }));
    }
    std::this_thread::sleep_for(100ms + std::chrono::milliseconds(random() % 400));
    for (const auto& child : children) ::kill(child->pid(), SIGKILL);
    for (const auto& child : children) {
      if (child->wait() != -SIGKILL) ledger->failures.fetch_add(1);
    }
    std::filesystem::remove(scratch.segment_file());
    const std::uint64_t recovered_before = findings.recovered;
    compare(*ledger, scratch, findings);
    fmt::print("reboot {}: {} enqueued and {} ended durably so far, {} came back\n", reboot,
               ledger->enqueued_count.load(), ledger->ended_count.load(), findings.recovered - recovered_before);
    std::fflush(stdout);
    if (ledger->next.load() + 1'000'000 > most_serials) {
      fmt::print("the ledger is full\n");
      break;
    }
  }
  fmt::print(
      "{{\"reboots\":{},\"enqueued\":{},\"ended\":{},\"recovered\":{},\"lost\":{},\"resurrected\":{},\"doubled\":{},"
      "\"torn\":{},\"failures\":{}}}\n",
      reboots, ledger->enqueued_count.load(), ledger->ended_count.load(), findings.recovered, findings.lost,
      findings.resurrected, findings.doubled, findings.torn, ledger->failures.load());
  const bool fine = findings.lost + findings.resurrected + findings.doubled + findings.torn == 0 &&
                    ledger->failures.load() == 0 && ledger->enqueued_count.load() != 0;
  return fine ? 0 : 1;
}

}  // namespace
}  // namespace ringmill::test

int main(int count, char** words) {
  try {
    return ringmill::test::run(count, words);
  } catch (const std::exception& failure) {
    std::fprintf(stderr, "reboots: %s\n", failure.what());
    return 3;
  }
}
