// What a recovery keeps, and tells, of blocks that are damaged.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <fmt/format.h>

#include "core/journal/aligned_memory.h"
#include "core/journal/file_names.h"
#include "core/journal/recovery.h"
#include "core/log.h"
#include "ipc/file.h"

namespace ringmill {

namespace {

Result<void> copy_aside(const JournalDamage& damage, JournalDevice& device, const std::filesystem::path& path,
                        std::uint32_t file_mode) {
  constexpr std::uint64_t at_a_time = most_block_bytes;
  const AlignedMemory buffer = aligned_memory(at_a_time);
  if (!buffer) return std::unexpected(Error(ErrorCode::no_space, "no memory"));
  const auto file_bytes = device.bytes_of(damage.slot);
  if (!file_bytes) return std::unexpected(file_bytes.error());
  const std::uint64_t end = std::min(damage.offset + damage.bytes, *file_bytes) / journal_unit * journal_unit;
  ::unlink(path.c_str());  // of an earlier recovery
  const auto file = open_file(path, O_WRONLY | O_CREAT | O_EXCL, file_mode);
  if (!file) return std::unexpected(file.error());
  for (std::uint64_t from = damage.offset / journal_unit * journal_unit; from < end; from += at_a_time) {
    const std::span<std::byte> part(buffer.get(), std::min(at_a_time, end - from));
    if (auto read = device.read(damage.slot, from, part); !read) return read;
    if (::write(file->descriptor(), part.data(), part.size()) != static_cast<ssize_t>(part.size())) {
      return std::unexpected(system_error("cannot write", path));
    }
  }
  return {};
}

}  // namespace

std::vector<std::filesystem::path> keep_aside(const std::vector<JournalDamage>& damage, JournalDevice& device,
                                              const std::filesystem::path& folder, std::uint32_t file_mode) {
  std::vector<std::filesystem::path> kept;
  for (const JournalDamage& one : damage) {
    if (one.bytes == 0 || one.reason == "missing") continue;
    const std::filesystem::path path = folder / damaged_file_name(one.segment, one.offset);
    if (const auto copied = copy_aside(one, device, path, file_mode); !copied) {
      log().warn("the damaged block could not be kept aside in {}: {}", path.string(), copied.error().message());
      ::unlink(path.c_str());
      continue;
    }
    kept.push_back(path);
  }
  return kept;
}

std::string text_of(const JournalDamage& damage) {
  constexpr std::size_t most_named = 20;
  std::string text;
  if (damage.segment != 0) {
    text += fmt::format("segment {}, offset {}", damage.segment, damage.offset);
    if (damage.bytes != 0) text += fmt::format(", {} bytes", damage.bytes);
    text += ": ";
  }
  text += damage.reason;
  if (damage.suspects.empty()) return text;
  text += "; may touch";
  for (std::size_t n = 0; n < std::min(damage.suspects.size(), most_named); ++n) {
    text += " " + damage.suspects[n].to_string();
  }
  if (damage.suspects.size() > most_named) text += fmt::format(" and {} more", damage.suspects.size() - most_named);
  return text;
}

}  // namespace ringmill
