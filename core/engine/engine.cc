#include <ringmill/engine.h>

#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <thread>

#include "core/base/exceptions.h"
#include "core/base/handles.h"
#include "core/base/kinds.h"
#include "core/base/log.h"
#include "core/dead_letters/store.h"
#include "core/engine/core_of.h"
#include "core/engine/engine_creation.h"
#include "core/engine/opening.h"
#include "core/flow_control/flow_book.h"
#include "core/inspect/job_list.h"
#include "core/inspect/job_view.h"
#include "core/inspect/job_wait.h"
#include "core/inspect/statistics_view.h"
#include "core/inspect/status_view.h"
#include "core/instance/engine_core.h"
#include "core/keeper/keeper.h"
#include "core/levels/dynamic_levels.h"
#include "core/participant/attach.h"
#include "core/retry/retry_policies.h"
#include "ipc/clock.h"

namespace ringmill {

class Engine::Implementation {
 public:
  Implementation(std::shared_ptr<EngineCore> opened, const OpenOptions& options)
      : core(std::move(opened)), fork_generation_(fork_generation()) {
    if (options.embedded_keeper) keeper = std::make_unique<Keeper>(core, options.dedicated_keeper);
  }
  ~Implementation() {
    // The child of a fork has a copy of this object, but not of the thread.
    if (keeper && is_childs_copy()) {
      keeper->abandon();
      static_cast<void>(keeper.release());
    }
  }
  bool is_childs_copy() const noexcept { return fork_generation_ != fork_generation(); }

  std::shared_ptr<EngineCore> core;
  std::unique_ptr<Keeper> keeper;

