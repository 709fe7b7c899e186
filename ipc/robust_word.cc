#include "ipc/robust_word.h"

#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <new>

namespace ringmill {

namespace {

constexpr std::size_t word_offset = offsetof(ParticipantEntry, robust_word);
/// The two links of a node, as glibc lays them out; the kernel follows the second.
constexpr std::size_t previous_offset = page_bytes;
constexpr std::size_t next_offset = page_bytes + sizeof(void*);
constexpr long word_from_link = static_cast<long>(word_offset) - static_cast<long>(next_offset);
static_assert(word_from_link == -32, "glibc on x86-64: the futex word of a mutex, seen from its forward link");
static_assert(previous_offset - word_offset == 24);

/// This thread's list, if the kernel knows one whose nodes look like ours.
robust_list_head* list_of_this_thread() noexcept {
  robust_list_head* head = nullptr;
  std::size_t length = 0;
  if (::syscall(SYS_get_robust_list, 0, &head, &length) != 0 || head == nullptr) return nullptr;
  return head->futex_offset == word_from_link ? head : nullptr;
}

/// glibc keeps a back pointer just before each forward pointer.
void set_previous(robust_list* link, const robust_list* previous) noexcept {
  reinterpret_cast<const robust_list**>(link)[-1] = previous;
}

/// The last bit of a pointer in the list is glibc's mark for priority-inheriting mutexes.
robust_list* without_mark(robust_list* link) noexcept {
  return reinterpret_cast<robust_list*>(reinterpret_cast<std::uintptr_t>(link) & ~std::uintptr_t{1});
}

}  // namespace

std::unique_ptr<RobustLink> RobustLink::make(int segment_descriptor, std::uint64_t offset) noexcept {
  void* pages = ::mmap(nullptr, 2 * page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED) return nullptr;
  if (::mmap(pages, page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, segment_descriptor,
             static_cast<off_t>(offset)) == MAP_FAILED) {
    ::munmap(pages, 2 * page_bytes);
    return nullptr;
  }
  ::madvise(pages, 2 * page_bytes, MADV_DONTDUMP);  // as the segment itself: the entry holds what handlers said
  std::unique_ptr<RobustLink> made(new (std::nothrow) RobustLink(static_cast<std::byte*>(pages)));
  if (!made) {
    ::munmap(pages, 2 * page_bytes);
    return nullptr;
  }
  return made->link() ? std::move(made) : nullptr;
}

RobustLink::~RobustLink() {
  if (thread_id_ == static_cast<std::uint32_t>(::gettid())) unlink();
  ::munmap(pages_, 2 * page_bytes);
}

std::atomic<std::uint32_t>& RobustLink::word() const noexcept {
  return *reinterpret_cast<std::atomic<std::uint32_t>*>(pages_ + word_offset);
}

bool RobustLink::link() noexcept {
  robust_list_head* head = list_of_this_thread();
  if (head == nullptr) return false;
  thread_id_ = static_cast<std::uint32_t>(::gettid());
  word().store(thread_id_ | FUTEX_WAITERS);
  auto* node = reinterpret_cast<robust_list*>(pages_ + next_offset);
  // The kernel reads these words when the thread dies between any two of our instructions, so their order matters to it
  // alone. ORDER relaxed: signal fences order the compiler; one thread and its own death need no more.
  head->list_op_pending = node;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  robust_list* first = head->list.next;
  node->next = first;
  set_previous(node, &head->list);
  if (without_mark(first) != &head->list) set_previous(without_mark(first), node);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  head->list.next = node;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  head->list_op_pending = nullptr;
  return true;
}

void RobustLink::unlink() noexcept {
  robust_list_head* head = list_of_this_thread();
  if (head == nullptr) return;
  auto* node = reinterpret_cast<robust_list*>(pages_ + next_offset);
  head->list_op_pending = node;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  for (robust_list* before = &head->list; without_mark(before->next) != &head->list;
       before = without_mark(before->next)) {
    if (without_mark(before->next) != node) continue;
    before->next = node->next;
    if (without_mark(node->next) != &head->list) set_previous(without_mark(node->next), before);
    break;
  }
  word().store(0);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  head->list_op_pending = nullptr;
}

bool is_marked_dead(std::uint32_t robust_word) noexcept { return (robust_word & FUTEX_OWNER_DIED) != 0; }

}  // namespace ringmill
