// Engines: open, names, looking at jobs.
#include <nanobind/stl/map.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/string_view.h>
#include <nanobind/stl/vector.h>

#include <array>
#include <vector>

#include "clients/python/native/handles.h"
#include "clients/python/native/participant.h"

namespace ringmill::python {

namespace {

constexpr std::array state_names{"queued", "delayed", "blocked", "running", "completed", "dead", "cancelled", "ended"};
constexpr std::array cause_names{"",        "failed",  "rejected",   "worker_lost", "lease_expired",
                                 "timeout", "expired", "parent_dead"};

/// What was known of a job at one moment.
class JobInfo {
 public:
  explicit JobInfo(rm_job* job) : job_(job) {
    fields_.size = sizeof fields_;
    rm_job_read(job, &fields_);
  }
  JobInfo(const JobInfo&) = delete;
  JobInfo& operator=(const JobInfo&) = delete;
  ~JobInfo() { rm_job_free(job_); }

  const rm_job_fields& fields() const noexcept { return fields_; }

 private:
  rm_job* job_;
  rm_job_fields fields_{};
};

nb::str str_of(const rm_bytes& bytes) {
  return nb::steal<nb::str>(
      PyUnicode_DecodeUTF8(static_cast<const char*>(bytes.data), static_cast<Py_ssize_t>(bytes.size), "replace"));
}

double seconds_of(std::int64_t unix_ms) noexcept { return static_cast<double>(unix_ms) / 1000; }

void create(const std::string& path, const std::optional<std::vector<std::string>>& levels,
            const std::optional<std::vector<std::uint32_t>>& weights, std::uint32_t capacity, std::uint32_t cell_size,
            std::uint32_t max_payload, std::uint64_t arena, std::uint64_t journal_limit, std::uint32_t mode,
            const std::optional<std::string>& shm_dir) {
  std::vector<const char*> names;
  if (levels) {
    for (const std::string& level : *levels) names.push_back(level.c_str());
  }
  if (weights && (!levels || weights->size() != levels->size())) {
    raise_error(RM_INVALID_ARGUMENT, "weights: one for each of `levels`");
  }
  rm_create_options options{};
  options.size = sizeof options;
  options.capacity = capacity;
  options.cell_size = cell_size;
  options.max_payload = max_payload;
  options.arena = arena;
  options.journal_limit = journal_limit;
  options.mode = mode;
  options.level_count = static_cast<std::uint32_t>(names.size());
  options.levels = names.data();
  options.weights = weights ? weights->data() : nullptr;
  options.shm_dir = shm_dir ? shm_dir->c_str() : nullptr;
  CallError error;
  rm_code made = RM_OK;
  {
    const nb::gil_scoped_release released;
    made = rm_create(path.c_str(), &options, &error);
  }
  check(made, error);
}

std::shared_ptr<EngineHandle> open(const std::string& path, bool keeper) {
  const rm_open_options options{.size = sizeof options, .flags = keeper ? 0U : std::uint32_t{RM_OPEN_NO_KEEPER}};
  CallError error;
  rm_engine* engine = nullptr;
  rm_code opened = RM_OK;
  {
    const nb::gil_scoped_release released;
    opened = rm_open(path.c_str(), &options, &engine, &error);
  }
  check(opened, error);
  return std::make_shared<EngineHandle>(engine);
}

void remove(const std::string& path, bool force) {
  CallError error;
  rm_code removed = RM_OK;
  {
    const nb::gil_scoped_release released;
    removed = rm_remove(path.c_str(), force ? 1 : 0, &error);
  }
  check(removed, error);
}

std::uint32_t kind(EngineHandle& self, std::string_view name) {
  CallError error;
  std::uint32_t number = 0;
  check(rm_kind(self.engine, bytes_of(name), &number, &error), error);
  return number;
}

std::uint32_t level(EngineHandle& self, std::string_view name) {
  CallError error;
  std::uint32_t number = 0;
  check(rm_level(self.engine, bytes_of(name), &number, &error), error);
  return number;
}

std::uint32_t retry_policy(EngineHandle& self, std::string_view text) {
  CallError error;
  std::uint32_t number = 0;
  check(rm_retry_policy(self.engine, bytes_of(text), &number, &error), error);
  return number;
}

std::string kind_name(EngineHandle& self, std::uint32_t number) {
  std::array<char, 128> text{};
  rm_kind_name(self.engine, number, text.data(), text.size());
  return text.data();
}

std::string level_name(EngineHandle& self, std::uint32_t number) {
  std::array<char, 128> text{};
  rm_level_name(self.engine, number, text.data(), text.size());
  return text.data();
}

std::uint32_t add_level(EngineHandle& self, std::string_view name, std::uint32_t weight, std::uint32_t ring) {
  CallError error;
  std::uint32_t number = 0;
  rm_code added = RM_OK;
  {
    const nb::gil_scoped_release released;
    added = rm_add_level(self.engine, bytes_of(name), weight, ring, &number, &error);
  }
  check(added, error);
  return number;
}

void remove_level(EngineHandle& self, std::string_view name) {
  CallError error;
  rm_code removed = RM_OK;
  {
    const nb::gil_scoped_release released;
    removed = rm_remove_level(self.engine, bytes_of(name), &error);
  }
  check(removed, error);
}

void pause_level(EngineHandle& self, std::uint32_t number, bool paused) {
  CallError error;
  check(rm_pause_level(self.engine, number, paused ? 1 : 0, &error), error);
}

std::shared_ptr<JobInfo> look(EngineHandle& self, rm_id id) {
  CallError error;
  rm_job* job = nullptr;
  check(rm_look(self.engine, id, &job, &error), error);
  return std::make_shared<JobInfo>(job);
}

std::shared_ptr<JobInfo> wait(EngineHandle& self, rm_id id, std::optional<double> timeout) {
  const Patience patience(timeout);
  while (true) {
    CallError error;
    rm_job* job = nullptr;
    rm_code waited = RM_OK;
    {
      const nb::gil_scoped_release released;
      waited = rm_wait(self.engine, id, patience.next_ns(longest_deaf_ns), &job, &error);
    }
    if (waited == RM_OK) return std::make_shared<JobInfo>(job);
    if (waited != RM_TIMED_OUT || patience.is_over()) raise_error(waited, error.message);
    run_signal_handlers();
  }
}

nb::dict levels(EngineHandle& self) {
  CallError error;
  rm_status* status = nullptr;
  check(rm_look_at_engine(self.engine, &status, &error), error);
  nb::dict all;
  rm_level_fields fields{};
  fields.size = sizeof fields;
  for (std::uint32_t index = 0; rm_status_level(status, index, &fields) == RM_OK; ++index) {
    nb::dict one;
    one["level"] = fields.level;
    one["weight"] = fields.weight;
    one["paused"] = fields.paused != 0;
    one["queued"] = fields.queued;
    one["delayed"] = fields.delayed;
    one["blocked"] = fields.blocked;
    one["running"] = fields.running;
    all[str_of(fields.name)] = one;
  }
  rm_status_free(status);
  return all;
}

nb::dict totals(EngineHandle& self) {
  CallError error;
  rm_status* status = nullptr;
  check(rm_look_at_engine(self.engine, &status, &error), error);
  rm_status_fields fields{};
  fields.size = sizeof fields;
  rm_status_read(status, &fields);
  rm_status_free(status);
  nb::dict all;
  all["capacity"] = fields.capacity;
  all["cells_used"] = fields.cells_used;
  all["participants"] = fields.participant_count;
  all["keeper_pid"] = fields.keeper_pid;
  all["enqueued"] = fields.enqueued;
  all["completed"] = fields.completed;
  all["failed"] = fields.failed;
  all["dead"] = fields.dead;
  all["worker_lost"] = fields.worker_lost;
  return all;
}

void bind_job_info(nb::module_& module) {
  nb::class_<JobInfo> info(module, "JobInfo", "What was known of a job at one moment.");
  info.def_prop_ro("id", [](const JobInfo& self) { return self.fields().id; });
  info.def_prop_ro("state", [](const JobInfo& self) { return nb::str(state_names.at(self.fields().state)); });
  info.def_prop_ro("cause", [](const JobInfo& self) { return nb::str(cause_names.at(self.fields().cause)); });
  info.def_prop_ro("attempts", [](const JobInfo& self) { return self.fields().attempts; });
  info.def_prop_ro("max_attempts", [](const JobInfo& self) { return self.fields().max_attempts; });
  info.def_prop_ro("payload_size", [](const JobInfo& self) { return self.fields().payload_size; });
  info.def_prop_ro("worker", [](const JobInfo& self) { return self.fields().worker; });
  info.def_prop_ro("kind", [](const JobInfo& self) { return str_of(self.fields().kind); });
  info.def_prop_ro("level", [](const JobInfo& self) { return str_of(self.fields().level); });
  info.def_prop_ro("last_error", [](const JobInfo& self) { return str_of(self.fields().last_error); });
  info.def_prop_ro("result", [](const JobInfo& self) {
    const rm_bytes& result = self.fields().result;
    return nb::bytes(static_cast<const char*>(result.data), result.size);
  });
  info.def_prop_ro("result_cut", [](const JobInfo& self) { return self.fields().result_cut != 0; });
  info.def_prop_ro("tag", [](const JobInfo& self) { return str_of(self.fields().tag); });
  info.def_prop_ro("traceparent", [](const JobInfo& self) { return str_of(self.fields().trace_parent); });
  info.def_prop_ro(
      "retried_as", [](const JobInfo& self) { return self.fields().retried_as; },
      "The job that this dead letter became; 0: none.");
  info.def_prop_ro(
      "retried_from", [](const JobInfo& self) { return self.fields().retried_from; },
      "The dead letter that this job comes from; 0: none.");
  info.def_prop_ro("progress", [](const JobInfo& self) { return self.fields().progress; });
  info.def_prop_ro("progress_text", [](const JobInfo& self) { return str_of(self.fields().progress_text); });
  info.def_prop_ro("enqueued_at", [](const JobInfo& self) { return seconds_of(self.fields().enqueued_unix_ms); });
  info.def_prop_ro("started_at", [](const JobInfo& self) { return seconds_of(self.fields().started_unix_ms); });
  info.def_prop_ro("ended_at", [](const JobInfo& self) { return seconds_of(self.fields().ended_unix_ms); });
  info.def_prop_ro("due_at", [](const JobInfo& self) { return seconds_of(self.fields().due_unix_ms); });
}

}  // namespace

void bind_engine(nb::module_& module) {
  bind_job_info(module);
  module.def("create", &create, nb::arg("path"), nb::kw_only(), nb::arg("levels") = nb::none(),
             nb::arg("weights") = nb::none(), nb::arg("capacity") = 0, nb::arg("cell_size") = 0,
             nb::arg("max_payload") = 0, nb::arg("arena") = 0, nb::arg("journal_limit") = 0, nb::arg("mode") = 0,
             nb::arg("shm_dir") = nb::none(), "Makes an engine. 0 and None: the defaults.");
  module.def("remove", &remove, nb::arg("path"), nb::arg("force") = false, "Removes an engine and its files.");
  nb::class_<EngineHandle> engine(module, "Engine", "An open engine. Its calls may be made from any thread.");
  engine.def(nb::new_(&open), nb::arg("path"), nb::arg("keeper") = true,
             "Opens an engine. With `keeper` this process keeps it when no other does.");
  engine.def("kind", &kind, nb::arg("name"), "Returns the number of a kind, which it makes if there is none.");
  engine.def("level", &level, nb::arg("name"), "Returns the number of a level.");
  engine.def("retry_policy", &retry_policy, nb::arg("text"), "Interns 'exponential:1s,2,1h' and the like.");
  engine.def("kind_name", &kind_name, nb::arg("kind"));
  engine.def("level_name", &level_name, nb::arg("level"));
  engine.def("add_level", &add_level, nb::arg("name"), nb::arg("weight") = 1, nb::arg("ring") = 0,
             "Makes a level while the engine runs; waits for the disk.");
  engine.def("remove_level", &remove_level, nb::arg("name"), "Removes an empty level that was made at run time.");
  engine.def("pause_level", &pause_level, nb::arg("level"), nb::arg("paused") = true);
  engine.def("job", &look, nb::arg("id"), "Returns what is known of a job.");
  engine.def("wait", &wait, nb::arg("id"), nb::arg("timeout") = nb::none(),
             "Waits until a job has ended, in whichever process; None: without an end.");
  engine.def("levels", &levels, nb::sig("def levels(self) -> dict[str, dict[str, typing.Any]]"),
             "Returns the levels by name, with their counts. A pass over all jobs.");
  engine.def("totals", &totals, nb::sig("def totals(self) -> dict[str, int]"),
             "Returns sums over the engine's life. A pass over all jobs.");
  engine.def_prop_ro("keeps", [](const EngineHandle& self) { return rm_engine_keeps(self.engine) != 0; });
  engine.def_prop_ro("most_payload", [](const EngineHandle& self) { return rm_most_payload(self.engine); });
  engine.def(
      "attach",
      [](const std::shared_ptr<EngineHandle>& self, std::string_view role, bool process_bound) {
        return attach(self, role, process_bound);
      },
      nb::arg("role") = "worker", nb::arg("process_bound") = false,
      "Makes this thread, or this process, a participant.");
}

}  // namespace ringmill::python
