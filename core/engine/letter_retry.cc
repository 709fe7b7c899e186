#include "core/engine/letter_retry.h"

#include <algorithm>

#include "core/engine/core_of.h"
#include "core/table/job_table.h"

namespace ringmill {

bool LetterRetry::add(const DeadLetter& letter) {
  const auto kind = engine_.kind(letter.kind);
  const auto level = engine_.level(letter.level);
  if (!kind) return keep(letter, kind.error());
  if (!level) return keep(letter, level.error());
  const auto options = options_of(letter);
  if (!options) return keep(letter, options.error());
  if (letter.payload_cut_from != 0) {
    return keep(letter, Error(ErrorCode::too_large, "not all of its payload was kept, so it cannot run again"));
  }
  if (letter.payload.size() > engine_.most_payload_bytes(*options)) {
    return keep(letter, Error(ErrorCode::too_large, "its payload is longer than this engine's may be"));
  }
  letters_.reserve(requests_.size());  // requests point into the letters
  letters_.push_back(letter);
  requests_[letters_.size() - 1] = {.kind = *kind,
                                    .level = *level,
                                    .payload = letters_.back().payload,
                                    .lease = letter.lease,
                                    .durability = Durability::journaled,
                                    .options = *options};
  if (can_have_notes(letter)) {  // else the job goes without: better than not at all
    JobRequest& request = requests_[letters_.size() - 1];
    request.tag = letters_.back().tag;
    request.trace_parent = letters_.back().trace_parent;
    request.retried_from = letters_.back().id;
  }
  return letters_.size() < requests_.size() || flush();
}

bool LetterRetry::flush() {
  if (error_) return false;  // what failed half-way must not go in again
  if (letters_.empty()) return true;
  std::array<JobId, Participant::most_in_batch> ids;
  const auto entered = participant_.enqueue_batch(std::span(requests_).first(letters_.size()), ids, room_wait);
  if (!entered) return stop(entered.error());
  // A time of its own: the wait for room may have taken all of the other.
  if (auto durable = participant_.wait_durable(participant_.ticket(), disk_wait); !durable) {
    return stop(durable.error());
  }
  std::vector<JobId> retried;
  for (std::size_t n = 0; n < *entered; ++n) retried.push_back(letters_[n].id);
  // The jobs are in: from here on a letter that stays means a second job, so it goes before anything is said.
  if (auto removed = store_.remove(retried, std::span(ids).first(*entered)); !removed) {
    return stop(removed.error());
  }
  for (std::size_t n = 0; n < *entered; ++n) retried_(retried[n], ids[n]);
  const bool all_entered = *entered == letters_.size();
  letters_.clear();
  count_ += *entered;
  if (all_entered) return true;
  return stop(Error(ErrorCode::would_block, "the engine is full; start a worker, and retry the rest"));
}

bool LetterRetry::can_have_notes(const DeadLetter& letter) const {
  const Segment& segment = core_of(engine_)->segment;
  const JobTable table(segment);
  if (!table.has_room_for_notes()) return false;
  const std::uint32_t room = table.inline_bytes_beside(cell_flag::has_options | cell_flag::has_notes);
  return letter.payload.size() <= room || segment.geometry().arena_chunk_count != 0;
}

Result<JobOptions> LetterRetry::options_of(const DeadLetter& letter) {
  JobOptions options;
  options.keep_result = letter.keep_result;
  options.max_attempts = static_cast<std::uint16_t>(std::min<std::uint32_t>(letter.max_attempts, 0xffff));
  if (letter.bury_when_worker_lost) options.on_worker_lost = OnWorkerLost::bury;
  if (letter.backoff.empty()) return options;
  const auto policy = engine_.retry_policy(letter.backoff);
  if (!policy) return std::unexpected(policy.error());
  options.retry_policy = *policy;
  return options;
}

bool LetterRetry::keep(const DeadLetter& letter, const Error& error) {
  if (kept_++ == 0) first_kept_ = letter.id.to_string() + ": " + error.message();
  return true;
}

bool LetterRetry::stop(const Error& error) {
  error_ = error;
  return false;
}

}  // namespace ringmill
