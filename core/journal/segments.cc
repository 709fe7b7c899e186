#include "core/journal/segments.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <utility>

namespace ringmill {

JournalSegments::JournalSegments(JournalDevice& device, const JournalGeometry& geometry, FoundJournal found)
    : device_(device),
      geometry_(geometry),
      in_use_(std::move(found.in_use)),
      free_(std::move(found.free)),
      oldest_(in_use_.empty() ? 1 : in_use_.front().segment),
      oldest_to_say_(found.oldest) {
  // The limit may have been higher before.
  while (!free_.empty() && files() > geometry_.most_segments) {
    static_cast<void>(device_.remove(free_.back()));
    free_.pop_back();
  }
}

std::uint32_t JournalSegments::free() const noexcept {
  return in_use() < geometry_.most_segments ? geometry_.most_segments - in_use() : 0;
}

std::uint64_t JournalSegments::bytes_on_disk() const noexcept {
  std::uint64_t bytes = (files() - in_use_.size()) * geometry_.segment_bytes;
  for (const SegmentInUse& segment : in_use_) bytes += segment.bytes;
  return bytes;
}

SlotNumber JournalSegments::unused_number() const {
  for (SlotNumber slot = 0;; ++slot) {
    const bool is_used = std::ranges::find(free_, slot) != free_.end() || taken_ == slot ||
                         std::ranges::find(in_use_, slot, &SegmentInUse::slot) != in_use_.end();
    if (!is_used) return slot;
  }
}

Result<void> JournalSegments::make_files(std::size_t wanted) {
  while (free_.size() < wanted) {
    const SlotNumber slot = unused_number();
    if (auto made = device_.prepare(slot, geometry_.segment_bytes); !made) return made;
    no_space_number_ = 0;
    free_.push_back(slot);
  }
  return {};
}

Result<std::optional<SlotNumber>> JournalSegments::take(Take how) {
  if (free() < (how == Take::last ? 1U : 2U)) return std::nullopt;
  auto made = make_files(how == Take::usual ? 2 : 1);
  for (std::size_t at = 0; made && at < free_.size(); ++at) {
    const SlotNumber slot = free_[at];
    // Also for an existing file: it may have the size of another geometry.
    made = device_.prepare(slot, geometry_.segment_bytes);
    if (!made) break;
    const auto fenced = device_.try_fence(slot);
    if (!fenced) return std::unexpected(fenced.error());
    if (!*fenced) continue;
    free_.erase(free_.begin() + static_cast<std::ptrdiff_t>(at));
    taken_ = slot;
    return taken_;
  }
  if (made) return std::nullopt;
  if (made.error().code() != ErrorCode::no_space) return std::unexpected(made.error());
  no_space_number_ = made.error().system_number() != 0 ? made.error().system_number() : ENOSPC;
  return std::nullopt;
}

void JournalSegments::begin(std::uint64_t segment, SlotNumber slot) {
  assert(taken_ == slot);
  taken_.reset();
  if (!in_use_.empty()) device_.release(in_use_.back().slot);
  if (in_use_.empty()) oldest_ = oldest_to_say_ = segment;
  in_use_.push_back({.segment = segment, .slot = slot, .bytes = geometry_.segment_bytes});
}

void JournalSegments::retire_oldest(std::uint64_t survivors, std::uint64_t durable) {
  assert(oldest_ < newest().segment);
  // The next existing one: a lost file leaves a gap in the numbers.
  oldest_ = std::ranges::upper_bound(in_use_, oldest_, {}, &SegmentInUse::segment)->segment;
  retirements_.push_back({.oldest = oldest_, .survivors = survivors});
  say_retired(durable);
}

void JournalSegments::say_retired(std::uint64_t durable) {
  while (!retirements_.empty() && retirements_.front().survivors <= durable) {
    oldest_to_say_ = retirements_.front().oldest;
    retirements_.pop_front();
  }
}

void JournalSegments::on_durable(std::uint64_t block, std::uint64_t oldest) {
  while (!in_use_.empty() && in_use_.front().segment < oldest) {
    set_free(in_use_.front());
    in_use_.pop_front();
  }
  say_retired(block);
}

void JournalSegments::set_free(const SegmentInUse& segment) {
  if (files() > geometry_.most_segments) {
    static_cast<void>(device_.remove(segment.slot));
  } else {
    free_.push_back(segment.slot);
  }
}

}  // namespace ringmill
