#include "server/looker.h"

#include "core/dead_letters/store.h"

namespace ringmill {

Result<const EngineView*> Looker::view() {
  if (view_ && (view_->segment().is_unlinked() || !view_->check_memory())) view_.reset();
  if (!view_) {
    auto opened = EngineView::open(directory_);
    if (!opened) return std::unexpected(opened.error());
    view_.emplace(*std::move(opened));
  }
  return &*view_;
}

Result<EngineStatistics> Looker::statistics() {
  const auto seen = view();
  if (!seen) return std::unexpected(seen.error());
  return (*seen)->statistics();
}

Result<Look> Looker::look() {
  auto now = statistics();
  if (!now) {
    before_.reset();
    return std::unexpected(now.error());
  }
  Look look = look_between(before_ ? &*before_ : nullptr, *std::move(now), dead_letters());
  before_ = look.now;
  return look;
}

std::optional<DeadLetterCount> Looker::dead_letters() const {
  const auto directory = EngineFiles::open(directory_, EngineFiles::For::look);
  if (!directory) return std::nullopt;
  const auto store = DeadLetterStore::open(directory->folder(), DeadLetterStore::Access::read_only);
  if (!store) {
    if (store.error().code() == ErrorCode::not_found) return DeadLetterCount{};  // nothing was ever buried
    return std::nullopt;
  }
  const auto totals = store->totals();
  if (!totals) return std::nullopt;
  return DeadLetterCount{
      .count = totals->letters, .bytes = totals->bytes, .limit = totals->limits.bytes, .dropped = totals->dropped};
}

}  // namespace ringmill
