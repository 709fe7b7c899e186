// Which texts are a traceparent, by W3C Trace Context.
#include "core/base/trace_parent.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ringmill::test {
namespace {

constexpr const char* example_trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(TraceParentText, of_version_00_reads_as_it_was_written) {
  const auto parent = TraceParent::parse(example_trace);
  ASSERT_TRUE(parent.has_value());
  EXPECT_EQ(parent->trace_id[0], 0x0a);
  EXPECT_EQ(parent->parent_id[7], 0x31);
  EXPECT_EQ(parent->flags, 1);
  EXPECT_EQ(parent->text(), example_trace);
}

TEST(TraceParentText, of_a_later_version_is_taken_as_far_as_version_00_goes) {
  const auto parent =
      TraceParent::parse("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff-what-the-future-will-be");
  ASSERT_TRUE(parent.has_value());
  EXPECT_EQ(parent->text(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03")
      << "the flags that have a meaning";
}

TEST(TraceParentText, that_is_none_is_refused_with_what_is_wrong) {
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"", "form"},
      {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", "form"},
      {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-", "55"},
      {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x", "55"},
      {"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x", "form"},
      {"ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "version ff"},
      {"00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "form"},
      {"00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "form"},
      {"0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "form"},
      {"00-00000000000000000000000000000000-b7ad6b7169203331-01", "trace id"},
      {"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "parent id"},
  };
  for (const auto& [text, word] : wrong) {
    const auto parent = TraceParent::parse(text);
    ASSERT_FALSE(parent.has_value()) << text;
    EXPECT_NE(std::string(parent.error()).find(word), std::string::npos) << text << ": " << parent.error();
  }
}

TEST(TraceParentText, of_none_is_empty) { EXPECT_EQ(TraceParent().text(), ""); }

}  // namespace
}  // namespace ringmill::test
