// What participants do in a life of an engine (engine_run.h), and what they are told.
#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/table/job_table.h"
#include "core/table/settling.h"
#include "core/table/unique_jobs.h"
#include "tests/crash/engine_run.h"
#include "tests/support/levels.h"

namespace ringmill::crash {

using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t most_payload_bytes = 256 - sizeof(CellHeader);
constexpr std::size_t most_held = 12;
constexpr std::uint32_t key_count = 12;

/// As the journal sees it.
JournaledState journaled(CellState state) noexcept {
  switch (state) {
    case CellState::delayed:
      return JournaledState::delayed;
    case CellState::completed:
      return JournaledState::completed;
    case CellState::cancelled:
      return JournaledState::cancelled;
    case CellState::burying:
      return JournaledState::dead;
    case CellState::blocked:
      return JournaledState::blocked;
    default:
      return JournaledState::waits;
  }
}

}  // namespace

void EngineRun::act() {
  if (acts_) return;
  acts_ = true;
  for (std::uint64_t calls = 1 + random_.below(random_.one_in(6) ? 60 : 6); calls > 0; --calls) {
    switch (random_.below(14)) {
      case 0:
      case 1:
        enqueue();
        break;
      case 2:
        enqueue_batch();
        break;
      case 3:
      case 4:
        claim();
        break;
      case 5:
      case 6:
      case 7:
        settle_one();
        break;
      case 8:
        enqueue_unique();
        break;
      case 9:
      case 10:
        enqueue_together();
        break;
      case 11:
      case 12:
        keeper_turn();
        break;
      default:
        cancel();
        break;
    }
    note_evicted();
  }
  acts_ = false;
}

/// What was kept goes before its time where a producer needs its cell (core/table/evictable.h).
void EngineRun::note_evicted() {
  const JobTable table(core_->segment);
  for (const auto& [id, row] : rows_) {
    if (row.end_begun || row.versions.empty() || table.stands(JobId(id))) continue;
    if (is_over(row.versions.back().version.state)) note_settled(JobId(id), ticket());
  }
}

/// Of delays that are given one after another each ends after those before it, as on a clock.
std::chrono::milliseconds EngineRun::later_delay() noexcept { return 1h + ++delays_ * 1min; }

JobOptions EngineRun::options() {
  JobOptions options{.max_attempts = 0};
  if (random_.one_in(2)) return options;
  if (random_.one_in(3)) options.delay = later_delay();
  if (random_.one_in(3)) options.keep_result = 100h;
  if (random_.one_in(4)) options.expires = 24h * 3000;
  if (random_.one_in(3)) options.retry_policy = policies_[random_.below(policies_.size())];
  if (random_.one_in(4)) options.on_worker_lost = OnWorkerLost::bury;
  return options;
}

JobRequest EngineRun::request(std::vector<std::byte>& payload, const JobOptions& options) {
  const bool has_options =
      options.retry_policy != RetryPolicy::standard || options.expires.count() != 0 || options.keep_result.count() != 0;
  constexpr std::array<std::string_view, 3> tags{"", "order-17", "a tag of thirty-one bytes, none"};
  const bool has_notes = random_.one_in(4);
  const std::uint64_t room =
      most_payload_bytes - (has_options || has_notes ? sizeof(CellOptions) : 0) - (has_notes ? sizeof(CellNotes) : 0);
  const bool is_large = has_large_payloads_ && random_.one_in(8);
  payload.resize(is_large ? room + 1 + random_.below(random_.one_in(4) ? most_large_payload - room : 500)
                          : random_.below(room + 1));
  for (std::byte& byte : payload) byte = static_cast<std::byte>(random_.next());
  return {.kind = kinds_[random_.below(kinds_.size())],
          .level = Handles(core_->segment).level(static_cast<std::uint32_t>(random_.below(3))),
          .payload = payload,
          .lease = std::chrono::milliseconds(random_.one_in(2) ? 0 : 1000 + random_.below(1000)),
          .durability = random_.one_in(5) ? Durability::memory : Durability::journaled,
          .options = options,
          .tag = has_notes ? tags[random_.below(tags.size())] : std::string_view(),
          .trace_parent = has_notes ? "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" : std::string_view()};
}

void EngineRun::note_enqueued(JobId id, const JobRequest& request, std::string_view key) {
  Row row;
  row.content = content_of(test::number_of(core_->segment, request.level),
                           test::number_of(core_->segment, request.kind), 0, request.payload);
  row.options = options_in(core_->segment, index_of(id));
  row.notes = notes_in(core_->segment, index_of(id));
  row.key = key;
  row.memory_only = request.durability == Durability::memory;
  note_given(id, std::move(row));
}

