#include "core/levels/dynamic_levels.h"

#include <algorithm>
#include <bitset>
#include <thread>

#include "ipc/clock.h"
#include "ipc/waking.h"

namespace ringmill {

namespace {

/// How long a removal waits for producers that are filling a cell.
constexpr std::uint64_t filling_wait_ns = 100'000'000;

Error no_such_level(std::string_view name) {
  return Error(ErrorCode::not_found, "no such level", std::string(name) + "; `ringmill level DIR list` shows them");
}

bool is_over(CellState state) noexcept { return state == CellState::completed || state == CellState::cancelled; }

void reopen(const Segment& segment, std::uint32_t number, LevelWord closing) noexcept {
  std::uint64_t expected = closing.bits();
  segment.level(number).dynamic_state.compare_exchange_strong(
      expected, LevelWord{.state = LevelState::open, .epoch = closing.epoch}.bits());
}

/// The levels that cells have, by their places.
std::bitset<most_dynamic_levels> places_in_cells(const Segment& segment) {
  std::bitset<most_dynamic_levels> places;
  const auto look = segment.look();
  const JobTable table(segment);
  const std::uint32_t first = segment.geometry().level_count;
  table.for_each_cell([&](CellIndex index) {
    if (table.word(index).state() == CellState::free) return;
    const auto number = table.header(index).level.load_once().below(segment.geometry().level_numbers());
    if (number && *number >= first) places.set(*number - first);
  });
  return places;
}

}  // namespace

void open_level(const Segment& segment, const ListedLevel& level) noexcept {
  const std::uint32_t number = segment.geometry().level_count + level.place;
  // Raised before the level is visible: a maker that dies in between must not leave a level beyond the end.
  segment.signals().levels_end.raise_to(number + 1);
  LevelEntry& entry = segment.level(number);
  const std::uint64_t begin = level.ring.begin_behind(std::max(entry.head.load(), entry.tail.load()));
  const std::uint64_t lap_before = (begin / level.ring.slots - 1) & Ring::lap_mask;
  std::atomic<std::uint64_t>* const slots = segment.level_ring_slots(level.ring);
  for (std::uint32_t n = 0; n < level.ring.slots; ++n) slots[n].store(lap_before << Ring::hint_bits);
  raise_to(entry.head, begin);
  raise_to(entry.tail, begin);
  const NameWords words = encode_name(level.name);
  for (std::size_t i = 0; i < words.size(); ++i) entry.name[i].store(words[i]);
  entry.weight.store(level.weight);
  entry.overflow.store(0);
  entry.dynamic_ring.store(level.ring.bits());
  entry.dynamic_state.store(LevelWord{.state = LevelState::open, .epoch = level.epoch}.bits());
}

void restore_levels(const Segment& fresh, const LevelList& list) noexcept {
  for (const ListedLevel& level : list.levels()) {
    open_level(fresh, level);
    if (!level.is_removed) continue;
    LevelEntry& entry = fresh.level(fresh.geometry().level_count + level.place);
    entry.dynamic_state.store(LevelWord{.state = LevelState::removed, .epoch = level.epoch}.bits());
  }
}

void reopen_levels_closed_by(const Segment& segment, std::uint32_t participant) noexcept {
  for (std::uint32_t n = segment.geometry().level_count; n < segment.levels_end(); ++n) {
    const LevelWord word = segment.level_word(n);
    if (word.state == LevelState::closing && word.closer == participant + 1) reopen(segment, n, word);
  }
}

Result<File> DynamicLevels::lock() const {
  // A file of our own: two threads of one process must not share the lock.
  auto file = engine_->directory.open_locks();
  if (!file) return file;
  if (auto locked = lock_byte(*file, structure_lock_byte); !locked) return std::unexpected(locked.error());
  if (!engine_->directory.folder().is_named(engine_lock_file, *file)) {
    return std::unexpected(Error(ErrorCode::not_found, "the engine was removed", engine_->directory.path().string()));
  }
  return file;
}

Result<LevelList> DynamicLevels::read_list() {
  const Segment& segment = engine_->segment;
  auto list = LevelList::read(engine_->directory.folder(), segment.geometry().level_ring_slots);
  if (!list) return list;
  for (ListedLevel& level : list->levels()) {
    const std::uint32_t number = segment.geometry().level_count + level.place;
    const LevelWord word = segment.level_word(number);
    if (word.state == LevelState::closing) reopen(segment, number, word);
    if (word.is_in_use() && word.epoch == level.epoch) {
      level.is_removed = false;
    } else if (!level.is_removed && word.state == LevelState::removed && word.epoch == level.epoch) {
      level.is_removed = true;
    } else if (!level.is_removed) {
      open_level(segment, level);
      tell_all();
    }
  }
  return list;
}

Result<void> DynamicLevels::write(const LevelList& list) const {
  return list.write(engine_->directory.folder(), engine_->directory.config().mode);
}

void DynamicLevels::tell_all() const noexcept {
  engine_->segment.signals().levels_version.fetch_add(1);
  Sleepers(engine_->segment, engine_->segment.signals().sleepers).wake_all();
}

Result<ListedLevel> DynamicLevels::take_place(LevelList& list, const WaitDurable& wait_durable) const {
  std::bitset<most_dynamic_levels> taken;
  for (const ListedLevel& level : list.levels()) taken.set(level.place);
  for (std::uint32_t place = 0; place < most_dynamic_levels; ++place) {
    if (!taken.test(place)) return ListedLevel{.place = place};
  }
  // Reuse the number of a removed level only when its kept jobs are gone, durably: none may come back with another
  // level's name.
  const auto in_cells = places_in_cells(engine_->segment);
  const ListedLevel* oldest = nullptr;
  for (const ListedLevel& level : list.levels()) {
    if (!level.is_removed || in_cells.test(level.place)) continue;
    if (oldest == nullptr || level.epoch < oldest->epoch) oldest = &level;
  }
  if (oldest == nullptr) {
    return std::unexpected(Error(ErrorCode::no_space, "this engine has 1024 dynamic levels, the most",
                                 "remove one; a removed level counts as long as results of its jobs are kept"));
  }
  ListedLevel again{.place = oldest->place, .epoch = static_cast<std::uint16_t>(oldest->epoch + 1)};
  if (auto durable = wait_durable(); !durable) return std::unexpected(durable.error());
  std::erase_if(list.levels(), [&again](const ListedLevel& level) { return level.place == again.place; });
  return again;
}

Result<Level> DynamicLevels::add(std::string_view name, const LevelOptions& options, const WaitDurable& wait_durable) {
  const auto locked = lock();
  if (!locked) return std::unexpected(locked.error());
  auto list = read_list();  // level.A1
  if (!list) return std::unexpected(list.error());
  const Segment& segment = engine_->segment;
  if (find_level(segment, name)) {
    return std::unexpected(Error(ErrorCode::already_exists, "a level of this name exists already", std::string(name)));
  }
  const auto ring = list->piece_for(options.ring);
  if (!ring) return std::unexpected(ring.error());
  auto level = take_place(*list, wait_durable);
  if (!level) return std::unexpected(level.error());
  level->name = name;
  level->weight = options.weight;
  level->ring = *ring;
  list->levels().push_back(*level);
  if (auto written = write(*list); !written) return std::unexpected(written.error());  // level.A2
  open_level(segment, *level);                                                         // level.A3
  tell_all();
  return level_of_number(segment, segment.geometry().level_count + level->place);
}

DynamicLevels::Jobs DynamicLevels::count_jobs(std::uint32_t number) const noexcept {
  const auto look = engine_->segment.look();
  const JobTable table(engine_->segment);
  Jobs jobs;
  table.for_each_cell([&](CellIndex index) {
    const CellState state = StateWord(table.state(index).load()).state();  // seq_cst: pairs with fill_dynamic_level()
    if (state == CellState::free || is_over(state) || table.header(index).level.load_once() != number) return;
    // A cell that is being filled may still show the level of its former job.
    ++(state == CellState::filling ? jobs.filling : jobs.live);
  });
  return jobs;
}

Result<void> DynamicLevels::wait_until_empty(std::string_view name, std::uint32_t number) const {
  const std::uint64_t end_ns = steady_clock_ns() + filling_wait_ns;
  while (true) {
    const Jobs jobs = count_jobs(number);
    if (jobs.live == 0 && jobs.filling == 0) return {};
    if (jobs.live != 0) {
      return std::unexpected(Error(ErrorCode::busy, "the level is not empty",
                                   std::string(name) + " has " + std::to_string(jobs.live) +
                                       " jobs that are not over; let them run or cancel them, then remove it"));
    }
    if (steady_clock_ns() > end_ns) {
      return std::unexpected(Error(ErrorCode::busy, "a producer is enqueueing into the level at this moment",
                                   std::string(name) + "; try again"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

Result<void> DynamicLevels::remove(std::string_view name, std::uint32_t participant, const WaitDurable& wait_durable) {
  const auto locked = lock();
  if (!locked) return std::unexpected(locked.error());
  auto list = read_list();
  if (!list) return std::unexpected(list.error());
  const Segment& segment = engine_->segment;
  const auto number = find_level(segment, name);
  if (!number) return std::unexpected(no_such_level(name));
  if (*number < segment.geometry().level_count) {
    return std::unexpected(
        Error(ErrorCode::invalid_argument, "a level that the engine was made with stays", std::string(name)));
  }
  ListedLevel* const listed = list->find(name);
  const LevelWord open = segment.level_word(*number);
  if (listed == nullptr || listed->place != *number - segment.geometry().level_count) {
    return std::unexpected(Error(ErrorCode::corrupt, "the level is not in the list of levels", std::string(name)));
  }
  const LevelWord closing{
      .state = LevelState::closing, .epoch = open.epoch, .closer = static_cast<std::uint16_t>(participant + 1)};
  std::uint64_t expected = LevelWord{.state = LevelState::open, .epoch = open.epoch}.bits();
  if (!segment.level(*number).dynamic_state.compare_exchange_strong(expected, closing.bits())) {  // level.R1
    return std::unexpected(Error(ErrorCode::busy, "the level changes at this moment", std::string(name)));
  }
  auto done = wait_until_empty(name, *number);  // level.R2
  if (done) done = wait_durable();              // level.R3
  if (done) {
    listed->is_removed = true;
    done = write(*list);  // level.R4
  }
  if (!done) {
    reopen(segment, *number, closing);
    return done;
  }
  segment.level(*number).dynamic_state.store(
      LevelWord{.state = LevelState::removed, .epoch = open.epoch}.bits());  // level.R5
  tell_all();
  return {};
}

}  // namespace ringmill
