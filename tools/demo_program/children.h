// Child processes of the demo: this same program, started again with a role.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace ringmill::demo {

class Child {
 public:
  /// fork() and exec() of `command` with its words. The child dies with its parent. Throws std::runtime_error.
  static Child start(const std::vector<std::string>& command);

  explicit Child(pid_t pid) noexcept : pid_(pid) {}
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  /// Kills and waits for a child that still runs.
  ~Child();

  pid_t pid() const noexcept { return pid_; }
  void signal(int number) const noexcept;
  /// Stops it, and returns when it stands still. False: it has ended.
  bool stop() noexcept;
  /// True once it has ended; does not wait.
  bool has_ended() noexcept;
  void wait() noexcept;
  /// After has_ended() or wait(): it returned 0.
  bool succeeded() const noexcept { return ended_ && status_ == 0; }

 private:
  pid_t pid_;
  bool ended_ = false;
  int status_ = -1;
};

}  // namespace ringmill::demo