void EngineRun::note_given(JobId id, Row row) {
  if (rows_.contains(id.value()) || over_.contains(id.value())) {
    found(CrashTrouble::resurrected, fmt::format("id {} is given a second time", id.to_string()));
  }
  rows_[id.value()] = std::move(row);
  note_settled(id, ticket());
  recent_.push_back(id.value());
}

void EngineRun::note_settled(JobId id, std::uint64_t ticket) {
  Row& row = rows_[id.value()];
  const JobTable table(core_->segment);
  const StateWord word = table.word(index_of(id));
  if (word.generation() != generation_of(id) || !word.has_job()) {
    row.end_begun = true;
    row.end_ticket = ticket;
    return;
  }
  row.versions.push_back({.version = version_in(core_->segment, index_of(id)), .ticket = ticket});
}

EngineRun::Version EngineRun::version_in(const Segment& segment, CellIndex index) {
  const JobTable table(segment);
  const CellHeader& header = table.header(index);
  const JobTable::TextPlace place = table.text_place(index);
  const std::uint32_t bytes = header.text_bytes.load_once().at_most(place.room());
  Version version{.state = journaled(table.word(index).state()), .attempts = header.attempts.load(), .text = {}};
  version.text.resize(in_words(bytes) * 8);
  JobTable::copy_text_out(place, reinterpret_cast<std::byte*>(version.text.data()), bytes);
  version.text.resize(bytes);
  const bool is_in_arena = (header.flags.load() & cell_flag::result_in_arena) != 0;
  const auto result = is_in_arena ? Arena(segment).result_of(job_id_of(table.word(index), index)) : std::nullopt;
  if (result) version.text = as_text(*result);
  return version;
}

std::uint64_t EngineRun::options_in(const Segment& segment, CellIndex index) {
  const JobTable table(segment);
  OptionsRecord record;
  record.cell_flags = table.header(index).flags.load();
  record.retry_policy = table.header(index).retry_policy.load_once().unbounded();
  if (const CellOptions* const options = table.options(index); options != nullptr) {
    record.expires_at_ms = options->expires_at_ms.load();
    record.keep_ms = options->keep_ms.load();
    record.unique_low = options->unique_low.load();
    record.unique_high = options->unique_high.load();
  }
  return options_content_of(record);
}

std::uint64_t EngineRun::notes_in(const Segment& segment, CellIndex index) {
  const CellNotes* const cell = JobTable(segment).notes(index);
  return cell == nullptr ? 0 : notes_content_of(Notes::read(*cell));
}

void EngineRun::enqueue() {
  std::vector<std::byte> payload;
  const JobOptions wishes = options();
  const JobRequest wanted = request(payload, wishes);
  const auto id = participants_[0]->enqueue(wanted);
  if (id) return note_enqueued(*id, wanted);
  if (id.error().code() != ErrorCode::would_block) found(CrashTrouble::crashed, "enqueue: " + id.error().message());
}

void EngineRun::enqueue_batch() {
  std::array<std::vector<std::byte>, 8> payloads;
  std::array<JobOptions, 8> wishes;
  std::vector<JobRequest> wanted;
  for (std::uint64_t n = 1 + random_.below(payloads.size()); n > 0; --n) {
    wishes[n - 1] = options();
    wanted.push_back(request(payloads[n - 1], wishes[n - 1]));
  }
  std::array<JobId, 8> ids{};
  const auto placed = participants_[0]->enqueue_batch(wanted, ids);
  if (!placed && placed.error().code() != ErrorCode::would_block) {
    return found(CrashTrouble::crashed, "enqueue_batch: " + placed.error().message());
  }
  for (std::size_t n = 0; placed && n < *placed; ++n) note_enqueued(ids[n], wanted[n]);
}

/// A second job of a key comes only when the first is over. (A power cut may bring both back: the first one's end, and
/// the second one, which was not acknowledged as durable.)
void EngineRun::enqueue_unique() {
  const std::string key = fmt::format("key {}", random_.below(key_count));
  std::vector<std::byte> payload;
  JobOptions wishes = options();
  wishes.keep_result = 100h;  // leaves the payload the room that a unique job has
  const JobRequest wanted = request(payload, wishes);
  const auto job = participants_[0]->enqueue_unique(wanted, key, random_.one_in(2) ? 100h : 0h);
  if (!job) {
    if (job.error().code() == ErrorCode::would_block) return;
    return found(CrashTrouble::crashed, "enqueue_unique: " + job.error().message());
  }
  const auto lives = [&](const auto& row) { return row.second.key == key && !row.second.end_begun; };
  if (job->is_new) {
    if (std::ranges::any_of(rows_, lives)) found(CrashTrouble::resurrected, key + " lives, and gets a second job");
    note_enqueued(job->id, wanted, key);
  } else if (const auto row = rows_.find(job->id.value()); row == rows_.end() || !lives(*row)) {
    found(CrashTrouble::resurrected, key + " is said to be of a job that is over, or of another key");
  }
}

