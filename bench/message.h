// The 64 bytes that every ring, queue and engine here carries, so that all of them move and read the same.
#pragma once

#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace ringmill::bench {

struct alignas(64) Message {
  std::array<std::uint64_t, 8> words{};

  std::span<const std::byte> bytes() const noexcept { return std::as_bytes(std::span(words)); }
};
static_assert(sizeof(Message) == 64);

/// What a receiver does with a message: reads every byte of it, and the compiler may not leave that out.
inline void consume(std::span<const std::byte> payload) noexcept {
  std::uint64_t sum = 0;
  for (std::size_t offset = 0; offset + sizeof(std::uint64_t) <= payload.size(); offset += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, payload.data() + offset, sizeof word);
    sum += word;
  }
  benchmark::DoNotOptimize(sum);
}

}  // namespace ringmill::bench
