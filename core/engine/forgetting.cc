#include "core/engine/forgetting.h"

#include "core/engine/opening.h"
#include "ipc/waking.h"

namespace ringmill {

Result<std::unique_ptr<Forgetting>> Forgetting::begin(const std::filesystem::path& directory) {
  auto core = open_engine(directory, false);
  if (!core) return std::unexpected(core.error());
  std::unique_ptr<Forgetting> begun(new Forgetting(*std::move(core)));
  if (auto entered = begun->enter(); !entered) return std::unexpected(entered.error());
  return begun;
}

Forgetting::~Forgetting() {
  if (settling_) core_->registry.leave(number_);
}

Result<void> Forgetting::enter() {
  const auto number = enter_engine(*core_, Role::tool);
  if (!number) return std::unexpected(number.error());
  number_ = *number;
  settling_ = std::make_unique<Settling>(core_->segment, number_);
  ring_keeper(core_->segment);  // so that it watches us from now on
  return {};
}

const char* Forgetting::need_of(CellIndex index, StateWord word) const noexcept {
  const std::uint16_t flags = settling_->table().header(index).flags.load();
  // A completed parent that is gone is one that ended well; of a cancelled one its children must learn.
  const bool is_cancelled = word.state() == CellState::cancelled;
  if (is_cancelled && (flags & cell_flag::has_children) != 0) return "another job needs to know how it ended";
  const bool leads = (flags & cell_flag::leads_bundle) != 0 && (flags & cell_flag::memory_only) == 0;
  if (leads && core_->segment.marks().is_marked(index)) return "the journal has not written all that came with it yet";
  return nullptr;
}

Result<bool> Forgetting::forget(JobId id) {
  const auto look = core_->segment.look();
  const JobTable& table = settling_->table();
  const CellIndex index = index_of(id);
  const auto unknown = [id] { return std::unexpected(Error(ErrorCode::not_found, "no such job", id.to_string())); };
  const auto busy = [id](const char* why) { return std::unexpected(Error(ErrorCode::busy, why, id.to_string())); };
  if (!table.can_have_given(id)) return unknown();
  ParticipantEntry& entry = core_->segment.participant(number_);
  while (true) {
    const StateWord word = table.word(index);
    if (!JobTable::was_enqueued(id, word)) return unknown();
    if (generation_of(id) < word.generation()) return false;
    if (word.state() != CellState::completed && word.state() != CellState::cancelled) {
      return busy("the job is not over");
    }
    // What is read belongs to the word, or the swap fails.
    if (const char* why = need_of(index, word)) return busy(why);
    entry.placing[0].store(id.value());
    entry.placing_count.store(1);                       // forget.G1
    const bool dropped = settling_->drop(index, word);  // forget.G2, and the mark of forget.G3
    if (dropped) {
      core_->segment.free_map().put_cell(index);
      wake_for_space(core_->segment);
    }
    entry.placing_count.store(0);  // forget.G3
    if (dropped) return true;
    // The keeper was quicker, or the word moved on.
  }
}

}  // namespace ringmill
