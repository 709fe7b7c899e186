#include "clients/python/native/participant.h"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <utility>
#include <vector>

#include "clients/python/native/batch.h"
#include "clients/python/native/job.h"

namespace ringmill::python {

namespace {

using Holder = std::shared_ptr<ParticipantHandle>;

constexpr std::array cancelled_names{"before_start", "asked_to_stop", "already_over"};

std::int64_t ms_of(double seconds) noexcept { return static_cast<std::int64_t>(seconds * 1000); }

/// The options of a job, as keyword arguments give them: seconds, and names instead of numbers.
struct Options {
  rm_request request{};
  rm_job_options options{};

  Options(std::uint32_t kind, std::uint32_t level, const nb::kwargs& given) {
    request.size = sizeof request;
    request.kind = kind;
    request.level = level;
    options.size = sizeof options;
    for (const auto& [key, value] : given) {
      if (!value.is_none()) set(nb::cast<std::string_view>(key), value);
    }
  }
  Options(const Options&) = delete;
  Options& operator=(const Options&) = delete;

 private:
  void set(std::string_view name, nb::handle value) {
    if (name == "durability") return set_durability(nb::cast<std::string_view>(value));
    if (name == "lease") {
      request.lease_ms = ms_of(nb::cast<double>(value));
      return;
    }
    request.options = &options;
    if (name == "delay") {
      options.delay_ms = ms_of(nb::cast<double>(value));
    } else if (name == "at") {
      options.at_unix_ms = static_cast<std::int64_t>(std::ceil(nb::cast<double>(value) * 1000));  // never before
    } else if (name == "expires") {
      options.expires_ms = ms_of(nb::cast<double>(value));
    } else if (name == "keep_result") {
      options.keep_result_ms = ms_of(nb::cast<double>(value));
    } else if (name == "max_attempts") {
      const auto most = nb::cast<std::uint32_t>(value);
      options.max_attempts = most == 0 ? RM_UNBOUNDED : most;
    } else if (name == "retry_policy") {
      options.retry_policy = nb::cast<std::uint32_t>(value);
    } else if (name == "bury_if_lost") {
      options.on_worker_lost = nb::cast<bool>(value) ? RM_BURY : RM_RETRY;
    } else if (name == "tag") {
      options.tag = bytes_of(tag_ = nb::cast<std::string>(value));
    } else if (name == "traceparent") {
      options.trace_parent = bytes_of(trace_parent_ = nb::cast<std::string>(value));
    } else if (name == "serial_key") {
      options.serial_key = bytes_of(serial_key_ = nb::cast<std::string>(value));
    } else if (name == "serial_skips") {
      options.serial_skips = nb::cast<bool>(value) ? 1 : 0;
    } else {
      throw nb::type_error(("no option of a job: " + std::string(name)).c_str());
    }
  }
  void set_durability(std::string_view name) {
    constexpr std::array<std::string_view, 3> names{"journaled", "memory", "durable"};
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) throw nb::value_error("durability: 'journaled', 'memory' or 'durable'");
    request.durability = static_cast<std::uint32_t>(found - names.begin());
  }

