#include "bench/subject.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

namespace ringmill::bench {

std::expected<Subject, std::string> Subject::join(const std::filesystem::path& directory, Role role, bool keeper) {
  auto engine = Engine::open(directory, {.embedded_keeper = keeper});
  if (!engine) return std::unexpected(engine.error().message());
  auto participant = engine->attach(role);
  if (!participant) return std::unexpected(participant.error().message());
  auto kind = engine->kind("bench");
  if (!kind) return std::unexpected(kind.error().message());
  auto level = engine->level("default");
  if (!level) return std::unexpected(level.error().message());
  return Subject{.engine = std::move(*engine), .participant = std::move(*participant), .kind = *kind, .level = *level};
}

std::expected<void, std::string> Subject::claim_only(std::string_view level_name) {
  auto only = engine.level(level_name);
  if (!only) return std::unexpected(only.error().message());
  ClaimOptions options;
  options.levels = {*only};
  if (auto subscribed = participant->subscribe(options); !subscribed) {
    return std::unexpected(subscribed.error().message());
  }
  return {};
}

bool report_failure(std::string_view what, std::string_view why) {
  fmt::print(stderr, "ringmill-bench: process {}: {}: {}\n", getpid(), what, why);
  return false;
}

}  // namespace ringmill::bench
