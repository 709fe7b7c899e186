// Which requests are taken: by a segment alone, without an engine.
#include "core/participant/request_check.h"

#include <unistd.h>

#include <atomic>
#include <vector>

#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

SegmentConfig small_config() {
  SegmentConfig config;
  config.engine_id = 77;
  config.capacity = 128;
  config.cell_bytes = 256;
  config.default_lease_ms = 1000;
  config.levels = {"one", "two"};
  config.weights = {2, 1};
  return config;
}

struct Requests {
  ScratchFolder folder{"/dev/shm"};
  std::filesystem::path path = folder.path() / "segment";
  Segment segment = made();
  RetryPolicies policies;
  RequestCheck check{segment, policies};

  Segment made() const {
    must(Segment::create(path, small_config(), 1, 1000));
    return must(Segment::open(path, 77, ::geteuid(), 0600, Segment::Access::read_write, false));
  }
  Handles handles{segment};
  JobRequest plain{.kind = handles.kind(0), .level = handles.level(0)};

  bool takes(const JobRequest& request) const {
    Checked checked;
    return check.accepts(request, checked);
  }
  std::uint32_t room_of(const JobRequest& request) const {
    Checked checked;
    static_cast<void>(check.accepts(request, checked));
    return check.inline_room(request, checked);
  }
  ErrorCode code_of(const JobRequest& request) const {
    EXPECT_FALSE(takes(request));
    return check.refusal_of(request).code();
  }
};

TEST(RequestCheckInProcess, a_payload_fits_its_cell_or_is_too_large) {
  Requests requests;
  std::vector<std::byte> payload(requests.room_of({}));
  JobRequest request = requests.plain;
  request.payload = payload;
  EXPECT_TRUE(requests.takes(request));
  payload.push_back({});
  request.payload = payload;
  EXPECT_EQ(requests.code_of(request), ErrorCode::too_large);
}

TEST(RequestCheckInProcess, options_in_the_cell_leave_less_room_for_the_payload) {
  Requests requests;
  JobRequest request = requests.plain;
  request.options.keep_result = 1s;
  EXPECT_LT(requests.room_of(request), requests.room_of({}));
  const std::vector<std::byte> payload(requests.room_of(request) + 1);
  request.payload = payload;
  EXPECT_EQ(requests.code_of(request), ErrorCode::too_large);
}

TEST(RequestCheckInProcess, a_level_that_the_engine_has_not_is_refused) {
  Requests requests;
  JobRequest request = requests.plain;
  request.level = requests.handles.level(1);
  EXPECT_TRUE(requests.takes(request));
  request.level = requests.handles.level(2);
  EXPECT_EQ(requests.code_of(request), ErrorCode::invalid_argument);
}

TEST(RequestCheckInProcess, a_dynamic_level_takes_jobs_while_it_is_open_in_its_own_epoch) {
  Requests requests;
  std::atomic<std::uint64_t>& word = requests.segment.level(2).dynamic_state;
  word.store(LevelWord{.state = LevelState::open, .epoch = 3}.bits());
  JobRequest request = requests.plain;
  request.level = requests.handles.level(level_value(2, 3));
  EXPECT_TRUE(requests.takes(request));
  request.level = requests.handles.level(level_value(2, 2));
  EXPECT_EQ(requests.code_of(request), ErrorCode::level_removed);
  word.store(LevelWord{.state = LevelState::closing, .epoch = 3}.bits());
  request.level = requests.handles.level(level_value(2, 3));
  EXPECT_EQ(requests.code_of(request), ErrorCode::level_removed);
}

TEST(RequestCheckInProcess, kinds_and_leases_have_bounds) {
  Requests requests;
  JobRequest request = requests.plain;
  request.kind = requests.handles.kind(most_kinds);
  EXPECT_EQ(requests.code_of(request), ErrorCode::invalid_argument);
  request.kind = requests.plain.kind;
  request.lease = std::chrono::milliseconds(most_lease_ms);
  EXPECT_TRUE(requests.takes(request));
  request.lease += 1ms;
  EXPECT_EQ(requests.code_of(request), ErrorCode::invalid_argument);
}

TEST(RequestCheckInProcess, a_job_without_a_kind_is_refused) {
  Requests requests;
  JobRequest request = requests.plain;
  request.kind = Kind{};
  EXPECT_EQ(requests.code_of(request), ErrorCode::invalid_argument);
  EXPECT_NE(requests.check.refusal_of(request).message().find("needs a kind"), std::string::npos);
}

TEST(RequestCheckInProcess, a_job_without_a_level_is_refused_where_none_of_several_is_the_default) {
  Requests requests;
  JobRequest request = requests.plain;
  request.level = Level{};
  EXPECT_EQ(requests.code_of(request), ErrorCode::invalid_argument);
  EXPECT_NE(requests.check.refusal_of(request).message().find("names no level"), std::string::npos);
}

TEST(RequestCheckInProcess, no_kind_and_no_level_is_zero_whatever_the_engine_is_called) {
  for (std::uint64_t engine_id = 0; engine_id < 1000; ++engine_id) {
    const Handles handles(engine_id);
    for (std::uint32_t number = 0; number < most_kinds; ++number) {
      EXPECT_NE(handles.kind(number), Kind{});
      EXPECT_NE(handles.level(level_value(number, 0)), Level{});
    }
    EXPECT_GE(handles.number_of(Kind{}), most_kinds);
    EXPECT_GE(level_number(handles.value_of(Level{})), most_kinds);
  }
}

TEST(RequestCheckInProcess, times_and_retry_policies_are_checked) {
  Requests requests;
  JobRequest request = requests.plain;
  JobOptions& options = request.options;
  EXPECT_TRUE(requests.takes(request));
  options.delay = -1ms;
  EXPECT_EQ(requests.code_of(request), ErrorCode::invalid_argument);
  options.delay = 1ms;
  options.at = std::chrono::system_clock::now();
  EXPECT_EQ(requests.code_of(request), ErrorCode::invalid_argument);
  options = {};
  options.retry_policy = RetryPolicy{7};
  EXPECT_EQ(requests.code_of(request), ErrorCode::invalid_argument);
}

TEST(RequestCheckInProcess, a_linked_job_waits_for_earlier_jobs_of_its_call_alone) {
  Requests requests;
  LinkedRequest linked{.request = requests.plain};
  const std::vector<std::uint32_t> earlier{1};
  linked.after_earlier = earlier;
  EXPECT_TRUE(requests.check.check_linked(linked, 2).has_value());
  EXPECT_EQ(requests.check.check_linked(linked, 1).error().code(), ErrorCode::invalid_argument);
}

TEST(RequestCheckInProcess, without_an_arena_the_ids_of_parents_have_to_fit_the_cell) {
  Requests requests;
  LinkedRequest linked{.request = requests.plain};
  const std::vector<std::uint32_t> earlier(64, 0);
  linked.after_earlier = earlier;
  EXPECT_EQ(requests.check.check_linked(linked, 1).error().code(), ErrorCode::too_large);
}

}  // namespace
}  // namespace ringmill::test
