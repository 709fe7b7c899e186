// engine.json, levels.json and flow-control.json as something else may have written them.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "core/flow_control/flow_rules.h"
#include "core/instance/engine_configuration.h"
#include "core/levels/level_list.h"
#include "tests/support/must.h"
#include "tests/support/scratch.h"

namespace ringmill::test {
namespace {

using Json = nlohmann::json;

Json engine_json() {
  auto configuration = must(checked_configuration(small_engine()));
  configuration.shm_dir = "/dev/shm";
  return Json::parse(to_json(configuration));
}

ErrorCode code_of_engine(const Json& json) { return code_of(from_json(json.dump(), "engine.json")); }

/// What a number must not be; 2^32 + 64 was read as 64.
const std::vector<Json>& odd_numbers() {
  static const std::vector<Json> all{Json(-1),
                                     Json(1.5),
                                     Json(1e300),
                                     Json((std::uint64_t{1} << 32) + 64),
                                     Json(~std::uint64_t{0}),
                                     Json("64"),
                                     Json(true),
                                     Json(nullptr),
                                     Json::array(),
                                     Json::parse("18446744073709551680")};
  return all;
}

TEST(ForeignJson, no_number_of_engine_json_is_cut_or_turned_into_another) {
  EXPECT_TRUE(from_json(engine_json().dump(), "engine.json").has_value());
  for (const char* const key : {"capacity", "cell_size", "lease_ms", "level_rings", "max_payload", "arena", "format"}) {
    for (const Json& odd : odd_numbers()) {
      if (odd == Json((std::uint64_t{1} << 32) + 64) && key == std::string("arena")) continue;  // that can be
      Json json = engine_json();
      json[key] = odd;
      EXPECT_FALSE(from_json(json.dump(), "engine.json").has_value()) << key << " " << odd;
    }
  }
  Json json = engine_json();
  json["weights"] = {6, 3, (std::uint64_t{1} << 32) + 1};
  EXPECT_EQ(code_of_engine(json), ErrorCode::corrupt);
}

TEST(ForeignJson, the_folder_for_shared_memory_is_an_absolute_path) {
  for (const std::string& folder : {std::string(), std::string("shm"), std::string("./shm"), std::string("../dev/shm"),
                                    std::string("/dev/shm\0/x", 11), "/" + std::string(5000, 'x')}) {
    Json json = engine_json();
    json["shm_dir"] = folder;
    EXPECT_EQ(code_of_engine(json), ErrorCode::corrupt) << folder.substr(0, 20);
  }
}

TEST(ForeignJson, a_million_levels_deep_is_an_error_and_no_overflow_of_the_stack) {
  const std::string deep = std::string(1'000'000, '[') + std::string(1'000'000, ']');
  EXPECT_EQ(code_of(from_json("{\"format\":" + deep + "}", "engine.json")), ErrorCode::corrupt);
  EXPECT_EQ(code_of(flow_rules_from_json("{\"format\":" + deep + "}", "flow-control.json")), ErrorCode::corrupt);
  EXPECT_EQ(code_of(LevelList::from_json("{\"format\":" + deep + "}", "levels.json", 16384)), ErrorCode::corrupt);
}

/// Found by tools/fuzz: it was read as a rate, and not written again.
TEST(ForeignJson, a_rate_of_no_jobs_is_no_rate) {
  const auto rules = [](const Json& count) {
    return flow_rules_from_json(
        Json{{"format", 1},
             {"paused_levels", Json::object()},
             {"kinds", {{"mail", {{"rate", {{"count", count}, {"period_ns", 1'000'000'000}, {"burst", 5}}}}}}}}
            .dump(),
        "flow-control.json");
  };
  EXPECT_TRUE(rules(1).has_value());
  EXPECT_EQ(code_of(rules(0)), ErrorCode::corrupt);
  for (const Json& odd : odd_numbers()) EXPECT_EQ(code_of(rules(odd)), ErrorCode::corrupt) << odd;
}

TEST(ForeignJson, no_number_of_a_listed_level_is_cut) {
  const auto list = [](const char* key, const Json& value) {
    Json level{{"name", "a"}, {"place", 0},         {"epoch", 1},      {"weight", 3},
               {"ring", 16},  {"ring_begin", 1024}, {"removed", false}};
    level[key] = value;
    return LevelList::from_json(Json{{"format", 1}, {"levels", Json::array({level})}}.dump(), "levels.json", 16384);
  };
  EXPECT_TRUE(list("weight", 7).has_value());
  for (const char* const key : {"place", "epoch", "weight", "ring", "ring_begin"}) {
    for (const Json& odd : odd_numbers()) EXPECT_EQ(code_of(list(key, odd)), ErrorCode::corrupt) << key << " " << odd;
  }
  EXPECT_EQ(code_of(list("epoch", 65536 + 1)), ErrorCode::corrupt);
}

}  // namespace
}  // namespace ringmill::test
