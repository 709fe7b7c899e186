// One number out of many.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace ringmill::bench {

/// The smallest sample that at least `share` of all samples do not exceed (nearest rank). `sorted` must be, and not
/// be empty.
template <class T>
double percentile(const std::vector<T>& sorted, double share) {
  const double rank = share * static_cast<double>(sorted.size());
  auto index = static_cast<std::size_t>(rank);
  if (static_cast<double>(index) < rank) ++index;
  return static_cast<double>(sorted[std::clamp<std::size_t>(index, 1, sorted.size()) - 1]);
}

/// Of three or five runs the middle one; of an even number the lower of the two.
inline double median(std::vector<double> values) {
  std::ranges::sort(values);
  return percentile(values, 0.5);
}

}  // namespace ringmill::bench
