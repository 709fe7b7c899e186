// What a program in C does, through the shared library: the same questions and answers as operations.cc has, so that
// the layer between is killed and stopped at each of its instructions too.
#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <ringmill/ringmill.h>

#include "tests/crash/operations.h"

namespace ringmill::crash {
namespace in_c {
namespace {

constexpr std::uint32_t most_held = 4;
constexpr std::int64_t brief_delay_ms = 1;

rm_bytes bytes_of(std::string_view text) { return {text.data(), text.size()}; }

/// The child's engine, once more by way of C.
class Hands {
 public:
  explicit Hands(Child& child) : child_(&child) {
    rm_open_options options{};
    options.size = sizeof options;
    options.flags = RM_OPEN_NO_KEEPER;
    need(rm_open(child.directory().c_str(), &options, &engine_, nullptr));
    need(rm_kind(engine_, bytes_of("sweep"), &kind_, nullptr));
    for (std::size_t n = 0; n < levels_.size(); ++n) {
      need(rm_level(engine_, bytes_of(level_names[n]), &levels_[n], nullptr));
    }
  }
  Hands(const Hands&) = delete;
  Hands& operator=(const Hands&) = delete;

  void attach() { need(rm_attach(engine_, RM_WORKER, 0, &participant_, nullptr)); }
  void subscribe(bool is_urgent_only) {
    rm_subscription subscription{};
    subscription.size = sizeof subscription;
    subscription.strict = is_urgent_only ? 1 : 0;
    subscription.prefetch = is_urgent_only ? 1 : Participant::most_in_batch;
    subscription.levels = levels_.data();
    subscription.level_count = is_urgent_only ? 1 : 0;
    need(rm_subscribe(participant_, &subscription, nullptr));
  }
  void enqueue(std::uint32_t count);
  void claim(std::uint32_t count) { note_claimed(rm_claim(participant_, fresh(), count, &got_, 0, nullptr)); }
  void settle(std::span<const std::uint32_t> ways);
  void settle_and_claim(std::uint32_t what, std::uint32_t count);
  std::uint32_t held_count() const noexcept { return held_; }
  void leave();

 private:
  static void need(rm_code code) {
    if (code != RM_OK) ::_exit(Child::could_not_prepare);
  }
  /// Anything but the codes that a call may give here.
  void expect(rm_code code, rm_code allowed) {
    if (code != RM_OK && code != allowed) child_->surprised_by(ErrorCode::system);
  }
  rm_claimed* fresh() noexcept {
    jobs_[held_].size = sizeof(rm_claimed);
    return &jobs_[held_];
  }
  /// most_serials + most_fillers: it is no job of this trial.
  std::uint32_t serial_of(const rm_claimed& job) {
    const auto serial =
        serial_in({static_cast<const std::byte*>(job.payload.data), job.payload.size}, child_->report().trial);
    if (!serial) child_->surprised_by(ErrorCode::corrupt);
    return serial.value_or(most_serials + most_fillers);
  }
  /// Null: it is a filler, or none of this trial.
  JobReport* report_of(std::uint32_t serial) noexcept {
    return serial < most_serials ? &child_->report().jobs[serial] : nullptr;
  }
  void note_claimed(rm_code code);
  void ask(std::span<const std::uint32_t> ways);
  void note_answers();

