// What is shared by the parts of the demo: the files to be hashed, how they become jobs, and the folder of one run.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

namespace ringmill::demo {

inline constexpr std::array<const char*, 3> level_names{"high", "default", "low"};
inline constexpr const char* kind_name = "sha256";

/// What tells that a file changed while we ran.
struct FileFacts {
  std::uint64_t bytes = 0;
  std::int64_t changed_at_ns = 0;
  ino_t inode = 0;
  bool operator==(const FileFacts&) const = default;
};

struct ListedFile {
  std::string path;
  FileFacts facts;
  std::size_t level = 0;  // index of level_names: small files go first
};

struct Listing {
  std::vector<ListedFile> files;
  std::uint64_t unreadable_folders = 0;
};

/// All facts zero when the file is gone.
FileFacts facts_of(const std::string& path);

/// Every regular file below `folder`; symbolic links are not followed.
Listing list_files(const std::filesystem::path& folder);

/// The files of one run, beside its engine.
struct RunFolder {
  std::filesystem::path path;

  std::filesystem::path engine() const { return path / "engine"; }
  /// Records "LEVEL PATH", what producers read.
  std::filesystem::path jobs() const { return path / "jobs"; }
  /// Records "PATH", what sha256sum reads.
  std::filesystem::path paths() const { return path / "paths"; }
  std::filesystem::path ledger(int worker) const { return path / ("ledger-" + std::to_string(worker)); }
  /// What sha256sum wrote, and what it complained of.
  std::filesystem::path reference() const { return path / "sha256sum"; }
  std::filesystem::path complaints() const { return path / "sha256sum-errors"; }
};

/// Records end with a zero byte, because a path may hold any other. A record without its end was being written when its
/// writer was killed, and is left out. Throws std::runtime_error when the file cannot be read.
std::vector<std::string> read_records(const std::filesystem::path& file);

/// Throws std::runtime_error when it cannot be written.
void write_records(const std::filesystem::path& file, const std::vector<std::string>& records);

}  // namespace ringmill::demo
