#include "clients/python/native/job.h"

#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <vector>

namespace ringmill::python {

namespace {

constexpr std::array settled_names{"waits", "dead", "over"};

nb::str name_of_settled(std::uint32_t settled) { return nb::str(settled_names.at(settled)); }

std::int64_t ms_of(double seconds) noexcept { return static_cast<std::int64_t>(seconds * 1000); }

std::vector<rm_id> parents_of(const Job& job) {
  std::vector<rm_id> ids(rm_parents(job.participant(), job.lease(), nullptr, 0));
  if (!ids.empty()) rm_parents(job.participant(), job.lease(), ids.data(), static_cast<std::uint32_t>(ids.size()));
  return ids;
}

void extend(const Job& job, double seconds) {
  CallError error;
  check(rm_extend(job.participant(), job.lease(), ms_of(seconds), &error), error);
}

void report_progress(const Job& job, std::uint64_t number, std::string_view text) {
  const rm_code reported = rm_report_progress(job.participant(), job.lease(), number, bytes_of(text));
  if (reported != RM_OK) raise_error(reported, "progress belongs to a job that is held");
}

void bind_settling(nb::class_<Job>& job) {
  job.def(
      "complete", [](Job& self) { self.settle(RM_COMPLETE); }, "Completes the job.");
  job.def(
      "complete", [](Job& self, const nb::bytes& result) { self.settle(RM_COMPLETE, bytes_of(result)); },
      nb::arg("result"), "Completes the job with a result.");
  job.def(
      "fail",
      [](Job& self, std::string_view error, std::string_view said) {
        return name_of_settled(self.settle(RM_FAIL, bytes_of(error), bytes_of(said)));
      },
      nb::arg("error") = "", nb::arg("said") = "", "Fails this attempt: 'waits' for another one, or 'dead'.");
  job.def(
      "retry_in",
      [](Job& self, double seconds, std::string_view error, std::string_view said) {
        return name_of_settled(self.settle(RM_RETRY_IN, bytes_of(error), bytes_of(said), seconds));
      },
      nb::arg("seconds"), nb::arg("error") = "", nb::arg("said") = "",
      "Fails this attempt; the next one comes after so many seconds.");
  job.def(
      "snooze", [](Job& self, double seconds) { self.settle(RM_SNOOZE, {}, {}, seconds); }, nb::arg("seconds"),
      "Puts the job off; the attempt does not count.");
  job.def(
      "reject",
      [](Job& self, std::string_view error, std::string_view said) {
        self.settle(RM_REJECT, bytes_of(error), bytes_of(said));
      },
      nb::arg("error") = "", nb::arg("said") = "", "Ends a job that can never succeed: it is dead.");
  job.def(
      "release", [](Job& self) { self.settle(RM_RELEASE); }, "Gives the job back; the attempt does not count.");
  job.def(
      "cancel", [](Job& self) { self.settle(RM_CANCEL); }, "Ends the job as cancelled.");
}

/// A text of a held job: 55 bytes at most.
nb::str text_of(const Job& job, std::size_t (*read)(const rm_participant*, rm_lease, char*, std::size_t)) {
  std::array<char, 64> text{};
  const std::size_t length = read(job.participant(), job.lease(), text.data(), text.size());
  return nb::steal<nb::str>(PyUnicode_DecodeUTF8(
      text.data(), static_cast<Py_ssize_t>(std::min(length, text.size() - 1)), "backslashreplace"));
}

}  // namespace

Job::Job(std::shared_ptr<ParticipantHandle> holder, const rm_claimed& claimed)
    : holder_(std::move(holder)),
      claimed_(claimed),
      payload_(static_cast<const char*>(claimed.payload.data), claimed.payload.size) {}

Job::~Job() {
  if (!is_held()) return;
  rm_settlement settlement{};
  settlement.size = sizeof settlement;
  settlement.what = RM_RELEASE;
  settlement.lease = lease();
  // On another thread than its own it stays held: it goes back when its participant leaves.
  static_cast<void>(rm_settle(participant(), &settlement, 1, nullptr));
}

std::uint32_t Job::settle(std::uint32_t what, rm_bytes text, rm_bytes said, double delay_s) {
  rm_settlement settlement{};
  settlement.size = sizeof settlement;
  settlement.what = what;
  settlement.lease = lease();
  settlement.delay_ms = ms_of(delay_s);
  settlement.text = text;
  settlement.said = said;
  CallError error;
  const rm_code settled = rm_settle(participant(), &settlement, 1, &error);
  if (settled == RM_OK || settled == RM_LEASE_LOST) forget();
  check(settled, error);
  return settlement.settled;
}

void bind_job(nb::module_& module) {
  nb::class_<Job> job(module, "Job", "A claimed job. Settle it once; one that goes away unsettled is released.");
  job.def_prop_ro("id", [](const Job& self) { return self.claimed().id; });
  job.def_prop_ro("kind", [](const Job& self) { return self.claimed().kind; });
  job.def_prop_ro("level", [](const Job& self) { return self.claimed().level; });
  job.def_prop_ro("attempt", [](const Job& self) { return self.claimed().attempt; });
  job.def_prop_ro("lease", &Job::lease, "The lease's number; 0 once the job is settled.");
  job.def_prop_ro("held", &Job::is_held);
  job.def_prop_ro("payload", &Job::payload);
  job.def_prop_ro(
      "timeout", [](const Job& self) { return static_cast<double>(self.claimed().timeout_ms) / 1000; },
      "How long it may be held, in seconds.");
  job.def_prop_ro(
      "time_left",
      [](const Job& self) { return static_cast<double>(rm_time_left_ns(self.participant(), self.lease())) / 1e9; },
      "Seconds until the keeper may give it to another.");
  job.def_prop_ro(
      "should_stop", [](const Job& self) { return rm_should_stop(self.participant(), self.lease()) != 0; },
      "True once cancel() has asked this run to stop.");
  job.def_prop_ro(
      "result_room", [](const Job& self) { return rm_result_room(self.participant(), self.lease()); },
      "How many bytes of a result are kept.");
  job.def_prop_ro(
      "tag", [](const Job& self) { return text_of(self, &rm_tag); }, "The job's tag; empty: none.");
  job.def_prop_ro(
      "traceparent", [](const Job& self) { return text_of(self, &rm_trace_parent); },
      "The trace that the job belongs to, its own or inherited; empty: none.");
  job.def_prop_ro("parents", &parents_of, "The jobs that this one has waited for.");
  job.def("extend", &extend, nb::arg("seconds"), "Holds the job for so many seconds from now.");
  job.def("progress", &report_progress, nb::arg("number"), nb::arg("text") = "", "Shows how far the run is.");
  bind_settling(job);
}

}  // namespace ringmill::python
