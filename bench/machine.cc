#include "bench/machine.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>

#include "bench/process.h"

namespace ringmill::bench {
namespace {

std::string first_line(const char* path) {
  std::string line;
  std::getline(std::ifstream(path) >> std::ws, line);
  return line;
}

/// "model name : AMD EPYC" -> "AMD EPYC"; empty where this kind of processor does not say.
std::string processor_model() {
  std::ifstream lines("/proc/cpuinfo");
  for (std::string line; std::getline(lines, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) return line.substr(colon + 2);
  }
  return {};
}

}  // namespace

std::map<std::string, std::string> describe_machine() {
  utsname system{};
  uname(&system);
  double load[1] = {0};
  getloadavg(load, 1);
  const auto memory_bytes =
      static_cast<std::uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
  return {{"processor", processor_model()},
          {"architecture", system.machine},
          {"cpus", std::to_string(allowed_cpus().size())},
          {"kernel", fmt::format("{} {}", system.sysname, system.release)},
          {"memory_mib", std::to_string(memory_bytes >> 20)},
          {"clock", first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource")},
          {"compiler", fmt::format("g++ {}", __VERSION__)},
          {"load_before", fmt::format("{:.2f}", load[0])},
          {"date", fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                               fmt::gmtime(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now())))}};
}

}  // namespace ringmill::bench
