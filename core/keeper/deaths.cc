#include "core/keeper/deaths.h"

#include <unistd.h>

#include <csignal>

#include "ipc/clock.h"
#include "ipc/registry.h"

namespace ringmill {

namespace {

constexpr std::uint64_t count_every_ns = 1'000'000'000;

}  // namespace

ProcessName Deaths::name_of(std::uint32_t number) const noexcept {
  const ParticipantEntry& entry = segment_->participant(number);
  return {.process = static_cast<pid_t>(entry.process_id.load()),
          .thread = static_cast<pid_t>(entry.thread_id.load()),
          .started_ticks = entry.process_started.load()};
}

std::shared_ptr<Deaths::Process> Deaths::process_of(const ProcessName& name) const {
  for (const Watch& watch : watches_) {
    if (watch.process && watch.process->name.process == name.process &&
        watch.process->name.started_ticks == name.started_ticks) {
      return watch.process;
    }
  }
  return std::make_shared<Process>(
      Process{.name = name, .handle = ProcessHandle::open(name), .out_of_memory = OutOfMemoryCount::of(name.process)});
}

void Deaths::expect() {
  for_each_entry_in_use(*segment_, [this](std::uint32_t number, ParticipantState state) {
    const ParticipantEntry& entry = segment_->participant(number);
    Watch& watch = watches_[number];
    const std::uint64_t attached_at_ns = entry.attached_at_ns.load();
    const ProcessName name = name_of(number);
    const bool is_known = watch.attached_at_ns == attached_at_ns && watch.process &&
                          watch.process->name.started_ticks == name.started_ticks;
    // Our own process lives for as long as we do.
    const bool can_be_seen = entry.pid_namespace.load() == pid_namespace_ && name.process != ::getpid();
    if (state != ParticipantState::alive || is_known || !can_be_seen) return;
    watch = {.attached_at_ns = attached_at_ns, .process = process_of(name), .sentence = {}};
  });
  const std::uint64_t now_ns = steady_clock_ns();
  if (now_ns - counted_at_ns_ < count_every_ns) return;
  counted_at_ns_ = now_ns;
  for (Watch& watch : watches_) {
    if (!watch.process || !watch.process->out_of_memory || watch.process->counted_at_ns == now_ns) continue;
    watch.process->counted_at_ns = now_ns;
    watch.process->out_of_memory->look();
  }
}

const std::string& Deaths::sentence_about(std::uint32_t number) {
  std::string& sentence = watches_[number].sentence;
  if (sentence.empty()) sentence = ask(number);
  return sentence;
}

std::string Deaths::ask(std::uint32_t number) {
  const ProcessName name = name_of(number);
  const Watch& watch = watches_[number];
  if (segment_->participant(number).pid_namespace.load() != pid_namespace_) {
    return "process " + std::to_string(name.process) + " of another pid namespace is gone";
  }
  ProcessEnd end = end_by_proc(name);
  const bool is_watched = watch.process && watch.process->name.process == name.process &&
                          watch.process->name.started_ticks == name.started_ticks;
  if (end.how == ProcessEnd::How::unknown && is_watched && watch.process->handle) end = watch.process->handle->end();
  std::string sentence = sentence_of(end, name);
  const bool may_be_out_of_memory = end == ProcessEnd{ProcessEnd::How::killed, SIGKILL} && is_watched &&
                                    watch.process->out_of_memory && watch.process->out_of_memory->has_risen();
  if (may_be_out_of_memory) sentence += ", probably for lack of memory";
  return sentence;
}

}  // namespace ringmill
