// What the objects of the module hold, and how the engine's errors become Python's.
#pragma once

#include <nanobind/nanobind.h>
#include <ringmill/ringmill.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace ringmill::python {

namespace nb = nanobind;

/// An error of one call. Its text stays with it, whatever other threads call meanwhile.
struct CallError : rm_error {
  CallError() noexcept : rm_error{sizeof(rm_error), 0, 0, {}} {}
};

/// Raises the exception of ringmill._errors that a code has.
[[noreturn]] void raise_error(rm_code code, const char* text);
inline void check(rm_code code, const CallError& error) {
  if (code != RM_OK) [[unlikely]]
    raise_error(code, error.message);
}
/// Codes that say that a participant cannot be used, or not from here: nothing was settled.
inline bool is_misuse(rm_code code) noexcept {
  return code == RM_DETACHED || code == RM_WRONG_THREAD || code == RM_AFTER_FORK;
}
/// Lets the handlers of signals run, as Ctrl-C does; what they raise goes on.
void run_signal_handlers();

inline rm_bytes bytes_of(std::string_view text) noexcept { return {text.data(), text.size()}; }
inline rm_bytes bytes_of(const nb::bytes& bytes) noexcept { return {bytes.c_str(), bytes.size()}; }

/// How long a wait goes on. None: without an end.
class Patience {
 public:
  explicit Patience(std::optional<double> seconds) noexcept;
  bool is_over() const noexcept;
  /// What is left, at most `most_ns`.
  std::int64_t next_ns(std::int64_t most_ns) const noexcept;

 private:
  std::int64_t end_ns_;  // of the steady clock; the largest: no end
};

/// A signal's handler has to wait for so long at most.
inline constexpr std::int64_t longest_deaf_ns = 50'000'000;

struct EngineHandle {
  explicit EngineHandle(rm_engine* opened) noexcept : engine(opened) {}
  EngineHandle(const EngineHandle&) = delete;
  EngineHandle& operator=(const EngineHandle&) = delete;
  ~EngineHandle() { rm_engine_release(engine); }

  rm_engine* engine;
};

/// Shared by the Participant and its jobs.
struct ParticipantHandle {
  ParticipantHandle(rm_participant* attached, std::shared_ptr<EngineHandle> of_engine, bool binds_process) noexcept
      : participant(attached), engine(std::move(of_engine)), is_process_bound(binds_process) {}
  ParticipantHandle(const ParticipantHandle&) = delete;
  ParticipantHandle& operator=(const ParticipantHandle&) = delete;
  ~ParticipantHandle() { rm_participant_release(participant); }

  rm_participant* participant;
  std::shared_ptr<EngineHandle> engine;
  bool is_process_bound;
  /// Threads in rm_sleep(), without the interpreter's lock: nothing may be detached meanwhile.
  int sleeping = 0;
};

void bind_engine(nb::module_& module);
void bind_participant(nb::module_& module);
void bind_job(nb::module_& module);

}  // namespace ringmill::python
