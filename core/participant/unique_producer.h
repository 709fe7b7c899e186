// Enqueueing a job with a unique key, by the steps uniq.U1 to uniq.U5 of core/table/unique_jobs.h.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include <ringmill/participant.h>

#include "core/participant/producer.h"
#include "core/table/unique_jobs.h"

namespace ringmill {

/// So often in a row, other participants do not free the cell that is being filled.
inline constexpr std::uint32_t most_unique_losses = 10'000;

class UniqueProducer {
 public:
  UniqueProducer(ParticipantContext& context, const RequestCheck& check, Producer& producer) noexcept
      : context_(context),
        check_(check),
        producer_(producer),
        writer_(context, check),
        table_(context.settling.table()) {}

  Result<UniqueJob> enqueue(const JobRequest& request, std::string_view key, std::chrono::milliseconds unique_for,
                            std::uint64_t wait_ns);
  /// Checks the key and its window. Error invalid_argument.
  static Result<void> check_key(std::string_view key, std::chrono::milliseconds unique_for);
  /// Takes the key for a filled cell: uniq.U2 to uniq.U4. Returns the job that has it already, or nothing. Error
  /// corrupt.
  static Result<std::optional<JobId>> take_key(UniqueJobs& jobs, UniqueKey key, JobId id);

 private:
  /// Publishes a filled cell: enq.N3 to enq.N6, with enq.N4 as a compare-and-swap. Returns false if another participant
  /// has freed the cell.
  bool publish(const FreeCells::Filling& filling, const JobRequest& request, const Checked& checked, JobId id) noexcept;
  /// Waits for the device if the request asks for it. Another producer's job may not be durable yet, and that producer
  /// may be just before its own mark: a ticket that is taken from here on covers it.
  Result<UniqueJob> finish(UniqueJob job, const JobRequest& request, std::uint64_t device_end_ns);

  ParticipantContext& context_;
  const RequestCheck& check_;
  Producer& producer_;
  CellWriter writer_;
  const JobTable table_;
};

}  // namespace ringmill
