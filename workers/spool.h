// Bytes that are too many for memory: a temporary file without a name, which goes with its descriptor.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include <ringmill/error.h>

#include "ipc/file.h"

namespace ringmill {

/// In the folder that TMPDIR names, else in /var/tmp, else in /tmp. The file is made with the first byte.
class Spool {
 public:
  Spool() noexcept = default;
  explicit Spool(std::uint64_t most_bytes) noexcept : most_bytes_(most_bytes) {}

  /// Bytes that do not fit, or cannot be written, are dropped, and so are all later ones: the kept bytes have no gap.
  void add(std::string_view bytes);
  std::uint64_t size() const noexcept { return size_; }
  bool was_cut() const noexcept { return !why_cut_.empty(); }
  /// The bound, or the error.
  const std::string& why_cut() const noexcept { return why_cut_; }

  /// Calls `take` with one piece after another, until it says false.
  Result<void> read(const std::function<bool(std::string_view)>& take) const;

 private:
  std::uint64_t most_bytes_ = 0;
  std::uint64_t size_ = 0;
  File file_;
  std::string why_cut_;
};

}  // namespace ringmill
