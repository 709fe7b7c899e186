// The module ringmill._core: the C interface as Python objects. The interpreter's lock is released only where a call
// waits or reads files; the rest takes less time than a release.
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "clients/python/native/batch.h"
#include "clients/python/native/handles.h"

namespace ringmill::python {

namespace {

std::int64_t now_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

constexpr std::int64_t no_end = std::numeric_limits<std::int64_t>::max();
constexpr double longest_wait_s = 1e9;

}  // namespace

Patience::Patience(std::optional<double> seconds) noexcept : end_ns_(no_end) {
  if (seconds && *seconds < longest_wait_s) end_ns_ = now_ns() + static_cast<std::int64_t>(*seconds * 1e9);
}
bool Patience::is_over() const noexcept { return end_ns_ != no_end && now_ns() >= end_ns_; }
std::int64_t Patience::next_ns(std::int64_t most_ns) const noexcept {
  if (end_ns_ == no_end) return most_ns;
  return std::clamp<std::int64_t>(end_ns_ - now_ns(), 0, most_ns);
}

void raise_error(rm_code code, const char* text) {
  const nb::object make = nb::module_::import_("ringmill._errors").attr("make");
  const nb::object error = make(static_cast<int>(code), rm_code_name(code), text);
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  throw nb::python_error();
}

void run_signal_handlers() {
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
}

}  // namespace ringmill::python

namespace {

/// As poll() does it. In a thread of the system also where gevent has replaced Python's own poll().
bool wait_readable(int descriptor, double seconds) {
  const ringmill::python::nb::gil_scoped_release released;
  pollfd waited{.fd = descriptor, .events = POLLIN, .revents = 0};
  return ::poll(&waited, 1, static_cast<int>(seconds * 1000)) > 0;
}

}  // namespace

NB_MODULE(_core, module) {
  // A thread that sleeps for a consumer holds its participant until the process ends; the kernel takes both back.
  nanobind::set_leak_warnings(false);
  module.doc() = "The engine's calls, as thin as they can be. The package ringmill is the friendly side.";
  ringmill::python::bind_job(module);
  ringmill::python::bind_batch(module);
  ringmill::python::bind_participant(module);
  ringmill::python::bind_engine(module);
  module.def("wait_readable", &wait_readable, nanobind::arg("descriptor"), nanobind::arg("seconds"),
             "Waits until a descriptor is readable, without the interpreter's lock. False: it is not.");
  module.def("version", [] { return rm_version(); });
}