 private:
  std::uint32_t fork_generation_;
};

namespace {

/// A job that has left the table may have left a dead letter, which may be older than the engine's shared memory.
Result<JobInfo> with_letter(const Directory& directory, JobId id, Result<JobInfo> found) {
  const bool is_unknown = !found && found.error().code() == ErrorCode::not_found;
  if (!is_unknown && !(found && found->state == JobState::ended)) return found;
  const auto store = DeadLetterStore::open(directory, DeadLetterStore::Access::read_only);
  const auto letter = store ? store->find(id) : std::unexpected(store.error());
  if (letter) return info_of(*letter);
  if (store && found) {
    if (const auto job = store->retried_as(id); job && *job) found->retried_as = **job;
  }
  if (letter.error().code() == ErrorCode::not_found) return found;
  return std::unexpected(letter.error());  // unreadable letters are not the same as none
}

/// What a change of the levels waits for the journal at most.
constexpr std::chrono::seconds longest_level_wait{10};

Error opened_by_parent() noexcept {
  return Error(ErrorCode::after_fork, "this engine was opened by the parent process: open it again after fork()");
}

/// A waiting caller holds no entry, so it does not keep another memory from being made (in a container with its own
/// /dev/shm): it looks for that by itself, now and then.
Result<JobInfo> wait_in_memory(const EngineCore& core, JobId id, std::uint64_t wait_ns) {
  const std::uint64_t end_ns = later_by(steady_clock_ns(), wait_ns);
  while (true) {
    const std::uint64_t now_ns = steady_clock_ns();
    const std::uint64_t left_ns = end_ns - std::min(now_ns, end_ns);
    const std::uint64_t part_ns = std::min(left_ns, later_by(longest_sleep_for_end_ns, longest_sleep_for_end_ns));
    auto info = wait_for_end(core.segment, id, part_ns);
    if (info || info.error().code() != ErrorCode::timed_out || part_ns == left_ns) return info;
    if (auto current = core.directory.check_memory(core.segment); !current) return std::unexpected(current.error());
  }
}

}  // namespace

Engine::Engine(std::shared_ptr<Implementation> implementation) noexcept : implementation_(std::move(implementation)) {}
Engine::Engine(Engine&&) noexcept = default;
Engine& Engine::operator=(Engine&&) noexcept = default;
Engine::~Engine() = default;

Result<void> Engine::create(const std::filesystem::path& directory, const CreateOptions& options) try {
  return create_engine(directory, options);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<Engine> Engine::open(const std::filesystem::path& path, const OpenOptions& options) try {
  auto core = open_engine(path, options.dump_segment);
  if (!core) return std::unexpected(core.error());
  return Engine(std::make_shared<Implementation>(*std::move(core), options));
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

/// How often a creator that died half-way is cleared away, and how long one that lives is waited for.
constexpr int most_creations = 100;
constexpr std::chrono::milliseconds creation_pause{20};

Result<Engine> Engine::open_or_create(const std::filesystem::path& directory, const CreateOptions& creation,
                                      const OpenOptions& options) try {
  Result<Engine> opened = open(directory, options);
  for (int n = 0; n < most_creations && !opened && opened.error().code() == ErrorCode::not_found; ++n) {
    const auto created = create(directory, creation);
    if (!created && created.error().code() != ErrorCode::already_exists && created.error().code() != ErrorCode::busy) {
      return std::unexpected(created.error());
    }
    opened = open(directory, options);
    if (!opened && !created) std::this_thread::sleep_for(creation_pause);  // another process makes it
  }
  return opened;
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

void Engine::close() noexcept { implementation_.reset(); }

std::shared_ptr<EngineCore> core_of(const Engine& engine) noexcept { return engine.implementation_->core; }

Result<void> Engine::remove(const std::filesystem::path& given, bool force) try {
  const auto path = EngineFiles::full_path(given);
  if (!path) return std::unexpected(path.error());
  const auto locked = lock_to_remove(*path);
  if (!locked) return std::unexpected(locked.error());
  const auto directory = EngineFiles::open(locked->folder, EngineFiles::For::mend);
  if (!directory) {
    if (directory.error().code() != ErrorCode::not_found) return std::unexpected(directory.error());
    return remove_half_made(*locked);
  }
  if (!force) {
    if (directory->is_in_use(locked->locks)) {
      return std::unexpected(
          Error(ErrorCode::busy, "the engine is in use",
                "end its producers, workers and keeper (`ringmill status` lists them), or remove it by "
                "force"));
    }
  }
  if (const auto segment = directory->open_segment_if_there()) mark_removed(*segment);
  return remove_files(*directory);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<std::unique_ptr<Participant>> Engine::attach(Role role, Binding binding) try {
  if (implementation_->is_childs_copy()) return std::unexpected(opened_by_parent());
  return ringmill::attach(implementation_->core, role, binding);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<Kind> Engine::kind(std::string_view name) try {
  if (implementation_->is_childs_copy()) return std::unexpected(opened_by_parent());
  return intern_kind(implementation_->core->segment, name);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

std::string Engine::kind_name(Kind kind) const {
  const Handles handles(implementation_->core->segment);
  return implementation_->core->segment.kinds().name_of(handles.number_of(kind)).value_or("");
}

Result<RetryPolicy> Engine::retry_policy(std::string_view text) try {
  if (implementation_->is_childs_copy()) return std::unexpected(opened_by_parent());
  return RetryPolicies::intern(implementation_->core->segment, text);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<Level> Engine::level(std::string_view name) const try {
  if (implementation_->is_childs_copy()) return std::unexpected(opened_by_parent());
  return level_named(implementation_->core->segment, name);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

std::string Engine::level_name(Level level) const {
  const Segment& segment = implementation_->core->segment;
  const std::uint32_t number = level_number(Handles(segment).value_of(level));
  if (!segment.has_level(number) || level_of_number(segment, number) != level) return "";
  return ringmill::level_name(segment, number);
}

Result<Level> Engine::add_level(std::string_view name, const LevelOptions& options) try {
  if (implementation_->is_childs_copy()) return std::unexpected(opened_by_parent());
  if (!is_valid_name(name)) {
    return std::unexpected(Error(ErrorCode::invalid_argument,
                                 "a level's name has 1 to 63 characters of [A-Za-z0-9._:/-]", std::string(name)));
  }
  if (options.weight < 1 || options.weight > 1000) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "a weight is 1 to 1000", std::to_string(options.weight)));
  }
  return DynamicLevels(*implementation_->core).add(name, options, [this]() -> Result<void> {
    auto helper = attach(Role::tool);
    if (!helper) return std::unexpected(helper.error());
    return (*helper)->wait_durable((*helper)->ticket(), longest_level_wait);
  });
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<void> Engine::remove_level(std::string_view name) try {
  // Registered, so that the keeper opens the level again if we die in the middle.
  auto helper = attach(Role::tool);
  if (!helper) return std::unexpected(helper.error());
  Participant& participant = **helper;
  auto removed = DynamicLevels(*implementation_->core)
                     .remove(name, static_cast<std::uint32_t>(participant.number()), [&participant] {
                       return participant.wait_durable(participant.ticket(), longest_level_wait);
                     });
  if (!removed) return removed;
  // A level of this name that is made later is another one.
  return change_rules([&name](FlowRules& rules) -> Result<void> {
    rules.paused_levels.erase(std::string(name));
    rules.level_limits.erase(std::string(name));
    return {};
  });
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

std::vector<std::string> Engine::levels() const {
  std::vector<std::string> names;
  const Segment& segment = implementation_->core->segment;
  for (const std::uint32_t number : levels_in_use(segment)) names.push_back(ringmill::level_name(segment, number));
  return names;
}

std::uint32_t Engine::level_count() const noexcept { return implementation_->core->segment.geometry().level_count; }

namespace {

Error no_level() { return Error(ErrorCode::invalid_argument, "not a level of this engine: use Engine::level()"); }
Error no_kind() { return Error(ErrorCode::invalid_argument, "not a kind of this engine: use Engine::kind()"); }

/// Since now, unless since earlier.
void begin_pause(std::uint64_t& since_ns) noexcept {
  if (since_ns == 0) since_ns = wall_clock_ns();
}

}  // namespace

Result<void> Engine::change_rules(const std::function<Result<void>(FlowRules&)>& change) try {
  if (implementation_->is_childs_copy()) return std::unexpected(opened_by_parent());
  return change_flow_rules(implementation_->core->directory, implementation_->core->segment, change);
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<void> Engine::pause(Level level) try {
  const std::string name = level_name(level);
  if (name.empty()) return std::unexpected(no_level());
  return change_rules([&name](FlowRules& rules) -> Result<void> {
    begin_pause(rules.paused_levels[name]);
    return {};
  });
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<void> Engine::resume(Level level) try {
  const std::string name = level_name(level);
  if (name.empty()) return std::unexpected(no_level());
  return change_rules([&name](FlowRules& rules) -> Result<void> {
    rules.paused_levels.erase(name);
    return {};
  });
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<void> Engine::pause(Kind kind) try {
  const std::string name = kind_name(kind);
  if (name.empty()) return std::unexpected(no_kind());
  return change_rules([&name](FlowRules& rules) -> Result<void> {
    begin_pause(rules.kinds[name].paused_since_ns);
    return {};
  });
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<void> Engine::resume(Kind kind) try {
  const std::string name = kind_name(kind);
  if (name.empty()) return std::unexpected(no_kind());
  return change_rules([&name](FlowRules& rules) -> Result<void> {
    rules.kinds[name].paused_since_ns = 0;
    return {};
  });
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<void> Engine::limit(Kind kind, const KindLimits& limits) try {
  const std::string name = kind_name(kind);
  if (name.empty()) return std::unexpected(no_kind());
  if (auto checked = check_limits(limits); !checked) return checked;
  return change_rules([&](FlowRules& rules) -> Result<void> {
    rules.kinds[name].limits = limits.rate.count == 0 ? KindLimits{.concurrency = limits.concurrency} : limits;
    return {};
  });
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<void> Engine::limit(Level level, const LevelLimits& limits) try {
  const std::string name = level_name(level);
  if (name.empty()) return std::unexpected(no_level());
  if (auto checked = check_limits(limits); !checked) return checked;
  return change_rules([&](FlowRules& rules) -> Result<void> {
    if (limits == LevelLimits{}) {
      rules.level_limits.erase(name);
    } else {
      rules.level_limits[name] = limits;
    }
    return {};
  });
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

std::uint32_t Engine::most_payload_bytes() const noexcept {
  return implementation_->core->segment.geometry().max_payload;
}

std::uint32_t Engine::most_payload_bytes(const JobOptions& options) const noexcept {
  const Segment& segment = implementation_->core->segment;
  const bool is_shorter = segment.geometry().arena_chunk_count == 0 && has_cell_options(options);
  return is_shorter ? JobTable(segment).inline_bytes_beside(cell_flag::has_options) : segment.geometry().max_payload;
}

Result<JobInfo> Engine::job(JobId id) const try {
  if (implementation_->is_childs_copy()) return std::unexpected(opened_by_parent());
  return with_letter(implementation_->core->directory.folder(), id, find_job(implementation_->core->segment, id));
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<std::uint64_t> Engine::jobs(const JobFilter& filter, const std::function<bool(const JobInfo&)>& visit) const
    try {
  if (implementation_->is_childs_copy()) return std::unexpected(opened_by_parent());
  std::uint64_t count = 0;
  for_each_job(implementation_->core->segment, filter, [&](const JobView& view) {
    ++count;
    return visit(view.info);
  });
  return count;
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

Result<JobInfo> Engine::wait(JobId id, std::chrono::nanoseconds timeout) const try {
  if (implementation_->is_childs_copy()) return std::unexpected(opened_by_parent());
  const std::uint64_t wait_ns = timeout.count() <= 0 ? 0 : static_cast<std::uint64_t>(timeout.count());
  return with_letter(implementation_->core->directory.folder(), id,
                     wait_in_memory(*implementation_->core, id, wait_ns));
} catch (const std::exception& thrown) {
  return std::unexpected(error_of(thrown));
}

EngineStatus Engine::status() const {
  const EngineCore& core = *implementation_->core;
  EngineStatus status =
      view_status(core.segment, [&core](std::uint32_t number) { return !core.death_probe.is_dead(number); });
  status.engine_id = core.directory.engine_id();
  status.path = core.directory.path().string();
  status.journal.limit = core.directory.journal_geometry().limit();
  return status;
}

EngineStatistics Engine::statistics() const {
  const EngineCore& core = *implementation_->core;
  EngineStatistics statistics =
      view_statistics(core.segment, [&core](std::uint32_t number) { return !core.death_probe.is_dead(number); });
  statistics.path = core.directory.path().string();
  statistics.journal.limit = core.directory.journal_geometry().limit();
  return statistics;
}

bool Engine::keeps() const noexcept { return implementation_->keeper && implementation_->keeper->keeps(); }

}  // namespace ringmill
