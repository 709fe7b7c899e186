// A line of `enqueue --from-json`: refused, or a job whose payload stood in the line.
#include "tests/fuzz/fuzz.h"
#include "tools/cli/job_source.h"
#include "tools/cli/json_line.h"

namespace ringmill::test {

void run(Input input) {
  const std::string line = input.rest();
  const auto job = cli::parse_json_job(line);
  if (!job) {
    check(job.error().code() == ErrorCode::invalid_argument, "another error than invalid_argument");
    return;
  }
  check(job->payload.size() <= line.size(), "a payload that is longer than its line");
  const auto members = cli::members_of(line);
  check(members.has_value(), "a job of a line that is no object");
  for (const auto& [key, value] : *members) {
    const bool is_text = key == "payload" && !value.starts_with('"');
    check(!is_text || job->payload == value, "a payload that does not stand as it is in the line");
  }
}

}  // namespace ringmill::test
