// How the engine's numbers of kinds and levels stand in Kind and Level.
//
// Users hold a number mixed with bits of the engine's id. So zero is no kind and no level, and one of another engine is
// no number of this one: of two engines, one in about 2^21 takes a kind of the other, and one in 2^28 a fixed level.
#pragma once

#include <cstdint>

#include <ringmill/job.h>

#include "ipc/layout.h"
#include "ipc/segment.h"

namespace ringmill {

class Handles {
 public:
  explicit Handles(std::uint64_t engine_id) noexcept
      : kind_bits_(static_cast<std::uint32_t>(mixed(engine_id)) | no_kind_bit),
        level_bits_(static_cast<std::uint32_t>(mixed(engine_id) >> 32) | no_level_bit) {}
  explicit Handles(const Segment& segment) noexcept : Handles(segment.header().engine_id.load()) {}

  Kind kind(std::uint32_t number) const noexcept { return Kind{number ^ kind_bits_}; }
  /// Returns a number of most_kinds or more for what is no kind of this engine.
  std::uint32_t number_of(Kind kind) const noexcept { return static_cast<std::uint32_t>(kind) ^ kind_bits_; }

  /// Returns number_of(kind) | value_of(level) << 32: one operation for both, which each enqueue does.
  std::uint64_t both_of(Kind kind, Level level) const noexcept {
    return pair_of(kind, level) ^ (kind_bits_ | std::uint64_t{level_bits_} << 32);
  }
  /// Returns both as they are.
  static std::uint64_t pair_of(Kind kind, Level level) noexcept {
    return static_cast<std::uint32_t>(kind) | std::uint64_t{static_cast<std::uint32_t>(level)} << 32;
  }

  /// `value` is a level_value() (ipc/dynamic_level.h).
  Level level(std::uint32_t value) const noexcept { return Level{value ^ level_bits_}; }
  /// Returns a value whose number is no level's for what is no level of this engine, and for Level{}.
  std::uint32_t value_of(Level level) const noexcept { return static_cast<std::uint32_t>(level) ^ level_bits_; }

 private:
  // Bits that no number has: no handle is zero, and zero is no number.
  static constexpr std::uint32_t no_kind_bit = std::uint32_t{1} << 31;
  static constexpr std::uint32_t no_level_bit = std::uint32_t{1} << 15;

  /// The finalizer of splitmix64: ids that differ in one bit differ in half of the bits.
  static constexpr std::uint64_t mixed(std::uint64_t id) noexcept {
    id = (id ^ id >> 30) * 0xbf58476d1ce4e5b9;
    id = (id ^ id >> 27) * 0x94d049bb133111eb;
    return id ^ id >> 31;
  }

  std::uint32_t kind_bits_;
  std::uint32_t level_bits_;
};

}  // namespace ringmill
