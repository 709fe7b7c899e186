#include "core/bundles.h"

#include <vector>

#include "core/expiry.h"

namespace ringmill {

bool publish_filled(Settling& settling, CellIndex index, StateWord filling) noexcept {
  const JobTable& table = settling.table();
  const CellHeader& header = table.header(index);
  const DueTime due = DueTime::of(header.due_at.load());
  const CellState state = table.parents(index) != 0 ? CellState::blocked
                          : due.ns != 0             ? CellState::delayed
                                                    : CellState::queued;
  const std::uint64_t expires_ms = expires_at_ms(table, index);
  std::uint64_t expected = filling.bits();
  if (!table.state(index).compare_exchange_strong(expected, filling.next(state, 0).bits())) return false;
  if (state == CellState::queued && expires_ms != 0) {
    settling.mark_for_keeper(index, {.ns = expires_ms * 1'000'000, .is_wall = true});
  }
  settling.place_again(job_id_of(filling, index));
  return true;
}

void publish_bundle(Settling& settling, ParticipantEntry& entry, std::uint32_t owner) {
  const JobTable& table = settling.table();
  std::vector<CellIndex> filled;  // the leader first
  JobId id(entry.bundle.load());
  // Bounded, because the links of a cell that somebody scribbled over may lead round for ever.
  while (id && index_of(id) < table.capacity() && filled.size() < table.capacity()) {
    const StateWord word = table.word(index_of(id));
    if (!word.is(CellState::filling, owner) || word.generation() != generation_of(id)) {
      settling.place_again(id);  // published, perhaps without its mark
      break;
    }
    filled.push_back(index_of(id));
    const CellLinks* const links = table.links(index_of(id));
    id = JobId(links != nullptr ? links->next.load() : 0);
  }
  for (; !filled.empty(); filled.pop_back()) {
    const CellIndex index = filled.back();
    const StateWord word = table.word(index);
    if (word.is(CellState::filling, owner)) publish_filled(settling, index, word);
  }
  entry.bundle.store(0);  // L4
}

bool has_decided_bundle(const JobTable& table, const ParticipantEntry& entry, std::uint32_t owner) noexcept {
  if (entry.bundle.load() == 0) return false;
  const JobId after(entry.bundle_after.load());
  if (!after) return true;
  if (index_of(after) >= table.capacity()) return false;
  const StateWord word = table.word(index_of(after));
  return word.is(CellState::completing, owner) && word.generation() == generation_of(after);
}

}  // namespace ringmill
