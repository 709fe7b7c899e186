#include "core/participant/value_store.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "core/base/kinds.h"
#include "core/participant/unique_producer.h"
#include "ipc/clock.h"
#include "ipc/futex.h"
#include "ipc/waking.h"

namespace ringmill {

namespace {

/// A waiter looks again after this long without a wake: the participant that changes the value may have died before it.
constexpr std::uint64_t longest_sleep_for_value_ns = 1'000'000'000;
/// Others were quicker: not so often in a row.
constexpr std::uint32_t most_tries = 10'000;
/// A value that is being changed is there after a few instructions, unless the process that changes it stands still.
constexpr std::uint64_t longest_change_ns = 100'000'000;

/// Apart from the keys of jobs.
UniqueKey hash_of(std::string_view key) {
  std::string text("value\0", 6);
  text += key;
  return UniqueKey::of(text);
}

Error busy() { return Error(ErrorCode::busy, "another process stands still while it changes this value"); }
Error no_room() {
  return Error(ErrorCode::no_space, "the arena has no room for this value",
               "make the engine with a larger --arena, or use shorter values");
}

}  // namespace

Result<void> ValueStore::check(std::string_view key, std::size_t bytes, const ValueOptions& options) const {
  if (key.empty()) return std::unexpected(Error(ErrorCode::invalid_argument, "a key has one byte or more"));
  if (const std::uint32_t room = table_.inline_bytes_beside(cell_flag::has_options); key.size() > room) {
    return std::unexpected(Error(ErrorCode::too_large, "the key does not fit a cell",
                                 std::to_string(key.size()) + " bytes, at most " + std::to_string(room)));
  }
  if (options.ttl.count() < 1 || static_cast<std::uint64_t>(options.ttl.count()) > most_wait_ms) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "a value lives for 1 ms to ten years"));
  }
  const std::size_t most = context_.has_arena() ? context_.most_payload : std::size_t{most_staged_bytes};
  if (bytes <= most) return {};
  return std::unexpected(Error(ErrorCode::too_large, "the value is longer than the engine keeps",
                               std::to_string(bytes) + " bytes, at most " + std::to_string(most)));
}

ValueStore::Look ValueStore::look_at(JobId id, std::string_view key, Found& found) const {
  const CellIndex index = index_of(id);
  const StateWord word = table_.word(index);
  if (word.generation() != generation_of(id)) return Look::none;
  if (word.state() == CellState::completing) return Look::moves;
  const CellHeader& header = table_.header(index);
  const std::uint16_t flags = header.flags.load();
  const CellOptions* const options = table_.options(index);
  if (word.state() != CellState::completed || (flags & cell_flag::is_value) == 0 || options == nullptr)
    return Look::none;
  found = {.index = index, .word = word, .value = {}, .is_over = false};
  found.value.version = options->started.load();
  const std::uint32_t key_bytes = header.payload_bytes.load_once().at_most(table_.inline_bytes());
  std::string stored(in_words(key_bytes) * 8, '\0');
  table_.copy_words_out(index, reinterpret_cast<std::byte*>(stored.data()), stored.size());
  stored.resize(key_bytes);
  if ((flags & cell_flag::result_in_arena) != 0) {
    const auto result = context_.arena.result_of(id);
    if (result) found.value.bytes.resize(result->size());
    if (result) Arena::copy_out(*result, reinterpret_cast<std::byte*>(found.value.bytes.data()));
  } else {
    const JobTable::TextPlace place = table_.text_place(index);
    const std::uint32_t bytes = header.text_bytes.load_once().at_most(place.room());
    found.value.bytes.resize(in_words(bytes) * 8);
    JobTable::copy_text_out(place, reinterpret_cast<std::byte*>(found.value.bytes.data()), bytes);
    found.value.bytes.resize(bytes);
  }
  const DueTime due = DueTime::of(header.due_at.load());
  found.is_over = due.ns <= (due.is_wall ? exact_wall_clock_ns() : lease_clock_ns());
  // ORDER second-look: both, because the word comes back after 512 changes.
  if (options->started.load() != found.value.version || table_.word(index) != word) return Look::moves;
  return stored == key ? Look::found : Look::none;
}

