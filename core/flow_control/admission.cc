#include "core/flow_control/admission.h"

#include "core/flow_control/permits.h"
#include "core/flow_control/token_bucket.h"

namespace ringmill {

Admission::Verdict Admission::judge(const Claim& claim) noexcept {
  using Reason = WaitMark::Reason;
  const CellHeader& header = settling_->table().header(claim.index);
  const auto known_kind = header.kind.load_once().below(most_kinds);
  if (!known_kind) return Verdict::begins;  // the cell is corrupted: it is buried when it is handed out
  const std::uint32_t kind = *known_kind;
  KindRule& rule = settling_->segment().kind_rule(kind);
  const std::uint32_t row = rule.permit_row.load_once().below(most_permit_rows + 1).value_or(0);
  const std::uint32_t limit = rule.concurrency.load_once().at_most(most_concurrency);
  if (rule.paused_since_ns.load() != 0) {  // admit.A2
    park(claim, Reason::paused, due_never);
    return Verdict::parked;
  }
  // Jobs that wait with the keeper came before one that was never parked.
  const bool has_waited = WaitMark::of_claimed(header.cause.load(), claim.word).reason != Reason::none;
  const bool is_its_turn = has_waited || rule.waiting.load() == 0;
  const TokenRate rate = TokenRate::of(rule);
  if (rate.count != 0) {  // admit.A3
    const std::uint64_t now_ns = lease_clock_ns();
    const std::uint64_t due_ns = tokens_due_ns(rule.next_token_ns.load(), now_ns, 1, rate);
    if (!is_its_turn || due_ns > now_ns) {
      park_for_token(claim, rule, due_ns);
      return Verdict::parked;
    }
    book_->note_limited(claim.slot);
  }
  if (limit == 0 || row == 0) return rate.count == 0 ? Verdict::begins : Verdict::begins_last;
  Permits permits(settling_->segment().permit_row(row - 1), settling_->table(), kind, Permits::end_of(rule));
  if (is_its_turn) {
    if (const auto permit = permits.take(claim.index, claim.word, limit)) {  // admit.A4
      book_->note_permit(claim.slot, {.row = row - 1, .permit = *permit, .kind = kind, .run = claim.word});
      return Verdict::begins_last;
    }
  }
  park(claim, Reason::concurrency, due_never);
  rule.waiting.store(1);  // admit.P2
  if (permits.taken() < limit) ring_keeper(settling_->segment());
  return Verdict::parked;
}

bool Admission::begin(const Claim& claim) noexcept {
  book_->forget_limited(claim.slot);
  const auto kind = settling_->table().header(claim.index).kind.load_once().below(most_kinds);
  if (!kind) return true;
  KindRule& rule = settling_->segment().kind_rule(*kind);
  const TokenRate rate = TokenRate::of(rule);
  if (rate.count == 0) return true;
  const std::uint64_t now_ns = lease_clock_ns();
  if (take_token(rule.next_token_ns, now_ns, rate)) {  // admit.A5
    if (rule.waiting.load() != 0) ring_keeper(settling_->segment());
    return true;
  }
  if (book_->has_permit(claim.slot)) leave(claim.slot, claim.index);
  park_for_token(claim, rule, tokens_due_ns(rule.next_token_ns.load(), now_ns, 1, rate));
  return false;
}

void Admission::park(const Claim& claim, WaitMark::Reason reason, DueTime due) noexcept {
  // If the lease was revoked meanwhile, the revoker has the job.
  static_cast<void>(settling_->end(
      claim.index, claim.word, book_->slot(claim.slot),
      {.outcome = Outcome::park, .due = due, .wait_note = WaitMark{.reason = reason}.note()}));  // admit.P1
  book_->forget_limited(claim.slot);
  book_->give_back(claim.slot);
}

void Admission::park_for_token(const Claim& claim, KindRule& rule, std::uint64_t due_ns) noexcept {
  park(claim, WaitMark::Reason::rate, {.ns = due_ns, .is_wall = false});
  rule.waiting.store(1);  // admit.P2
  const std::uint64_t now_ns = lease_clock_ns();
  if (tokens_at(rule.next_token_ns.load(), now_ns, TokenRate::of(rule)) != 0) ring_keeper(settling_->segment());
}

void Admission::leave(std::uint32_t lease_slot, CellIndex index) noexcept {
  const LeaseBook::PermitHold hold = book_->forget_permit(lease_slot);
  const Segment& segment = settling_->segment();
  Permits::give_back(segment.permit_row(hold.row), hold.permit, index, hold.run);  // permit.S3
  if (segment.kind_rule(hold.kind).waiting.load() != 0) ring_keeper(segment);
}

}  // namespace ringmill