  std::string tag_;
  std::string trace_parent_;
  std::string serial_key_;
};

/// Waits for room, with no call in progress: another thread may use the participant meanwhile.
void rest_before_retry() {
  {
    const nb::gil_scoped_release released;
    const timespec pause{.tv_sec = 0, .tv_nsec = 2'000'000};
    ::nanosleep(&pause, nullptr);
  }
  run_signal_handlers();
}

rm_id enqueue(ParticipantHandle& self, std::uint32_t kind, std::uint32_t level, const nb::bytes& payload) {
  rm_request request{};
  request.size = sizeof request;
  request.kind = kind;
  request.level = level;
  request.payload = bytes_of(payload);
  CallError error;
  rm_id id = 0;
  check(rm_enqueue(self.participant, &request, 1, &id, nullptr, 0, &error), error);
  return id;
}

rm_id enqueue_with(ParticipantHandle& self, std::uint32_t kind, std::uint32_t level, const nb::bytes& payload,
                   double wait, const nb::kwargs& given) {
  Options options(kind, level, given);
  options.request.payload = bytes_of(payload);
  const Patience patience(wait);
  while (true) {
    CallError error;
    rm_id id = 0;
    const rm_code made = rm_enqueue(self.participant, &options.request, 1, &id, nullptr, 0, &error);
    if (made == RM_OK) return id;
    if (made != RM_WOULD_BLOCK || patience.is_over()) raise_error(made, error.message);
    rest_before_retry();
  }
}

nb::tuple enqueue_unique(ParticipantHandle& self, std::uint32_t kind, std::uint32_t level, const nb::bytes& payload,
                         const nb::bytes& key, double unique_for, const nb::kwargs& given) {
  Options options(kind, level, given);
  options.request.payload = bytes_of(payload);
  CallError error;
  rm_id id = 0;
  int is_new = 0;
  check(
      rm_enqueue_unique(self.participant, &options.request, bytes_of(key), ms_of(unique_for), &id, &is_new, 0, &error),
      error);
  return nb::make_tuple(id, is_new != 0);
}

nb::list enqueue_batch(ParticipantHandle& self, std::uint32_t kind, std::uint32_t level, const nb::list& payloads,
                       double wait, const nb::kwargs& given) {
  const Options options(kind, level, given);
  std::array<rm_request, RM_MOST_BATCH> requests;
  requests.fill(options.request);
  std::array<rm_id, RM_MOST_BATCH> ids{};
  const Patience patience(wait);
  nb::list made;
  // While this rests, other threads may change the list.
  for (std::size_t begin = 0; begin < payloads.size();) {
    const auto part = static_cast<std::uint32_t>(std::min<std::size_t>(payloads.size() - begin, RM_MOST_BATCH));
    for (std::uint32_t n = 0; n < part; ++n) {
      PyObject* const payload = PyList_GET_ITEM(payloads.ptr(), static_cast<Py_ssize_t>(begin + n));
      if (!PyBytes_Check(payload)) throw nb::type_error("a payload is bytes");
      requests[n].payload = {PyBytes_AS_STRING(payload), static_cast<std::size_t>(PyBytes_GET_SIZE(payload))};
    }
    CallError error;
    std::uint32_t done = 0;
    const rm_code code = rm_enqueue(self.participant, requests.data(), part, ids.data(), &done, 0, &error);
    for (std::uint32_t n = 0; n < done; ++n) made.append(ids[n]);
    begin += done;
    if (code == RM_OK) continue;
    if (code != RM_WOULD_BLOCK) raise_error(code, error.message);
    if (patience.is_over()) break;
    rest_before_retry();
  }
  return made;
}

/// One try, which does not wait. Nothing: there is no job.
std::optional<std::uint32_t> try_claim(ParticipantHandle& self, rm_claimed* jobs, std::uint32_t room) {
  CallError error;
  std::uint32_t got = 0;
  const rm_code claimed = rm_claim(self.participant, jobs, room, &got, 0, &error);
  if (claimed == RM_WOULD_BLOCK) return std::nullopt;
  check(claimed, error);
  return got;
}

/// Sleeps until there may be a job. A participant of the process is free for other threads meanwhile. Returns false if
/// wake() has ended the wait.
bool sleep_for_job(ParticipantHandle& self, const Patience& patience) {
  CallError error;
  std::uint32_t mark = 0;
  int may_claim = 0;
  const rm_code begun = rm_begin_wait(self.participant, &mark, &may_claim, &error);
  if (begun == RM_WOULD_BLOCK) return false;
  check(begun, error);
  if (may_claim != 0) return true;
  ++self.sleeping;
  {
    const nb::gil_scoped_release released;
    rm_sleep(self.participant, mark, patience.next_ns(longest_deaf_ns));
  }
  --self.sleeping;
  rm_end_wait(self.participant, 1);
  return true;
}

}  // namespace

std::uint32_t claim_some(ParticipantHandle& self, rm_claimed* jobs, std::uint32_t room, std::optional<double> wait) {
  if (const auto got = try_claim(self, jobs, room)) return *got;
  if (wait && *wait <= 0) return 0;
  const Patience patience(wait);
  do {
    if (!sleep_for_job(self, patience)) return 0;
    if (const auto got = try_claim(self, jobs, room)) return *got;
    run_signal_handlers();
  } while (!patience.is_over());
  return 0;
}

