// A forked process of a test.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <functional>
#include <optional>

namespace ringmill::test {

/// Runs `body` in a child, which ends with what it returns, without running anything else of the parent. A child that
/// is still there at the end of its scope is killed.
class Child {
 public:
  explicit Child(const std::function<int()>& body);
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  pid_t pid() const noexcept { return pid_; }
  /// SIGKILL, and waits until the process is gone.
  void kill();
  /// Stops the process, and waits until it stands still.
  void stop();
  void go_on();
  /// Waits for the end. The exit status, or minus the signal that ended it.
  int wait();
  /// The same if it has ended already, and what it has used.
  std::optional<int> has_ended(::rusage& used);

 private:
  pid_t pid_ = -1;
};

}  // namespace ringmill::test
