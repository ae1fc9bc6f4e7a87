// How often which value came, in bounded memory: log-linear buckets, as HdrHistogram's (which Debian has for Go and
// Java alone), each as wide as 1/128 of what it holds at most.
//
// Thread-safety: one thread.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <vector>

namespace sluice::bench {

class Histogram {
 public:
  void Record(uint64_t value) {
    counts_[BucketOf(std::min(value, kMost))]++;
    count_++;
    max_ = std::max(max_, value);
  }

  uint64_t count() const { return count_; }
  // Of nothing 0.
  uint64_t max() const { return max_; }
  // The value that `share` (0 to 1) of all values do not exceed, at most 1/128 too large; the largest one is exact.
  uint64_t Quantile(double share) const;

 private:
  static constexpr uint32_t kBits = 7;
  // Larger values share the last bucket.
  static constexpr uint64_t kMost = (uint64_t{1} << 40) - 1;

  // Values of one power of two, 2^k to 2^(k+1) - 1, have 128 buckets; those below 256 have one each.
  static size_t BucketOf(uint64_t value) {
    const uint32_t shift = std::max<uint32_t>(static_cast<uint32_t>(std::bit_width(value)), kBits + 1) - (kBits + 1);
    return (size_t{shift} << kBits) + (value >> shift);
  }
  static uint64_t LargestOf(size_t bucket);

  std::vector<uint64_t> counts_ = std::vector<uint64_t>(BucketOf(kMost) + 1);
  uint64_t count_ = 0;
  uint64_t max_ = 0;
};

struct Percentile {
  const char* name;
  double share;
};
// Those that are told of latencies, and such a list of them.
inline constexpr Percentile kPercentiles[] = {{"p50", 0.5},     {"p90", 0.9},       {"p99", 0.99},
                                              {"p99.9", 0.999}, {"p99.99", 0.9999}, {"max", 1}};
using Latency = std::array<double, std::size(kPercentiles)>;

}  // namespace sluice::bench