Result<std::optional<ValueStore::Found>> ValueStore::find(std::string_view key, UniqueKey hash) const {
  const UniqueJobs jobs(context_.segment);
  std::uint64_t end_ns = 0;
  for (std::uint32_t n = 0;; ++n) {
    const auto id = jobs.look(hash);
    if (!id) return std::nullopt;
    Found found;
    const Look look = look_at(*id, key, found);
    if (look == Look::found) return found;
    // Another key of the same hash: one in 2^64 million.
    if (look == Look::none && table_.stands(*id)) return std::nullopt;
    if (n % 64 != 63) continue;
    const std::uint64_t now_ns = steady_clock_ns();
    if (end_ns == 0) end_ns = now_ns + longest_change_ns;
    if (now_ns >= end_ns) return std::unexpected(busy());
    const Away away(context_);
    futex_wait(context_.segment.signals().ended_sequence[value_group(hash.low)],
               context_.segment.signals().ended_sequence[value_group(hash.low)].load(), 100'000);
  }
}

Result<Value> ValueStore::get(std::string_view key) const {
  auto found = find(key, hash_of(key));
  if (!found) return std::unexpected(found.error());
  if (!*found || (*found)->is_over) return std::unexpected(Error(ErrorCode::not_found, "no such value"));
  return std::move((*found)->value);
}

bool ValueStore::fill_value(const FreeCells::Filling& filling, std::span<const std::byte> bytes,
                            std::chrono::milliseconds ttl) {
  const CellIndex index = filling.index;
  CellHeader& header = table_.header(index);
  CellOptions& options = table_.options_place(index);
  // ORDER relaxed: the cell is ours; value.N3 publishes all of this.
  options.started.store(exact_wall_clock_ns(), std::memory_order_relaxed);  // two values of a key never have one count
  header.cause.store(0, std::memory_order_relaxed);
  header.due_at.store(due_in(static_cast<std::uint64_t>(ttl.count())).bits(), std::memory_order_relaxed);
  std::uint16_t flags = header.flags.load(std::memory_order_relaxed) | cell_flag::is_value;
  const JobTable::TextPlace place = table_.text_place(index);
  if (bytes.size() <= std::min(most_staged_bytes, place.room())) {
    std::array<std::atomic<std::uint64_t>, most_staged_bytes / 8> words;
    store_words(words.data(), bytes);
    JobTable::copy_text_in(place, words.data(), static_cast<std::uint32_t>(bytes.size()));
    header.text_bytes.store(static_cast<std::uint16_t>(bytes.size()), std::memory_order_relaxed);
  } else {
    const JobId id = job_id_of(filling.word, index);
    const auto unit = context_.take_extent(id, bytes.size());
    if (!unit) return false;
    context_.arena.fill_result(index, *unit, bytes);
    flags |= cell_flag::result_in_arena;
  }
  header.flags.store(flags, std::memory_order_relaxed);  // ORDER relaxed: as above
  return true;
}

bool ValueStore::publish(const FreeCells::Filling& filling, bool to_journal) noexcept {
  ParticipantEntry& entry = context_.entry;
  const JobId id = job_id_of(filling.word, filling.index);
  // ORDER placing: as in Producer::publish().
  entry.placing[0].store(id.value(), std::memory_order_relaxed);
  entry.placing_count.store(1, std::memory_order_release);  // value.N2
  std::uint64_t expected = filling.word.bits();
  const bool is_made =
      table_.state(filling.index)
          .compare_exchange_strong(expected, filling.word.next(CellState::completed, 0).bits());  // value.N3
  if (is_made) {
    if (to_journal) context_.settling.mark_changed(filling.index);  // value.N4
    context_.settling.mark_for_keeper(filling.index, DueTime::of(table_.header(filling.index).due_at.load()));
  }
  entry.placing_count.store(0, std::memory_order_release);  // ORDER placing
  return is_made;
}

Result<ValueStore::Changed> ValueStore::make(std::string_view key, UniqueKey hash, std::span<const std::byte> bytes,
                                             const ValueOptions& options) {
  const auto kind = intern_kind(context_.segment, value_kind);
  if (!kind) return std::unexpected(kind.error());
  const JobOptions job_options{.keep_result = options.ttl};
  const JobRequest request{
      .kind = *kind, .payload = as_payload(key), .durability = options.durability, .options = job_options};
  const Checked checked(context_.level_count - 1, context_.handles.number_of(*kind), true);
  CountedIn counted(context_, checked.level());
  const std::uint32_t room = table_.inline_bytes_beside(cell_flag::has_options);
  const auto filling = producer_.take_filled(request, checked, room, 0, counted);  // value.N1
  if (!filling) return std::unexpected(filling.error());
  writer_.set_unique(filling->index, hash, job_options);
  if (!fill_value(*filling, bytes, options.ttl)) {
    context_.take_back(*filling);
    return std::unexpected(no_room());
  }
  UniqueJobs jobs(context_.segment);
  const JobId id = job_id_of(filling->word, filling->index);
  const auto other = UniqueProducer::take_key(jobs, hash, id);
  if (!other || *other) {
    jobs.give_way(hash, id);
    context_.take_back(*filling);
    if (!other) return std::unexpected(other.error());
    return Changed::lost;
  }
  if (publish(*filling, options.durability != Durability::memory)) {
    counted.note_published();
    context_.settling.wake_waiters(std::uint64_t{1} << value_group(hash.low));
    return Changed::yes;
  }
  jobs.give_way(hash, id);
  context_.free_cells.keep_back(filling->index);
  context_.free_cells.list_if_wanted();
  return Changed::lost;
}

Result<ValueStore::Changed> ValueStore::change(const Found& found, std::span<const std::byte> bytes,
                                               std::uint64_t ttl_ms) {
  const JobId id = job_id_of(found.word, found.index);
  Ending ending{.outcome = Outcome::complete, .text = as_text(bytes), .change = found.value.version, .ttl_ms = ttl_ms};
  FreeCells::Filling carrier;
  if (bytes.size() > settler_.room_in_cell(found.index)) {
    ending.result = settler_.carry(context_.level_count - 1, bytes, carrier);
    if (!ending.result.is_carried) return std::unexpected(no_room());
    ending.text = {};
    ending.carrier = job_id_of(carrier.word, carrier.index);
  }
  LeaseSlot& slot = context_.entry.settling;
  slot.job_id.store(id.value());
  const Settling::Ended ended = context_.settling.end(found.index, found.word, slot, ending);  // value.V2 to value.V5
  slot.job_id.store(0);
  if (ending.result.is_carried) context_.take_back(carrier);
  return ended != Settling::Ended::lost && context_.settling.has_changed_value() ? Changed::yes : Changed::lost;
}

Result<void> ValueStore::reach_device(const ValueOptions& options) {
  if (options.durability != Durability::durable) return {};
  return producer_.reach_device(device_end_ns(true, 0));
}

Result<bool> ValueStore::set(std::string_view key, std::span<const std::byte> bytes, const ValueOptions& options) {
  if (auto sound = check(key, bytes.size(), options); !sound) return std::unexpected(sound.error());
  const UniqueKey hash = hash_of(key);
  for (std::uint32_t n = 0; n < most_tries; ++n) {
    auto found = find(key, hash);
    if (!found) return std::unexpected(found.error());
    const bool is_there = *found && !(*found)->is_over;
    if (options.only_if_absent && is_there) return false;
    if (options.only_if_version && (!is_there || (*found)->value.version != *options.only_if_version)) return false;
    const auto changed = *found ? change(**found, bytes, static_cast<std::uint64_t>(options.ttl.count()))
                                : make(key, hash, bytes, options);
    if (!changed) return std::unexpected(changed.error());
    if (*changed == Changed::lost) continue;
    if (auto reached = reach_device(options); !reached) return std::unexpected(reached.error());
    return true;
  }
  return std::unexpected(Error(ErrorCode::would_block, "others change this value again and again"));
}

Result<std::int64_t> ValueStore::increment(std::string_view key, std::int64_t by, const ValueOptions& options) {
  if (auto sound = check(key, 0, options); !sound) return std::unexpected(sound.error());
  const UniqueKey hash = hash_of(key);
  for (std::uint32_t n = 0; n < most_tries; ++n) {
    auto found = find(key, hash);
    if (!found) return std::unexpected(found.error());
    const bool is_there = *found && !(*found)->is_over;
    std::int64_t number = 0;
    if (is_there) {
      const std::string& text = (*found)->value.bytes;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error != std::errc() || end != text.data() + text.size()) {
        return std::unexpected(Error(ErrorCode::invalid_argument, "the value is no decimal number of 64 bits"));
      }
    }
    if (__builtin_add_overflow(number, by, &number)) {
      return std::unexpected(Error(ErrorCode::invalid_argument, "the sum has no room in 64 bits"));
    }
    const std::string next = std::to_string(number);
    const auto ttl_ms = static_cast<std::uint64_t>(options.ttl.count());
    const auto changed =
        *found ? change(**found, as_payload(next), is_there ? 0 : ttl_ms) : make(key, hash, as_payload(next), options);
    if (!changed) return std::unexpected(changed.error());
    if (*changed == Changed::lost) continue;
    if (auto reached = reach_device(options); !reached) return std::unexpected(reached.error());
    return number;
  }
  return std::unexpected(Error(ErrorCode::would_block, "others change this value again and again"));
}

