#include "ipc/visits.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace ringmill {

namespace {

enum class Registration : unsigned char { not_asked, done, refused };

}  // namespace

bool is_registered_for_barriers() noexcept {
  // No static initialisation by a call: a thread of a child would wait for ever for one that was under way at the fork.
  // ORDER relaxed: asked twice, the kernel answers twice. A child of a fork inherits the registration.
  static std::atomic<Registration> known{Registration::not_asked};
  Registration registration = known.load(std::memory_order_relaxed);
  if (registration == Registration::not_asked) {
    const bool done = ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0;
    registration = done ? Registration::done : Registration::refused;
    known.store(registration, std::memory_order_relaxed);  // ORDER relaxed: as above
  }
  return registration == Registration::done;
}

bool make_barrier_everywhere() noexcept {
  return ::syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0) == 0;
}

}  // namespace ringmill
