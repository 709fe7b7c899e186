// A place for one engine: its directory and its shared memory, gone at the end of the test.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/engine.h>

#include "core/instance/engine_core.h"

namespace ringmill::test {

/// A new folder below `parent`, removed with everything in it by the process that made it.
class ScratchFolder {
 public:
  explicit ScratchFolder(const std::filesystem::path& parent = std::filesystem::temp_directory_path());
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder();

  const std::filesystem::path& path() const noexcept { return path_; }
  std::vector<std::string> names() const;

 private:
  std::filesystem::path path_;
  pid_t maker_;
};

/// Makes a file of this text, or replaces one.
Result<void> write_file_durably(const std::filesystem::path& path, std::string_view text, std::uint32_t mode);

/// Small, and quick to scan.
CreateOptions small_engine();
/// The same with cells that have room for options, links and a text beside a short payload.
CreateOptions small_engine_with_room();

/// A directory and a tmpfs folder in which one engine may be made.
class ScratchPlace {
 public:
  std::filesystem::path directory() const { return folder_.path() / "engine"; }
  const std::filesystem::path& shm_dir() const noexcept { return shm_.path(); }
  std::vector<std::string> shm_names() const { return shm_.names(); }
  /// The options with this place's shm_dir.
  CreateOptions here(CreateOptions options) const;

 private:
  ScratchFolder folder_;
  ScratchFolder shm_{"/dev/shm"};
};

inline constexpr OpenOptions without_keeper{.embedded_keeper = false};

/// A made engine.
class ScratchEngine {
 public:
  /// `tmpfs`: options of a tmpfs of its own for the shared memory, like "size=24m"; only root can mount one.
  explicit ScratchEngine(const CreateOptions& options = small_engine(), const char* tmpfs = nullptr);
  ScratchEngine(const ScratchEngine&) = delete;
  ScratchEngine& operator=(const ScratchEngine&) = delete;
  ~ScratchEngine();

  std::filesystem::path directory() const { return place_.directory(); }
  const ScratchPlace& place() const noexcept { return place_; }
  std::filesystem::path segment_file() const;
  Engine open(const OpenOptions& options = {}) const;
  /// The engine's inside, opened once more.
  std::shared_ptr<EngineCore> open_core() const;

 private:
  ScratchPlace place_;
  pid_t mounter_ = 0;  // the process that has mounted its tmpfs; 0: there is none
};

}  // namespace ringmill::test
