// Engines for one run each, removed however the bench ends.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <string>

#include <ringmill/engine.h>

namespace ringmill::bench {

/// A folder for engines and a process that waits until every process of the bench is gone, by a signal or by itself,
/// and removes then what is left. Make one, first thing in main().
class Scratch {
 public:
  Scratch();
  ~Scratch();
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  const std::filesystem::path& folder() const noexcept { return folder_; }

 private:
  std::filesystem::path folder_;
  pid_t janitor_ = -1;
  int alive_ = -1;
};

/// One engine in the scratch folder. Its users must be gone, or killed, before it goes.
class ScratchEngine {
 public:
  static std::expected<ScratchEngine, std::string> create(const std::filesystem::path& folder, std::uint32_t capacity,
                                                          std::uint32_t cell_size = 0, std::uint64_t journal_limit = 0,
                                                          std::chrono::milliseconds keep_memory = {});
  ScratchEngine(ScratchEngine&& other) noexcept : directory_(std::move(other.directory_)) { other.directory_.clear(); }
  ScratchEngine& operator=(ScratchEngine&&) = delete;
  ~ScratchEngine();

  const std::filesystem::path& directory() const noexcept { return directory_; }

 private:
  explicit ScratchEngine(std::filesystem::path directory) : directory_(std::move(directory)) {}
  std::filesystem::path directory_;
};

}  // namespace ringmill::bench
