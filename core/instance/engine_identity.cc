#include "core/instance/engine_identity.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <array>
#include <optional>

#include <ringmill/job.h>

#include "core/base/file_names.h"

namespace ringmill {

namespace {

constexpr std::string_view segment_prefix = "ringmill-";

/// `NAME VALUE\n`; moves `text` on.
std::optional<std::string_view> line_of(std::string_view& text, std::string_view name) {
  const std::size_t end = text.find('\n');
  if (end == std::string_view::npos || end <= name.size() || !text.starts_with(name) || text[name.size()] != ' ') {
    return std::nullopt;
  }
  const std::string_view value = text.substr(name.size() + 1, end - name.size() - 1);
  text.remove_prefix(end + 1);
  return value;
}

}  // namespace

bool is_at_home(const EngineHome& noted, const EngineHome& found) noexcept {
  if (noted.inode == 0) return true;
  if (noted.inode != found.inode || (noted.directory != 0 && noted.directory != found.directory)) return false;
  return noted.born_ns == 0 || found.born_ns == 0 || noted.born_ns == found.born_ns;
}

Result<FoundHome> find_home(const Directory& directory) {
  const auto origin = directory.origin_of(engine_lock_file);
  if (!origin) return std::unexpected(origin.error());
  FoundHome found;
  found.is_plain_file = origin->is_plain_file;
  found.home = {.inode = origin->inode, .born_ns = origin->born_ns, .directory = directory.inode()};
  const std::array<std::uint64_t, 4> signs{origin->device, origin->inode, origin->born_ns, directory.inode()};
  const std::uint64_t word = XXH3_64bits(signs.data(), sizeof signs);
  found.word = word != 0 ? word : 1;
  return found;
}

std::string MemoryNote::to_text() const {
  return "engine " + JobId(engine_id).to_string() + "\nmaking " + JobId(making).to_string() + "\nsegment " + segment +
         "\n";
}

Result<MemoryNote> MemoryNote::of(std::string_view text, const std::filesystem::path& path) {
  const auto engine = line_of(text, "engine");
  const auto making = engine ? line_of(text, "making") : std::nullopt;
  const auto segment = making ? line_of(text, "segment") : std::nullopt;
  const auto engine_id = engine ? JobId::parse(*engine) : std::nullopt;
  const auto number = making ? JobId::parse(*making) : std::nullopt;
  if (!engine_id || !number || !segment || !is_segment_name(*segment)) {
    return std::unexpected(Error(ErrorCode::corrupt, "the note of the engine's shared memory cannot be read",
                                 path.string() + "; remove it, then the memory is made anew from the journal"));
  }
  return MemoryNote{.engine_id = engine_id->value(), .making = number->value(), .segment = std::string(*segment)};
}

std::string segment_name(std::uint64_t number) { return std::string(segment_prefix) + JobId(number).to_string(); }

bool is_segment_name(std::string_view name) noexcept {
  return name.starts_with(segment_prefix) && JobId::parse(name.substr(segment_prefix.size())).has_value();
}

}  // namespace ringmill
