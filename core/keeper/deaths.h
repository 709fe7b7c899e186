// Records how each participant died. The error text of each job that a death took from its worker says it. This is the
// keeper's private memory: a keeper that was just elected knows only what /proc shows.
//
// The handover does not wait for it: what the kernel tells at the moment of reaping is what is written. A killed
// process costs the keeper two reads of small files (/proc/PID/stat, its control group's counter) before its first job
// is handed on (docs/decisions/0021).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ipc/layout.h"
#include "ipc/process_end.h"
#include "ipc/segment.h"

namespace ringmill {

class Deaths {
 public:
  explicit Deaths(const Segment& segment) : segment_(&segment), pid_namespace_(own_pid_namespace()) {}

  /// Prepares for the death of every participant in the registry: a few system calls per new process, and one read per
  /// process and second. The read is needed because an out-of-memory kill that was counted seconds ago says nothing of
  /// a death now.
  void expect();
  /// One sentence about the participant of an entry, whose thread is dead. The first call asks the kernel.
  const std::string& sentence_about(std::uint32_t number);
  /// The entry is free.
  void forget(std::uint32_t number) noexcept { watches_[number] = {}; }

 private:
  /// One process, however many of its threads are participants.
  struct Process {
    ProcessName name;
    std::optional<ProcessHandle> handle;
    std::optional<OutOfMemoryCount> out_of_memory;
    std::uint64_t counted_at_ns = 0;
  };
  struct Watch {
    std::uint64_t attached_at_ns = 0;  // of the participant that it was made for
    std::shared_ptr<Process> process;
    std::string sentence;
  };

  ProcessName name_of(std::uint32_t number) const noexcept;
  std::shared_ptr<Process> process_of(const ProcessName& name) const;
  std::string ask(std::uint32_t number);

  const Segment* segment_;
  std::uint64_t pid_namespace_;
  std::vector<Watch> watches_ = std::vector<Watch>(most_participants);
  std::uint64_t counted_at_ns_ = 0;
};

}  // namespace ringmill
