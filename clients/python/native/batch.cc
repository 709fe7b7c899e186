#include "clients/python/native/batch.h"

#include <nanobind/stl/optional.h>

#include <algorithm>

#include "clients/python/native/job.h"
#include "clients/python/native/participant.h"

namespace ringmill::python {

namespace {

struct WaitEnd {
  bool& is_waiting;
  ~WaitEnd() { is_waiting = false; }
};

}  // namespace

Batch::~Batch() {
  if (left() == 0) return;
  Settlements list;
  const std::uint32_t count = list_left(list, RM_RELEASE, 0, count_);
  // On another thread than its own they stay held: they go back when the participant leaves.
  static_cast<void>(rm_settle(participant(), list.data(), count, nullptr));
}

std::uint32_t Batch::left() const noexcept {
  return static_cast<std::uint32_t>(
      std::count_if(jobs_.begin(), jobs_.begin() + count_, [](const rm_claimed& job) { return job.lease != 0; }));
}

nb::list Batch::ids() const {
  nb::list ids;
  for (std::uint32_t n = 0; n < count_; ++n) ids.append(jobs_[n].id);
  return ids;
}

std::uint32_t Batch::list_left(Settlements& list, std::uint32_t what, std::uint32_t begin,
                               std::uint32_t end) const noexcept {
  std::uint32_t count = 0;
  for (std::uint32_t n = begin; n < end; ++n) {
    if (jobs_[n].lease == 0) continue;
    list[count] = {};
    list[count].size = sizeof(rm_settlement);
    list[count].what = what;
    list[count].lease = jobs_[n].lease;
    ++count;
  }
  return count;
}

void Batch::take_outcomes(const Settlements& list, std::uint32_t count, std::uint32_t begin, std::uint32_t end,
                          nb::list& lost) {
  std::uint32_t listed = 0;
  bool is_any_lost = false;
  for (std::uint32_t n = 0; n < count; ++n) is_any_lost |= list[n].outcome != RM_OK;
  for (std::uint32_t n = begin; n < end; ++n) {
    if (jobs_[n].lease == 0) continue;
    jobs_[n].lease = 0;
    if (is_any_lost && list[listed].outcome != RM_OK) lost.append(jobs_[n].id);
    ++listed;
  }
}

nb::list Batch::settle(std::uint32_t what, std::uint32_t begin, std::optional<std::uint32_t> end) {
  const std::uint32_t last = std::min(end.value_or(count_), count_);
  Settlements list;
  const std::uint32_t count = begin < last ? list_left(list, what, begin, last) : 0;
  nb::list lost;
  if (count == 0) return lost;
  CallError error;
  const rm_code settled = rm_settle(participant(), list.data(), count, &error);
  if (is_misuse(settled)) check(settled, error);
  take_outcomes(list, count, begin, last, lost);
  return lost;
}

void Batch::complete_and_claim(std::uint32_t most, std::optional<double> wait) {
  if (is_waiting_) raise_error(RM_BUSY, "another thread waits in this batch: wake() its participant first");
  Settlements list;
  const std::uint32_t count = list_left(list, RM_COMPLETE, 0, count_);
  std::array<rm_claimed, RM_MOST_BATCH> next;
  next[0].size = sizeof(rm_claimed);
  const std::uint32_t room = std::min<std::uint32_t>(most, RM_MOST_BATCH);
  CallError error;
  std::uint32_t got = 0;
  const rm_code claimed = rm_settle_and_claim(participant(), list.data(), count, next.data(), room, &got, 0, &error);
  if (is_misuse(claimed)) check(claimed, error);  // nothing was settled
  nb::list lost;
  take_outcomes(list, count, 0, count_, lost);
  lost_ = std::move(lost);
  count_ = got;
  std::copy_n(next.begin(), got, jobs_.begin());
  if (claimed != RM_WOULD_BLOCK) check(claimed, error);
  if (got == 0 && room != 0 && (!wait || *wait > 0)) {
    jobs_[0].size = sizeof(rm_claimed);
    is_waiting_ = true;
    const WaitEnd end{is_waiting_};
    count_ = claim_some(*holder_, jobs_.data(), room, wait);
  }
  copy_payloads();
}

/// They are in shared memory until the jobs are settled, and Python may keep them for longer.
void Batch::copy_payloads() {
  auto payloads = nb::steal<nb::list>(PyList_New(count_));
  if (!payloads.is_valid()) throw nb::python_error();
  for (std::uint32_t n = 0; n < count_; ++n) {
    const rm_bytes& payload = jobs_[n].payload;
    PyObject* const bytes =
        PyBytes_FromStringAndSize(static_cast<const char*>(payload.data), static_cast<Py_ssize_t>(payload.size));
    if (bytes == nullptr) throw nb::python_error();
    PyList_SET_ITEM(payloads.ptr(), n, bytes);
  }
  payloads_ = std::move(payloads);
}

nb::object Batch::take(std::uint32_t place) {
  if (place >= count_) throw nb::index_error("no such place in this batch");
  if (jobs_[place].lease == 0) raise_error(RM_NOT_HELD, "this job was settled, or given out, before");
  nb::object job = nb::cast(new Job(holder_, jobs_[place]), nb::rv_policy::take_ownership);
  jobs_[place].lease = 0;
  return job;
}

void bind_batch(nb::module_& module) {
  nb::class_<Batch> batch(module, "Batch",
                          "Jobs that were claimed in one call. What is not settled when it goes away is released.");
  batch.def("__len__", &Batch::size);
  batch.def_prop_ro("payloads", &Batch::payloads, nb::sig("def payloads(self) -> list[bytes]"),
                    "In the order of the ids.");
  batch.def_prop_ro("ids", &Batch::ids, nb::sig("def ids(self) -> list[int]"));
  batch.def_prop_ro("left", &Batch::left, "How many are not settled, and not given out.");
  batch.def_prop_ro("lost", &Batch::lost, nb::sig("def lost(self) -> list[int]"),
                    "Ids of those that complete_and_claim() could not complete: another worker has them.");
  batch.def("take", &Batch::take, nb::arg("place"), nb::sig("def take(self, place: int) -> Job"),
            "Gives one out, to be settled by itself.");
  batch.def(
      "complete",
      [](Batch& self, std::uint32_t begin, std::optional<std::uint32_t> end) {
        return self.settle(RM_COMPLETE, begin, end);
      },
      nb::arg("begin") = 0, nb::arg("end") = nb::none(),
      nb::sig("def complete(self, begin: int = 0, end: int | None = None) -> list[int]"),
      "Completes those that are left in a range; returns the ids of those that were lost.");
  batch.def(
      "release",
      [](Batch& self, std::uint32_t begin, std::optional<std::uint32_t> end) {
        return self.settle(RM_RELEASE, begin, end);
      },
      nb::arg("begin") = 0, nb::arg("end") = nb::none(),
      nb::sig("def release(self, begin: int = 0, end: int | None = None) -> list[int]"),
      "Gives those that are left in a range back; returns the ids of those that were lost.");
  batch.def("complete_and_claim", &Batch::complete_and_claim, nb::arg("most") = 64, nb::arg("wait") = 0.0,
            nb::sig("def complete_and_claim(self, most: int = 64, wait: float | None = 0.0) -> None"),
            "Completes those that are left, and claims the next jobs into this batch; waits only for the first.");
}

}  // namespace ringmill::python
