#include "core/schedules/zone.h"

#include <absl/time/civil_time.h>
#include <absl/time/time.h>

#include <algorithm>
#include <utility>

namespace ringmill {

namespace {

using std::chrono::local_seconds;
using std::chrono::sys_seconds;

absl::Time to_time(sys_seconds instant) { return absl::FromUnixSeconds(instant.time_since_epoch().count()); }
sys_seconds from_time(absl::Time time) { return sys_seconds(std::chrono::seconds(absl::ToUnixSeconds(time))); }

constexpr absl::CivilSecond epoch(1970, 1, 1, 0, 0, 0);
absl::CivilSecond to_civil(local_seconds local) { return epoch + local.time_since_epoch().count(); }
local_seconds from_civil(absl::CivilSecond civil) { return local_seconds(std::chrono::seconds(civil - epoch)); }

/// No way out of the folder of zones, none of the names that Abseil itself gives a meaning, and nothing of `right/`,
/// whose seconds are not the system clock's.
bool may_be_zone(std::string_view name) {
  constexpr std::string_view more = "/_+-";
  const auto is_fine = [more](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || more.find(c) != more.npos;
  };
  return !name.empty() && name.size() <= 63 && name.front() != '/' && std::ranges::all_of(name, is_fine) &&
         name != "localtime" && name != "posixrules" && !name.starts_with("right/") && !name.starts_with("Fixed/");
}

}  // namespace

struct Zone::Rules {
  absl::TimeZone zone;
};

Zone::Zone(std::string name, std::shared_ptr<const Rules> rules) noexcept
    : name_(std::move(name)), rules_(std::move(rules)) {}

Zone::Zone() : Zone("UTC", std::make_shared<const Rules>(absl::UTCTimeZone())) {}

Result<Zone> Zone::load(std::string_view name) {
  absl::TimeZone zone;
  if (!may_be_zone(name) || !absl::LoadTimeZone(std::string(name), &zone)) {
    return std::unexpected(Error(ErrorCode::invalid_argument, "no such time zone",
                                 "'" + std::string(name) +
                                     "'; expected a name like Europe/Berlin or UTC; it needs the "
                                     "package tzdata"));
  }
  return Zone(std::string(name), std::make_shared<const Rules>(zone));
}

local_seconds Zone::local(sys_seconds instant) const { return from_civil(rules_->zone.At(to_time(instant)).cs); }

sys_seconds Zone::first_instant(local_seconds local) const {
  const absl::TimeZone::TimeInfo info = rules_->zone.At(to_civil(local));
  return from_time(info.kind == absl::TimeZone::TimeInfo::SKIPPED ? info.trans : info.pre);
}

std::optional<sys_seconds> Zone::next_change(sys_seconds after) const {
  absl::TimeZone::CivilTransition change;
  if (!rules_->zone.NextTransition(to_time(after), &change)) return std::nullopt;
  // Up to there the offset is the present one.
  return after + (from_civil(change.from) - local(after));
}

}  // namespace ringmill
