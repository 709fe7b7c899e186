#include "core/table/bundles.h"

#include <algorithm>
#include <array>
#include <optional>

#include "core/table/level_bound.h"
#include "core/table/serial.h"

namespace ringmill {

namespace {

/// Cells of a bundle that are published after one walk over its links.
constexpr std::size_t most_in_a_walk = 1024;

/// Counts a follow-up into its level: jobs that were enqueued together are counted already.
void count_if_bounded(Settling& settling, CellIndex index, std::optional<BetweenSteps>& between) noexcept {
  CellHeader& header = settling.table().header(index);
  const auto level = header.level.load_once().below(settling.segment().geometry().level_numbers());
  if (!level || !is_bounded(settling.segment(), *level) || (header.flags.load() & cell_flag::counted) != 0) return;
  between.emplace(settling.own_entry());  // bound.B1
  LevelCount(settling.segment(), *level).enter_unasked();
  header.flags.fetch_or(cell_flag::counted);
}

}  // namespace

bool publish_filled(Settling& settling, CellIndex index, StateWord filling) noexcept {
  const JobTable& table = settling.table();
  const CellHeader& header = table.header(index);
  const DueTime due = DueTime::of(header.due_at.load());
  const bool waits_for_others = table.parents(index) != 0 || serial_place_of(table, index).has_value();
  const CellState state = waits_for_others ? CellState::blocked : due.ns != 0 ? CellState::delayed : CellState::queued;
  const JobPair pair = settling.pair_of(index);
  std::optional<BetweenSteps> between;
  count_if_bounded(settling, index, between);
  std::uint64_t expected = filling.bits();
  if (!table.state(index).compare_exchange_strong(expected, filling.next(state, 0).bits())) return false;
  settling.tally().count(&PairCounts::enqueued, pair);
  settling.place_again(job_id_of(filling, index));
  return true;
}

void publish_bundle(Settling& settling, ParticipantEntry& entry, std::uint32_t owner) noexcept {
  const JobTable& table = settling.table();
  // The links lead from the leader to the others, and the leader goes last. So each walk keeps the end of its way, as
  // much as has room here, and publishes that backwards. No memory is asked for: neither a job's end nor a reaper has
  // a way to give up here.
  std::array<CellIndex, most_in_a_walk> way;
  std::uint32_t steps = 0;
  bool is_first_walk = true;
  do {
    steps = 0;
    JobId id(entry.bundle.load());
    // Bounded, because the links of a corrupted cell may lead round for ever.
    while (id && index_of(id) < table.capacity() && steps < table.capacity()) {
      const StateWord word = table.word(index_of(id));
      if (!word.is(CellState::filling, owner) || word.generation() != generation_of(id)) {
        if (is_first_walk) settling.place_again(id);  // published, perhaps without its mark
        break;
      }
      way[steps++ % way.size()] = index_of(id);
      const CellLinks* const links = table.links(index_of(id));
      id = JobId(links != nullptr ? links->next.load() : 0);
    }
    is_first_walk = false;
    const std::uint32_t kept = std::min<std::uint32_t>(steps, way.size());
    for (std::uint32_t n = 1; n <= kept; ++n) {
      const CellIndex index = way[(steps - n) % way.size()];
      const StateWord word = table.word(index);
      if (word.is(CellState::filling, owner)) publish_filled(settling, index, word);
    }
  } while (steps > way.size());
  entry.bundle.store(0);  // lead.L4
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
