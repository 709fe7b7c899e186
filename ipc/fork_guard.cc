#include "ipc/fork_guard.h"

#include <pthread.h>

#include <mutex>

namespace ringmill {

/// pthread_atfork takes no argument, so the list it works on must be global.
struct ForkRegistry {
  std::mutex mutex;
  ForkClosedFile* first = nullptr;
  std::atomic<std::uint32_t> generation{0};

  ForkRegistry() { ::pthread_atfork(&before, &in_parent, &in_child); }
  static ForkRegistry& instance() {
    static ForkRegistry registry;
    return registry;
  }
  static void before() { instance().mutex.lock(); }
  static void in_parent() { instance().mutex.unlock(); }
  static void in_child() {
    ForkRegistry& registry = instance();
    registry.generation.fetch_add(1);
    this_thread_number = 0;
    for (ForkClosedFile* file = registry.first; file != nullptr; file = file->next_) file->file_ = File();
    registry.mutex.unlock();
  }
};

std::uint32_t fork_generation() noexcept {
  return ForkRegistry::instance().generation.load(std::memory_order_relaxed);  // ORDER relaxed: only fork changes it
}

std::uint64_t number_this_thread() noexcept {
  // The child of a fork counts on from its parent's count.
  static std::atomic<std::uint64_t> last{0};
  ForkRegistry::instance();  // from now on a fork is noticed
  if (this_thread_number == 0) this_thread_number = last.fetch_add(1) + 1;
  return this_thread_number;
}

ForkClosedFile::ForkClosedFile(File file) : file_(std::move(file)) {
  ForkRegistry& registry = ForkRegistry::instance();
  const std::lock_guard lock(registry.mutex);
  next_ = registry.first;
  if (next_ != nullptr) next_->previous_ = this;
  registry.first = this;
}

ForkClosedFile::~ForkClosedFile() {
  ForkRegistry& registry = ForkRegistry::instance();
  const std::lock_guard lock(registry.mutex);
  if (previous_ != nullptr) previous_->next_ = next_;
  if (next_ != nullptr) next_->previous_ = previous_;
  if (registry.first == this) registry.first = next_;
}

}  // namespace ringmill
