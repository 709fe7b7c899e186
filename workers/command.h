// One shell command: started, fed, listened to, signalled, and reaped.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <ringmill/error.h>

#include "ipc/file.h"
#include "workers/spool.h"

namespace ringmill {

/// How a command ended.
struct CommandEnd {
  /// The exit status, or -1 when a signal ended it.
  int status = -1;
  int signal = 0;
  /// Not 0: the errno with which the shell could not be run. The command has not begun.
  int exec_errno = 0;
  /// Standard output from its beginning, at most Command::most_output bytes, and what came after that.
  std::string output;
  Spool more_output;
  /// There was more still.
  bool output_was_cut = false;
  /// Standard error's last bytes, at most Command::most_error_text: end_of() of core/base/kept_text.h.
  std::string error_text;
};

struct CommandExtras {
  /// The most bytes of standard output beyond Command::most_output that go to a temporary file.
  std::uint64_t most_spooled = 0;
  /// A file that the command has as descriptor 3. Null: none.
  const File* handed_over = nullptr;
};

/// Runs `/bin/sh -c TEXT` in a session of its own, with our environment, three pipes and no other descriptor of ours.
/// A session of its own has no terminal: a command that asks /dev/tty fails at once instead of being stopped for ever.
/// It gets the signal mask and the signal actions of a fresh process. When the thread that started it dies, the
/// shell is killed: a job that goes to another worker should not go on here. For one thread.
///
/// The process may ignore SIGCHLD, or wait for any child: the kernel tells the end of a reaped command by its pidfd
/// (Linux 6.15). On an older kernel such a process cannot learn how a command ended; see can_learn_ends().
class Command {
 public:
  static constexpr std::size_t most_output = 64 * 1024;
  static constexpr std::size_t most_error_text = 4 * 1024;

  /// Error system: this process ignores SIGCHLD, and the kernel is too old to tell how a command ended all the same.
  static Result<void> can_learn_ends();

  /// `environment` are "NAME=value" texts that go before ours. `input` is what standard input gives; it must stay where
  /// it is until the command has ended. SIGPIPE is blocked on the calling thread from here on: a command need not read
  /// its input. An error means that this process lacks something (descriptors, processes, memory), and that the command
  /// has not begun.
  static Result<Command> start(const std::string& text, std::span<const std::string> environment,
                               std::span<const std::byte> input, const CommandExtras& extras = {});

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

  /// Of the shell, which leads a session and a group; -1 after finish().
  pid_t process() const noexcept { return process_; }

  /// To every process of the group, those that are stopped included: they go on, so that the signal reaches them.
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

  /// A page that the child shares with us until exec: the errno of an exec that failed.
  struct Unmap {
    void operator()(std::atomic<int>* page) const noexcept;
  };
  using ExecNote = std::unique_ptr<std::atomic<int>, Unmap>;
  static ExecNote make_exec_note() noexcept;

  pid_t process_ = -1;
  ExecNote exec_errno_;
  File process_descriptor_;
  File input_pipe_;
  File output_pipe_;
  File error_pipe_;
  std::span<const std::byte> input_;
  std::string chunk_;
  CommandEnd end_;
};

}  // namespace ringmill
