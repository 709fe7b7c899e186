// Values by key, as methods of a participant.
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>

#include <algorithm>
#include <memory>
#include <string_view>
#include <utility>

#include "clients/python/native/participant.h"

namespace ringmill::python {

namespace {

constexpr std::int64_t ten_years_ms = std::int64_t{10} * 365 * 24 * 3600 * 1000;

/// None: as long as a value may live.
std::int64_t ttl_ms_of(std::optional<double> seconds) noexcept {
  if (!seconds || *seconds * 1000 >= static_cast<double>(ten_years_ms)) return ten_years_ms;
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(*seconds * 1000));
}

rm_value_options options_of(std::optional<double> ttl) noexcept {
  return {.size = sizeof(rm_value_options),
          .flags = 0,
          .durability = RM_JOURNALED,
          .reserved = 0,
          .ttl_ms = ttl_ms_of(ttl),
          .version = 0};
}

bool set(ParticipantHandle& self, const nb::bytes& key, const nb::bytes& value, std::optional<double> ttl,
         bool only_if_absent, std::optional<std::uint64_t> only_if_version) {
  rm_value_options options = options_of(ttl);
  if (only_if_absent) options.flags |= RM_ONLY_IF_ABSENT;
  if (only_if_version) options.flags |= RM_ONLY_IF_VERSION;
  options.version = only_if_version.value_or(0);
  CallError error;
  int was_set = 0;
  check(rm_value_set(self.participant, bytes_of(key), bytes_of(value), &options, &was_set, &error), error);
  return was_set != 0;
}

std::optional<std::pair<nb::bytes, std::uint64_t>> get_version(ParticipantHandle& self, const nb::bytes& key) {
  CallError error;
  rm_value* found = nullptr;
  const rm_code got = rm_value_get(self.participant, bytes_of(key), &found, &error);
  const bool was_removed = std::string_view(error.message).starts_with("the engine was removed");
  if (got == RM_NOT_FOUND && !was_removed) return std::nullopt;
  check(got, error);
  const std::unique_ptr<rm_value, decltype(&rm_value_free)> value(found, &rm_value_free);
  const rm_bytes bytes = rm_value_bytes(value.get());
  return std::make_pair(nb::bytes(bytes.data, bytes.size), rm_value_version(value.get()));
}

std::optional<nb::bytes> get(ParticipantHandle& self, const nb::bytes& key) {
  const auto found = get_version(self, key);
  return found ? std::optional(found->first) : std::nullopt;
}

bool remove(ParticipantHandle& self, const nb::bytes& key) {
  CallError error;
  int was_there = 0;
  check(rm_value_remove(self.participant, bytes_of(key), &was_there, &error), error);
  return was_there != 0;
}

std::int64_t increment(ParticipantHandle& self, const nb::bytes& key, std::int64_t by, std::optional<double> ttl) {
  const rm_value_options options = options_of(ttl);
  CallError error;
  std::int64_t number = 0;
  check(rm_value_increment(self.participant, bytes_of(key), by, &options, &number, &error), error);
  return number;
}

bool expire(ParticipantHandle& self, const nb::bytes& key, std::optional<double> ttl) {
  CallError error;
  int was_there = 0;
  check(rm_value_expire(self.participant, bytes_of(key), ttl_ms_of(ttl), &was_there, &error), error);
  return was_there != 0;
}

}  // namespace

void bind_values(nb::class_<ParticipantHandle>& participant) {
  participant.def("set_value", &set, nb::arg("key"), nb::arg("value"), nb::arg("ttl") = nb::none(),
                  nb::arg("only_if_absent") = false, nb::arg("only_if_version") = nb::none(),
                  "Sets the value of a key; ttl: seconds, None: ten years. False: an only_if_... kept it from that.");
  participant.def("get_value", &get, nb::arg("key"), "Returns the value of a key; None: there is none.");
  participant.def("get_value_version", &get_version, nb::arg("key"),
                  "Returns the value of a key and its version, which changes with each change; None: there is none.");
  participant.def("remove_value", &remove, nb::arg("key"), "Returns whether there was a value.");
  participant.def("increment_value", &increment, nb::arg("key"), nb::arg("by") = 1, nb::arg("ttl") = nb::none(),
                  "Adds to a decimal number, which begins at 0 and then lives for `ttl`; returns the new one.");
  participant.def("expire_value", &expire, nb::arg("key"), nb::arg("ttl"),
                  "Gives a value another time to live, from now on. Returns whether there is one.");
}

}  // namespace ringmill::python
