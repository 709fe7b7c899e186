#include "ipc/robust_word.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>

namespace ringmill {

namespace {

constexpr long word_offset =
    static_cast<long>(offsetof(RobustNode, futex_word)) - static_cast<long>(offsetof(RobustNode, next));

/// This thread's list, if the kernel knows one whose nodes look like ours.
robust_list_head* list_of_this_thread() noexcept {
  robust_list_head* head = nullptr;
  std::size_t length = 0;
  if (::syscall(SYS_get_robust_list, 0, &head, &length) != 0 || head == nullptr) return nullptr;
  return head->futex_offset == word_offset ? head : nullptr;
}

robust_list* as_link(RobustNode& node) noexcept { return reinterpret_cast<robust_list*>(&node.next); }

/// glibc keeps a back pointer just before each forward pointer.
void set_previous(robust_list* link, const robust_list* previous) noexcept {
  reinterpret_cast<const robust_list**>(link)[-1] = previous;
}

/// The last bit of a pointer in the list is glibc's mark for priority-inheriting mutexes.
robust_list* without_mark(robust_list* link) noexcept {
  return reinterpret_cast<robust_list*>(reinterpret_cast<std::uintptr_t>(link) & ~std::uintptr_t{1});
}

}  // namespace

bool link_robust(RobustNode& node) noexcept {
  robust_list_head* head = list_of_this_thread();
  if (head == nullptr) return false;
  const auto thread_id = static_cast<std::uint32_t>(::gettid());
  node.futex_word.store(thread_id | FUTEX_WAITERS);
  robust_list* link = as_link(node);
  // The kernel reads these words when the thread dies between any two of our instructions, so their order matters to it
  // alone.
  head->list_op_pending = link;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  robust_list* first = head->list.next;
  node.next = reinterpret_cast<std::uint64_t>(first);
  node.previous = reinterpret_cast<std::uint64_t>(&head->list);
  if (without_mark(first) != &head->list) set_previous(without_mark(first), link);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  head->list.next = link;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  head->list_op_pending = nullptr;
  return true;
}

void unlink_robust(RobustNode& node) noexcept {
  robust_list_head* head = list_of_this_thread();
  if (head == nullptr) return;
  robust_list* link = as_link(node);
  head->list_op_pending = link;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  // Walked from the front with a bound: the node is in memory that others can write, so its pointers are not to be
  // trusted.
  robust_list* before = &head->list;
  for (int step = 0; step < 2048 && without_mark(before->next) != &head->list; ++step) {
    if (without_mark(before->next) == link) {
      robust_list* after = link->next;
      before->next = after;
      if (without_mark(after) != &head->list) set_previous(without_mark(after), before);
      break;
    }
    before = without_mark(before->next);
  }
  node.futex_word.store(0);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  head->list_op_pending = nullptr;
}

bool is_marked_dead(const RobustNode& node) noexcept { return (node.futex_word.load() & FUTEX_OWNER_DIED) != 0; }

}  // namespace ringmill
