#include "core/inspect/invariants.h"

#include <cstdint>
#include <utility>

#include "core/flow_control/flow_view.h"
#include "core/inspect/job_view.h"
#include "core/levels/dynamic_levels.h"
#include "core/levels/level_names.h"
#include "core/table/arena.h"
#include "core/table/job_table.h"
#include "ipc/registry.h"
#include "ipc/spill_state.h"

namespace ringmill {

namespace {

constexpr std::size_t most_reported = 100;

/// Collects broken invariants, up to a bound: a segment of random bytes breaks millions.
class Findings {
 public:
  void add(std::string sentence) {
    if (list_.size() < most_reported)
      list_.push_back(std::move(sentence));
    else
      ++more_;
  }
  std::vector<std::string> take() {
    if (more_ != 0) list_.push_back("and " + std::to_string(more_) + " more");
    return std::move(list_);
  }

 private:
  std::vector<std::string> list_;
  std::uint64_t more_ = 0;
};

std::string cell_text(CellIndex index, StateWord word) {
  return "cell " + std::to_string(index) + " (job " + job_id_of(word, index).to_string() + ")";
}

bool has_owner(CellState state) noexcept {
  return state == CellState::filling || state == CellState::running || state == CellState::completing;
}

/// How often each cell's present job is hinted at, counted over one ring.
void count_hints(const Segment& segment, std::uint32_t level, std::vector<std::uint8_t>& hints) {
  const JobTable table(segment);
  const Ring ring = segment.ring(level);
  std::uint64_t position = ring.head();
  for (std::uint64_t step = 0; step < ring.slot_count(); ++step, ++position) {
    const std::uint64_t word = ring.slot(position);
    if (ring.turn_of(word, position) == Ring::Turn::before) return;
    const std::uint64_t hint = Ring::hint_of(word);
    const CellIndex index = JobTable::index_of_hint(hint);
    if (index < table.capacity() && table.is_live(hint) && hints[index] < 255) ++hints[index];
  }
}

void check_ring(const Segment& segment, std::uint32_t level, Findings& findings) {
  const Ring ring = segment.ring(level);
  const std::string name = "level " + level_name(segment, level);
  if (const auto weight = segment.level(level).weight.load_once().below(1001U); !weight || *weight == 0) {
    findings.add(name + ": its weight is not 1 to 1000");
  }
  // A lagging counter is fine; one that is ahead of what the slots say is not.
  const std::uint64_t head = ring.head();
  const std::uint64_t tail = ring.tail();
  if (head > tail + ring.slot_count()) {
    findings.add(name + ": the ring's head is more than a lap beyond its tail");
    return;
  }
  for (const std::uint64_t position : {head, tail}) {
    if (ring.turn_of(ring.slot(position - 1), position - 1) == Ring::Turn::before && position > ring.slot_count()) {
      findings.add(name + ": position " + std::to_string(position - 1) + " was passed but never filled");
    }
  }
}

/// False: the state needs an owner, and there is none that exists.
bool check_owner(const Segment& segment, CellIndex index, StateWord word, const std::string& name, Findings& findings) {
  if (!has_owner(word.state())) {
    const bool is_mark = word.is(CellState::free, evicted_mark);
    if (word.owner() != 0 && !is_mark) findings.add(name + ": it has an owner in a state that knows none");
    return true;
  }
  const ParticipantEntry* const entry = segment.participant_of(word.owner());
  if (entry == nullptr) {
    findings.add(name + ": it needs an owner and has none that exists");
    return false;
  }
  if (EntryState::of(*entry).state == ParticipantState::free && JobTable(segment).word(index) == word) {
    findings.add(name + ": its owner, participant " + std::to_string(word.owner() - 1) + ", has left");
  }
  return true;
}

/// Of a job whose cell is not being written.
void check_job(const Segment& segment, CellIndex index, StateWord word, const std::string& name, Findings& findings) {
  const JobTable table(segment);
  const CellHeader& header = table.header(index);
  const bool in_arena = (header.flags.load() & cell_flag::in_arena) != 0;
  const std::uint32_t most_payload = in_arena ? segment.geometry().max_payload : table.inline_bytes();
  const bool sound =
      has_ever_been_level(segment, header.level.load_once().unbounded()) && header.kind.load_once().below(most_kinds) &&
      header.payload_bytes.load_once().below(most_payload + 1) &&
      header.text_bytes.load_once().below(table.text_room(index) + 1) && header.flags.load() <= cell_flag::all;
  if (!sound && table.word(index) == word) findings.add(name + ": its level, kind or payload size is impossible");
  if (in_arena && !Arena(segment).payload_of(job_id_of(word, index)) && table.word(index) == word) {
    findings.add(name + ": its payload's extent is not its own, or none");
  }
  const bool has_long_result =
      word.state() == CellState::completed && (header.flags.load() & cell_flag::result_in_arena) != 0;
  if (has_long_result && !Arena(segment).result_of(job_id_of(word, index)) && table.word(index) == word) {
    findings.add(name + ": its result's extent is not its own, or none");
  }
  if (word.state() == CellState::running && lease_of(segment, job_id_of(word, index), word) == nullptr &&
      table.word(index) == word) {
    findings.add(name + ": it runs without a lease slot of its owner");
  }
}

void check_cell(const Segment& segment, CellIndex index, bool at_rest, Findings& findings) {
  const JobTable table(segment);
  const StateWord word = table.word(index);
  const auto state = static_cast<std::uint8_t>(word.state());
  const std::string name = cell_text(index, word);
  if (state > most_cell_state) {
    findings.add(name + ": its state is none that is known (" + std::to_string(state) + ")");
    return;
  }
  if (!word.has_job() && word.generation() < segment.header().first_generation.load())
    findings.add(name + ": its generation is below the first");
  if (word.generation() > segment.signals().generation_limit.load() + 1) {
    findings.add(name + ": its generation is beyond the durable limit");
  }
  if (!check_owner(segment, index, word, name, findings)) return;
  if (word.has_job() && word.state() != CellState::completing) {
    check_job(segment, index, word, name, findings);
  } else if (at_rest && (word.state() == CellState::filling || word.state() == CellState::completing)) {
    findings.add(name + ": in the middle of a step, though no participant works");
  }
}

void check_hints_at_rest(const Segment& segment, Findings& findings) {
  const JobTable table(segment);
  const FreeMap free_map = segment.free_map();
  const std::uint32_t level_numbers = segment.geometry().level_numbers();
  std::vector<std::vector<std::uint8_t>> hints(level_numbers);
  for (std::uint32_t level = 0; level < level_numbers; ++level) {
    if (!segment.has_level(level)) continue;
    hints[level].assign(table.capacity(), 0);
    count_hints(segment, level, hints[level]);
  }
  table.for_each_cell([&](CellIndex index) {
    const StateWord word = table.word(index);
    const auto level = table.header(index).level.load_once().below(level_numbers);
    if (word.state() == CellState::queued && level && !hints[*level].empty() && hints[*level][index] == 0 &&
        SpillState::is_direct(segment.level(*level).overflow.load())) {
      findings.add(cell_text(index, word) + ": it is queued without a hint in its level's ring");
    }
    if (word.state() != CellState::free && free_map.lists(index)) {
      findings.add(cell_text(index, word) + ": it holds a job and is listed as free");
    }
  });
}

}  // namespace

std::vector<std::string> check_invariants(const Segment& segment, bool at_rest) {
  const auto look = segment.look();
  Findings findings;
  const Geometry& geometry = segment.geometry();
  for (const std::uint32_t level : levels_in_use(segment)) {
    if (!decode_name(segment.level(level).name))
      findings.add("level " + std::to_string(level) + ": its name cannot be read");
    check_ring(segment, level, findings);
  }
  for (std::uint32_t n = segment.levels_end(); n < geometry.level_numbers(); ++n) {
    if (segment.has_level(n)) findings.add("level " + std::to_string(n) + ": behind the end of all that ever were");
  }
  for_each_entry(segment, [&](std::uint32_t n, const ParticipantEntry& entry) {
    if ((entry.state.load() & 0xff) > static_cast<std::uint64_t>(ParticipantState::reaping)) {
      findings.add("participant " + std::to_string(n) + ": its state is none that is known");
    }
    if (!entry.placing_count.load_once().below(placing_slots + 1)) {
      findings.add("participant " + std::to_string(n) + ": its placing list is longer than it can be");
    }
  });
  for (std::string& finding : check_flow_rules(segment)) findings.add(std::move(finding));
  JobTable(segment).for_each_cell([&](CellIndex index) { check_cell(segment, index, at_rest, findings); });
  if (at_rest) check_hints_at_rest(segment, findings);
  return findings.take();
}

}  // namespace ringmill
