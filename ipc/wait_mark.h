// Why a job that waits was parked: its kind was paused, or was at one of its limits. Or why it was put off.
#pragma once

#include <cstdint>

#include "ipc/layout.h"
#include "ipc/state_word.h"

namespace ringmill {

/// CellHeader::cause of a job that waits: version of the word that it was parked in 10 | reason 3. A plain enqueue does
/// not clear it, so it speaks of a job only while the very word stands in which the job was parked (`delayed`), or the
/// next one (`queued`), and every other step that writes the cell clears it. The word that a cell's life begins with
/// has a version below those of parked jobs. (The version wraps: a mark of the cell's former life could speak of a job
/// that moves for the 1024th time. It would begin before those that wait, once.)
struct WaitMark {
  enum class Reason : std::uint8_t {
    none = 0,
    paused = 1,       // its kind is paused
    rate = 2,         // no token was there
    concurrency = 3,  // no slot was free
    no_room = 5,      // not parked: its last run found no room for a follow-up, and was put off
  };
  Reason reason = Reason::none;
  std::uint32_t version = 0;

  constexpr std::uint16_t bits() const noexcept {
    return static_cast<std::uint16_t>((version & 0x3ff) | static_cast<std::uint32_t>(reason) << 10);
  }
  static constexpr WaitMark of(std::uint32_t bits) noexcept {
    return {.reason = static_cast<Reason>(bits >> 10 & 7), .version = bits & 0x3ff};
  }
  /// Returns the part of it that a lease note carries: all but the version.
  constexpr std::uint8_t note() const noexcept { return static_cast<std::uint8_t>(bits() >> 10); }
  static constexpr WaitMark of_note(std::uint32_t note, std::uint64_t version) noexcept {
    return of(note << 10 | static_cast<std::uint32_t>(version & 0x3ff));
  }

  /// Why the job of `word` is parked; none: it is not. `bits` belong to `word` if that still stands afterwards.
  static constexpr Reason of_parked(std::uint32_t bits, StateWord word) noexcept {
    const WaitMark mark = of(bits);
    return speaks_of(mark, word) && is_parked(mark.reason) ? mark.reason : Reason::none;
  }
  /// Whether the job of `word` waits because its last run found no room. `bits` as above.
  static constexpr bool was_put_off(std::uint32_t bits, StateWord word) noexcept {
    const WaitMark mark = of(bits);
    return speaks_of(mark, word) && mark.reason == Reason::no_room;
  }
  /// The same for a job that was brought back, and claimed just now.
  static constexpr WaitMark of_claimed(std::uint32_t bits, StateWord running) noexcept {
    const WaitMark mark = of(bits);
    return ((mark.version + 2) & 0x3ff) == running.version() && is_parked(mark.reason) ? mark : WaitMark{};
  }

 private:
  static constexpr bool is_parked(Reason reason) noexcept { return reason != Reason::no_room; }
  static constexpr bool speaks_of(const WaitMark& mark, StateWord word) noexcept {
    return word.state() == CellState::delayed && mark.version == word.version();
  }
};
static_assert(WaitMark::of_parked(WaitMark{WaitMark::Reason::rate, 7}.bits(),
                                  StateWord::make(3, 0, CellState::delayed, 7)) == WaitMark::Reason::rate);

/// The due time of a parked job that the keeper brings back, not a clock.
inline constexpr DueTime due_never{.ns = ~DueTime::wall_bit, .is_wall = false};

}  // namespace ringmill
