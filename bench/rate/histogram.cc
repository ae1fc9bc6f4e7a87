#include "histogram.h"

#include <cmath>

namespace sluice::bench {

uint64_t Histogram::LargestOf(size_t bucket) {
  const size_t row = bucket >> kBits;
  const size_t shift = row < 2 ? 0 : row - 1;
  return ((bucket - (shift << kBits) + 1) << shift) - 1;
}

uint64_t Histogram::Quantile(double share) const {
  const auto wanted = static_cast<uint64_t>(std::ceil(share * static_cast<double>(count_)));
  uint64_t seen = 0;
  for (size_t bucket = 0; bucket < counts_.size(); bucket++) {
    seen += counts_[bucket];
    if (seen >= std::max<uint64_t>(wanted, 1)) return std::min(LargestOf(bucket), max_);
  }
  return max_;
}

}  // namespace sluice::bench
