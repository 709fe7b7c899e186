// Memory that a bench process shares with the children it forks. It has no name, so nothing can be left behind.
#pragma once

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>

namespace ringmill::bench {

/// A T in an anonymous shared mapping: every page is there before the first measurement.
template <class T>
class SharedBlock {
 public:
  SharedBlock() {
    void* place = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (place == MAP_FAILED) {
      std::perror("ringmill-bench: mmap of the block shared by a run's processes");
      std::exit(3);
    }
    value_ = new (place) T;
  }
  ~SharedBlock() {
    std::destroy_at(value_);
    munmap(value_, sizeof(T));
  }
  SharedBlock(const SharedBlock&) = delete;
  SharedBlock& operator=(const SharedBlock&) = delete;

  T& operator*() const noexcept { return *value_; }
  T* operator->() const noexcept { return value_; }

 private:
  T* value_;
};

}  // namespace ringmill::bench
