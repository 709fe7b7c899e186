// What a job carries beside its payload: a tag, a trace, the dead letter that it comes from.
#include "core/table/notes.h"

#include <array>
#include <string>
#include <vector>

#include <ringmill/graph.h>

#include "core/table/job_table.h"
#include "tests/support/core_test.h"

namespace ringmill::test {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view one_trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
constexpr std::string_view other_trace = "00-11111111111111111111111111111111-2222222222222222-00";

CreateOptions with_room_for_notes() {
  CreateOptions options = small_engine();
  options.cell_size = 256;
  options.max_payload = 64 * 1024;
  options.arena = 4 * 64 * 1024;
  return options;
}

struct NotesWorld : World {
  explicit NotesWorld(const CreateOptions& options = with_room_for_notes()) : World(options) {}

  std::unique_ptr<Participant> participant = attach();

  JobRequest noted(std::string_view payload, std::string_view tag = "order-17",
                   std::string_view trace = one_trace) const {
    JobRequest asked = request(payload);
    asked.tag = tag;
    asked.trace_parent = trace;
    return asked;
  }
  JobInfo info(JobId id) const { return must(engine.job(id)); }
  std::string trace_of(JobId id) const { return info(id).trace_parent; }
};

TEST(NotesInProcess, a_job_shows_its_tag_its_trace_and_its_letter) {
  NotesWorld world;
  JobRequest asked = world.noted("payload");
  asked.retried_from = JobId(0x1234);
  const JobInfo info = world.info(must(world.participant->enqueue(asked)));
  EXPECT_EQ(info.tag, "order-17");
  EXPECT_EQ(info.trace_parent, one_trace);
  EXPECT_EQ(info.retried_from, JobId(0x1234));
  EXPECT_EQ(info.payload_size, 7U);
}

TEST(NotesInProcess, a_plain_job_carries_nothing_and_has_its_whole_cell) {
  NotesWorld world;
  const std::string payload(256 - sizeof(CellHeader), 'p');
  const JobId id = world.enqueue(*world.participant, payload);
  EXPECT_EQ(world.info(id).tag + world.info(id).trace_parent, "");
  const auto core = world.scratch.open_core();
  const JobTable table(core->segment);
  EXPECT_EQ(table.header(index_of(id)).flags.load() & (cell_flag::has_notes | cell_flag::in_arena), 0);
}

TEST(NotesInProcess, the_handler_reads_tag_and_trace_in_each_attempt) {
  NotesWorld world;
  JobRequest asked = world.noted("payload");
  asked.options.retry_policy = must(world.engine.retry_policy("fixed:0s"));
  static_cast<void>(must(world.participant->enqueue(asked)));
  for (int attempt = 1; attempt <= 2; ++attempt) {
    Job job = must(world.participant->claim(generous));
    EXPECT_EQ(job.tag(), "order-17");
    EXPECT_EQ(job.trace_parent(), one_trace);
    EXPECT_EQ(as_text(job.payload()), "payload");
    if (attempt == 1) {
      must(job.fail("an error that is longer than what there is room for beside all that a job carries"));
    } else {
      must(job.complete());
      EXPECT_EQ(job.tag(), "") << "it is over";
    }
  }
}

/// Each length of payload, beside each mix of what else stands in the cell.
TEST(NotesInProcess, payload_notes_options_and_links_leave_each_other_alone) {
  NotesWorld world;
  const std::string error(300, 'e');
  for (std::size_t bytes = 0; bytes <= 200; bytes += 8) {
    for (const bool is_linked : {false, true}) {
      for (const bool keeps : {false, true}) {
        const std::string payload(bytes, static_cast<char>('a' + bytes / 8 % 26));
        const std::string tag = "t" + std::to_string(bytes);
        JobRequest asked = world.noted(payload, tag);
        asked.options.max_attempts = 5;
        if (keeps) asked.options.keep_result = 1h;
        JobId id;
        if (is_linked) {
          const std::array<LinkedRequest, 1> linked{LinkedRequest{.request = asked}};
          must(world.participant->enqueue_together(linked, std::span(&id, 1)));
        } else {
          id = must(world.participant->enqueue(asked));
        }
        Job job = must(world.participant->claim(generous));
        ASSERT_EQ(job.id(), id);
        ASSERT_EQ(as_text(job.payload()), payload);
        must(job.retry_in(0ms, error));
        job = must(world.participant->claim(generous));
        const JobInfo info = world.info(id);
        EXPECT_EQ(as_text(job.payload()), payload) << bytes;
        EXPECT_EQ(info.tag, tag);
        EXPECT_EQ(info.trace_parent, one_trace);
        EXPECT_EQ(info.last_error.find_first_not_of("e[.] "), std::string::npos) << info.last_error;
        must(job.complete("result"));
        if (keeps) {
          EXPECT_EQ(world.info(id).result, "result");
          EXPECT_EQ(world.info(id).tag, tag) << "as long as the result is kept";
        }
      }
    }
  }
}

TEST(NotesInProcess, a_unique_job_carries_its_notes_beside_its_key) {
  NotesWorld world;
  const UniqueJob job = must(world.participant->enqueue_unique(world.noted(std::string(64, 'p')), "key"));
  EXPECT_EQ(world.info(job.id).tag, "order-17");
  EXPECT_EQ(world.info(job.id).trace_parent, one_trace);
  EXPECT_EQ(must(world.participant->enqueue_unique(world.noted("other"), "key")).id, job.id);
  EXPECT_EQ(as_text(must(world.participant->claim(generous)).payload()), std::string(64, 'p'));
}

TEST(NotesInProcess, a_batch_carries_the_notes_of_each_of_its_jobs) {
  NotesWorld world;
  const std::vector<JobRequest> requests{world.request("plain"), world.noted("noted"),
                                         world.noted(std::string(5000, 'l'), "large", "")};
  std::array<JobId, 3> ids;
  ASSERT_EQ(must(world.participant->enqueue_batch(requests, ids)), 3U);
  EXPECT_EQ(world.info(ids[0]).tag, "");
  EXPECT_EQ(world.info(ids[1]).tag, "order-17");
  EXPECT_EQ(world.info(ids[2]).tag, "large");
  EXPECT_EQ(world.info(ids[2]).trace_parent, "");
  EXPECT_EQ(world.info(ids[2]).payload_size, 5000U);
}

TEST(NotesInProcess, what_is_no_tag_and_no_trace_is_refused_with_a_reason) {
  NotesWorld world;
  for (const std::string& tag : {std::string(32, 't'), std::string("line\nbreak"), std::string("n\0l", 3)}) {
    const auto refused = world.participant->enqueue(world.noted("p", tag));
    ASSERT_EQ(code_of(refused), ErrorCode::invalid_argument);
    EXPECT_NE(refused.error().message().find("tag"), std::string::npos) << refused.error().message();
  }
  const auto refused = world.participant->enqueue(world.noted("p", "", "00-0-0-0"));
  ASSERT_EQ(code_of(refused), ErrorCode::invalid_argument);
  EXPECT_NE(refused.error().message().find("traceparent"), std::string::npos) << refused.error().message();
  const std::array<LinkedRequest, 1> linked{LinkedRequest{.request = world.noted("p", std::string(32, 't'))}};
  JobId id;
  EXPECT_EQ(code_of(world.participant->enqueue_together(linked, std::span(&id, 1))), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(world.participant->enqueue_unique(world.noted("p", "\x7f"), "k")), ErrorCode::invalid_argument);
}

TEST(NotesInProcess, the_smallest_cells_have_no_room_for_notes_and_say_so) {
  NotesWorld world(small_engine());
  const auto refused = world.participant->enqueue(world.noted("p"));
  ASSERT_EQ(code_of(refused), ErrorCode::too_large);
  EXPECT_NE(refused.error().message().find("--cell-size"), std::string::npos) << refused.error().message();
}

TEST(NotesInProcess, a_follow_up_inherits_the_trace_and_its_own_wins) {
  NotesWorld world;
  static_cast<void>(must(world.participant->enqueue(world.noted("parent"))));
  Job job = must(world.participant->claim(generous));
  const std::string payload(60, 'f');  // beside notes and links it does not fit the cell
  const JobId inheriting = must(job.follow_up({.request = world.request(payload)}));
  const JobId own = must(job.follow_up({.request = world.noted("own", "tagged", other_trace)}));
  must(job.complete());
  EXPECT_EQ(world.trace_of(inheriting), one_trace);
  EXPECT_EQ(world.info(inheriting).tag, "") << "a tag is a job's own";
  EXPECT_EQ(world.trace_of(own), other_trace);
  EXPECT_EQ(world.info(own).tag, "tagged");
  EXPECT_EQ(as_text(must(world.participant->claim(generous)).payload()), payload);
}

TEST(NotesInProcess, a_chain_and_what_waits_for_it_inherit_the_trace_of_its_first_job) {
  NotesWorld world;
  const auto chain = JobGraph::chain({world.noted("first"), world.request("second"),
                                      world.noted("third", "t3", other_trace), world.request("fourth")});
  const std::vector<JobId> ids = must(chain.enqueue(*world.participant));
  EXPECT_EQ(world.trace_of(ids[0]), one_trace);
  EXPECT_EQ(world.trace_of(ids[1]), one_trace);
  EXPECT_EQ(world.trace_of(ids[2]), other_trace);
  EXPECT_EQ(world.trace_of(ids[3]), other_trace);
  EXPECT_EQ(world.info(ids[2]).tag, "t3");
  JobGraph later;
  later.wait_for(later.add(world.request("later")), std::span(&ids[3], 1));
  EXPECT_EQ(world.trace_of(must(later.enqueue(*world.participant)).front()), other_trace);
}

TEST(NotesInProcess, a_graph_keeps_what_its_jobs_carry_after_the_caller_has_let_it_go) {
  NotesWorld world;
  JobGraph graph;
  {
    const std::string tag = "a tag that was a temporary";
    const std::string trace(one_trace);
    graph.add(world.noted("payload", tag, trace));
  }
  const JobId id = must(graph.enqueue(*world.participant)).front();
  EXPECT_EQ(world.info(id).tag, "a tag that was a temporary");
  EXPECT_EQ(world.trace_of(id), one_trace);
}

}  // namespace
}  // namespace ringmill::test
