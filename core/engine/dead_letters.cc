#include <ringmill/dead_letters.h>

#include <array>
#include <utility>

#include <ringmill/engine.h>

#include "core/base/exceptions.h"
#include "core/dead_letters/store.h"
#include "core/engine/core_of.h"
#include "core/engine/letter_retry.h"

namespace ringmill {

class DeadLetters::Implementation {
 public:
  explicit Implementation(Engine& engine) : engine_(&engine), core_(core_of(engine)) {}

  /// Null: nothing was ever buried.
  Result<DeadLetterStore*> store() {
    if (store_) return &*store_;
    auto opened = DeadLetterStore::open(core_->directory.folder(), DeadLetterStore::Access::read_only);
    if (!opened && opened.error().code() == ErrorCode::not_found) return nullptr;
    if (!opened) return std::unexpected(opened.error());
    auto writable = DeadLetterStore::open(core_->directory.folder(), DeadLetterStore::Access::read_write);
    if (!writable) return std::unexpected(writable.error());
    store_ = *std::move(writable);
    return &*store_;
  }

  /// Retries what `each` hands to the visitor.
  template <class Each>
  Result<RetriedLetters> retry(DeadLetterStore& store, std::function<void(JobId, JobId)> retried, Each&& each) {
    const auto lock = store.lock_retries();  // retry.T1
    if (!lock) return std::unexpected(lock.error());
    auto participant = engine_->attach(Role::producer);
    if (!participant) return std::unexpected(participant.error());
    LetterRetry retry(store, *engine_, **participant, std::move(retried));
    if (auto listed = each([&retry](const DeadLetter& letter) { return retry.add(letter); }); !listed) {
      return std::unexpected(listed.error());
    }
    retry.flush();
    if (retry.error()) return std::unexpected(*retry.error());
    return RetriedLetters{.retried = retry.count(), .kept = retry.kept(), .why_kept = retry.first_kept()};
  }

 private:
  Engine* engine_;
  std::shared_ptr<EngineCore> core_;
  std::optional<DeadLetterStore> store_;
};

namespace {

Error no_letter(JobId id) { return Error(ErrorCode::not_found, "there is no dead letter of this job", id.to_string()); }

}  // namespace

DeadLetters::DeadLetters(Engine& engine) : implementation_(std::make_unique<Implementation>(engine)) {}
DeadLetters::DeadLetters(DeadLetters&&) noexcept = default;
DeadLetters& DeadLetters::operator=(DeadLetters&&) noexcept = default;
DeadLetters::~DeadLetters() = default;

Result<std::uint64_t> DeadLetters::count(const DeadLetterFilter& filter) {
  return list(filter, [](const DeadLetter&) { return true; });
}

Result<std::uint64_t> DeadLetters::list(const DeadLetterFilter& filter,
                                        const std::function<bool(const DeadLetter&)>& visit) try {
  const auto store = implementation_->store();
  if (!store) return std::unexpected(store.error());
  if (*store == nullptr) return 0;
  return (*store)->list(filter, DeadLetterStore::Order::newest_first, visit);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<DeadLetter> DeadLetters::find(JobId id) try {
  const auto store = implementation_->store();
  if (!store) return std::unexpected(store.error());
  if (*store == nullptr) return std::unexpected(no_letter(id));
  return (*store)->find(id);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<JobId> DeadLetters::retry(JobId id) try {
  const auto store = implementation_->store();
  if (!store) return std::unexpected(store.error());
  if (*store == nullptr) return std::unexpected(no_letter(id));
  JobId job;
  const auto done = implementation_->retry(
      **store, [&job](JobId, JobId made) { job = made; },
      [&](const auto& add) -> Result<void> {
        const auto letter = (*store)->find(id);
        if (!letter) return std::unexpected(letter.error());
        add(*letter);
        return {};
      });
  if (!done) return std::unexpected(done.error());
  if (!job) return std::unexpected(Error(ErrorCode::invalid_argument, "this letter cannot run again", done->why_kept));
  return job;
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<RetriedLetters> DeadLetters::retry(const DeadLetterFilter& filter) try {
  const auto store = implementation_->store();
  if (!store) return std::unexpected(store.error());
  if (*store == nullptr) return RetriedLetters{};
  return implementation_->retry(
      **store, [](JobId, JobId) {},
      [&](const auto& add) { return (*store)->list(filter, DeadLetterStore::Order::oldest_first, add); });
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<std::uint64_t> DeadLetters::purge(const DeadLetterFilter& filter) try {
  const auto store = implementation_->store();
  if (!store) return std::unexpected(store.error());
  if (*store == nullptr) return 0;
  return (*store)->purge(filter);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<bool> DeadLetters::purge(JobId id) try {
  const auto store = implementation_->store();
  if (!store) return std::unexpected(store.error());
  if (*store == nullptr) return false;
  const std::array ids{id};
  const auto count = (*store)->remove(ids);
  if (!count) return std::unexpected(count.error());
  return *count != 0;
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

}  // namespace ringmill
