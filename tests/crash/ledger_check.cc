#include "tests/crash/ledger_check.h"

#include <fmt/format.h>

namespace ringmill::crash {
namespace {

struct Bounds {
  std::uint32_t least = 0;
  std::uint32_t most = 0;
};

bool ends_job(Ask ask) noexcept { return ask == Ask::complete || ask == Ask::cancel || ask == Ask::reject; }

bool is_only_attempt(const JobReport& job) noexcept { return job.has_one_attempt == 1 && job.is_claimed == 1; }

Bounds completions_allowed(const JobReport& job, bool is_standing) noexcept {
  const bool is_there = is_standing || job.enqueued == Answer::yes;
  const bool may_be_there = job.is_enqueuing == 1 && job.enqueued == Answer::none;
  if (!is_there) return {0, may_be_there ? 1U : 0U};
  if (is_only_attempt(job)) return {0, 0};  // it has begun, and fails, or is lost
  if (!ends_job(job.asked) || job.answered == Answer::no) return {1, 1};
  return {0, job.answered == Answer::yes ? 0U : 1U};
}

Bounds burials_allowed(const JobReport& job) noexcept {
  if (is_only_attempt(job)) return {1, 1};
  if (job.asked != Ask::reject || job.answered == Answer::no) return {0, 0};
  return {job.answered == Answer::yes ? 1U : 0U, 1};
}

/// What the job is left with is whole, and its own.
bool is_right_text(const JobReport& job, const JobRuns& seen) noexcept {
  if (seen.burials != 0) {
    const bool may_be_lost = is_only_attempt(job) && job.answered != Answer::yes;
    return seen.text == error_text ||
           (may_be_lost && (seen.text.starts_with("worker lost: process ") || seen.text == "the lease ran out"));
  }
  // A survivor completes without a result.
  const bool has_no_result = job.has_result == 0 || seen.completions != 0;
  const bool has_its_result =
      (job.has_result == 1 && seen.text == result_text) || (job.has_result == 2 && seen.text == large_result());
  return seen.times_kept == 0 || has_its_result || (seen.text.empty() && has_no_result);
}

/// After a kill.
Bounds attempts_allowed(const JobReport& job, bool may_be_claimed) noexcept {
  if (job.is_claimed == 0) return {1, may_be_claimed ? 2U : 1U};
  if (job.asked != Ask::release) return {2, 2};
  return {1, job.answered == Answer::yes ? 1U : 2U};
}

std::string text_of(const JobReport& job) {
  constexpr const char* asks[] = {"nothing",        "complete", "fail",   "release", "extend",
                                  "extend briefly", "cancel",   "reject", "bury"};
  constexpr const char* answers[] = {"no answer", "yes", "no"};
  return fmt::format("child: enqueue {}{}, claimed {}, asked {}: {}", job.is_enqueuing == 1 ? "asked, " : "",
                     answers[static_cast<int>(job.enqueued.load())], job.is_claimed.load(),
                     asks[static_cast<int>(job.asked.load())], answers[static_cast<int>(job.answered.load())]);
}

void judge_job(std::uint32_t serial, const Report& report, const JobRuns& seen, bool is_standing, Mode mode,
               std::vector<Problem>& problems) {
  const JobReport& job = report.jobs[serial];
  const std::uint32_t woken_ends = report.woken_ends[serial];
  const auto add = [&](Trouble trouble, const std::string& what) {
    problems.push_back({trouble, fmt::format("job {}: {} ({})", serial, what, text_of(job))});
  };
  const Bounds allowed = completions_allowed(job, is_standing);
  const std::uint32_t completions = seen.completions + woken_ends;
  if (completions < allowed.least) add(Trouble::lost, "never completed");
  if (completions > allowed.most) {
    add(Trouble::doubled, fmt::format("completed {} times by survivors, {} at most", completions, allowed.most));
  }
  const Bounds burials = burials_allowed(job);
  if (seen.burials < burials.least) add(Trouble::lost, "never buried");
  if (seen.burials > burials.most) {
    add(Trouble::doubled, fmt::format("buried {} times, {} at most", seen.burials, burials.most));
  }
  if (job.asked == Ask::reject && completions + seen.burials != 1) {
    add(completions + seen.burials == 0 ? Trouble::lost : Trouble::doubled, "neither completed nor buried, or both");
  }
  if (!is_right_text(job, seen)) add(Trouble::lost, fmt::format("is left with \"{}\"", seen.text));
  if (seen.claims > 0 && job.id != 0 && seen.id != job.id) {
    add(Trouble::lost, fmt::format("ran under id {:016x} instead of {:016x}", seen.id, job.id.load()));
  }
  if (mode == Mode::stop || seen.claims == 0) return;
  if (seen.leases_lost > 0) add(Trouble::doubled, "a survivor lost its lease, and no other participant got it");
  const Bounds attempts = attempts_allowed(job, report.is_claiming == 1);
  if (seen.lowest_attempt < attempts.least || seen.highest_attempt > attempts.most) {
    add(Trouble::doubled, fmt::format("ran as attempt {}..{}, expected {}..{}", seen.lowest_attempt,
                                      seen.highest_attempt, attempts.least, attempts.most));
  }
}

/// Each filler exactly once. Told in one line: what breaks a ring breaks many.
void judge_fillers(const Report& report, const Runs& runs, std::vector<Problem>& problems) {
  std::uint32_t lost = 0;
  std::uint32_t doubled = 0;
  for (std::uint32_t filler = 0; filler < runs.fillers; ++filler) {
    const std::uint32_t times = runs.filler_completions[filler] + std::uint32_t{report.filler_ends[filler].load()};
    lost += times == 0 ? 1 : 0;
    doubled += times > 1 ? 1 : 0;
  }
  if (lost > 0) {
    problems.push_back({Trouble::lost, fmt::format("{} of {} fillers never completed", lost, runs.fillers)});
  }
  if (doubled > 0) {
    problems.push_back({Trouble::doubled, fmt::format("{} of {} fillers completed again", doubled, runs.fillers)});
  }
}

/// Jobs that come together: all of them ran, or none.
void judge_bundles(const Report& report, const Runs& runs, std::vector<Problem>& problems) {
  const auto ran = [&](std::uint32_t serial) { return runs.jobs[serial].completions + report.woken_ends[serial] != 0; };
  std::uint32_t there = 0;
  for (std::uint32_t n = 0; n < report.together; ++n) there += ran(first_own_serial + n) ? 1 : 0;
  if (there != 0 && there != report.together) {
    problems.push_back(
        {Trouble::lost, fmt::format("{} of {} jobs that come together came", there, report.together.load())});
  }
  if (report.follows == 0) return;
  // If a survivor completed the job itself, its follow-up was taken back, or was never seen.
  const bool child_completed = runs.jobs[0].completions == 0;
  if (child_completed && !ran(first_own_serial)) {
    problems.push_back({Trouble::lost, "its job is complete, and the follow-up did not come"});
  }
  if (!child_completed && ran(first_own_serial)) {
    problems.push_back({Trouble::doubled, "the follow-up of a run came that was not the last"});
  }
}

}  // namespace

std::vector<Problem> judge(const Report& report, const Runs& runs, std::size_t standing, Mode mode) {
  std::vector<Problem> problems;
  for (std::uint32_t serial = 0; serial < most_serials; ++serial) {
    judge_job(serial, report, runs.jobs[serial], serial < standing, mode, problems);
  }
  judge_fillers(report, runs, problems);
  judge_bundles(report, runs, problems);
  if (runs.torn_payloads > 0) {
    problems.push_back(
        {Trouble::lost, fmt::format("{} claims with a payload that was never enqueued", runs.torn_payloads)});
  }
  for (const std::string& refusal : runs.refusals) problems.push_back({Trouble::stuck, refusal});
  if (report.surprise != 0) {
    problems.push_back({Trouble::stuck, fmt::format("the child was told {}, which no call may say here",
                                                    name_of(static_cast<ErrorCode>(report.surprise - 1)))});
  }
  return problems;
}

}  // namespace ringmill::crash
