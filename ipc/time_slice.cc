#include "ipc/time_slice.h"

// Not <sched.h>: the kernel's header and the C library's both define sched_param.
#include <linux/sched.h>
#include <linux/sched/types.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>

namespace ringmill {

void ask_for_short_time_slices() noexcept {
  constexpr std::uint64_t shortest_slice_ns = 100'000;
  sched_attr attributes{};
  if (::syscall(SYS_sched_getattr, 0, &attributes, sizeof attributes, 0) != 0) return;
  if (attributes.sched_policy != SCHED_NORMAL) return;
  attributes.sched_runtime = shortest_slice_ns;
  ::syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace ringmill
