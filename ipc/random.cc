#include "ipc/random.h"

#include <sys/random.h>

#include <cerrno>

#include "ipc/file.h"

namespace ringmill {

Result<std::uint64_t> random_number() {
  std::uint64_t number = 0;
  while (number == 0) {
    const ssize_t got = ::getrandom(&number, sizeof number, 0);
    if (got == sizeof number) continue;
    if (got < 0 && errno == EINTR) continue;
    return std::unexpected(system_error("cannot get", "a random number"));
  }
  return number;
}

}  // namespace ringmill
