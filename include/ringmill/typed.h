// Payloads as types: one trait says how a type becomes bytes and comes back.
#pragma once

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include <ringmill/error.h>
#include <ringmill/job.h>
#include <ringmill/worker.h>

namespace ringmill {

/// How a type stands in a payload. Specialise it, or derive the specialisation from JsonPayload<T> (ringmill/json.h).
/// As it is: trivially copyable types, byte for byte, for processes of one program on one host.
template <class T>
struct PayloadTraits {
  static_assert(std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>, "specialise ringmill::PayloadTraits for it");

  static std::string encode(const T& value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }
  [[nodiscard]] static Result<T> decode(std::span<const std::byte> bytes) {
    if (bytes.size() != sizeof(T)) {
      return std::unexpected(Error(ErrorCode::invalid_argument, "the payload has another length than its type"));
    }
    T value;
    std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }
};

/// Returns the payload of a value: `participant.enqueue({.kind = mail, .payload = encoded(Mail{...})})`.
template <class T>
[[nodiscard]] std::string encoded(const T& value) {
  return PayloadTraits<T>::encode(value);
}

/// Returns the value of a payload, or the trait's error.
template <class T>
[[nodiscard]] Result<T> decoded(std::span<const std::byte> payload) {
  return PayloadTraits<T>::decode(payload);
}

/// Makes a handler that gets the value: `worker.on("mail", typed<Mail>([](JobContext&, const Mail& mail) {...}))`. A
/// job whose payload is no such value is rejected: it is dead at once, and its error says why.
template <class T, class Run>
[[nodiscard]] Handler typed(Run run) {
  return [run = std::move(run)](JobContext& job) -> JobOutcome {
    const Result<T> value = PayloadTraits<T>::decode(job.payload());
    if (!value) return JobOutcome::reject("the payload is not what this handler takes: " + value.error().message());
    return run(job, *value);
  };
}

}  // namespace ringmill
