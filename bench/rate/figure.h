// A figure of several runs: their median, and how far they lie apart.
//
// Thread-safety: pure functions.
#pragma once

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

namespace sluice::bench {

struct Figure {
  double median = 0;
  double min = 0;
  double max = 0;

  Figure Times(double factor) const { return {median * factor, min * factor, max * factor}; }
};

// Of none: zeros.
inline Figure FigureOf(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median = values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

// `of` is a member of runs, or a function of one.
template <typename Run, typename Of>
Figure FigureOf(const std::vector<Run>& runs, Of of) {
  std::vector<double> values;
  for (const Run& run : runs) values.push_back(std::invoke(of, run));
  return FigureOf(std::move(values));
}

}  // namespace sluice::bench
