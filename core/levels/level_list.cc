#include "core/levels/level_list.h"

#include <algorithm>
#include <bitset>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "core/base/exceptions.h"
#include "core/base/json_number.h"
#include "ipc/name_table.h"

namespace ringmill {

namespace {

constexpr int list_format = 1;
/// The default ring takes at most a sixteenth of the free room that is not reserved for other numbers. So the first
/// levels get rings of the usual size, and every number gets one.
constexpr std::uint64_t share_of_spare = 16;

/// Returns nothing for an impossible entry. Pieces of removed levels have no meaning.
std::optional<ListedLevel> level_from(const nlohmann::json& json, std::uint64_t ring_slots) {
  ListedLevel level;
  level.name = json.at("name").get<std::string>();
  level.place = number_at<std::uint32_t>(json, "place");
  level.epoch = number_at<std::uint16_t>(json, "epoch");
  level.weight = number_at<std::uint32_t>(json, "weight");
  level.ring.first = number_at<std::uint32_t>(json, "ring_begin");
  level.ring.slots = number_at<std::uint32_t>(json, "ring");
  level.is_removed = json.at("removed").get<bool>();
  const bool is_sound = is_valid_name(level.name) && level.place < most_dynamic_levels && level.weight >= 1 &&
                        level.weight <= 1000 && level.ring.is_within(ring_slots);
  return is_sound ? std::optional(level) : std::nullopt;
}

}  // namespace

Result<LevelList> LevelList::read(const Directory& directory, std::uint64_t ring_slots) {
  const auto text = directory.read_small_file(level_list_file, Directory::Owners::let_in);
  if (text) return from_json(*text, directory.path_of(level_list_file), ring_slots);
  if (text.error().code() != ErrorCode::not_found) return std::unexpected(text.error());
  LevelList list;
  list.ring_slots_ = ring_slots;
  return list;
}

Result<LevelList> LevelList::from_json(const std::string& text, const std::filesystem::path& path,
                                       std::uint64_t ring_slots) {
  LevelList list;
  list.ring_slots_ = ring_slots;
  const auto broken = [&path] {
    return std::unexpected(Error(ErrorCode::corrupt, "the list of dynamic levels cannot be used", path.string()));
  };
  expect_memory_for_json(text.size());
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return broken();
  std::bitset<most_dynamic_levels> places;
  try {
    if (number_at<int>(json, "format") != list_format) return broken();
    for (const nlohmann::json& one : json.at("levels")) {
      auto level = level_from(one, ring_slots);
      if (!level || places.test(level->place)) return broken();
      places.set(level->place);
      list.levels_.push_back(*std::move(level));
    }
  } catch (const nlohmann::json::exception&) {
    return broken();
  } catch (const std::out_of_range&) {  // of a number
    return broken();
  }
  return list;
}

Result<void> LevelList::write(const Directory& directory, std::uint32_t file_mode) const {
  constexpr std::size_t bytes_of_level = 256;
  expect_memory_for_json(levels_.size() * bytes_of_level);
  nlohmann::ordered_json json;
  json["format"] = list_format;
  json["levels"] = nlohmann::ordered_json::array();
  for (const ListedLevel& level : levels_) {
    json["levels"].push_back({{"name", level.name},
                              {"place", level.place},
                              {"epoch", level.epoch},
                              {"weight", level.weight},
                              {"ring_begin", level.ring.first},
                              {"ring", level.ring.slots},
                              {"removed", level.is_removed}});
  }
  // Every user of the engine may make levels, so every user may read the list.
  return directory.write_file_durably(level_list_file, json.dump(1) + "\n", file_mode | 0444);
}

ListedLevel* LevelList::find(std::string_view name) noexcept {
  const auto found = std::ranges::find_if(
      levels_, [name](const ListedLevel& level) { return !level.is_removed && level.name == name; });
  return found != levels_.end() ? &*found : nullptr;
}

std::optional<RingPiece> LevelList::free_piece(std::uint32_t slots) const {
  std::vector<RingPiece> taken;
  for (const ListedLevel& level : levels_) {
    if (!level.is_removed) taken.push_back(level.ring);
  }
  std::ranges::sort(taken, {}, &RingPiece::first);
  std::uint64_t begin = 0;
  for (const RingPiece& piece : taken) {
    if (begin + slots <= piece.first) break;
    const std::uint64_t end = std::uint64_t{piece.first} + piece.slots;
    if (end > begin) begin = (end + slots - 1) / slots * slots;
  }
  if (begin + slots > ring_slots_) return std::nullopt;
  return RingPiece{.first = static_cast<std::uint32_t>(begin), .slots = slots};
}

std::uint32_t LevelList::usual_ring() const noexcept {
  std::uint64_t left = ring_slots_;
  std::uint64_t numbers_left = most_dynamic_levels;
  for (const ListedLevel& level : levels_) {
    if (level.is_removed) continue;
    left -= std::min<std::uint64_t>(left, level.ring.slots);
    --numbers_left;
  }
  const std::uint64_t kept = numbers_left * least_level_ring;
  const std::uint64_t share = left > kept ? (left - kept) / share_of_spare : 0;
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(std::bit_floor(share), least_level_ring, default_level_ring));
}

Result<RingPiece> LevelList::piece_for(std::uint32_t wanted) const {
  if (wanted != 0 && (wanted < least_level_ring || wanted > most_level_ring)) {
    return std::unexpected(
        Error(ErrorCode::invalid_argument, "a level's ring has 16 to 65536 slots", std::to_string(wanted)));
  }
  std::uint32_t slots = wanted != 0 ? std::bit_ceil(wanted) : usual_ring();
  for (; slots >= least_level_ring; slots /= 2) {
    const auto piece = free_piece(slots);
    if (piece && (wanted == 0 || slots >= wanted)) return *piece;
    if (piece) break;
  }
  return std::unexpected(
      Error(ErrorCode::no_space, "the room for rings of dynamic levels is used up",
            slots < least_level_ring
                ? "remove a level, or create an engine with more --level-rings"
                : "the largest ring that fits has " + std::to_string(slots) +
                      " hints; ask for that (what does not fit a ring waits with the keeper), or remove a level"));
}

}  // namespace ringmill
