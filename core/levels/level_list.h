// The durable list of dynamic levels: the file levels.json in the engine's directory. The journal names a job's level
// by its number. So a number is in this list, durably, before a job can have it, and stays as long as a job of it may
// come back. A removed level stays in the list until its number is reused.
//
// Read and written only under the structure lock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>

#include "core/base/file_names.h"
#include "ipc/directory.h"
#include "ipc/segment.h"

namespace ringmill {

struct ListedLevel {
  std::string name{};
  std::uint32_t place = 0;  // its number, counted from the first one behind those of the fixed levels
  std::uint16_t epoch = 0;
  std::uint32_t weight = 1;
  RingPiece ring{};
  bool is_removed = false;
};

class LevelList {
 public:
  /// No file: an empty list. Error corrupt.
  static Result<LevelList> read(const Directory& directory, std::uint64_t ring_slots);
  /// Parses the file's text; `path` is for messages. Error corrupt.
  static Result<LevelList> from_json(const std::string& text, const std::filesystem::path& path,
                                     std::uint64_t ring_slots);
  Result<void> write(const Directory& directory, std::uint32_t file_mode) const;

  std::vector<ListedLevel>& levels() noexcept { return levels_; }
  const std::vector<ListedLevel>& levels() const noexcept { return levels_; }
  /// Returns the level of this name that is not removed.
  ListedLevel* find(std::string_view name) noexcept;

  /// A piece for a ring of about so many hints; 0: the default size, and less if the room for all rings is nearly used
  /// up. Errors: invalid_argument, no_space (says what is left).
  Result<RingPiece> piece_for(std::uint32_t wanted) const;

 private:
  std::optional<RingPiece> free_piece(std::uint32_t slots) const;
  std::uint32_t usual_ring() const noexcept;

  std::vector<ListedLevel> levels_;
  std::uint64_t ring_slots_ = 0;
};

}  // namespace ringmill
