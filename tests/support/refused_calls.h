// Refuses system calls to the calling thread and its children, as containers do. For the child of a test: it stays so.
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace ringmill::test {

/// The call fails with `error`; if `flags` are given, only when its argument number `argument` has one of them.
inline void refuse_call(std::uint32_t call, std::uint32_t error, std::size_t argument = 0, std::uint32_t flags = 0) {
  const auto load = [](std::size_t offset) {
    return sock_filter{.code = BPF_LD | BPF_W | BPF_ABS, .jt = 0, .jf = 0, .k = static_cast<std::uint32_t>(offset)};
  };
  const auto jump = [](std::uint16_t test, std::uint32_t value, std::uint8_t yes, std::uint8_t no) {
    const auto code = static_cast<std::uint16_t>(BPF_JMP | test | BPF_K);
    return sock_filter{.code = code, .jt = yes, .jf = no, .k = value};
  };
  const auto answer = [](std::uint32_t value) {
    return sock_filter{.code = BPF_RET | BPF_K, .jt = 0, .jf = 0, .k = value};
  };
  // The low half of an argument comes first on every machine that this is for.
  std::vector<sock_filter> program{load(offsetof(seccomp_data, nr)), jump(BPF_JEQ, call, 0, flags == 0 ? 1 : 3)};
  if (flags != 0) {
    program.push_back(load(offsetof(seccomp_data, args) + argument * sizeof(std::uint64_t)));
    program.push_back(jump(BPF_JSET, flags, 0, 1));
  }
  program.push_back(answer(SECCOMP_RET_ERRNO | error));
  program.push_back(answer(SECCOMP_RET_ALLOW));
  const sock_fprog filter{.len = static_cast<std::uint16_t>(program.size()), .filter = program.data()};
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
    throw std::runtime_error("no seccomp filter here");
  }
}

}  // namespace ringmill::test
