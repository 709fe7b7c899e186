// When all children of a job that has ended are known. Jobs that are enqueued together become visible one after the
// other (lead.L3 of core/table/bundles.h), the parents first: a parent may run and end before its child is visible, and
// the keeper would find no child that wants its result.
//
//   grace.G1  a parent asks whether it may go; one that was asked for before the last G3 may
//   grace.G2  before the marks are taken: which participants are between lead.L2 and lead.L4, and with which bundle
//   grace.G3  before the marks of a later turn: none of these bundles is under way any more, so all their jobs are
//             marked; when the marks of this turn are taken, the keeper knows them
//
// Private memory of the keeper: after its death the next one looks at all jobs first.
#pragma once

#include <cstdint>
#include <unordered_set>
#include <utility>
#include <vector>

#include <ringmill/job.h>

#include "ipc/registry.h"
#include "ipc/segment.h"

namespace ringmill {

class BundleGrace {
 public:
  explicit BundleGrace(const Segment& segment) noexcept : segment_(&segment) {}

  /// grace.G1. Returns whether all children of the job are known that came with it. If not, ask again after a turn.
  bool has_passed(JobId parent) {
    if (passed_.contains(parent.value())) return true;
    if (is_at_rest()) return true;
    asked_.insert(parent.value());
    return false;
  }
  void forget(JobId parent) noexcept { passed_.erase(parent.value()); }
  /// After a scan: those that went by other ways are forgotten; the others ask again.
  void forget_passed() noexcept { passed_.clear(); }

  /// grace.G2 and grace.G3. Before the marks of a turn are taken.
  void begin_pass() {
    rest_ = Rest::unknown;
    std::erase_if(under_way_, [this](const UnderWay& bundle) {
      return segment_->participant(bundle.participant).bundle.load() != bundle.leader;
    });
    if (!under_way_.empty() || (waiting_.empty() && asked_.empty())) return;
    passed_.merge(waiting_);
    waiting_ = std::exchange(asked_, {});
    under_way_ = all_under_way();
    if (!under_way_.empty()) return;
    passed_.merge(waiting_);
    waiting_.clear();
  }

 private:
  enum class Rest : std::uint8_t { unknown, yes, no };
  struct UnderWay {
    std::uint32_t participant;
    std::uint64_t leader;
  };

  std::vector<UnderWay> all_under_way() const {
    std::vector<UnderWay> found;
    for_each_entry(*segment_, [&found](std::uint32_t number, const ParticipantEntry& entry) {
      if (const std::uint64_t leader = entry.bundle.load(); leader != 0) found.push_back({number, leader});
    });
    return found;
  }
  /// No bundle is under way, and no mark is left to take: so all jobs are known. Looked for once after each pass: what
  /// is asked for was visible before that.
  bool is_at_rest() {
    if (rest_ == Rest::unknown) {
      const bool is_quiet = all_under_way().empty() && segment_->signals().keeper_work.load() == 0;
      rest_ = is_quiet ? Rest::yes : Rest::no;
    }
    return rest_ == Rest::yes;
  }

  const Segment* segment_;
  Rest rest_ = Rest::unknown;
  std::vector<UnderWay> under_way_;          // when waiting_ was asked for
  std::unordered_set<std::uint64_t> asked_;  // since then
  std::unordered_set<std::uint64_t> waiting_;
  std::unordered_set<std::uint64_t> passed_;
};

}  // namespace ringmill
