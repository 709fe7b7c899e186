// The journal's records, a line each.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace ringmill::cli {

struct JournalLinesOptions {
  bool json = false;
  bool payload = false;
  std::optional<std::uint64_t> limit;
};

/// `ringmill dump --journal`. Returns the exit code: exit_no if there is damage.
int dump_journal(const std::filesystem::path& directory, const JournalLinesOptions& options);

}  // namespace ringmill::cli
