#include "core/engine_configuration.h"

#include <sys/random.h>

#include <algorithm>
#include <bit>
#include <nlohmann/json.hpp>

#include "ipc/name_table.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

constexpr int configuration_format = 1;
constexpr std::uint64_t most_lease_ms = 24ULL * 24 * 3600 * 1000;

Error invalid(const char* what, std::string detail = {}) {
  return Error(ErrorCode::invalid_argument, what, std::move(detail));
}

}  // namespace

Result<SegmentConfig> checked_config(const CreateOptions& options) {
  SegmentConfig config;
  if (options.levels.empty() || options.levels.size() > most_first_levels) {
    return std::unexpected(
        invalid("an engine has 1 to 16 first levels", std::to_string(options.levels.size()) + " given"));
  }
  for (const std::string& level : options.levels) {
    if (!is_valid_name(level)) {
      return std::unexpected(invalid("a level's name has 1 to 63 characters of [A-Za-z0-9._:/-]", level));
    }
    if (std::ranges::count(options.levels, level) != 1)
      return std::unexpected(invalid("a level is named twice", level));
  }
  config.levels = options.levels;
  config.weights = options.weights;
  if (config.weights.empty()) {
    config.weights.assign(config.levels.size(), 1);
    if (config.levels.size() == 3) config.weights = {6, 3, 1};
  }
  if (config.weights.size() != config.levels.size()) {
    return std::unexpected(invalid(
        "there must be one weight per level",
        std::to_string(config.levels.size()) + " levels, " + std::to_string(config.weights.size()) + " weights"));
  }
  for (const std::uint32_t weight : config.weights) {
    if (weight < 1 || weight > 1000) return std::unexpected(invalid("a weight is 1 to 1000", std::to_string(weight)));
  }
  if (options.capacity < 64 || options.capacity > most_cells) {
    return std::unexpected(invalid("the capacity is 64 to 16777216 jobs", std::to_string(options.capacity)));
  }
  config.capacity = (options.capacity + 63) / 64 * 64;
  if (options.cell_size < 128 || options.cell_size > 65536 || !std::has_single_bit(options.cell_size)) {
    return std::unexpected(
        invalid("the cell size is a power of two from 128 to 65536", std::to_string(options.cell_size)));
  }
  config.cell_bytes = options.cell_size;
  if ((options.mode & 0700) != 0700 || options.mode > 0777) {
    return std::unexpected(invalid("the mode must give the owner all rights, and is at most 0777"));
  }
  config.mode = options.mode & 0666;
  if (options.lease.count() < 1 || static_cast<std::uint64_t>(options.lease.count()) > most_lease_ms) {
    return std::unexpected(invalid("a lease is 1 ms to 24 days", std::to_string(options.lease.count()) + " ms"));
  }
  config.default_lease_ms = static_cast<std::uint32_t>(options.lease.count());
  if (::getrandom(&config.engine_id, sizeof config.engine_id, 0) != sizeof config.engine_id) {
    return std::unexpected(system_error("getrandom", ""));
  }
  return config;
}

std::string to_json(const SegmentConfig& config, const fs::path& shm_dir) {
  nlohmann::ordered_json json;
  json["format"] = configuration_format;
  json["id"] = JobId(config.engine_id).to_string();
  json["shm_dir"] = shm_dir.string();
  json["levels"] = config.levels;
  json["weights"] = config.weights;
  json["capacity"] = config.capacity;
  json["cell_size"] = config.cell_bytes;
  json["lease_ms"] = config.default_lease_ms;
  json["file_mode"] = config.mode;
  return json.dump(2) + "\n";
}

Result<SegmentConfig> from_json(const std::string& text, const fs::path& path, fs::path& shm_dir) {
  const auto broken = [&path](const char* why) {
    return std::unexpected(
        Error(ErrorCode::corrupt, "the engine's configuration cannot be used", path.string() + ": " + why));
  };
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return broken("not a JSON object");
  try {
    if (json.at("format").get<int>() != configuration_format) {
      return std::unexpected(
          Error(ErrorCode::incompatible, "the engine was made by another version of ringmill", path.string()));
    }
    CreateOptions options;
    options.levels = json.at("levels").get<std::vector<std::string>>();
    options.weights = json.at("weights").get<std::vector<std::uint32_t>>();
    options.capacity = json.at("capacity").get<std::uint32_t>();
    options.cell_size = json.at("cell_size").get<std::uint32_t>();
    options.lease = std::chrono::milliseconds(json.at("lease_ms").get<std::int64_t>());
    auto config = checked_config(options);
    if (!config) return broken(config.error().message().c_str());
    const auto id = JobId::parse(json.at("id").get<std::string>());
    if (!id) return broken("its id is not 16 hexadecimal digits");
    config->engine_id = id->value();
    config->mode = json.at("file_mode").get<std::uint32_t>() & 0666;
    shm_dir = json.at("shm_dir").get<std::string>();
    return config;
  } catch (const nlohmann::json::exception& failure) {
    return broken(failure.what());
  }
}

}  // namespace ringmill
