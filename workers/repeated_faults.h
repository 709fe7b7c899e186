// How often a fault has come before: a fault of many jobs is one line of the log, not one each.
#pragma once

#include <cctype>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

namespace ringmill {

/// Counts faults by kind and text; numbers in the text make no difference. For all threads of a worker.
class RepeatedFaults {
 public:
  /// Returns how often this one has come, this time included.
  std::uint64_t count(std::string_view kind, std::string_view text) {
    std::string key(kind);
    key += '\n';
    for (const char c : text.substr(0, most_text)) {
      const bool is_digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
      if (!is_digit || key.back() != '0') key += is_digit ? '0' : c;
    }
    const std::lock_guard lock(mutex_);
    if (counts_.size() >= most_faults && !counts_.contains(key)) counts_.clear();
    return ++counts_[key];
  }

 private:
  static constexpr std::size_t most_text = 200;
  static constexpr std::size_t most_faults = 256;

  std::mutex mutex_;
  std::unordered_map<std::string, std::uint64_t> counts_;
};

}  // namespace ringmill
