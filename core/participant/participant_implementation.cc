#include "core/participant/participant_implementation.h"

#include "ipc/sleepers.h"
#include "ipc/waking.h"

namespace ringmill {

Participant::Implementation::Implementation(std::shared_ptr<EngineCore> engine, std::uint32_t number, Binding binding)
    : context_(std::move(engine), number, binding),
      tickets_(context_.segment),
      check_(context_.segment, context_.retry_policies),
      producer_(context_, check_, tickets_),
      unique_producer_(context_, check_, producer_),
      follow_ups_(context_),
      linked_producer_(context_, check_, tickets_, producer_, follow_ups_),
      claiming_(context_.settling, context_.lease_book, context_.segment.header().default_lease_ms.load()),
      consumer_(context_, check_, claiming_),
      settler_(context_, claiming_, follow_ups_),
      job_control_(context_),
      values_(context_, check_, producer_, settler_) {}

Participant::Implementation::~Implementation() {
  const Visiting visiting(context_);
  consumer_.release_prefetched();
  consumer_.release_forgotten();
  context_.free_cells.give_back();
  Sleepers(context_.segment, context_.segment.signals().sleepers).withdraw(context_.number);
  Sleepers(context_.segment, context_.segment.signals().space_waiters).withdraw(context_.number);
  context_.engine->registry.leave(context_.number);
  wake_for_extent(context_.segment);  // until here, slots that a peer has written over may name jobs
  // A wake that came to us is passed on: it may have been for a job that we now leave to others.
  Sleepers(context_.segment, context_.segment.signals().sleepers).wake_all();
}

}  // namespace ringmill
