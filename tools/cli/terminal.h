// A terminal that shows a Screen and gives keys. It is put back as it was when this object goes, and when a signal ends
// the program.
#pragma once

#include <termios.h>

#include <chrono>
#include <optional>
#include <string>

#include "server/top_screen.h"

namespace ringmill::cli {

/// Keys without a character of their own.
enum class Key : int { none = -1, end = -2, up = -3, down = -4, back_tab = -5 };

class Terminal {
 public:
  /// Nothing: standard input or output is no terminal.
  static std::optional<Terminal> take();
  Terminal(Terminal&& other) noexcept;
  Terminal& operator=(Terminal&&) = delete;
  ~Terminal();

  struct Size {
    int width;
    int height;
  };
  Size size() const noexcept;
  /// Writes what differs from the screen before.
  void show(const Screen& screen);
  /// Waits for a key. Returns its character, or a Key: `none` after the time, `end` when a signal asks the program to
  /// end or the terminal is gone.
  int wait_for_key(std::chrono::milliseconds time);

 private:
  explicit Terminal(const termios& before) noexcept : before_(before) {}

  termios before_{};
  bool is_taken_ = true;
  std::optional<Screen> shown_;
  std::string typed_;  // read, and not handed out
};

}  // namespace ringmill::cli