  Child* child_;
  rm_engine* engine_ = nullptr;
  rm_participant* participant_ = nullptr;
  std::uint32_t kind_ = 0;
  std::array<std::uint32_t, level_names.size()> levels_{};
  std::array<rm_claimed, 2 * most_held> jobs_{};
  std::uint32_t held_ = 0;
  std::uint32_t got_ = 0;
  std::array<rm_settlement, most_held> list_{};
  std::array<std::uint32_t, most_held> serials_{};  // of the jobs of the list
  std::uint32_t asked_count_ = 0;
};

void Hands::enqueue(std::uint32_t count) {
  std::array<rm_request, most_held> requests{};
  std::array<rm_id, most_held> ids{};
  for (std::uint32_t n = 0; n < count; ++n) {
    const JobRequest job = child_->request(first_own_serial + n, n % 3);
    requests[n].size = sizeof(rm_request);
    requests[n].kind = kind_;
    requests[n].level = levels_[n % 3];
    requests[n].payload = {job.payload.data(), job.payload.size()};
    requests[n].lease_ms = job.lease.count();
    child_->report().jobs[first_own_serial + n].is_enqueuing = 1;
  }
  std::uint32_t done = 0;
  expect(rm_enqueue(participant_, requests.data(), count, ids.data(), &done, 0, nullptr), RM_WOULD_BLOCK);
  for (std::uint32_t n = 0; n < count; ++n) {
    JobReport& report = child_->report().jobs[first_own_serial + n];
    if (n < done) report.id = ids[n];
    report.enqueued = n < done ? Answer::yes : Answer::no;
  }
}

void Hands::note_claimed(rm_code code) {
  expect(code, RM_WOULD_BLOCK);
  for (; got_ > 0; --got_) {
    if (JobReport* const report = report_of(serial_of(jobs_[held_++]))) report->is_claimed = 1;
  }
}

/// Asks for one settlement of each held job, in these ways in turn.
void Hands::ask(std::span<const std::uint32_t> ways) {
  asked_count_ = std::min<std::uint32_t>(held_, most_held);
  for (std::uint32_t n = 0; n < asked_count_; ++n) {
    const std::uint32_t what = ways[n % ways.size()];
    list_[n] = {};
    list_[n].size = sizeof(rm_settlement);
    list_[n].what = what;
    list_[n].lease = jobs_[n].lease;
    list_[n].delay_ms = brief_delay_ms;
    serials_[n] = serial_of(jobs_[n]);
    JobReport* const report = report_of(serials_[n]);
    if (report == nullptr) continue;
    report->answered = Answer::none;
    report->asked = what == RM_COMPLETE ? Ask::complete : what == RM_RETRY_IN ? Ask::fail : Ask::release;
  }
  held_ = 0;
}

void Hands::note_answers() {
  for (std::uint32_t n = 0; n < asked_count_; ++n) {
    expect(list_[n].outcome, RM_LEASE_LOST);
    const bool is_done = list_[n].outcome == RM_OK;
    if (JobReport* const report = report_of(serials_[n])) {
      report->answered = is_done ? Answer::yes : Answer::no;
    } else if (is_done && list_[n].what == RM_COMPLETE && serials_[n] < most_serials + most_fillers) {
      ++child_->report().filler_ends[serials_[n] - most_serials];
    }
  }
}

void Hands::settle(std::span<const std::uint32_t> ways) {
  ask(ways);
  static_cast<void>(rm_settle(participant_, list_.data(), asked_count_, nullptr));
  note_answers();
}

void Hands::settle_and_claim(std::uint32_t what, std::uint32_t count) {
  ask({&what, 1});
  const rm_code claimed =
      rm_settle_and_claim(participant_, list_.data(), asked_count_, fresh(), count, &got_, 0, nullptr);
  note_answers();
  note_claimed(claimed);
}

void Hands::leave() {
  while (held_ > 0) {
    const std::uint32_t rest = held_ > most_held ? held_ - most_held : 0;
    const std::uint32_t complete = RM_COMPLETE;
    settle({&complete, 1});
    std::memmove(jobs_.data(), jobs_.data() + most_held, rest * sizeof jobs_[0]);
    held_ = rest;
  }
  rm_participant_release(participant_);
  rm_engine_release(engine_);
}

std::optional<Hands> hands;  // of the child

void attach(Child& child) {
  hands.emplace(child);
  hands->attach();
}
void attach_to_claim(Child& child) {
  child.report().is_claiming = 1;
  attach(child);
  hands->subscribe(false);
}
void claim_four_urgent(Child& child) {
  attach(child);
  hands->subscribe(true);
  for (int n = 0; n < 4; ++n) hands->claim(1);
  if (hands->held_count() != 4) ::_exit(Child::could_not_prepare);
}
void claim_two_of_four(Child& child) {
  child.report().is_claiming = 1;
  attach(child);
  hands->subscribe(true);
  hands->claim(2);
  if (hands->held_count() != 2) ::_exit(Child::could_not_prepare);
}

void enqueue_one(Child&) { hands->enqueue(1); }
void enqueue_four(Child&) { hands->enqueue(4); }
void claim_one(Child&) { hands->claim(1); }
void claim_four(Child&) { hands->claim(4); }
void settle_mixed(Child&) {
  constexpr std::array<std::uint32_t, 4> ways{RM_COMPLETE, RM_RETRY_IN, RM_RELEASE, RM_SNOOZE};
  hands->settle(ways);
}
void settle_and_claim(Child&) { hands->settle_and_claim(RM_COMPLETE, 2); }
void leave(Child&) { hands->leave(); }

Operation operation(std::string_view name, std::vector<std::size_t> standing, void (*prepare)(Child&),
                    void (*act)(Child&)) {
  return {.name = name, .standing = std::move(standing), .prepare = prepare, .act = act, .leave = leave};
}

}  // namespace
}  // namespace in_c

std::span<const Operation> operations_in_c() {
  using in_c::operation;
  static const std::array<Operation, 6> all{{
      operation("c_enqueue", {1, 2}, in_c::attach, in_c::enqueue_one),
      operation("c_enqueue_batch", {1, 2}, in_c::attach, in_c::enqueue_four),
      operation("c_claim", {0, 1, 2, 0}, in_c::attach_to_claim, in_c::claim_one),
      operation("c_claim_batch", {0, 0, 1, 1, 2, 2}, in_c::attach_to_claim, in_c::claim_four),
      operation("c_settle_mixed", {0, 0, 0, 0, 1, 2}, in_c::claim_four_urgent, in_c::settle_mixed),
      operation("c_settle_claim", {0, 0, 0, 0, 1, 2}, in_c::claim_two_of_four, in_c::settle_and_claim),
  }};
  return all;
}

}  // namespace ringmill::crash
