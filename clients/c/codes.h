// Numbers of the C interface for the values of ours. Each is a switch over all values, so a new one does not compile
// before it has a number here; the numbers never change.
#pragma once

#include <optional>

#include <ringmill/error.h>
#include <ringmill/job.h>
#include <ringmill/participant.h>
#include <ringmill/ringmill.h>

namespace ringmill::c {

rm_code code_of(ErrorCode code) noexcept;
/// Nothing: not the number of any.
std::optional<ErrorCode> error_code_of(rm_code code) noexcept;
std::uint32_t number_of(Settled settled) noexcept;
std::uint32_t number_of(Cancelled cancelled) noexcept;
std::uint32_t number_of(JobState state) noexcept;
std::uint32_t number_of(DeathCause cause) noexcept;
std::optional<Durability> durability_of(std::uint32_t number) noexcept;
std::optional<Role> role_of(std::uint32_t number) noexcept;

}  // namespace ringmill::c
