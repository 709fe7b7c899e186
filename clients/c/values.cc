// Values by key.
#include <ringmill/values.h>

#include <chrono>
#include <optional>
#include <utility>

#include "clients/c/codes.h"
#include "clients/c/handles.h"

using ringmill::Result;
using ringmill::ValueOptions;
using ringmill::Values;
using ringmill::c::Given;
using ringmill::c::guarded;
using ringmill::c::report;
using ringmill::c::span_of;
using ringmill::c::text_of;

struct rm_value {
  ringmill::Value value;
};

namespace {

constexpr std::uint32_t known_flags = RM_ONLY_IF_ABSENT | RM_ONLY_IF_VERSION;

/// Nothing: the caller's error says why.
std::optional<ValueOptions> options_of(const rm_value_options* options, rm_error* error) {
  ValueOptions known;
  if (options == nullptr) return known;
  const Given<rm_value_options> given(options, options->size);
  if (!given) {
    ringmill::c::report_bad_struct(error, "rm_value_options");
    return std::nullopt;
  }
  const auto durability = ringmill::c::durability_of(given->durability);
  if (!durability || (given->flags & ~known_flags) != 0 || given->reserved != 0) {
    report(error, RM_INVALID_ARGUMENT, "rm_value_options: an unknown flag or durability");
    return std::nullopt;
  }
  known.durability = *durability;
  known.only_if_absent = (given->flags & RM_ONLY_IF_ABSENT) != 0;
  if ((given->flags & RM_ONLY_IF_VERSION) != 0) known.only_if_version = given->version;
  if (given->ttl_ms != 0) known.ttl = std::chrono::milliseconds(given->ttl_ms);
  return known;
}

/// Runs a call that needs a participant. What a place for the answer gets is what the call returned.
template <class Answer, class Call>
rm_code answer(rm_participant* participant, Answer* place, rm_error* error, Call&& call) {
  return guarded(error, [&] {
    if (participant->get() == nullptr) return participant->detached(error);
    Values values(*participant->get());
    const auto result = call(values);
    if (!result) return report(error, result.error());
    if (place != nullptr) *place = static_cast<Answer>(*result);
    return rm_code{RM_OK};
  });
}

rm_code hand_out(rm_participant* participant, rm_value** place, rm_error* error, auto&& call) {
  return guarded(error, [&] {
    if (place == nullptr) return report(error, RM_INVALID_ARGUMENT, "the place for the value is NULL");
    *place = nullptr;
    if (participant->get() == nullptr) return participant->detached(error);
    Result<ringmill::Value> value = call(Values(*participant->get()));
    if (!value) return report(error, value.error());
    *place = new rm_value{*std::move(value)};
    return rm_code{RM_OK};
  });
}

}  // namespace

rm_code rm_value_set(rm_participant* participant, rm_bytes key, rm_bytes bytes, const rm_value_options* options,
                     int* was_set, rm_error* error) {
  const auto known = options_of(options, error);
  if (!known) return RM_INVALID_ARGUMENT;
  return answer(participant, was_set, error,
                [&](Values& values) { return values.set(text_of(key), span_of(bytes), *known); });
}

rm_code rm_value_get(rm_participant* participant, rm_bytes key, rm_value** value, rm_error* error) {
  return hand_out(participant, value, error, [&](const Values& values) { return values.get(text_of(key)); });
}

rm_code rm_value_remove(rm_participant* participant, rm_bytes key, int* was_there, rm_error* error) {
  return answer(participant, was_there, error, [&](Values& values) { return values.remove(text_of(key)); });
}

rm_code rm_value_increment(rm_participant* participant, rm_bytes key, int64_t by, const rm_value_options* options,
                           int64_t* number, rm_error* error) {
  const auto known = options_of(options, error);
  if (!known) return RM_INVALID_ARGUMENT;
  return answer(participant, number, error, [&](Values& values) { return values.increment(text_of(key), by, *known); });
}

rm_code rm_value_expire(rm_participant* participant, rm_bytes key, int64_t ttl_ms, int* was_there, rm_error* error) {
  return answer(participant, was_there, error,
                [&](Values& values) { return values.expire(text_of(key), std::chrono::milliseconds(ttl_ms)); });
}

rm_code rm_value_wait(rm_participant* participant, rm_bytes key, uint64_t seen, int64_t wait_ns, rm_value** value,
                      rm_error* error) {
  return hand_out(participant, value, error, [&](const Values& values) {
    return values.wait(text_of(key), ringmill::c::wait_of(wait_ns),
                       seen == 0 ? std::nullopt : std::optional<std::uint64_t>(seen));
  });
}

rm_bytes rm_value_bytes(const rm_value* value) { return ringmill::c::bytes_of(value->value.bytes); }
uint64_t rm_value_version(const rm_value* value) { return value->value.version; }
void rm_value_free(rm_value* value) { delete value; }
