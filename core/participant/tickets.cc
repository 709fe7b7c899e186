#include "core/participant/tickets.h"

#include <algorithm>
#include <cerrno>

#include "core/instance/keeper_stand.h"
#include "ipc/file.h"
#include "ipc/futex.h"
#include "ipc/pause.h"
#include "ipc/waking.h"

namespace ringmill {

namespace {

/// A waiter that is alone spins for about as long as a quick disk takes. A sleep and a wake cost a third of that.
constexpr std::uint64_t device_spin_ns = 300'000;

/// The right to spin, while this lives.
class Spinner {
 public:
  explicit Spinner(std::atomic<std::uint32_t>& word) noexcept : word_(&word) {
    std::uint32_t none = 0;
    is_ours_ = word.load() == 0 && word.compare_exchange_strong(none, 1);
  }
  ~Spinner() {
    if (is_ours_) word_->store(0);
  }
  Spinner(const Spinner&) = delete;
  Spinner& operator=(const Spinner&) = delete;
  bool is_ours() const noexcept { return is_ours_; }

 private:
  std::atomic<std::uint32_t>* word_;
  bool is_ours_ = false;
};

/// Nothing when the journal works.
std::optional<Error> trouble_of(const JournalWords& journal) {
  switch (static_cast<JournalCondition>(journal.condition.load())) {
    case JournalCondition::failed: {
      const int number = static_cast<int>(journal.error_number.load());
      const bool lacks = number == ENOMEM || number == EAGAIN;
      return Error(ErrorCode::journal_failed, "the journal failed, nothing more becomes durable",
                   error_text(number) + "; jobs of durability `memory` still go; " +
                       (lacks ? "the process that keeps lacks memory or threads, and tries again each second"
                              : "the log of the process that keeps (`ringmill status` names it) says where; mend that, "
                                "then restart the process"));
    }
    case JournalCondition::no_space:
      if (journal.error_number.load() == EFBIG) {
        return Error(ErrorCode::no_space, "the journal may not grow",
                     "File too large; restart the process that keeps (`ringmill status` names it) with a higher limit "
                     "on the size of files (ulimit -f)");
      }
      return Error(ErrorCode::no_space, "the journal's disk is full", "it goes on by itself when there is space");
    default:
      return std::nullopt;
  }
}

}  // namespace

DurabilityTicket DurabilityTickets::ticket() const noexcept { return {segment_.journal().round_started.load() + 1}; }

std::string DurabilityTickets::why_not_durable() const {
  if (const std::string trouble = keeper_trouble(segment_); !trouble.empty()) {
    return "the keeper, " + trouble + "; continue that process, or end it: the next one keeps";
  }
  return "the disk is slow, or no process keeps (`ringmill status` shows both)";
}

Result<bool> DurabilityTickets::is_durable(DurabilityTicket ticket) const {
  const JournalWords& journal = segment_.journal();
  if (journal.round_durable.load() >= ticket.round) return true;
  if (auto trouble = trouble_of(journal)) return std::unexpected(*trouble);
  return false;
}

void DurabilityTickets::ask_for(DurabilityTicket ticket) noexcept {
  raise_to(segment_.journal().round_wanted, ticket.round);
  wake_journal_at_once(segment_);
}

Result<void> DurabilityTickets::wait_durable(DurabilityTicket ticket, std::uint64_t wait_ns) {
  JournalWords& journal = segment_.journal();
  if (journal.round_durable.load() >= ticket.round) return {};
  const std::uint64_t begin_ns = steady_clock_ns();
  const std::uint64_t end_ns = later_by(begin_ns, wait_ns);
  ask_for(ticket);  // dur.W1
  const Spinner spinner(journal.spinner);
  const std::uint64_t spin_end_ns = spinner.is_ours() ? std::min(end_ns, begin_ns + device_spin_ns) : begin_ns;
  while (true) {
    const std::uint32_t sequence = journal.durable_sequence.load();  // dur.W2
    const std::uint64_t now_ns = steady_clock_ns();
    // Where others sleep, they need the CPU that spinning takes.
    const bool spins = now_ns < spin_end_ns && journal.somebody_waits.load() == 0;
    if (!spins) journal.somebody_waits.store(1);  // dur.W3
    if (auto durable = is_durable(ticket); !durable || *durable) {
      if (!durable) return std::unexpected(durable.error());
      return {};
    }
    if (segment_.signals().removed.load() != 0)
      return std::unexpected(Error(ErrorCode::not_found, "the engine was removed"));
    if (now_ns >= end_ns) {
      return std::unexpected(Error(ErrorCode::timed_out, "not durable yet", why_not_durable()));
    }
    if (spins) {
      for (int n = 0; n < 8; ++n) pause_while_spinning();
      continue;
    }
    futex_wait(journal.durable_sequence, sequence, std::min(end_ns - now_ns, longest_sleep_ns));  // dur.W4
  }
}

Result<void> DurabilityTickets::reach_device(std::uint64_t end_ns) {
  const std::uint64_t now_ns = steady_clock_ns();
  auto reached = wait_durable(ticket(), end_ns - std::min(now_ns, end_ns));
  if (reached || reached.error().code() != ErrorCode::timed_out) return reached;
  return std::unexpected(Error(ErrorCode::not_durable, "the job is in, and not on the disk yet", why_not_durable()));
}

Result<void> DurabilityTickets::wait_for_journal(std::uint64_t wait_ns) {
  JournalWords& journal = segment_.journal();
  const std::uint64_t end_ns = later_by(steady_clock_ns(), wait_ns);
  while (true) {
    const std::uint32_t sequence = journal.durable_sequence.load();
    journal.somebody_waits.store(1);
    if (journal_accepts(segment_)) return {};
    if (auto trouble = trouble_of(journal)) return std::unexpected(*trouble);
    if (segment_.signals().removed.load() != 0)
      return std::unexpected(Error(ErrorCode::not_found, "the engine was removed"));
    const std::uint64_t now_ns = steady_clock_ns();
    if (now_ns >= end_ns) {
      return std::unexpected(Error(wait_ns == 0 ? ErrorCode::would_block : ErrorCode::timed_out,
                                   "the journal is behind: the disk does not keep up"));
    }
    futex_wait(journal.durable_sequence, sequence, std::min(end_ns - now_ns, longest_sleep_ns));
  }
}

void DurabilityTickets::when_durable(DurabilityTicket ticket, std::function<void(Result<void>)> done) {
  if (segment_.journal().round_durable.load() < ticket.round) ask_for(ticket);
  promised_.emplace_back(ticket, std::move(done));
}

std::size_t DurabilityTickets::poll_durable() {
  // Calls may promise more: what is due is taken out first.
  std::vector<std::pair<Result<void>, std::function<void(Result<void>)>>> due;
  std::erase_if(promised_, [&](auto& promise) {
    const auto durable = is_durable(promise.first);
    if (durable && !*durable) return false;
    due.emplace_back(durable ? Result<void>{} : std::unexpected(durable.error()), std::move(promise.second));
    return true;
  });
  for (auto& [result, done] : due) done(result);
  return promised_.size();
}

}  // namespace ringmill
