// Engines: making, opening, names, levels.
#include <string>
#include <vector>

#include "clients/c/handles.h"

using ringmill::CreateOptions;
using ringmill::Engine;
using ringmill::OpenOptions;
using ringmill::Result;
using ringmill::c::copy_text;
using ringmill::c::Given;
using ringmill::c::guarded;
using ringmill::c::report;
using ringmill::c::report_bad_struct;
using ringmill::c::text_of;

namespace {

constexpr std::uint32_t most_levels_given = 1024;

CreateOptions options_of(const rm_create_options& given) {
  CreateOptions options;
  if (given.capacity != 0) options.capacity = given.capacity;
  if (given.cell_size != 0) options.cell_size = given.cell_size;
  options.max_payload = given.max_payload;
  options.arena = given.arena;
  options.journal_limit = given.journal_limit;
  if (given.mode != 0) options.mode = given.mode;
  if (given.levels != nullptr && given.level_count != 0) {
    const std::uint32_t count = std::min(given.level_count, most_levels_given);
    options.levels.assign(given.levels, given.levels + count);
    if (given.weights != nullptr) options.weights.assign(given.weights, given.weights + count);
  }
  if (given.shm_dir != nullptr) options.shm_dir = given.shm_dir;
  if (given.lease_ms != 0) options.lease = std::chrono::milliseconds(given.lease_ms);
  return options;
}

/// Hands out what an engine's call returned, as a number.
template <class T, class Number>
rm_code hand_out(const Result<T>& result, Number* place, rm_error* error) noexcept {
  if (!result) return report(error, result.error());
  if (place != nullptr) *place = static_cast<Number>(*result);
  return RM_OK;
}

}  // namespace

uint32_t rm_abi_version(void) { return 1; }
const char* rm_version(void) { return RINGMILL_VERSION; }

rm_code rm_create(const char* directory, const rm_create_options* options, rm_error* error) {
  return guarded(error, [&] {
    if (directory == nullptr) return report(error, RM_INVALID_ARGUMENT, "the directory is NULL");
    if (options == nullptr) return report(error, Engine::create(directory));
    const Given<rm_create_options> given(options, options->size);
    if (!given) return report_bad_struct(error, "rm_create_options");
    return report(error, Engine::create(directory, options_of(*given)));
  });
}

rm_code rm_open(const char* directory, const rm_open_options* options, rm_engine** engine, rm_error* error) {
  return guarded(error, [&] {
    if (directory == nullptr || engine == nullptr) return report(error, RM_INVALID_ARGUMENT, "an argument is NULL");
    *engine = nullptr;
    OpenOptions opening;
    if (options != nullptr) {
      const Given<rm_open_options> given(options, options->size);
      if (!given) return report_bad_struct(error, "rm_open_options");
      if ((given->flags & ~std::uint32_t{RM_OPEN_NO_KEEPER | RM_OPEN_DUMP_SEGMENT | RM_OPEN_DEDICATED_KEEPER}) != 0) {
        return report(error, RM_INVALID_ARGUMENT, "rm_open_options has an unknown flag");
      }
      opening.embedded_keeper = (given->flags & RM_OPEN_NO_KEEPER) == 0;
      opening.dump_segment = (given->flags & RM_OPEN_DUMP_SEGMENT) != 0;
      opening.dedicated_keeper = (given->flags & RM_OPEN_DEDICATED_KEEPER) != 0;
    }
    auto opened = Engine::open(directory, opening);
    if (!opened) return report(error, opened.error());
    *engine = new rm_engine(*std::move(opened));
    return rm_code{RM_OK};
  });
}

rm_code rm_remove(const char* directory, int force, rm_error* error) {
  return guarded(error, [&] {
    if (directory == nullptr) return report(error, RM_INVALID_ARGUMENT, "the directory is NULL");
    return report(error, Engine::remove(directory, force != 0));
  });
}

void rm_engine_retain(rm_engine* engine) {
  if (engine != nullptr) engine->references.fetch_add(1);
}

void rm_engine_release(rm_engine* engine) {
  if (engine != nullptr && engine->references.fetch_sub(1) == 1) delete engine;
}

int rm_engine_keeps(const rm_engine* engine) { return engine->engine.keeps() ? 1 : 0; }
uint32_t rm_most_payload(const rm_engine* engine) { return engine->engine.most_payload_bytes(); }

rm_code rm_kind(rm_engine* engine, rm_bytes name, uint32_t* kind, rm_error* error) {
  return guarded(error, [&] { return hand_out(engine->engine.kind(text_of(name)), kind, error); });
}

rm_code rm_level(rm_engine* engine, rm_bytes name, uint32_t* level, rm_error* error) {
  return guarded(error, [&] { return hand_out(engine->engine.level(text_of(name)), level, error); });
}

rm_code rm_retry_policy(rm_engine* engine, rm_bytes text, uint32_t* policy, rm_error* error) {
  return guarded(error, [&] { return hand_out(engine->engine.retry_policy(text_of(text)), policy, error); });
}

size_t rm_kind_name(const rm_engine* engine, uint32_t kind, char* text, size_t room) {
  std::size_t length = 0;
  const auto look = [&] {
    length = copy_text(engine->engine.kind_name(ringmill::Kind{kind}), text, room);
    return rm_code{RM_OK};
  };
  return guarded(nullptr, look) == RM_OK ? length : 0;
}

size_t rm_level_name(const rm_engine* engine, uint32_t level, char* text, size_t room) {
  std::size_t length = 0;
  const auto look = [&] {
    length = copy_text(engine->engine.level_name(ringmill::Level{level}), text, room);
    return rm_code{RM_OK};
  };
  return guarded(nullptr, look) == RM_OK ? length : 0;
}

rm_code rm_add_level(rm_engine* engine, rm_bytes name, uint32_t weight, uint32_t ring, uint32_t* level,
                     rm_error* error) {
  return guarded(error, [&] {
    const ringmill::LevelOptions options{.weight = weight == 0 ? 1 : weight, .ring = ring};
    return hand_out(engine->engine.add_level(text_of(name), options), level, error);
  });
}

rm_code rm_remove_level(rm_engine* engine, rm_bytes name, rm_error* error) {
  return guarded(error, [&] { return report(error, engine->engine.remove_level(text_of(name))); });
}

rm_code rm_pause_level(rm_engine* engine, uint32_t level, int paused, rm_error* error) {
  return guarded(error, [&] {
    const ringmill::Level which{level};
    return report(error, paused != 0 ? engine->engine.pause(which) : engine->engine.resume(which));
  });
}

rm_code rm_pause_kind(rm_engine* engine, uint32_t kind, int paused, rm_error* error) {
  return guarded(error, [&] {
    const ringmill::Kind which{kind};
    return report(error, paused != 0 ? engine->engine.pause(which) : engine->engine.resume(which));
  });
}