Result<bool> ValueStore::expire(std::string_view key, std::chrono::milliseconds ttl) {
  if (auto sound = check(key, 0, {.ttl = ttl}); !sound) return std::unexpected(sound.error());
  const UniqueKey hash = hash_of(key);
  for (std::uint32_t n = 0; n < most_tries; ++n) {
    const auto found = find(key, hash);
    if (!found) return std::unexpected(found.error());
    if (!*found || (*found)->is_over) return false;
    // A change to the same bytes: an increment at the same time is neither lost nor counted twice.
    const auto changed = change(**found, as_payload((*found)->value.bytes), static_cast<std::uint64_t>(ttl.count()));
    if (!changed) return std::unexpected(changed.error());
    if (*changed == Changed::yes) return true;
  }
  return std::unexpected(Error(ErrorCode::would_block, "others change this value again and again"));
}

Result<bool> ValueStore::remove(std::string_view key) {
  const UniqueKey hash = hash_of(key);
  ParticipantEntry& entry = context_.entry;
  for (std::uint32_t n = 0; n < most_tries; ++n) {
    const auto found = find(key, hash);
    if (!found) return std::unexpected(found.error());
    if (!*found) return false;
    const Found& value = **found;
    entry.placing[0].store(job_id_of(value.word, value.index).value());
    entry.placing_count.store(1);
    const bool is_dropped = context_.settling.drop(value.index, value.word);
    entry.placing_count.store(0);
    if (!is_dropped) continue;
    context_.free_cells.keep_back(value.index);
    context_.free_cells.list_if_wanted();
    wake_for_extent(context_.segment);
    return !value.is_over;
  }
  return std::unexpected(Error(ErrorCode::would_block, "others change this value again and again"));
}

