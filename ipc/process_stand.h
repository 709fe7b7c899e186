// How a living process stands, as the kernel tells; and the ending of one that a lock of a file names.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "ipc/file.h"
#include "ipc/process_end.h"

namespace ringmill {

/// "it is stopped (state T)", "its control group is frozen", "it waits for a device (state D)", ... Empty where that
/// cannot be read. Reads /proc, and the process's control group.
std::string sentence_of_stand(const ProcessName& name);

/// A byte of a file that a process has locked, and how.
struct HeldByte {
  std::uint64_t byte = 0;
  bool is_exclusive = false;
};

/// Kills (SIGKILL) the process in which one open file description of `file` holds both locks, if it is stopped or
/// frozen. The kernel says both, no memory that others write: it looks through the open files of all processes in
/// /proc. Returns the process; nothing where there is none, where it is the calling one, or where the caller may not
/// look or not kill.
std::optional<pid_t> kill_stopped_holder_of(const File& file, const HeldByte& first, const HeldByte& second) noexcept;

}  // namespace ringmill
