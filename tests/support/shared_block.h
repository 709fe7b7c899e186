// Memory that a test shares with the processes that it forks: a ledger outside of the engine.
#pragma once

#include <sys/mman.h>

#include <new>
#include <stdexcept>

namespace ringmill::test {

/// One T, zeroed and constructed, in pages that children share. T must not need its destructor.
template <class T>
class SharedBlock {
 public:
  SharedBlock() {
    void* at = ::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::runtime_error("mmap of a shared block failed");
    block_ = new (at) T;
  }
  SharedBlock(const SharedBlock&) = delete;
  SharedBlock& operator=(const SharedBlock&) = delete;
  ~SharedBlock() { ::munmap(block_, sizeof(T)); }

  T* operator->() const noexcept { return block_; }
  T& operator*() const noexcept { return *block_; }

 private:
  T* block_;
};

}  // namespace ringmill::test