Result<Value> ValueStore::wait(std::string_view key, std::uint64_t wait_ns, std::optional<std::uint64_t> seen) const {
  const UniqueKey hash = hash_of(key);
  Signals& signals = context_.segment.signals();
  const std::uint32_t group = value_group(hash.low);
  const std::uint64_t end_ns = later_by(steady_clock_ns(), wait_ns);
  while (true) {
    const std::uint32_t sequence = signals.ended_sequence[group].load();  // as wait.W1 to wait.W4 of job_wait.h
    signals.waited_for.fetch_or(std::uint64_t{1} << group);
    auto found = find(key, hash);
    const bool is_changing = !found && found.error().code() == ErrorCode::busy;
    if (!found && !is_changing) return std::unexpected(found.error());
    const bool is_there = found && *found && !(*found)->is_over;
    if (is_there && (*found)->value.version != seen) return std::move((*found)->value);
    if (signals.removed.load() != 0) return std::unexpected(Error(ErrorCode::not_found, "the engine was removed"));
    const std::uint64_t now_ns = steady_clock_ns();
    if (now_ns >= end_ns) return std::unexpected(Error(ErrorCode::timed_out, "the value has not changed"));
    const Away away(context_);
    futex_wait(signals.ended_sequence[group], sequence, std::min(end_ns - now_ns, longest_sleep_for_value_ns));
  }
}

}  // namespace ringmill
