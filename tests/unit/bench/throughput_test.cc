// The search for the highest rate without loss, of something that is known to lose above a rate.
#include "throughput.h"

#include <gtest/gtest.h>

#include <vector>

namespace sluice::bench {
namespace {

// Loses what is above `capacity`, of at most `offers`.
struct Device {
  double capacity;
  double offers = 1000;

  absl::StatusOr<Throughput> Find(double begin, const ThroughputOptions& options = {}) {
    return FindThroughput(options, begin, [this](double mpps) -> absl::StatusOr<Trial> {
      asked.push_back(mpps);
      const double offered = std::min(mpps, offers);
      return Trial{offered, std::max(0.0, 1 - capacity / offered)};
    });
  }

  std::vector<double> asked = {};
};

TEST(Throughput, IsFoundFromAboveAndFromBelow) {
  for (const double begin : {1.0, 6.9, 7.0, 7.1, 20.0}) {
    Device device{7};
    const absl::StatusOr<Throughput> found = device.Find(begin);
    ASSERT_TRUE(found.ok());
    EXPECT_LE(found->mpps, 7) << begin;
    EXPECT_GE(found->mpps, 7 - 0.01 * begin) << begin;
    EXPECT_FALSE(found->generator_was_the_limit);
    EXPECT_LE(device.asked.size(), 20u);
  }
}

TEST(Throughput, TheResolutionSaysHowLongItTakes) {
  Device coarse{7}, fine{7};
  ASSERT_TRUE(coarse.Find(8, {.resolution = 0.1}).ok());
  const absl::StatusOr<Throughput> found = fine.Find(8, {.resolution = 0.0001});
  ASSERT_TRUE(found.ok());
  EXPECT_NEAR(found->mpps, 7, 0.001);
  // 2^4 times the first one's steps are less than a thousandth.
  EXPECT_EQ(coarse.asked.size(), 5u);
  EXPECT_EQ(fine.asked.size(), 15u);
}

TEST(Throughput, LossThatIsAcceptedIsNone) {
  Device device{7};
  const absl::StatusOr<Throughput> found = device.Find(7, {.resolution = 0.001, .accepted_loss = 0.3});
  ASSERT_TRUE(found.ok());
  EXPECT_NEAR(found->mpps, 10, 0.01);
}

TEST(Throughput, AGeneratorThatHasNoMoreIsTheLimit) {
  Device device{7, 5};
  const absl::StatusOr<Throughput> found = device.Find(4);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->mpps, 5);
  EXPECT_TRUE(found->generator_was_the_limit);
}

// Clocks that are a little slow must not keep it from ending.
TEST(Throughput, EndsWithAGeneratorThatIsAlwaysALittleSlower) {
  const absl::StatusOr<Throughput> found = FindThroughput({}, 8, [](double mpps) -> absl::StatusOr<Trial> {
    return Trial{0.98 * mpps, mpps > 7 ? 0.1 : 0};
  });
  ASSERT_TRUE(found.ok());
  EXPECT_NEAR(found->mpps, 0.98 * 7, 0.08);
}

TEST(Throughput, SomethingThatAlwaysLosesHasNone) {
  Device device{0};
  const absl::StatusOr<Throughput> found = device.Find(8);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->mpps, 0);
}

TEST(Throughput, WhereNothingComesThroughNothingIsTried) {
  Device device{7};
  const absl::StatusOr<Throughput> found = device.Find(0);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->mpps, 0);
  EXPECT_TRUE(device.asked.empty());
}

TEST(Throughput, ATrialThatFailsEndsIt) {
  const auto trial = [](double /*mpps*/) -> absl::StatusOr<Trial> { return absl::InternalError("no lcore"); };
  EXPECT_EQ(FindThroughput({}, 8, trial).status().message(), "no lcore");
}

}  // namespace
}  // namespace sluice::bench
