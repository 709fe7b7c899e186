#include "core/base/engine_thread.h"

#include <pthread.h>
#include <sys/prctl.h>

#include <csignal>
#include <initializer_list>
#include <utility>

namespace ringmill {

namespace {

/// The calling thread's mask, set again at the end of the scope.
class SignalsBlocked {
 public:
  SignalsBlocked() noexcept {
    sigset_t signals;
    ::sigfillset(&signals);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS, SIGABRT}) ::sigdelset(&signals, fault);
    ::pthread_sigmask(SIG_BLOCK, &signals, &former_);
  }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &former_, nullptr); }

 private:
  sigset_t former_;
};

}  // namespace

std::thread start_engine_thread(const char* name, std::function<void()> body) {
  const SignalsBlocked blocked;  // a thread begins with the mask of its maker
  return std::thread([name, body = std::move(body)] {
    ::prctl(PR_SET_NAME, name);
    body();
  });
}

}  // namespace ringmill
