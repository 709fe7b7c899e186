// The modes of files in an engine's directory, from the mode of the engine.
#pragma once

#include <cstdint>

namespace ringmill {

/// Returns the mode of a file that carries locks: a class of users that may not write it may not read it. Read access
/// is enough for a shared lock, and a shared lock that is held for ever blocks all exclusive ones.
constexpr std::uint32_t mode_with_locks(std::uint32_t mode) noexcept {
  const std::uint32_t may_write = mode & 0022;
  return mode & ~(0044 & ~(may_write << 1));
}
static_assert(mode_with_locks(0600) == 0600 && mode_with_locks(0660) == 0660 && mode_with_locks(0640) == 0600);
static_assert(mode_with_locks(0644) == 0600 && mode_with_locks(0664) == 0660 && mode_with_locks(0666) == 0666);

/// Returns the mode of a file that defines the engine: only its owner writes it, whatever the engine's mode is.
constexpr std::uint32_t owners_file_mode(std::uint32_t mode) noexcept { return mode & 0644; }

/// Returns the mode of the directory: with the group bit, files of all members belong to the group.
constexpr std::uint32_t directory_mode(std::uint32_t mode) noexcept { return (mode & 0020) != 0 ? mode | 02000 : mode; }

}  // namespace ringmill
