#include "core/journal/take_over.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <thread>

#include "core/journal/chain.h"
#include "core/journal/file_names.h"
#include "core/journal/records.h"

namespace ringmill {

namespace {

using std::chrono::nanoseconds;
using Clock = std::chrono::steady_clock;

// Writes of a dead process end within milliseconds unless the disk hangs; then ours would hang as well.
constexpr std::chrono::seconds longest_write{10};

/// Take the fence first: after that no more blocks can appear.
Result<void> walk(JournalChain& chain, JournalDevice& device, nanoseconds patience, FoundJournal& found) {
  const auto candidates = chain.candidates();
  if (candidates.empty()) return {};
  const SlotNumber newest = candidates.back().slot;
  const auto fenced = fence_within(device, newest, patience);
  if (!fenced) return std::unexpected(fenced.error());
  found.has_fence = *fenced;
  const auto end = chain.find_end();
  if (!end) return std::unexpected(end.error());
  // After the walk, so that it makes durable all that the walk has seen, even of writes that are still in flight.
  if (auto synced = device.sync(newest); !synced) return synced;
  const SegmentHead& head = candidates.back().head;
  found.last_block = (*end)->last_number;
  found.end_offset = (*end)->end;
  found.first_block = head.first_block;
  found.previous_end_in_units = head.previous_end_in_units;
  found.oldest = std::clamp<std::uint64_t>(chain.oldest(), 1, head.segment);
  found.highest_epoch = chain.most_epoch();
  found.has_good_end = (*end)->damage.empty() && !(*end)->is_torn;
  return {};
}

void sort_files(JournalChain& chain, FoundJournal& found) {
  for (const SegmentCandidate& segment : chain.candidates()) {
    if (segment.head.segment < found.oldest) continue;
    found.in_use.push_back({.segment = segment.head.segment, .slot = segment.slot, .bytes = segment.bytes});
  }
  for (const auto& slot : chain.slots()) {
    const bool is_used = std::ranges::find(found.in_use, slot.number, &SegmentInUse::slot) != found.in_use.end();
    if (!is_used) found.free.push_back(slot.number);
  }
}

/// Returns whether the head of the file has changed since the chain was opened.
Result<bool> has_another_head(JournalDevice& device, const JournalChain::Slot& slot) {
  if (slot.bytes < journal_unit) return false;
  alignas(journal_unit) std::array<std::byte, journal_unit> unit;
  if (auto read = device.read(slot.number, 0, unit); !read) return std::unexpected(read.error());
  const auto head = whole_head_in(unit);
  return head && (!slot.head || std::memcmp(&*head, &*slot.head, sizeof(SegmentHead)) != 0);
}

/// Waits until no write is in flight to a free file. Returns true if a head has landed in one, so that the chain must
/// be read again.
Result<bool> wait_for_free(JournalDevice& device, const JournalChain& chain, const FoundJournal& found) {
  bool is_stale = false;
  for (const SlotNumber slot : found.free) {
    const auto taken = fence_within(device, slot, longest_write);
    if (!taken) return std::unexpected(taken.error());
    if (!*taken) {
      return std::unexpected(
          Error(ErrorCode::busy, "a write of a dead keeper to the journal does not end", file_name_of(slot)));
    }
    // Check with the fence held: the head may have landed since the chain was opened.
    const auto changed = has_another_head(device, *std::ranges::find(chain.slots(), slot, &JournalChain::Slot::number));
    if (!changed) return std::unexpected(changed.error());
    is_stale = is_stale || *changed;
    device.release(slot);
  }
  return is_stale;
}

}  // namespace

Result<bool> fence_within(JournalDevice& device, SlotNumber slot, nanoseconds patience) {
  const auto end = Clock::now() + patience;
  while (true) {
    const auto taken = device.try_fence(slot);
    if (!taken || *taken || Clock::now() >= end) return taken;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

Result<FoundJournal> take_over_journal(JournalDevice& device, std::uint64_t engine_id, std::uint64_t segment_bytes,
                                       nanoseconds patience) {
  while (true) {
    FoundJournal found;
    auto chain = JournalChain::open(device, engine_id, segment_bytes);
    if (!chain) return std::unexpected(chain.error());
    if (auto walked = walk(*chain, device, patience, found); !walked) return std::unexpected(walked.error());
    sort_files(*chain, found);
    const auto is_stale = wait_for_free(device, *chain, found);
    if (!is_stale) return std::unexpected(is_stale.error());
    if (!*is_stale) return found;
    // A file whose fence was held once has no write in flight, so this loop ends.
    if (found.has_fence) device.release(chain->candidates().back().slot);
  }
}

}  // namespace ringmill