void EngineRun::claim() {
  const std::size_t worker = 1 + random_.below(participants_.size() - 1);
  if (held_[worker].size() >= most_held) return;
  auto job = participants_[worker]->claim();
  if (!job) return;
  const auto row = rows_.find(job->id().value());
  if (row == rows_.end()) {
    found(CrashTrouble::resurrected,
          fmt::format("job {} runs, which was not enqueued or is over", job->id().to_string()));
  } else if (row->second.state() != JournaledState::waits) {
    found(CrashTrouble::crashed,
          fmt::format("job {} runs, which waits for its time or for others, or is over", job->id().to_string()));
  } else if (job->attempt() != row->second.attempts() + 1U) {
    found(CrashTrouble::lost, fmt::format("job {} has attempt {} after {} that have ended", job->id().to_string(),
                                          job->attempt(), row->second.attempts()));
  }
  held_[worker].push_back(*std::move(job));
}

void EngineRun::settle_one() {
  const std::size_t worker = 1 + random_.below(participants_.size() - 1);
  if (held_[worker].empty()) return;
  std::swap(held_[worker][random_.below(held_[worker].size())], held_[worker].back());
  Job job = std::move(held_[worker].back());
  held_[worker].pop_back();
  const JobId id = job.id();
  if (random_.one_in(3)) {
    add_follow_ups(job);
    if (random_.one_in(3)) {  // its handler goes on
      held_[worker].push_back(std::move(job));
      return;
    }
  }
  // Longer than what some cells have room for, and never the same. A result may be as long as a payload.
  std::string text =
      fmt::format("{} of attempt {}: {}", id.to_string(), job.attempt(), std::string(random_.below(60), 'x'));
  bool is_journaled = true;
  bool is_complete = false;
  Result<void> went;
  const auto settled = [](const Result<Settled>& result) -> Result<void> {
    return result ? Result<void>() : std::unexpected(result.error());
  };
  // Of those with follow-ups more are completed.
  switch (random_.below(follow_ups_.contains(id.value()) && random_.one_in(2) ? 4 : 10)) {
    case 0:
    case 1:
    case 2:
    case 3: {
      if (has_large_payloads_ && random_.one_in(3)) text.append(random_.below(most_large_payload - text.size()), 'y');
      went = job.complete(as_payload(text));
      is_complete = true;
      break;
    }
    case 4:
    case 5:
      went = settled(job.retry_in(0ms, text));
      break;
    case 6:
      went = settled(job.retry_in(later_delay(), text));
      break;
    case 7:
      went = job.snooze(later_delay());
      break;
    case 8:
      went = job.reject(text);
      break;
    default:
      went = job.release();
      is_journaled = false;  // that it was begun, and given back, the journal need not know
      break;
  }
  if (!went) found(CrashTrouble::crashed, fmt::format("settling {}: {}", id.to_string(), went.error().message()));
  note_settled(id, is_journaled ? ticket() : never);
  note_follow_ups(id, is_complete && went.has_value());
}

void EngineRun::cancel() {
  if (recent_.empty()) return;
  const std::size_t chosen = random_.below(recent_.size());
  const std::uint64_t id = recent_[chosen];
  recent_.erase(recent_.begin() + static_cast<std::ptrdiff_t>(chosen));
  const auto at = rows_.find(id);
  if (at == rows_.end() || at->second.end_begun) return;
  const auto answer = participants_[0]->cancel(JobId(id));
  if (!answer) return found(CrashTrouble::crashed, "cancel: " + answer.error().message());
  if (*answer == Cancelled::before_start) note_settled(JobId(id), ticket());
}

std::optional<JobId> EngineRun::some_job_in(std::initializer_list<CellState> states) {
  const JobTable table(core_->segment);
  std::vector<JobId> jobs;
  for (CellIndex index = 0; index < table.capacity(); ++index) {
    const StateWord word = table.word(index);
    if (std::ranges::find(states, word.state()) != states.end()) jobs.push_back(job_id_of(word, index));
  }
  if (jobs.empty()) return std::nullopt;
  return jobs[random_.below(jobs.size())];
}

}  // namespace ringmill::crash
