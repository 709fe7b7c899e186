// What engine.json says: the options of an engine's creation, checked, and back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include <ringmill/error.h>
#include <ringmill/options.h>

#include "core/instance/engine_identity.h"
#include "core/journal/geometry.h"
#include "ipc/segment.h"

namespace ringmill {

struct EngineConfiguration {
  SegmentConfig segment;
  JournalGeometry journal;
  std::filesystem::path shm_dir;
  /// The id in the journal's blocks: the engine's first one, also after it was adopted under another.
  std::uint64_t journal_id = 0;
  EngineHome home;
  /// The most cells that the engine ever had, where a resize has left it fewer: its journal may still name them.
  std::uint32_t most_cells = 0;
};

/// The journal's files for a limit of bytes; 0 asks for the default. Error invalid_argument: too small for that many
/// cells, whose survivors must find room while their segments are copied forward; says the least.
Result<JournalGeometry> checked_journal(std::uint64_t limit, std::uint32_t capacity, std::uint32_t cell_bytes,
                                        std::uint64_t arena_bytes = 0);

/// The longest payload and the arena, as asked for or by default; both zero: no arena. Error invalid_argument.
Result<ArenaSize> checked_arena(const CreateOptions& options);

/// The options within their bounds, with defaults filled in and a new engine id. `shm_dir` as it was given.
/// Error invalid_argument.
/// What is chosen for a capacity, or an arena, of 0: from the size of the tmpfs.
CreateOptions with_chosen_sizes(CreateOptions options);
Result<EngineConfiguration> checked_configuration(const CreateOptions& options);

/// What an engine is to be like; 0: as it is.
struct ResizeWish {
  std::uint32_t capacity = 0;
  std::uint32_t cell_size = 0;
  std::uint32_t max_payload = 0;
  std::uint64_t arena = 0;
};
/// The configuration of the same engine with other sizes. Its journal keeps the length of its files, and may have as
/// many as the new sizes need; never fewer than before. Error invalid_argument: out of bounds, or cells would get
/// smaller.
Result<EngineConfiguration> resized(const EngineConfiguration& former, const ResizeWish& wish);

std::string to_json(const EngineConfiguration& configuration);

/// Reads what to_json() writes; `path` is for messages. Errors: corrupt, incompatible.
Result<EngineConfiguration> from_json(const std::string& text, const std::filesystem::path& path);

}  // namespace ringmill
