// One shell command: started, fed, listened to, signalled, and reaped.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>

#include "ipc/file.h"

namespace ringmill {

/// How a command ended.
struct CommandEnd {
  /// The exit status, or -1 when a signal ended it.
  int status = -1;
  int signal = 0;
  /// Standard output from its beginning, at most Command::most_output bytes.
  std::string output;
  bool output_was_cut = false;
  /// Standard error's last bytes, at most Command::most_error_text, from the beginning of a line where there is one.
  std::string error_text;
};

/// Runs `/bin/sh -c TEXT` in a process group of its own, with our environment, three pipes and no other descriptor of
/// ours. It gets the signal mask and the signal actions of a fresh process. When the thread that started it dies, the
/// shell is killed: a job that goes to another worker should not go on here. For one thread; the process must not reap
/// children that it does not know (SIGCHLD ignored, wait() for any child), or it is not known how the command ended.
class Command {
 public:
  static constexpr std::size_t most_output = 64 * 1024;
  static constexpr std::size_t most_error_text = 4 * 1024;

  /// `environment` are "NAME=value" texts that go before ours. `input` is what standard input gives; it must stay where
  /// it is until the command has ended. SIGPIPE is blocked on the calling thread from here on: a command need not read
  /// its input.
  static Result<Command> start(const std::string& text, std::span<const std::string> environment,
                               std::span<const std::byte> input);

  Command(Command&& other) noexcept;
  Command& operator=(Command&&) = delete;
  Command(const Command&) = delete;
  Command& operator=(const Command&) = delete;
  /// Kills what has not been finished.
  ~Command();

  enum class Event { ended, interrupted, time_over };
  /// Moves bytes until the command has ended, the descriptor `interrupt` can be read (-1: none), or the steady clock
  /// says `until_ns`. What the command left open to others of its group does not keep it from having ended.
  Event wait(int interrupt, std::uint64_t until_ns);

  /// To every process of the group.
  void signal_group(int signal) noexcept;

  /// Once, after Event::ended: what it was. The process id means nothing afterwards.
  CommandEnd finish();

 private:
  Command() = default;
  enum class Read { some, nothing_now, over };
  bool write_input() noexcept;
  Read read_chunk(File& pipe);
  Read read_output();
  Read read_error();
  void read_rest();

  pid_t process_ = -1;
  File process_descriptor_;
  File input_pipe_;
  File output_pipe_;
  File error_pipe_;
  std::span<const std::byte> input_;
  std::string chunk_;
  CommandEnd end_;
};

}  // namespace ringmill
