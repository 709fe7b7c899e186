// What a recovery keeps, and tells, of blocks that are damaged.
#include <algorithm>

#include <fmt/format.h>

#include "core/base/log.h"
#include "core/durability/recovery.h"
#include "core/journal/aligned_memory.h"
#include "core/journal/file_names.h"
#include "ipc/file.h"

namespace ringmill {

namespace {

Result<void> copy_aside(const JournalDamage& damage, JournalDevice& device, const Directory& folder,
                        std::string_view name, std::uint32_t file_mode) {
  constexpr std::uint64_t at_a_time = most_block_bytes;
  const AlignedMemory buffer = aligned_memory(at_a_time);
  if (!buffer) return std::unexpected(Error(ErrorCode::no_space, "no memory"));
  const auto file_bytes = device.bytes_of(damage.slot);
  if (!file_bytes) return std::unexpected(file_bytes.error());
  const std::uint64_t end = std::min(damage.offset + damage.bytes, *file_bytes) / journal_unit * journal_unit;
  const auto file = folder.make_file(name, file_mode);
  if (!file) return std::unexpected(file.error());
  for (std::uint64_t from = damage.offset / journal_unit * journal_unit; from < end; from += at_a_time) {
    const std::span<std::byte> part(buffer.get(), std::min(at_a_time, end - from));
    if (auto read = device.read(damage.slot, from, part); !read) return read;
    const std::string_view text(reinterpret_cast<const char*>(part.data()), part.size());
    if (auto written = write_all(*file, text, folder.path_of(name)); !written) return written;
  }
  return {};
}

}  // namespace

std::vector<std::filesystem::path> keep_aside(const std::vector<JournalDamage>& damage, JournalDevice& device,
                                              const Directory& folder, std::uint32_t file_mode) {
  std::vector<std::filesystem::path> kept;
  for (const JournalDamage& one : damage) {
    if (one.bytes == 0 || one.reason == "missing") continue;
    const std::string name = damaged_file_name(one.segment, one.offset);
    const auto fresh = Directory::half_made_name(name);
    auto copied = fresh ? copy_aside(one, device, folder, *fresh, file_mode) : std::unexpected(fresh.error());
    if (copied) copied = folder.rename(*fresh, name);  // in place of that of an earlier recovery
    if (!copied) {
      log().warn("the damaged block could not be kept aside in {}: {}", folder.path_of(name).string(),
                 copied.error().message());
      if (fresh) static_cast<void>(folder.remove_if_there(*fresh));
      continue;
    }
    kept.push_back(folder.path_of(name));
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
