// A job's tag and trace through the C interface.
#include <array>
#include <string_view>

#include <ringmill/ringmill.h>

#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

rm_bytes noted_bytes(std::string_view text) { return {text.data(), text.size()}; }

TEST(CNotesInProcess, a_job_has_the_tag_and_the_trace_that_its_options_gave_it) {
  constexpr std::string_view trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  const ScratchEngine scratch(small_engine_with_room());
  rm_error error{sizeof(rm_error), 0, 0, {}};
  const rm_open_options opening{.size = sizeof opening, .flags = RM_OPEN_NO_KEEPER};
  rm_engine* engine = nullptr;
  ASSERT_EQ(rm_open(scratch.directory().c_str(), &opening, &engine, &error), RM_OK) << error.message;
  rm_participant* participant = nullptr;
  ASSERT_EQ(rm_attach(engine, RM_WORKER, 0, &participant, &error), RM_OK) << error.message;
  rm_job_options options{};
  options.size = sizeof options;
  options.tag = noted_bytes("order-17");
  options.trace_parent = noted_bytes(trace);
  rm_request asked{};
  asked.size = sizeof asked;
  asked.options = &options;
  ASSERT_EQ(rm_kind(engine, noted_bytes("test"), &asked.kind, &error), RM_OK);
  rm_id id = 0;
  ASSERT_EQ(rm_enqueue(participant, &asked, 1, &id, nullptr, 0, &error), RM_OK) << error.message;
  rm_claimed claimed{};
  claimed.size = sizeof claimed;
  std::uint32_t got = 0;
  ASSERT_EQ(rm_claim(participant, &claimed, 1, &got, 0, &error), RM_OK) << error.message;
  std::array<char, 64> text{};
  EXPECT_EQ(rm_trace_parent(participant, claimed.lease, text.data(), text.size()), trace.size());
  EXPECT_EQ(std::string_view(text.data()), trace);
  EXPECT_EQ(rm_tag(participant, claimed.lease, text.data(), 4), 8U);
  EXPECT_EQ(std::string_view(text.data()), "ord") << "cut to the room";
  EXPECT_EQ(rm_tag(participant, claimed.lease + 1, text.data(), text.size()), 0U);
  rm_job* job = nullptr;
  ASSERT_EQ(rm_look(engine, id, &job, &error), RM_OK) << error.message;
  rm_job_fields fields{};
  fields.size = sizeof fields;
  EXPECT_EQ(rm_job_read(job, &fields), RM_OK);
  EXPECT_EQ(std::string_view(static_cast<const char*>(fields.tag.data), fields.tag.size), "order-17");
  EXPECT_EQ(std::string_view(static_cast<const char*>(fields.trace_parent.data), fields.trace_parent.size), trace);
  EXPECT_EQ(fields.retried_from + fields.retried_as, 0U);
  rm_job_free(job);
  options.tag = noted_bytes("a tag of more than thirty-one bytes");
  EXPECT_EQ(rm_enqueue(participant, &asked, 1, &id, nullptr, 0, &error), RM_INVALID_ARGUMENT);
  EXPECT_NE(std::string_view(error.message).find("31 bytes"), std::string_view::npos) << error.message;
  rm_participant_release(participant);
  rm_engine_release(engine);
}

}  // namespace
}  // namespace ringmill::test
