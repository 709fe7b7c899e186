#include "tools/cli/result_stream.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "core/base/log.h"
#include "ipc/file.h"
#include "tools/cli/report.h"

namespace ringmill::cli {

int write_whole(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd room{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
      ::poll(&room, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

void ResultStream::write(const ExecResult& result) {
  if (result.output.empty()) return;
  const std::lock_guard lock(mutex_);
  int error = 0;
  const auto read = result.read([&error](std::string_view piece) {
    error = write_whole(piece);
    return error == 0;
  });
  if (result.was_cut || !read) {
    log().error("job {}: what its command wrote is cut after {} bytes: {}; see --most-output and TMPDIR",
                result.id.to_string(), result.output.size() + result.more.size(),
                read ? result.more.why_cut() : read.error().message());
    was_cut_ = true;
  }
  if (error != 0) say_lost(result, error);
  if (error == 0 && last_error_ != 0) {
    log().info("standard output takes results again; those of {} jobs were lost", lost_);
  }
  last_error_ = error;
}

void ResultStream::say_lost(const ExecResult& result, int error) {
  ++lost_;
  if (error == EPIPE && last_error_ == EPIPE) return;  // a reader that has left does not come back
  if (error != EPIPE && first_error_ == 0) first_error_ = error;
  log().error(
      "job {}: what its command wrote cannot be written to standard output: {}; the job is completed, and the next is "
      "tried",
      result.id.to_string(), error_text(error));
}

int ResultStream::finish(int exit_code) {
  if (first_error_ != 0) {
    return fail("work", exit_failed,
                "cannot write to standard output: " + error_text(first_error_) + "; what the commands of " +
                    std::to_string(lost_) + " jobs wrote was lost");
  }
  if (!was_cut_) return exit_code;
  return fail("work", exit_failed, "not all that commands wrote could be passed on; the log says which");
}

}  // namespace ringmill::cli