namespace {

nb::object claim(const Holder& self, std::optional<double> wait) {
  rm_claimed claimed{};
  claimed.size = sizeof claimed;
  if (claim_some(*self, &claimed, 1, wait) == 0) return nb::none();
  return nb::cast(new Job(self, claimed), nb::rv_policy::take_ownership);
}

nb::list claim_batch(const Holder& self, std::uint32_t most, std::optional<double> wait) {
  std::array<rm_claimed, RM_MOST_BATCH> claimed{};
  claimed[0].size = sizeof(rm_claimed);
  const std::uint32_t got = claim_some(*self, claimed.data(), std::min<std::uint32_t>(most, RM_MOST_BATCH), wait);
  nb::list jobs;
  for (std::uint32_t n = 0; n < got; ++n) {
    jobs.append(nb::cast(new Job(self, claimed[n]), nb::rv_policy::take_ownership));
  }
  return jobs;
}

std::unique_ptr<Batch> claim_many(const Holder& self, std::uint32_t most, std::optional<double> wait) {
  auto batch = std::make_unique<Batch>(self);
  batch->complete_and_claim(most, wait);
  return batch;
}

/// Settles all in one way. Returns those that had lost their lease.
nb::list settle_all(ParticipantHandle& self, const nb::list& jobs, std::uint32_t what) {
  nb::list lost;
  std::array<rm_settlement, RM_MOST_BATCH> list{};
  const std::size_t count = jobs.size();
  for (std::size_t begin = 0; begin < count; begin += RM_MOST_BATCH) {
    const auto part = static_cast<std::uint32_t>(std::min<std::size_t>(count - begin, RM_MOST_BATCH));
    for (std::uint32_t n = 0; n < part; ++n) {
      list[n].size = sizeof(rm_settlement);
      list[n].what = what;
      list[n].lease = nb::cast<Job&>(jobs[begin + n]).lease();
    }
    CallError error;
    const rm_code settled = rm_settle(self.participant, list.data(), part, &error);
    if (is_misuse(settled)) check(settled, error);
    for (std::uint32_t n = 0; n < part; ++n) {
      nb::object job = jobs[begin + n];
      if (list[n].outcome != RM_OK) lost.append(job);
      nb::cast<Job&>(job).forget();
    }
  }
  return lost;
}

nb::list complete_batch(ParticipantHandle& self, const nb::list& jobs) { return settle_all(self, jobs, RM_COMPLETE); }
nb::list release_batch(ParticipantHandle& self, const nb::list& jobs) { return settle_all(self, jobs, RM_RELEASE); }

void subscribe(ParticipantHandle& self, const std::vector<std::uint32_t>& levels,
               const std::vector<std::uint32_t>& kinds, bool strict, std::uint32_t prefetch) {
  rm_subscription subscription{};
  subscription.size = sizeof subscription;
  subscription.strict = strict ? 1 : 0;
  subscription.prefetch = prefetch;
  subscription.level_count = static_cast<std::uint32_t>(levels.size());
  subscription.levels = levels.data();
  subscription.kinds = kinds.data();
  subscription.kind_count = static_cast<std::uint32_t>(kinds.size());
  CallError error;
  check(rm_subscribe(self.participant, &subscription, &error), error);
}

nb::str cancel(ParticipantHandle& self, rm_id id) {
  CallError error;
  std::uint32_t found = 0;
  check(rm_cancel(self.participant, id, &found, &error), error);
  return nb::str(cancelled_names.at(found));
}

void detach(ParticipantHandle& self) {
  if (self.sleeping != 0) raise_error(RM_BUSY, "another thread sleeps in this participant: wake() it first");
  CallError error;
  check(rm_detach(self.participant, &error), error);
}

std::optional<std::uint32_t> begin_wait(ParticipantHandle& self) {
  CallError error;
  std::uint32_t mark = 0;
  int may_claim = 0;
  const rm_code begun = rm_begin_wait(self.participant, &mark, &may_claim, &error);
  if (begun == RM_WOULD_BLOCK || may_claim != 0) return std::nullopt;
  check(begun, error);
  return mark;
}

bool sleep(ParticipantHandle& self, std::uint32_t mark, double seconds) {
  ++self.sleeping;
  int woken = 0;
  {
    const nb::gil_scoped_release released;
    woken = rm_sleep(self.participant, mark, Patience(seconds).next_ns(std::int64_t{1'000'000'000}));
  }
  --self.sleeping;
  return woken != 0;
}

/// Of jobs that wait for each other: `jobs` are tuples (kind, level, payload, after, options).
nb::list enqueue_graph(ParticipantHandle& self, const nb::list& jobs, bool run_if_parent_dead) {
  CallError error;
  rm_graph* made = nullptr;
  check(rm_graph_create(&made, &error), error);
  const std::unique_ptr<rm_graph, decltype(&rm_graph_free)> graph(made, &rm_graph_free);
  for (const nb::handle entry : jobs) {
    const auto job = nb::cast<nb::tuple>(entry);
    const auto payload = nb::cast<nb::bytes>(job[2]);
    const auto after = nb::cast<std::vector<std::uint32_t>>(job[3]);
    Options options(nb::cast<std::uint32_t>(job[0]), nb::cast<std::uint32_t>(job[1]),
                    nb::borrow<nb::kwargs>(nb::object(job[4])));
    options.request.payload = bytes_of(payload);
    const std::uint32_t on_parent_dead = run_if_parent_dead ? RM_RUN_CHILD : RM_CANCEL_CHILD;
    check(rm_graph_add(graph.get(), &options.request, after.data(), static_cast<std::uint32_t>(after.size()),
                       on_parent_dead, nullptr, &error),
          error);
  }
  std::vector<rm_id> ids(jobs.size());
  check(rm_graph_enqueue(graph.get(), self.participant, ids.data(), 0, &error), error);
  nb::list list;
  for (const rm_id id : ids) list.append(id);
  return list;
}

void wait_durable(ParticipantHandle& self, std::optional<double> timeout) {
  const Patience patience(timeout);
  while (true) {
    CallError error;
    rm_code waited = RM_OK;
    if (self.is_process_bound) {
      waited = rm_wait_durable(self.participant, 1'000'000, &error);  // with the lock: others may not call meanwhile
    } else {
      const nb::gil_scoped_release released;
      waited = rm_wait_durable(self.participant, patience.next_ns(longest_deaf_ns), &error);
    }
    if (waited == RM_OK) return;
    if (waited != RM_TIMED_OUT || patience.is_over()) raise_error(waited, error.message);
    run_signal_handlers();
  }
}

void bind_enqueue(nb::class_<ParticipantHandle>& participant) {
  participant.def("enqueue", &enqueue, nb::arg("kind"), nb::arg("level"), nb::arg("payload"),
                  "Enqueues a job and returns its id. Full, if there is no room.");
  participant.def(
      "enqueue_with", &enqueue_with, nb::arg("kind"), nb::arg("level"), nb::arg("payload"), nb::arg("wait") = 0.0,
      nb::arg("options"),
      nb::sig("def enqueue_with(self, kind: int, level: int, payload: bytes, wait: float = 0.0, "
              "**options: typing.Any) -> int"),
      "The same with options: delay, at, expires, keep_result, lease (seconds), max_attempts (0: no bound), "
      "retry_policy, bury_if_lost, durability, tag, traceparent, serial_key, serial_skips.");
  participant.def("enqueue_unique", &enqueue_unique, nb::arg("kind"), nb::arg("level"), nb::arg("payload"),
                  nb::arg("key"), nb::arg("unique_for") = 0.0, nb::arg("options"),
                  nb::sig("def enqueue_unique(self, kind: int, level: int, payload: bytes, key: bytes, "
                          "unique_for: float = 0.0, **options: typing.Any) -> tuple[int, bool]"),
                  "Enqueues unless a job of this key lives: returns its id and whether it is new.");
  participant.def("enqueue_batch", &enqueue_batch, nb::arg("kind"), nb::arg("level"), nb::arg("payloads"),
                  nb::arg("wait") = 0.0, nb::arg("options"),
                  nb::sig("def enqueue_batch(self, kind: int, level: int, payloads: list[bytes], wait: float = 0.0, "
                          "**options: typing.Any) -> list[int]"),
                  "Enqueues jobs that differ in their payloads: returns their ids, fewer if there is no room for all.");
  participant.def("enqueue_graph", &enqueue_graph, nb::arg("jobs"), nb::arg("run_if_parent_dead") = false,
                  nb::sig("def enqueue_graph(self, jobs: list[tuple[int, int, bytes, list[int], "
                          "dict[str, typing.Any]]], run_if_parent_dead: bool = False) -> list[int]"),
                  "Enqueues all or none of jobs (kind, level, payload, after, options) that wait for earlier ones.");
  participant.def("cancel", &cancel, nb::arg("id"), "Ends a waiting job, or asks a running one to stop.");
  participant.def("wait_durable", &wait_durable, nb::arg("timeout") = nb::none(),
                  "Waits until all that this participant did is on the disk.");
}

}  // namespace

std::shared_ptr<ParticipantHandle> attach(const std::shared_ptr<EngineHandle>& engine, std::string_view role,
                                          bool process_bound) {
  std::uint32_t number = RM_WORKER;
  if (role == "producer") {
    number = RM_PRODUCER;
  } else if (role == "tool") {
    number = RM_TOOL;
  } else if (role != "worker") {
    throw nb::value_error("role: 'producer', 'worker' or 'tool'");
  }
  CallError error;
  rm_participant* attached = nullptr;
  check(rm_attach(engine->engine, number, process_bound ? RM_PROCESS_BOUND : 0, &attached, &error), error);
  return std::make_shared<ParticipantHandle>(attached, engine, process_bound);
}

void bind_participant(nb::module_& module) {
  nb::class_<ParticipantHandle> participant(
      module, "Participant",
      "A place in an engine: 64 leases. It belongs to the thread that attached it, or to the process.");
  bind_enqueue(participant);
  bind_values(participant);
  participant.def("subscribe", &subscribe, nb::arg("levels") = nb::list(), nb::arg("kinds") = nb::list(),
                  nb::arg("strict") = false, nb::arg("prefetch") = 1, "What later claims take. Empty lists: all.");
  participant.def("claim", &claim, nb::arg("wait") = 0.0,
                  nb::sig("def claim(self, wait: float | None = 0.0) -> Job | None"),
                  "Claims one job; None: there is none, or wake() ended the wait. wait=None: without an end.");
  participant.def("claim_batch", &claim_batch, nb::arg("most") = 64, nb::arg("wait") = 0.0,
                  nb::sig("def claim_batch(self, most: int = 64, wait: float | None = 0.0) -> list[Job]"),
                  "Claims up to `most` jobs; waits only for the first.");
  participant.def("claim_many", &claim_many, nb::arg("most") = 64, nb::arg("wait") = 0.0,
                  nb::sig("def claim_many(self, most: int = 64, wait: float | None = 0.0) -> Batch"),
                  "The same without an object for each job, for handlers that take many payloads at once.");
  participant.def("complete_batch", &complete_batch, nb::arg("jobs"),
                  nb::sig("def complete_batch(self, jobs: list[Job]) -> list[Job]"),
                  "Completes all; returns those that were lost.");
  participant.def("release_batch", &release_batch, nb::arg("jobs"),
                  nb::sig("def release_batch(self, jobs: list[Job]) -> list[Job]"),
                  "Gives all back; returns those that were lost.");
  participant.def("begin_wait", &begin_wait,
                  "Begins a wait: a mark for sleep(). None: claim now, there may be a job, or wake() was called.");
  participant.def("sleep", &sleep, nb::arg("mark"), nb::arg("seconds") = 1.0,
                  "Sleeps until a job may be there; a second at most. True: something woke it. Any thread.");
  participant.def(
      "end_wait", [](ParticipantHandle& self, bool claims) { rm_end_wait(self.participant, claims ? 1 : 0); },
      nb::arg("claims") = true, "Ends a wait; a wake-up that no claim follows is passed on.");
  participant.def(
      "pass_on_wake", [](ParticipantHandle& self) { rm_pass_on_wake(self.participant); },
      "Passes a wake-up on, for an owner that is too busy to claim.");
  participant.def(
      "wake", [](ParticipantHandle& self) { rm_wake(self.participant); }, "Ends a wait. Any thread.");
  participant.def("detach", &detach, "Gives all held jobs back and leaves.");
  participant.def_prop_ro("number",
                          [](const ParticipantHandle& self) { return rm_participant_number(self.participant); });
  participant.def_prop_ro("held", [](const ParticipantHandle& self) { return rm_held(self.participant); });
  participant.def_prop_ro(
      "is_mine", [](const ParticipantHandle& self) { return rm_participant_check(self.participant) == RM_OK; });
}

}  // namespace ringmill::python
