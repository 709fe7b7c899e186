// Unique jobs: the steps are those of core/table/unique_jobs.h.
#include <algorithm>

#include "core/participant/participant_implementation.h"

namespace ringmill {

namespace {

/// There is a slot for each cell, so a look that finds none, or loses it, means that others moved, or widened all
/// windows: not so often in a row.
constexpr std::uint32_t most_unique_looks = 1000;
/// Nor are the cells that we fill done away with so often in a row.
constexpr std::uint32_t most_unique_losses = 10'000;

}  // namespace

Result<UniqueJob> Participant::Implementation::enqueue_unique(const JobRequest& request, std::string_view key,
                                                              std::chrono::milliseconds unique_for,
                                                              std::uint64_t wait_ns) {
  if (key.empty() || key.size() > 65535 || unique_for.count() < 0 ||
      static_cast<std::uint64_t>(unique_for.count()) > most_wait_ms) {
    return std::unexpected(
        Error(ErrorCode::invalid_argument, "a unique key has 1 to 65535 bytes, its window is ten years at most"));
  }
  JobOptions options = request.options != nullptr ? *request.options : JobOptions{};
  options.keep_result = std::max(options.keep_result, unique_for);
  JobRequest unique = request;
  unique.options = &options;
  if (!check_.accepts(unique)) return std::unexpected(check_.refusal_of(unique));
  const std::uint32_t room = context_.settling.table().inline_bytes_beside_options();  // the key stands in them
  if (unique.payload.size() > room && !context_.has_arena())
    return std::unexpected(RequestCheck::too_large_for_cell(unique, room));
  const UniqueKey hash = UniqueKey::of(key);
  UniqueJobs jobs(context_.segment);
  std::uint32_t losses = 0;
  while (true) {
    if (const auto there = jobs.find(hash, JobId())) return finish_unique({*there, false}, unique, wait_ns);
    const auto filling = producer_.take_filled(unique, room, wait_ns);
    if (!filling) return std::unexpected(filling.error());
    writer_.set_unique(filling->index, hash, options);  // uniq.U1
    const JobId id = job_id_of(filling->word, filling->index);
    std::optional<JobId> other;
    UniqueJobs::Taken taken = UniqueJobs::Taken::lost;
    for (std::uint32_t looks = 0; taken != UniqueJobs::Taken::yes; ++looks) {
      other = jobs.find(hash, id);  // uniq.U2
      if (other) break;
      taken = jobs.take(hash, id);  // uniq.U3
      if (taken == UniqueJobs::Taken::yes || looks < most_unique_looks) continue;
      context_.take_back(*filling);
      return std::unexpected(Error(ErrorCode::corrupt, "the slots of unique keys name more jobs than there are",
                                   "end all participants; `ringmill recover --from-journal` makes them anew"));
    }
    if (!other) other = jobs.find(hash, id);  // uniq.U4
    if (other) {
      jobs.give_way(hash, id);
      context_.take_back(*filling);
      return finish_unique({*other, false}, unique, wait_ns);
    }
    if (publish_unique(*filling, unique, id)) return finish_unique({id, true}, unique, wait_ns);  // uniq.U5
    jobs.give_way(hash, id);
    context_.free_cells.keep_back(filling->index);
    context_.free_cells.list_if_wanted();
    if (losses == most_unique_losses) {
      return std::unexpected(Error(ErrorCode::would_block, "others take this unique key again and again"));
    }
    // Two that do away with each other's cells begin anew at different times.
    for (std::uint32_t n = 0; n < (context_.number + 1) << std::min(losses, 6U); ++n) __builtin_ia32_pause();
    ++losses;
  }
}

/// enq.N3 to enq.N6, with enq.N4 as a compare-and-swap.
bool Participant::Implementation::publish_unique(const FreeCells::Filling& filling, const JobRequest& request,
                                                 JobId id) noexcept {
  // ORDER placing: as in publish().
  context_.entry.placing[0].store(id.value(), std::memory_order_relaxed);
  context_.entry.placing_count.store(1, std::memory_order_release);  // enq.N3
  std::uint64_t expected = filling.word.bits();
  if (!context_.settling.table()
           .state(filling.index)
           .compare_exchange_strong(expected,
                                    filling.word.next(CellWriter::first_state(request), 0).bits())) {  // enq.N4
    context_.entry.placing_count.store(0, std::memory_order_release);                                  // ORDER placing
    return false;
  }
  if (request.durability != Durability::memory) context_.settling.mark_changed(filling.index);  // enq.M
  producer_.place(filling, request, id);
  return true;
}

/// Another one's job may not be durable yet, and its producer may be just before its own mark: a ticket that is taken
/// from here on covers it.
Result<UniqueJob> Participant::Implementation::finish_unique(UniqueJob job, const JobRequest& request,
                                                             std::uint64_t wait_ns) {
  if (!job.is_new && request.durability != Durability::memory) context_.settling.mark_changed(index_of(job.id));
  if (request.durability == Durability::durable) {
    if (auto reached = producer_.reach_device(wait_ns); !reached) return std::unexpected(reached.error());
  }
  return job;
}

}  // namespace ringmill
