// A tmpfs of one mebibyte, or what else is asked for. Only root can mount one.
#pragma once

#include <sys/mount.h>

#include <filesystem>

#include "tests/support/scratch.h"

namespace ringmill::test {

class SmallTmpfs {
 public:
  explicit SmallTmpfs(const char* size = "size=1m")
      : mounted_(::mount("none", folder_.path().c_str(), "tmpfs", 0, size) == 0) {}
  SmallTmpfs(const SmallTmpfs&) = delete;
  SmallTmpfs& operator=(const SmallTmpfs&) = delete;
  ~SmallTmpfs() {
    if (mounted_) ::umount2(folder_.path().c_str(), MNT_DETACH);
  }
  bool is_mounted() const noexcept { return mounted_; }
  const std::filesystem::path& path() const noexcept { return folder_.path(); }

 private:
  ScratchFolder folder_;
  bool mounted_;
};

}  // namespace ringmill::test
