// What is kept of an error that is longer than the room for it.
#include "core/base/kept_text.h"

#include <string>

#include <gtest/gtest.h>

namespace ringmill::test {
namespace {

std::string kept(std::string_view reason, std::string_view said, std::size_t room) {
  return std::string(KeptText(reason, said, room).text());
}

TEST(KeptTextInProcess, an_error_that_fits_is_kept_whole) {
  EXPECT_EQ(kept("", "", 100), "");
  EXPECT_EQ(kept("why", "", 3), "why");
  EXPECT_EQ(kept("", "what it said\n", 100), "what it said");
  EXPECT_EQ(kept("why", "what it said\n", 17), "why: what it said");
}

TEST(KeptTextInProcess, of_what_was_said_the_last_lines_are_kept) {
  std::string said;
  for (int n = 0; n < 400; ++n) said += "debug: step " + std::to_string(n) + " is fine\n";
  said += "FATAL: disk quota exceeded\n";
  EXPECT_EQ(kept("status 1", said, 100),
            "status 1: [...] debug: step 398 is fine\ndebug: step 399 is fine\nFATAL: disk quota exceeded");
}

TEST(KeptTextInProcess, of_a_last_line_that_is_too_long_the_end_is_kept) {
  const std::string said = "first\n" + std::string(100, 'a') + "the end";
  EXPECT_EQ(kept("status 1", said, 60), "status 1: [...] " + std::string(37, 'a') + "the end");
}

TEST(KeptTextInProcess, a_short_last_line_does_not_cost_a_long_one_before_it) {
  const std::string said = std::string(100, 'a') + "\nend";
  EXPECT_EQ(kept("x", said, 39), "x: [...] " + std::string(26, 'a') + "\nend");
}

TEST(KeptTextInProcess, a_reason_of_its_own_keeps_beginning_and_end) {
  const std::string reason = "beginning " + std::string(200, '.') + " end";
  const std::string text = kept(reason, "", 50);
  EXPECT_EQ(text.size(), 50U);
  EXPECT_TRUE(text.starts_with("beginning ...")) << text;
  EXPECT_NE(text.find("[...]"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("... end")) << text;
}

TEST(KeptTextInProcess, where_there_is_little_room_the_end_goes_before_the_reason) {
  EXPECT_EQ(kept("the command ended with status 1", "noise noise noise noise\nquota exceeded", 30),
            "[...] quota exceeded");
}

TEST(KeptTextInProcess, no_character_is_cut_in_two) {
  std::string said;
  for (int n = 0; n < 100; ++n) said += "\xe2\x82\xac";  // the euro sign, of three bytes
  for (std::size_t room = 30; room < 60; ++room) {
    const std::string text = kept("x", said, room);
    EXPECT_EQ((text.size() - std::string_view("x: [...] ").size()) % 3, 0U) << room;
    EXPECT_EQ(beginning_of(said, room).size() % 3, 0U) << room;
    EXPECT_EQ(end_of(said, room).size() % 3, 0U) << room;
  }
}

TEST(KeptTextInProcess, no_room_is_overrun) {
  const std::string reason(300, 'r');
  const std::string said = std::string(2000, 's') + "\n" + std::string(3000, 't');
  for (std::size_t room = 0; room < 2000; ++room) {
    EXPECT_LE(kept(reason, said, room).size(), room);
    EXPECT_LE(kept(reason, "", room).size(), room);
    EXPECT_LE(kept("", said, room).size(), room);
  }
}

}  // namespace
}  // namespace ringmill::test
