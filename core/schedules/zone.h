// A time zone: between instants and what the clocks on its walls show. Abseil reads the system's tzdata
// (docs/decisions/0014). Only zone.cc includes Abseil.
//
// A process reads each zone once: restart the keeper after an update of tzdata.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <ringmill/error.h>

namespace ringmill {

class Zone {
 public:
  /// UTC.
  Zone();
  /// A name of tzdata as Europe/Berlin or UTC. Error invalid_argument: there is none of this name. Names that mean
  /// something else in another process or on another day (`localtime`) are refused.
  static Result<Zone> load(std::string_view name);

  const std::string& name() const noexcept { return name_; }

  /// Returns what the zone's clocks show at an instant.
  std::chrono::local_seconds local(std::chrono::sys_seconds instant) const;

  /// When the wall shows it: once, as a rule. When clocks were set back over it, it shows it twice: this is the first
  /// time. When they were put forward over it, it never does: this is the first instant after the gap.
  std::chrono::sys_seconds first_instant(std::chrono::local_seconds local) const;

  /// The first change of the zone's offset after an instant; nothing if there is none any more.
  std::optional<std::chrono::sys_seconds> next_change(std::chrono::sys_seconds after) const;

 private:
  struct Rules;
  Zone(std::string name, std::shared_ptr<const Rules> rules) noexcept;

  std::string name_;
  std::shared_ptr<const Rules> rules_;
};

}  // namespace ringmill
