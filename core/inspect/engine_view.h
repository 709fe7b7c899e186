// An engine, or a copy of one, opened to look at it: not a byte of its shared memory is written.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <ringmill/error.h>
#include <ringmill/job.h>
#include <ringmill/statistics.h>
#include <ringmill/status.h>

#include "core/instance/engine_files.h"
#include "ipc/file.h"
#include "ipc/segment.h"

namespace ringmill {

class EngineView {
 public:
  static Result<EngineView> open(const std::filesystem::path& directory);
  /// `from` is a segment's file, or a folder that holds one. Which of several: the one that engine.json there names, or
  /// else that of `directory`, if that is not empty.
  static Result<EngineView> open_copy(const std::filesystem::path& from, const std::filesystem::path& directory);

  const Segment& segment() const noexcept { return segment_; }
  bool is_copy() const noexcept { return !directory_.has_value(); }
  /// By the kernel's signs. Nothing for a copy: there is no kernel object to ask about.
  std::optional<bool> is_alive(std::uint32_t participant) const noexcept;
  EngineStatus status() const;
  EngineStatistics statistics() const;
  /// Error stale: the engine has another memory by now (EngineFiles::check_memory()).
  Result<void> check_memory() const;
  /// No registry entry is in use: no participant works, and everything that dead ones left has been repaired.
  bool is_at_rest() const noexcept;

 private:
  EngineView(Segment segment, std::optional<EngineFiles> directory, File probe)
      : segment_(std::move(segment)), directory_(std::move(directory)), probe_(std::move(probe)) {}

  Segment segment_;
  std::optional<EngineFiles> directory_;
  File probe_;  // the lock file, to ask which process holds what
};

}  // namespace ringmill
