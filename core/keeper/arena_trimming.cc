#include "core/keeper/arena_trimming.h"

#include <algorithm>

namespace ringmill {

namespace {

/// A thousand words each, and as many cells, when all are free: about 20 us.
constexpr int most_looked_at_in_a_turn = 8;
constexpr int most_begun_in_a_turn = 8;
/// A mebibyte each: about 50 us.
constexpr int most_freed_in_a_turn = 8;
constexpr std::uint64_t most_between_passes_ns = 1'000'000'000;

}  // namespace

ArenaTrimming::ArenaTrimming(const Segment& segment, std::uint64_t keep_ns)
    : segment_(&segment), arena_(segment), keep_ns_(keep_ns), free_since_ns_(segment.geometry().arena_chunk_count, 0) {}

void ArenaTrimming::look(std::uint64_t now_ns) {
  if (now_ns < look_at_ns_ || !chosen_.empty() || !leaving_.empty()) return;
  const auto chunks = static_cast<std::uint32_t>(free_since_ns_.size());
  for (int looked_at = 0; next_chunk_ < chunks && looked_at < most_looked_at_in_a_turn; ++next_chunk_) {
    if (segment_->has_arena_chunk(next_chunk_)) ++looked_at;
    look_at(next_chunk_, now_ns);
  }
  if (next_chunk_ < chunks) return;
  choose(now_ns);
  next_chunk_ = 0;
  in_use_ = 0;
  look_at_ns_ = now_ns + std::clamp<std::uint64_t>(keep_ns_ / 4, 1'000'000, most_between_passes_ns);
}

void ArenaTrimming::look_at(std::uint32_t chunk, std::uint64_t now_ns) {
  std::uint64_t& since_ns = free_since_ns_[chunk];
  const bool is_there = segment_->has_arena_chunk(chunk);
  if (!is_there && arena_.is_leaving(chunk)) {
    leaving_.push_back(chunk);  // a former keeper has begun it
  } else if (!is_there || !arena_.is_all_free(chunk)) {
    since_ns = 0;
    if (is_there) ++in_use_;
  } else if (since_ns == 0) {
    since_ns = now_ns;
  }
}

void ArenaTrimming::choose(std::uint64_t now_ns) {
  std::uint32_t to_keep = in_use_ / 8;
  for (std::uint32_t chunk = 0; chunk < free_since_ns_.size(); ++chunk) {
    if (!segment_->has_arena_chunk(chunk)) continue;
    const bool is_left = arena_.is_leaving(chunk);  // by a former keeper that died before shrink.X3
    const std::uint64_t since_ns = free_since_ns_[chunk];
    if (!is_left && since_ns == 0) continue;
    if (!is_left && to_keep != 0) {
      --to_keep;
      continue;
    }
    if (is_left || now_ns - since_ns >= keep_ns_) chosen_.push_back(chunk);
  }
}

bool ArenaTrimming::begin_some() noexcept {
  for (int n = 0; n < most_begun_in_a_turn && !chosen_.empty(); ++n) {
    const std::uint32_t chunk = chosen_.back();
    chosen_.pop_back();
    free_since_ns_[chunk] = 0;
    if (!segment_->has_arena_chunk(chunk) || !arena_.begin_leaving(chunk)) continue;  // shrink.X1, shrink.X2
    segment_->hide_arena_chunk(chunk);                                                // shrink.X3
    leaving_.push_back(chunk);
  }
  return !chosen_.empty();
}

bool ArenaTrimming::finish_some() noexcept {
  for (int n = 0; n < most_freed_in_a_turn && !leaving_.empty(); ++n) {
    const std::uint32_t chunk = leaving_.back();
    leaving_.pop_back();
    if (segment_->has_arena_chunk(chunk)) {  // shrink.X5
      arena_.stay(chunk);
    } else if (segment_->free_arena_chunk(chunk) != 0) {  // shrink.X6
      keep(chunk);
    } else {
      arena_.note_absent(chunk);  // shrink.X7
    }
  }
  return !leaving_.empty();
}

void ArenaTrimming::keep_all() noexcept {
  for (const std::uint32_t chunk : leaving_) keep(chunk);
  leaving_.clear();
}

void ArenaTrimming::keep(std::uint32_t chunk) noexcept {
  if (segment_->make_arena_chunk(chunk)) {
    arena_.stay(chunk);
  } else {
    arena_.note_absent(chunk);
  }
}

}  // namespace ringmill
