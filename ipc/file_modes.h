// The modes of files in an engine's directory, from the mode of the engine.
#pragma once

#include <cstdint>

namespace ringmill {

/// Of a file that carries locks: no class of users may read it that may not write it. The right to read is enough for a
/// lock of one's own, and such a lock holds up, for ever, all those that exclude others.
constexpr std::uint32_t mode_with_locks(std::uint32_t mode) noexcept {
  const std::uint32_t may_write = mode & 0022;
  return mode & ~(0044 & ~(may_write << 1));
}
static_assert(mode_with_locks(0600) == 0600 && mode_with_locks(0660) == 0660 && mode_with_locks(0640) == 0600);
static_assert(mode_with_locks(0644) == 0600 && mode_with_locks(0664) == 0660 && mode_with_locks(0666) == 0666);

/// Of a file that decides what the engine is: its owner alone writes it, whatever the engine's mode lets others do.
constexpr std::uint32_t owners_file_mode(std::uint32_t mode) noexcept { return mode & 0644; }

/// Of the directory: what is made in a group's directory belongs to that group, whichever member makes it.
constexpr std::uint32_t directory_mode(std::uint32_t mode) noexcept { return (mode & 0020) != 0 ? mode | 02000 : mode; }

}  // namespace ringmill
