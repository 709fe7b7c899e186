#include "core/flow_control/admission.h"

#include "core/flow_control/permits.h"
#include "core/flow_control/token_bucket.h"

namespace ringmill {

namespace {

TokenRate rate_of(const KindRule& rule) noexcept {
  return {.period_ns = rule.rate_period_ns.load(), .count = rule.rate_count.load(), .burst = rule.burst.load()};
}

}  // namespace

Admission::Verdict Admission::judge(const Claim& claim, std::uint64_t now_ns) noexcept {
  using Reason = WaitMark::Reason;
  const CellHeader& header = settling_->table().header(claim.index);
  const auto known_kind = header.kind.load_once().below(most_kinds);
  if (!known_kind) return Verdict::begins;  // the cell is corrupted: it is buried when it is handed out
  const std::uint32_t kind = *known_kind;
  KindRule& rule = settling_->segment().kind_rule(kind);
  const std::uint32_t revision = rule.revision.load() & 7;
  const std::uint32_t row = rule.permit_row.load_once().below(most_permit_rows + 1).value_or(0);
  const std::uint32_t limit = rule.concurrency.load_once().at_most(most_concurrency);
  const TokenRate rate = rate_of(rule);
  const WaitMark mark = WaitMark::of_claimed(header.cause.load(), claim.word);
  const auto mark_for = [revision](Reason reason) { return WaitMark{.reason = reason, .revision = revision}; };
  if (rule.paused_since_ns.load() != 0) {  // admit.A2
    park(claim, mark_for(Reason::paused), due_never);
    return Verdict::parked;
  }
  const bool has_token =
      (mark.reason == Reason::rate || mark.reason == Reason::concurrency_with_token) && mark.revision == revision;
  if (rate.count != 0 && !has_token) {
    const std::uint64_t due_ns = take_token(rule.next_token_ns, now_ns, rate);  // admit.A3
    if (due_ns > now_ns) {
      park(claim, mark_for(Reason::rate), {.ns = due_ns, .is_wall = false});
      return Verdict::parked;
    }
  }
  if (limit == 0 || row == 0) return Verdict::begins;
  Permits permits(settling_->segment().permit_row(row - 1), settling_->table(), kind, Permits::end_of(rule));
  // Jobs that wait with the keeper came before one that was never parked.
  if (mark.reason != Reason::none || rule.waiting.load() == 0) {
    if (const auto permit = permits.take(claim.index, claim.word, limit)) {  // admit.A4
      book_->note_permit(claim.slot, {.row = row - 1, .permit = *permit, .kind = kind, .run = claim.word});
      return Verdict::begins_last;
    }
  }
  park(claim, mark_for(rate.count != 0 ? Reason::concurrency_with_token : Reason::concurrency), due_never);
  rule.waiting.store(1);  // admit.P2
  if (permits.taken() < limit) ring_keeper(settling_->segment());
  return Verdict::parked;
}

void Admission::park(const Claim& claim, WaitMark mark, DueTime due) noexcept {
  // If the lease was revoked meanwhile, the revoker has the job.
  static_cast<void>(settling_->end(claim.index, claim.word, book_->slot(claim.slot),
                                   {.outcome = Outcome::park, .due = due, .wait_note = mark.note()}));  // admit.P1
  book_->give_back(claim.slot);
}

void Admission::leave(std::uint32_t lease_slot, CellIndex index) noexcept {
  const LeaseBook::PermitHold hold = book_->forget_permit(lease_slot);
  const Segment& segment = settling_->segment();
  Permits::give_back(segment.permit_row(hold.row), hold.permit, index, hold.run);  // permit.S3
  if (segment.kind_rule(hold.kind).waiting.load() != 0) ring_keeper(segment);
}

}  // namespace ringmill
