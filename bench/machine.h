// The machine that figures were measured on.
#pragma once

#include <map>
#include <string>

namespace ringmill::bench {

/// What a reader needs to compare: processor, CPUs that may be used, kernel, memory, clock, compiler, load before the
/// run, date.
std::map<std::string, std::string> describe_machine();

}  // namespace ringmill::bench
