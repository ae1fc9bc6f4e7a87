// Quantiles of the histogram beside those of the sorted values.
#include "histogram.h"

#include <gmock/gmock.h>

#include <cmath>
#include <random>

namespace sluice::bench {
namespace {

uint64_t OfSorted(const std::vector<uint64_t>& sorted, double share) {
  const auto place = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::max<size_t>(place, 1) - 1];
}

TEST(Histogram, QuantilesAreThoseOfTheSortedValues) {
  std::mt19937_64 random(1);
  // Over all powers of two up to 2^40, as many of each.
  std::uniform_real_distribution<double> exponent(0, 40);
  for (const size_t count : {1u, 2u, 10u, 100'000u}) {
    Histogram histogram;
    std::vector<uint64_t> values;
    for (size_t i = 0; i < count; i++) {
      values.push_back(static_cast<uint64_t>(std::exp2(exponent(random))) - 1);
      histogram.Record(values.back());
    }
    std::sort(values.begin(), values.end());
    EXPECT_EQ(histogram.count(), count);
    EXPECT_EQ(histogram.max(), values.back());
    for (double share = 0; share <= 1; share += 1.0 / 64) {
      const uint64_t exact = OfSorted(values, share);
      EXPECT_GE(histogram.Quantile(share), exact) << share;
      EXPECT_LE(histogram.Quantile(share), exact + exact / 128) << share;
    }
    for (const Percentile& percentile : kPercentiles) {
      EXPECT_GE(histogram.Quantile(percentile.share), OfSorted(values, percentile.share)) << percentile.name;
    }
  }
}

TEST(Histogram, SmallValuesAreExact) {
  for (uint64_t value = 0; value < 256; value++) {
    Histogram histogram;
    histogram.Record(value);
    histogram.Record(1000);
    EXPECT_EQ(histogram.Quantile(0.5), value);
  }
}

// At the borders of buckets, where each value is in one and no larger one in a smaller one.
TEST(Histogram, BucketsFollowOneAnother) {
  for (uint32_t bit = 1; bit < 40; bit++) {
    for (const uint64_t value : {(uint64_t{1} << bit) - 1, uint64_t{1} << bit, (uint64_t{1} << bit) + 1}) {
      Histogram histogram;
      histogram.Record(value);
      histogram.Record(uint64_t{1} << 41);
      EXPECT_GE(histogram.Quantile(0.5), value);
      EXPECT_LE(histogram.Quantile(0.5), value + value / 128);
    }
  }
}

TEST(Histogram, ValuesBeyondItsRangeAreTheLargestOne) {
  Histogram histogram;
  histogram.Record(UINT64_MAX);
  EXPECT_EQ(histogram.max(), UINT64_MAX);
  EXPECT_EQ(histogram.count(), 1u);
}

TEST(Histogram, OfNothing) {
  EXPECT_EQ(Histogram().Quantile(0.5), 0u);
  EXPECT_EQ(Histogram().max(), 0u);
}

}  // namespace
}  // namespace sluice::bench
