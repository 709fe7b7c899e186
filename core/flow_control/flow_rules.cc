#include "core/flow_control/flow_rules.h"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/base/exceptions.h"
#include "core/base/json_number.h"
#include "core/flow_control/token_bucket.h"
#include "ipc/file.h"
#include "ipc/layout.h"
#include "ipc/name_table.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

constexpr int flow_format = 1;
constexpr std::uint32_t most_count = 1'000'000'000;

Error invalid(const char* summary, std::uint64_t value) {
  return Error(ErrorCode::invalid_argument, summary, std::to_string(value));
}

nlohmann::ordered_json json_of(const KindRules& kind) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  if (kind.paused_since_ns != 0) json["paused_since_ns"] = kind.paused_since_ns;
  if (kind.limits.rate.count != 0) {
    json["rate"] = {{"count", kind.limits.rate.count},
                    {"period_ns", kind.limits.rate.period.count()},
                    {"burst", kind.limits.burst}};
  }
  if (kind.limits.concurrency != 0) json["concurrency"] = kind.limits.concurrency;
  return json;
}

KindRules kind_from_json(const nlohmann::json& json) {
  KindRules kind;
  kind.paused_since_ns = number_at(json, "paused_since_ns", std::uint64_t{0});
  kind.limits.concurrency = number_at(json, "concurrency", 0U);
  if (json.contains("rate")) {
    const nlohmann::json& rate = json.at("rate");
    kind.limits.rate.count = number_at<std::uint32_t>(rate, "count");
    if (kind.limits.rate.count == 0) throw std::out_of_range("a rate's count is at least 1");
    kind.limits.rate.period = std::chrono::nanoseconds(number_at<std::int64_t>(rate, "period_ns"));
    kind.limits.burst = number_at<std::uint32_t>(rate, "burst");
  }
  return kind;
}

}  // namespace

Result<void> check_limits(const KindLimits& limits) {
  const auto period_ns = limits.rate.period.count();
  if (limits.rate.count > most_count) return std::unexpected(invalid("a rate is at most 10^9", limits.rate.count));
  if (limits.rate.count != 0 &&
      (period_ns < 1000 || static_cast<std::uint64_t>(period_ns) > TokenRate::most_period_ns)) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "the period of a rate is 1 us to 7 days"));
  }
  if (limits.rate.count != 0 && period_ns < limits.rate.count) {
    return std::unexpected(invalid("a rate is at most one job per nanosecond", limits.rate.count));
  }
  if (limits.burst < 1 || limits.burst > TokenRate::most_burst) {
    return std::unexpected(invalid("a burst is 1 to 10000", limits.burst));
  }
  if (limits.concurrency > most_concurrency) {
    return std::unexpected(invalid("a concurrency limit is 1 to 1024", limits.concurrency));
  }
  return {};
}

Result<void> check_limits(const LevelLimits& limits) {
  if (limits.most != 0 && limits.most_percent != 0) {
    return std::unexpected(
        Error(ErrorCode::invalid_argument, "a level's limit is a number of jobs or a share, not both"));
  }
  if (limits.most > most_cells) return std::unexpected(invalid("a level's limit is at most 16 Mi jobs", limits.most));
  if (limits.most_percent > 100)
    return std::unexpected(invalid("a level's limit is at most 100 %", limits.most_percent));
  return {};
}

std::string to_json(const FlowRules& rules) {
  constexpr std::size_t bytes_of_name = 256;
  expect_memory_for_json((rules.paused_levels.size() + rules.kinds.size() + rules.level_limits.size()) * bytes_of_name);
  nlohmann::ordered_json json;
  json["format"] = flow_format;
  json["paused_levels"] = nlohmann::ordered_json::object();
  for (const auto& [name, since_ns] : rules.paused_levels) json["paused_levels"][name] = since_ns;
  json["kinds"] = nlohmann::ordered_json::object();
  for (const auto& [name, kind] : rules.kinds) json["kinds"][name] = json_of(kind);
  if (!rules.level_limits.empty()) json["level_limits"] = nlohmann::ordered_json::object();
  for (const auto& [name, limits] : rules.level_limits) {
    json["level_limits"][name] = nlohmann::ordered_json{
        {limits.most != 0 ? "most" : "most_percent", limits.most != 0 ? limits.most : limits.most_percent}};
  }
  return json.dump(2) + "\n";
}

Result<FlowRules> flow_rules_from_json(const std::string& text, const fs::path& path) {
  const auto broken = [&path](const std::string& why) {
    return std::unexpected(Error(ErrorCode::corrupt, "the rules of flow control cannot be used",
                                 path.string() + ": " + why + "; repair it, or remove it to have no rules"));
  };
  expect_memory_for_json(text.size());
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return broken("not a JSON object");
  try {
    if (number_at<int>(json, "format") != flow_format) {
      return std::unexpected(Error(ErrorCode::incompatible,
                                   "the rules of flow control were written by another version of ringmill",
                                   path.string()));
    }
    FlowRules rules;
    for (const auto& [name, since_ns] : json.at("paused_levels").items()) {
      if (!is_valid_name(name)) return broken("'" + name + "' is no level");
      rules.paused_levels[name] = number_of<std::uint64_t>(since_ns);
    }
    for (const auto& [name, value] : json.at("kinds").items()) {
      if (!is_valid_name(name)) return broken("'" + name + "' is no kind");
      const KindRules kind = kind_from_json(value);
      if (auto checked = check_limits(kind.limits); !checked) return broken(name + ": " + checked.error().message());
      if (!kind.is_plain()) rules.kinds[name] = kind;
    }
    const nlohmann::json none = nlohmann::json::object();
    const nlohmann::json& bounded = json.contains("level_limits") ? json.at("level_limits") : none;
    for (const auto& [name, value] : bounded.items()) {
      if (!is_valid_name(name)) return broken("'" + name + "' is no level");
      const LevelLimits limits{.most = number_at(value, "most", 0U),
                               .most_percent = number_at(value, "most_percent", 0U)};
      if (auto checked = check_limits(limits); !checked) return broken(name + ": " + checked.error().message());
      if (limits != LevelLimits{}) rules.level_limits[name] = limits;
    }
    return rules;
  } catch (const nlohmann::json::exception& failure) {
    return broken(failure.what());
  } catch (const std::out_of_range& failure) {  // of a number
    return broken(failure.what());
  }
}

Result<FlowRules> read_flow_rules(const Directory& engine_directory) {
  const fs::path path = engine_directory.path_of(flow_file);
  const auto text = engine_directory.read_small_file(flow_file, Directory::Owners::let_in);
  if (text) return flow_rules_from_json(*text, path);
  if (text.error().code() == ErrorCode::not_found) return FlowRules{};
  return std::unexpected(text.error());
}

}  // namespace ringmill
