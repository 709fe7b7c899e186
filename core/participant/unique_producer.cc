#include "core/participant/unique_producer.h"

#include <algorithm>

#include "ipc/invariant.h"
#include "ipc/pause.h"

namespace ringmill {

namespace {

/// There is a slot for each cell. A look that finds none, or loses it, means that other participants took slots, or
/// widened all windows, in that moment: not so often in a row.
constexpr std::uint32_t most_unique_looks = 1000;

}  // namespace

Result<void> UniqueProducer::check_key(std::string_view key, std::chrono::milliseconds unique_for) {
  if (!key.empty() && key.size() <= 65535 && unique_for.count() >= 0 &&
      static_cast<std::uint64_t>(unique_for.count()) <= most_wait_ms) {
    return {};
  }
  return std::unexpected(
      Error(ErrorCode::invalid_argument, "a unique key has 1 to 65535 bytes, its window is ten years at most"));
}

Result<UniqueJob> UniqueProducer::enqueue(const JobRequest& request, std::string_view key,
                                          std::chrono::milliseconds unique_for, std::uint64_t wait_ns) {
  if (auto is_key = check_key(key, unique_for); !is_key) return std::unexpected(is_key.error());
  JobRequest unique = request;
  unique.options.keep_result = std::max(unique.options.keep_result, unique_for);
  Checked checked;
  if (!check_.accepts(unique, checked)) return std::unexpected(check_.refusal_of(unique));
  checked = checked.with_options();  // the key stands in them
  const std::uint32_t room = check_.room_beside_options(unique);
  if (unique.payload.size() > room && !context_.has_arena()) {
    return std::unexpected(RequestCheck::too_large_for_cell(unique, room));
  }
  const std::uint64_t device_end = device_end_ns(unique.durability == Durability::durable, wait_ns);
  const UniqueKey hash = UniqueKey::of(key);
  UniqueJobs jobs(context_.segment);
  for (std::uint32_t losses = 0;; ++losses) {
    if (const auto there = jobs.find(hash, JobId())) return finish({*there, false}, unique, device_end);
    CountedIn counted(context_, checked.level());
    const auto filling = producer_.take_filled(unique, checked, room, wait_ns, counted);
    if (!filling) return std::unexpected(filling.error());
    writer_.set_unique(filling->index, hash, unique.options);  // uniq.U1
    const JobId id = job_id_of(filling->word, filling->index);
    const auto other = take_key(jobs, hash, id);
    if (!other) {
      context_.take_back(*filling);
      return std::unexpected(other.error());
    }
    if (*other) {
      jobs.give_way(hash, id);
      context_.take_back(*filling);
      return finish({**other, false}, unique, device_end);
    }
    if (publish(*filling, unique, checked, id)) {  // uniq.U5
      counted.note_published();
      return finish({id, true}, unique, device_end);
    }
    jobs.give_way(hash, id);
    context_.free_cells.keep_back(filling->index);
    context_.free_cells.list_if_wanted();
    if (losses == most_unique_losses) {
      return std::unexpected(Error(ErrorCode::would_block, "others take this unique key again and again"));
    }
    // Two producers that free each other's cells begin anew at different times.
    for (std::uint32_t n = 0; n < (context_.number + 1) << std::min(losses, 6U); ++n) pause_while_spinning();
  }
}

Result<std::optional<JobId>> UniqueProducer::take_key(UniqueJobs& jobs, UniqueKey key, JobId id) {
  for (std::uint32_t looks = 0; looks <= most_unique_looks; ++looks) {
    if (const auto other = jobs.find(key, id)) return other;     // uniq.U2
    if (jobs.take(key, id) != UniqueJobs::Taken::yes) continue;  // uniq.U3
    return jobs.find(key, id);                                   // uniq.U4
  }
  return std::unexpected(Error(ErrorCode::corrupt, "the slots of unique keys name more jobs than there are",
                               "end all participants; `ringmill recover --from-journal` makes them anew"));
}

bool UniqueProducer::publish(const FreeCells::Filling& filling, const JobRequest& request, const Checked& checked,
                             JobId id) noexcept {
  RINGMILL_INVARIANT(context_.entry.placing_count.load_once().below(1U).has_value());  // one list at a time
  // ORDER placing: as in Producer::publish().
  context_.entry.placing[0].store(id.value(), std::memory_order_relaxed);
  context_.entry.placing_count.store(1, std::memory_order_release);  // enq.N3
  std::uint64_t expected = filling.word.bits();
  if (!table_.state(filling.index)
           .compare_exchange_strong(
               expected, filling.word.next(CellWriter::first_state(request, checked), 0).bits())) {  // enq.N4
    context_.entry.placing_count.store(0, std::memory_order_release);                                // ORDER placing
    return false;
  }
  if (request.durability != Durability::memory) context_.settling.mark_changed(filling.index);  // enq.M
  producer_.place(filling, request, checked, id);
  return true;
}

Result<UniqueJob> UniqueProducer::finish(UniqueJob job, const JobRequest& request, std::uint64_t device_end_ns) {
  if (!job.is_new && request.durability != Durability::memory) context_.settling.mark_changed(index_of(job.id));
  if (device_end_ns != 0) {
    if (auto reached = producer_.reach_device(device_end_ns); !reached) return std::unexpected(reached.error());
  }
  return job;
}

}  // namespace ringmill
