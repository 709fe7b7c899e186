#include "tools/demo_program/roles.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <stdexcept>

#include <ringmill/engine.h>

#include "ipc/file.h"
#include "tools/demo_program/digest.h"

namespace ringmill::demo {

namespace {

constexpr std::chrono::seconds patience{30};

int fail(const char* role, const Error& error) {
  fmt::print(stderr, "demo: {} {}: {}\n", role, ::getpid(), error.message());
  return 1;
}

// What the signal handler needs.
std::atomic<bool> stopping{false};
std::atomic<Participant*> sleeping_participant{nullptr};

void stop_on_signal(int) {
  stopping.store(true);
  if (Participant* participant = sleeping_participant.load()) participant->wake();
}

/// One write per record: what a kill leaves is whole, or the last and without its end.
void append(const File& ledger, const std::string& record) {
  std::size_t done = 0;
  while (done <= record.size()) {
    const ssize_t written = ::write(ledger.descriptor(), record.c_str() + done, record.size() + 1 - done);
    if (written < 0 && errno != EINTR) throw std::runtime_error("cannot write the ledger");
    done += static_cast<std::size_t>(std::max<ssize_t>(written, 0));
  }
}

}  // namespace

int run_producer(const RunFolder& folder, int part, int of) {
  auto engine = Engine::open(folder.engine());
  if (!engine) return fail("producer", engine.error());
  auto participant = engine->attach(Role::producer);
  if (!participant) return fail("producer", participant.error());
  const auto kind = engine->kind(kind_name);
  if (!kind) return fail("producer", kind.error());
  std::array<Level, level_names.size()> levels{};
  for (std::size_t n = 0; n < levels.size(); ++n) {
    const auto level = engine->level(level_names[n]);
    if (!level) return fail("producer", level.error());
    levels[n] = *level;
  }
  const std::vector<std::string> records = read_records(folder.jobs());
  std::array<JobRequest, Participant::most_in_batch> batch;
  std::array<JobId, Participant::most_in_batch> ids;
  std::size_t count = 0;
  const auto flush = [&]() -> Result<void> {
    for (std::size_t done = 0; done < count;) {
      const auto entered = (*participant)->enqueue_batch(std::span(batch).subspan(done, count - done), ids, patience);
      if (!entered) return std::unexpected(entered.error());
      done += *entered;
    }
    count = 0;
    return {};
  };
  for (std::size_t n = static_cast<std::size_t>(part); n < records.size(); n += static_cast<std::size_t>(of)) {
    const std::size_t level = static_cast<std::size_t>(records[n].at(0) - '0');
    batch[count++] = {*kind, levels.at(level), as_payload(std::string_view(records[n]).substr(2))};
    if (count < batch.size()) continue;
    if (auto entered = flush(); !entered) return fail("producer", entered.error());
  }
  if (auto entered = flush(); !entered) return fail("producer", entered.error());
  return 0;
}

int run_worker(const RunFolder& folder, int number) {
  std::signal(SIGTERM, stop_on_signal);  // before we are seen in the registry: from then on we may be told to end
  auto engine = Engine::open(folder.engine());
  if (!engine) return fail("worker", engine.error());
  auto participant = engine->attach(Role::worker);
  if (!participant) return fail("worker", participant.error());
  const auto ledger = open_file(folder.ledger(number), O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (!ledger) return fail("worker", ledger.error());
  sleeping_participant.store(participant->get());
  Digester digester;
  while (!stopping.load()) {
    auto job = (*participant)->claim(std::chrono::seconds(1));
    if (!job) {
      if (job.error().code() == ErrorCode::would_block || job.error().code() == ErrorCode::timed_out) continue;
      return fail("worker", job.error());
    }
    const std::string path(as_text(job->payload()));
    const std::string digest = digester.sha256_of(path);
    append(*ledger, fmt::format("{} {} {} {}", job->id().to_string(), job->attempt(),
                                digest.empty() ? unreadable : digest, path));
    // A run that lost its lease has written a record too many; the comparison knows that a file may have several.
    static_cast<void>(job->complete());
  }
  sleeping_participant.store(nullptr);
  return 0;
}

std::vector<LedgerRecord> read_ledger(const std::filesystem::path& file) {
  std::vector<LedgerRecord> ledger;
  for (const std::string& text : read_records(file)) {
    const std::size_t attempt = text.find(' ') + 1;
    const std::size_t digest = text.find(' ', attempt) + 1;
    const std::size_t path = text.find(' ', digest) + 1;
    if (attempt == 0 || digest == 0 || path == 0) throw std::runtime_error("no ledger record: " + text);
    ledger.push_back({text.substr(0, attempt - 1),
                      static_cast<std::uint32_t>(std::strtoul(text.c_str() + attempt, nullptr, 10)),
                      text.substr(digest, path - 1 - digest), text.substr(path)});
  }
  return ledger;
}

}  // namespace ringmill::demo
