#include "core/instance/engine_configuration.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <bit>
#include <climits>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>

#include <ringmill/job.h>

#include "core/base/exceptions.h"
#include "core/base/json_number.h"
#include "core/base/shown_text.h"
#include "core/journal/format.h"
#include "core/table/job_table.h"
#include "core/table/room.h"
#include "ipc/directory.h"
#include "ipc/name_table.h"
#include "ipc/random.h"

namespace ringmill {

namespace fs = std::filesystem;

namespace {

constexpr int configuration_format = 1;
constexpr std::uint64_t most_lease_ms = 24ULL * 24 * 3600 * 1000;

constexpr std::uint64_t least_segments = 8;
constexpr std::uint64_t most_segments = 8192;  // their files have four digits
constexpr std::uint64_t least_segment_bytes = 2 * most_block_bytes;
constexpr std::uint64_t most_limit = std::uint64_t{16} << 40;
constexpr std::uint64_t least_default_limit = std::uint64_t{64} << 20;

constexpr std::uint32_t default_max_payload = 1U << 20;
constexpr std::uint64_t default_arena_bytes = std::uint64_t{16} << 20;
constexpr std::uint64_t least_arena_chunks = 4;

/// Stands for them where room is kept; no level can have this name.
constexpr const char* all_dynamic_levels = "*";

Error invalid(const char* what, std::string detail = {}) {
  return Error(ErrorCode::invalid_argument, what, std::move(detail));
}

/// About 32 segments, of 512 KiB to 16 MiB; larger ones where those would be too many.
std::uint64_t segment_bytes_for(std::uint64_t limit) noexcept {
  const std::uint64_t usual = std::clamp(std::bit_floor(limit / 32), least_segment_bytes, std::uint64_t{16} << 20);
  return std::max(usual, std::bit_ceil(limit / most_segments));
}

/// Nothing when no writer could have worked with it. What is enough for the capacity was decided at creation.
std::optional<JournalGeometry> journal_from_json(const nlohmann::json& json) {
  const auto limit = number_at<std::uint64_t>(json, "limit");
  const auto segment_bytes = number_at<std::uint64_t>(json, "segment_bytes");
  if (segment_bytes < least_segment_bytes || segment_bytes > most_limit / most_segments ||
      segment_bytes % journal_unit != 0) {
    return std::nullopt;
  }
  const std::uint64_t segments = limit / segment_bytes;
  if (segments < least_segments || segments > most_segments) return std::nullopt;
  return JournalGeometry{segment_bytes, static_cast<std::uint32_t>(segments)};
}

}  // namespace

Result<JournalGeometry> checked_journal(std::uint64_t limit, std::uint32_t capacity, std::uint32_t cell_bytes,
                                        std::uint64_t arena_bytes) {
  // The longest that a cell can take: payload and an error's text fill it. An options record is written beside a text
  // even where the cell has no options; links take as much room in the cell as in the journal.
  const std::uint64_t record_bytes =
      sizeof(JobRecord) + sizeof(OptionsRecord) + sizeof(ChangeRecord) + cell_bytes - sizeof(CellHeader);
  static_assert(sizeof(LinksRecord) <= sizeof(CellLinks));
  // Notes take a little more there; but a cell that has some has options, whose room was counted twice.
  static_assert(sizeof(NotesRecord) + most_noted_tag_bytes + 1 <= sizeof(CellNotes) + sizeof(CellOptions));
  // A payload in the arena is written beside that, in parts.
  const std::uint64_t full_engine = capacity * record_bytes + arena_bytes + arena_bytes / 32;
  const std::uint64_t least = std::max(least_segments * least_segment_bytes, full_engine * 5 / 2);
  const bool by_default = limit == 0;
  if (by_default) limit = std::max(least_default_limit, full_engine * 3);
  if (limit > most_limit) return std::unexpected(invalid("the journal's limit is at most 16 TiB"));
  const std::uint64_t segment_bytes = segment_bytes_for(limit);
  const std::uint64_t segments = (limit + (by_default ? segment_bytes - 1 : 0)) / segment_bytes;
  if (segments * segment_bytes < least) {
    const std::uint64_t unit = segment_bytes_for(least);
    return std::unexpected(
        invalid("the journal's limit is too small for this capacity, cell size and arena",
                "at least " + std::to_string((least + unit - 1) / unit * unit) + " bytes are needed"));
  }
  return JournalGeometry{segment_bytes, static_cast<std::uint32_t>(segments)};
}

Result<ArenaSize> checked_arena(const CreateOptions& options) {
  const std::uint32_t inline_bytes = options.cell_size - static_cast<std::uint32_t>(sizeof(CellHeader));
  if (options.max_payload > most_payload_limit) {
    return std::unexpected(invalid("the longest payload is at most 64 MiB", std::to_string(options.max_payload)));
  }
  if (options.max_payload != 0 && options.max_payload <= inline_bytes) {
    if (options.arena == 0) return ArenaSize{};
    return std::unexpected(invalid("an arena is for payloads that do not fit a cell",
                                   std::to_string(options.max_payload) + " bytes fit; use a larger --max-payload"));
  }
  ArenaSize size{.max_payload = options.max_payload != 0 ? options.max_payload : default_max_payload,
                 .bytes = options.arena};
  const std::uint64_t least = least_arena_chunks * std::uint64_t{size.chunk_bytes()};
  if (size.bytes == 0) size.bytes = std::max(default_arena_bytes, least);
  if (size.bytes < least || size.bytes > most_arena_bytes) {
    return std::unexpected(
        invalid("the arena is four times the longest payload, rounded up to a power of two, at least, "
                "and 64 GiB at most",
                std::to_string(least) + " bytes are needed"));
  }
  const bool fits_journal = options.arena != 0 || options.journal_limit == 0;
  while (!fits_journal && !checked_journal(options.journal_limit, options.capacity, options.cell_size, size.bytes)) {
    size.bytes /= 2;
    if (options.max_payload == 0)
      size.max_payload = static_cast<std::uint32_t>(
          std::min<std::uint64_t>(size.max_payload, std::max<std::uint64_t>(size.bytes / least_arena_chunks, 1)));
    if (size.bytes < least_arena_chunks * std::uint64_t{size.chunk_bytes()}) return ArenaSize{};
  }
  size.bytes = (size.bytes + size.chunk_bytes() - 1) / size.chunk_bytes() * size.chunk_bytes();
  return size;
}

CreateOptions with_chosen_sizes(CreateOptions options) {
  constexpr std::uint64_t most_jobs = std::uint64_t{4} << 20;
  constexpr std::uint64_t usual_arena = std::uint64_t{1} << 30;
  struct statvfs space {};
  const auto folder = Directory::open(options.shm_dir, Directory::Links::followed);
  const bool is_known = folder && ::fstatvfs(folder->descriptor(), &space) == 0;
  const std::uint64_t tmpfs = is_known ? std::uint64_t{space.f_blocks} * space.f_frsize : std::uint64_t{64} << 20;
  if (options.capacity == 0 && options.cell_size != 0) {
    options.capacity =
        static_cast<std::uint32_t>(std::clamp<std::uint64_t>(tmpfs / 4 / options.cell_size / 64 * 64, 4096, most_jobs));
  }
  const std::uint64_t inline_bytes = options.cell_size - std::min<std::uint64_t>(options.cell_size, sizeof(CellHeader));
  const bool has_no_arena = options.max_payload != 0 && options.max_payload <= inline_bytes;
  if (options.arena == 0 && !has_no_arena && options.journal_limit == 0) {
    const std::uint32_t longest = options.max_payload != 0 ? options.max_payload : default_max_payload;
    const std::uint64_t chunk = ArenaSize::chunk_bytes_for(std::min(longest, most_payload_limit));
    options.arena = std::max(std::min(usual_arena, tmpfs / 8) / chunk, least_arena_chunks) * chunk;
  }
  return options;
}

namespace {

std::uint32_t in_map_words(std::uint64_t cells) noexcept {
  return static_cast<std::uint32_t>(std::min<std::uint64_t>((cells + 63) / 64 * 64, most_cells));
}

/// What is kept of the table, and how large it is with it: `plain` cells are for jobs of any level.
Result<void> add_kept_cells(const CreateOptions& options, std::uint32_t plain, SegmentConfig& config) {
  config.capacity = plain;
  if (options.reserve && options.reserve->empty()) return {};
  const std::size_t levels = config.levels.size();
  std::vector<std::uint32_t> kept(levels + 1, 0);  // the last one: of dynamic levels
  if (!options.reserve) {
    kept.assign(levels + 1, in_map_words(plain / 20));
    kept[levels - 1] = 0;
  } else {
    for (const LevelReserve& reserve : *options.reserve) {
      const auto named = std::ranges::find(config.levels, reserve.level);
      if (named == config.levels.end() && reserve.level != all_dynamic_levels) {
        return std::unexpected(invalid("room cannot be kept for a level that the engine does not have", reserve.level));
      }
      kept[static_cast<std::size_t>(named - config.levels.begin())] = in_map_words(reserve.jobs);
    }
  }
  std::uint64_t cells = std::uint64_t{plain} + Room::leases_for(plain);
  for (const std::uint32_t more : kept) cells += more;
  if (cells > most_cells && !options.reserve) return {};  // ids have no room for more cells
  if (cells > most_cells) {
    return std::unexpected(
        invalid("the capacity and what is kept for levels are 16777216 jobs at most", std::to_string(cells)));
  }
  config.capacity = static_cast<std::uint32_t>(cells);
  config.plain_capacity = plain;
  kept.pop_back();
  config.kept_cells = std::move(kept);
  return {};
}

/// Names and number of the fixed levels.
Result<void> check_levels(const CreateOptions& options) {
  if (options.levels.empty() || options.levels.size() > most_fixed_levels) {
    return std::unexpected(
        invalid("an engine has 1 to 16 fixed levels", std::to_string(options.levels.size()) + " given"));
  }
  for (const std::string& level : options.levels) {
    if (!is_valid_name(level)) {
      return std::unexpected(invalid("a level's name has 1 to 63 characters of [A-Za-z0-9._:/-]", level));
    }
    if (std::ranges::count(options.levels, level) != 1)
      return std::unexpected(invalid("a level is named twice", level));
  }
  return {};
}

}  // namespace

Result<EngineConfiguration> checked_configuration(const CreateOptions& options) {
  EngineConfiguration configuration;
  SegmentConfig& config = configuration.segment;
  if (auto checked = check_levels(options); !checked) return std::unexpected(checked.error());
  // It is written into a file of JSON.
  if (const std::string folder = options.shm_dir.string(); !is_utf8(folder) || folder.find('\0') != folder.npos) {
    return std::unexpected(invalid("the path of the folder for shared memory must be UTF-8", shown(folder)));
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
  if (options.level_rings != 0 &&
      (options.level_rings < least_level_ring_slots || options.level_rings > most_level_ring_slots)) {
    return std::unexpected(
        invalid("the rings of dynamic levels share 16384 to 67108864 hints", std::to_string(options.level_rings)));
  }
  if (options.capacity < 64 || options.capacity > most_cells) {
    return std::unexpected(invalid("the capacity is 64 to 16777216 jobs", std::to_string(options.capacity)));
  }
  if (auto kept = add_kept_cells(options, in_map_words(options.capacity), config); !kept) {
    return std::unexpected(kept.error());
  }
  if (options.cell_size < 128 || options.cell_size > 65536 || !std::has_single_bit(options.cell_size)) {
    return std::unexpected(
        invalid("the cell size is a power of two from 128 to 65536", std::to_string(options.cell_size)));
  }
  config.results_limit = options.results.value_or(in_map_words(options.capacity) / 2);
  config.cell_bytes = options.cell_size;
  config.level_ring_slots = options.level_rings != 0 ? options.level_rings : default_level_ring_slots;
  if ((options.mode & 0700) != 0700 || options.mode > 0777) {
    return std::unexpected(invalid("the mode must give the owner all rights, and is at most 0777"));
  }
  config.mode = options.mode & 0666;
  if (options.lease.count() < 1 || static_cast<std::uint64_t>(options.lease.count()) > most_lease_ms) {
    return std::unexpected(invalid("a lease is 1 ms to 24 days", std::to_string(options.lease.count()) + " ms"));
  }
  config.default_lease_ms = static_cast<std::uint32_t>(options.lease.count());
  if (options.keep_memory.count() < 0 || static_cast<std::uint64_t>(options.keep_memory.count()) > most_wait_ms) {
    return std::unexpected(
        invalid("free memory is kept for 0 to ten years", std::to_string(options.keep_memory.count()) + " ms"));
  }
  config.keep_memory_ms = static_cast<std::uint64_t>(options.keep_memory.count());
  const auto id = random_number();
  if (!id) return std::unexpected(id.error());
  config.engine_id = *id;
  const auto arena = checked_arena(options);
  if (!arena) return std::unexpected(arena.error());
  config.max_payload = arena->max_payload;
  config.arena_bytes = arena->bytes;
  const auto journal = checked_journal(options.journal_limit, config.capacity, config.cell_bytes, config.arena_bytes);
  if (!journal) return std::unexpected(journal.error());
  configuration.journal = *journal;
  configuration.shm_dir = options.shm_dir;
  configuration.journal_id = config.engine_id;
  return configuration;
}

namespace {

/// What is kept for levels, as many cells as before, or the usual share where it was the usual one.
std::optional<std::vector<LevelReserve>> reserve_of(const SegmentConfig& config) {
  std::vector<LevelReserve> reserve;
  if (config.plain_capacity == 0) return reserve;
  const std::uint32_t usual = in_map_words(config.plain_capacity / 20);
  std::uint32_t rest = config.capacity - config.plain_capacity - Room::leases_for(config.plain_capacity);
  bool is_usual = true;
  for (std::size_t n = 0; n < config.kept_cells.size(); ++n) {
    is_usual &= config.kept_cells[n] == (n + 1 == config.kept_cells.size() ? 0 : usual);
    reserve.push_back({.level = config.levels[n], .jobs = config.kept_cells[n]});
    rest -= config.kept_cells[n];
  }
  if (is_usual && rest == usual) return std::nullopt;
  reserve.push_back({.level = all_dynamic_levels, .jobs = rest});
  return reserve;
}

}  // namespace

Result<EngineConfiguration> resized(const EngineConfiguration& former, const ResizeWish& wish) {
  const SegmentConfig& config = former.segment;
  if (wish.cell_size != 0 && wish.cell_size < config.cell_bytes) {
    return std::unexpected(
        invalid("cells do not get smaller", std::to_string(wish.cell_size) + " bytes, and they have " +
                                                std::to_string(config.cell_bytes) + "; make a new engine for that"));
  }
  if (wish.max_payload != 0 && wish.max_payload < config.max_payload) {
    return std::unexpected(invalid("the longest payload does not get shorter",
                                   std::to_string(wish.max_payload) + " bytes, and it has " +
                                       std::to_string(config.max_payload) + "; make a new engine for that"));
  }
  CreateOptions options;
  options.levels = config.levels;
  options.weights = config.weights;
  options.capacity = wish.capacity != 0           ? wish.capacity
                     : config.plain_capacity != 0 ? config.plain_capacity
                                                  : config.capacity;
  options.reserve = reserve_of(config);
  // Half of the capacity stays half of it.
  const std::uint32_t former_capacity = config.plain_capacity != 0 ? config.plain_capacity : config.capacity;
  if (config.results_limit != former_capacity / 2) options.results = config.results_limit;
  options.cell_size = wish.cell_size != 0 ? wish.cell_size : config.cell_bytes;
  options.level_rings = config.level_ring_slots;  // the list of levels says where in them each ring is
  options.lease = std::chrono::milliseconds(config.default_lease_ms);
  options.keep_memory = std::chrono::milliseconds(config.keep_memory_ms);
  options.max_payload = wish.max_payload != 0 ? wish.max_payload : std::max(config.max_payload, 1U);  // 1: no arena
  options.arena = std::max(wish.arena, config.arena_bytes);
  auto checked = checked_configuration(options);
  if (!checked) return checked;
  EngineConfiguration configuration = former;
  const std::uint64_t engine_id = config.engine_id;
  const std::uint32_t mode = config.mode;
  configuration.segment = std::move(checked->segment);
  configuration.segment.engine_id = engine_id;
  configuration.segment.mode = mode;
  const std::uint64_t segment_bytes = former.journal.segment_bytes;
  const std::uint64_t segments = (checked->journal.limit() + segment_bytes - 1) / segment_bytes;
  if (segments > most_segments) {
    return std::unexpected(invalid("the journal's files are too short for this capacity, cell size and arena",
                                   "it would have " + std::to_string(segments) + " of " +
                                       std::to_string(segment_bytes) + " bytes, at most " +
                                       std::to_string(most_segments) + "; make a new engine of this size"));
  }
  configuration.most_cells = std::max(former.most_cells, config.capacity);
  configuration.journal.most_segments = std::max(former.journal.most_segments, static_cast<std::uint32_t>(segments));
  return configuration;
}

namespace {

nlohmann::ordered_json kept_to_json(const SegmentConfig& config) {
  nlohmann::ordered_json kept;
  std::uint32_t rest = config.capacity - config.plain_capacity - Room::leases_for(config.plain_capacity);
  for (std::size_t n = 0; n < config.kept_cells.size(); ++n) {
    kept[config.levels[n]] = config.kept_cells[n];
    rest -= config.kept_cells[n];
  }
  kept[all_dynamic_levels] = rest;
  return kept;
}

}  // namespace

std::string to_json(const EngineConfiguration& configuration) {
  const SegmentConfig& config = configuration.segment;
  const JournalGeometry& journal = configuration.journal;
  expect_memory_for_json(0);
  nlohmann::ordered_json json;
  json["format"] = configuration_format;
  json["id"] = JobId(config.engine_id).to_string();
  if (configuration.journal_id != config.engine_id) json["journal_id"] = JobId(configuration.journal_id).to_string();
  if (configuration.home.inode != 0) {
    json["home"] = {{"inode", configuration.home.inode},
                    {"born_ns", configuration.home.born_ns},
                    {"directory", configuration.home.directory}};
  }
  json["shm_dir"] = configuration.shm_dir.string();
  json["levels"] = config.levels;
  json["weights"] = config.weights;
  json["capacity"] = config.plain_capacity != 0 ? config.plain_capacity : config.capacity;
  if (config.plain_capacity != 0) json["kept"] = kept_to_json(config);
  json["keep_memory_ms"] = config.keep_memory_ms;
  json["results"] = config.results_limit;
  json["cell_size"] = config.cell_bytes;
  json["level_rings"] = config.level_ring_slots;
  json["max_payload"] = std::max(config.max_payload, 1U);  // 1: no arena
  json["arena"] = config.arena_bytes;
  if (configuration.most_cells > config.capacity) json["most_cells"] = configuration.most_cells;
  json["lease_ms"] = config.default_lease_ms;
  json["file_mode"] = config.mode;
  json["journal"] = {{"limit", journal.limit()}, {"segment_bytes", journal.segment_bytes}};
  return json.dump(2) + "\n";
}

Result<EngineConfiguration> from_json(const std::string& text, const fs::path& path) {
  const auto broken = [&path](const char* why) {
    return std::unexpected(
        Error(ErrorCode::corrupt, "the engine's configuration cannot be used", path.string() + ": " + why));
  };
  expect_memory_for_json(text.size());
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return broken("not a JSON object");
  try {
    if (number_at<int>(json, "format") != configuration_format) {
      return std::unexpected(
          Error(ErrorCode::incompatible, "the engine was made by another version of ringmill", path.string()));
    }
    CreateOptions options;
    options.levels = json.at("levels").get<std::vector<std::string>>();
    for (const nlohmann::json& weight : json.at("weights")) options.weights.push_back(number_of<std::uint32_t>(weight));
    options.capacity = number_at<std::uint32_t>(json, "capacity");
    options.reserve.emplace();  // engines from before have no such entry: nothing is kept in them
    if (json.contains("kept")) {
      for (const auto& [level, jobs] : json.at("kept").items()) {
        options.reserve->push_back({.level = level, .jobs = number_of<std::uint32_t>(jobs)});
      }
    }
    options.keep_memory = std::chrono::milliseconds(number_at(json, "keep_memory_ms", std::int64_t{10'000}));
    options.results = number_at(json, "results", 0U);  // engines from before have no such entry, and no bound
    options.cell_size = number_at<std::uint32_t>(json, "cell_size");
    options.level_rings = number_at(json, "level_rings", std::uint64_t{0});
    options.lease = std::chrono::milliseconds(number_at<std::int64_t>(json, "lease_ms"));
    // Engines from before the arena have no such entries: theirs is what their journal has room for.
    options.max_payload = number_at(json, "max_payload", 0U);
    options.arena = number_at(json, "arena", std::uint64_t{0});
    const bool had_arena = json.contains("max_payload") || !json.contains("journal");
    if (!had_arena) options.journal_limit = number_at<std::uint64_t>(json.at("journal"), "limit");
    auto configuration = checked_configuration(options);
    if (!configuration) return broken(configuration.error().message().c_str());
    const auto id = JobId::parse(json.at("id").get<std::string>());
    if (!id) return broken("its id is not 16 hexadecimal digits");
    configuration->segment.engine_id = configuration->journal_id = id->value();
    if (json.contains("journal_id")) {
      const auto first = JobId::parse(json.at("journal_id").get<std::string>());
      if (!first) return broken("its journal's id is not 16 hexadecimal digits");
      configuration->journal_id = first->value();
    }
    // Engines from before homes have no such entry; they get one when their memory is made anew.
    if (json.contains("home")) {
      configuration->home = {.inode = number_at<std::uint64_t>(json.at("home"), "inode"),
                             .born_ns = number_at<std::uint64_t>(json.at("home"), "born_ns"),
                             .directory = number_at<std::uint64_t>(json.at("home"), "directory")};
    }
    configuration->most_cells = number_at(json, "most_cells", 0U);
    configuration->segment.mode = number_at<std::uint32_t>(json, "file_mode") & 0666;
    const auto shm_dir = json.at("shm_dir").get<std::string>();
    if (!shm_dir.starts_with('/') || shm_dir.size() >= PATH_MAX || shm_dir.find('\0') != std::string::npos) {
      return broken("its shm_dir is not an absolute path");
    }
    configuration->shm_dir = shm_dir;
    // Engines from before the journal have no such entry: they get the default.
    if (json.contains("journal")) {
      const auto journal = journal_from_json(json.at("journal"));
      if (!journal) return broken("the sizes of its journal are impossible");
      configuration->journal = *journal;
    }
    return configuration;
  } catch (const nlohmann::json::exception& failure) {
    return broken(failure.what());
  } catch (const std::out_of_range& failure) {  // of a number
    return broken(failure.what());
  }
}

}  // namespace ringmill
