#include "core/table/notes.h"

#include <algorithm>
#include <bit>
#include <cstring>

namespace ringmill {

namespace {

/// The words of a cell are the bytes in their order.
using IdWords = std::array<std::uint64_t, 2>;
using TagWords = std::array<std::uint64_t, 4>;
static_assert(sizeof(TagWords) == most_tag_bytes + 1 && sizeof(CellNotes::tag) == sizeof(TagWords));

}  // namespace

std::string_view Notes::tag() const noexcept {
  const auto end = std::ranges::find(tag_bytes, '\0');
  return {tag_bytes.data(), static_cast<std::size_t>(end - tag_bytes.begin())};
}

void Notes::set_tag(std::string_view tag) noexcept {
  tag_bytes = {};
  std::ranges::copy(tag.substr(0, most_tag_bytes), tag_bytes.begin());
}

Notes Notes::read(const CellNotes& cell) noexcept {
  Notes notes;
  // ORDER second-look: each load acquires, so that the caller's look at the word comes after it.
  notes.serial_low = cell.serial_low.load(std::memory_order_acquire);
  notes.serial_high = cell.serial_high.load(std::memory_order_acquire);
  notes.retried_from = JobId(cell.retried_from.load(std::memory_order_acquire));
  // ORDER second-look: as above.
  const IdWords id{cell.trace_id[0].load(std::memory_order_acquire), cell.trace_id[1].load(std::memory_order_acquire)};
  notes.trace.trace_id = std::bit_cast<std::array<std::uint8_t, 16>>(id);
  const std::uint64_t parent = cell.trace_parent.load(std::memory_order_acquire);
  notes.trace.parent_id = std::bit_cast<std::array<std::uint8_t, 8>>(parent);
  TagWords tag;
  for (std::size_t n = 0; n < tag.size(); ++n)
    tag[n] = cell.tag[n].load(std::memory_order_acquire);  // ORDER second-look
  const auto bytes = std::bit_cast<std::array<char, sizeof tag>>(tag);
  std::copy_n(bytes.begin(), most_tag_bytes, notes.tag_bytes.begin());
  notes.trace.flags = static_cast<std::uint8_t>(bytes[most_tag_bytes]);
  return notes;
}

void Notes::write(CellNotes& cell) const noexcept {
  // ORDER relaxed: the state word publishes all of this.
  cell.serial_low.store(serial_low, std::memory_order_relaxed);
  cell.serial_high.store(serial_high, std::memory_order_relaxed);
  cell.retried_from.store(retried_from.value(), std::memory_order_relaxed);
  const auto id = std::bit_cast<IdWords>(trace.trace_id);
  // ORDER relaxed: as above.
  cell.trace_id[0].store(id[0], std::memory_order_relaxed);
  cell.trace_id[1].store(id[1], std::memory_order_relaxed);
  cell.trace_parent.store(std::bit_cast<std::uint64_t>(trace.parent_id), std::memory_order_relaxed);
  std::array<char, sizeof(TagWords)> bytes{};
  std::ranges::copy(tag(), bytes.begin());
  bytes[most_tag_bytes] = static_cast<char>(trace.flags);
  const auto words = std::bit_cast<TagWords>(bytes);
  for (std::size_t n = 0; n < words.size(); ++n)
    cell.tag[n].store(words[n], std::memory_order_relaxed);  // ORDER relaxed: as above
}

Notes notes_of(const JobTable& table, JobId id) noexcept {
  if (!table.stands(id)) return {};
  const CellIndex index = index_of(id);
  const CellNotes* const cell = table.notes(index);
  const Notes notes = cell != nullptr ? Notes::read(*cell) : Notes();
  return table.stands(id) ? notes : Notes();  // ORDER second-look
}

}  // namespace ringmill
