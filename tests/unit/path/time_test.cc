#include "sluice/time.h"

#include <gtest/gtest.h>

#include <deque>
#include <random>

namespace sluice::path_test {
namespace {

constexpr uint64_t kSecond = 1000000000;

TEST(TickTest, AgeAcrossTheWrap) {
  for (uint32_t now = 0; now < 4096; now++) {
    for (uint32_t age = 0; age < 4096; age += 5) ASSERT_EQ(sluice_age(now, (now + 4096 - age) % 4096), age);
  }
}

TEST(TickTest, OfTheClock) {
  EXPECT_EQ(sluice_tick(0), 0u);
  EXPECT_EQ(sluice_tick((1ull << 31) - 1), 0u);
  EXPECT_EQ(sluice_tick(1ull << 31), 1u);
  EXPECT_EQ(sluice_tick(4096ull << 31), 0u);
  EXPECT_GT(4096ull << 31, 6000 * kSecond) << "the longest idle timeout must not wrap around";
}

TEST(LimiterTest, BurstThenRate) {
  sluice_limiter limiter{};
  const uint64_t start = 12345 * kSecond;
  int taken = 0;
  while (sluice_limiter_take(&limiter, start, kSecond, 50)) taken++;
  EXPECT_EQ(taken, 50);
  EXPECT_FALSE(sluice_limiter_take(&limiter, start + kSecond - 1, kSecond, 50));
  EXPECT_TRUE(sluice_limiter_take(&limiter, start + kSecond, kSecond, 50));
  EXPECT_FALSE(sluice_limiter_take(&limiter, start + kSecond, kSecond, 50));
}

// In no stretch of n intervals do more than n + burst pass, and as many as that when they are asked for all the time.
TEST(LimiterTest, LikeCountingTheEventsOfEveryWindow) {
  std::mt19937_64 random(1);
  sluice_limiter limiter{};
  constexpr uint64_t kInterval = 1000;
  constexpr uint64_t kBurst = 5;
  std::deque<uint64_t> taken;
  uint64_t now = 0;
  for (int i = 0; i < 20000; i++) {
    now += random() % 300;
    if (sluice_limiter_take(&limiter, now, kInterval, kBurst)) taken.push_back(now);
  }
  for (size_t first = 0; first < taken.size(); first++) {
    for (size_t last = first; last < std::min(first + 40, taken.size()); last++) {
      ASSERT_LE(last - first + 1, (taken[last] - taken[first]) / kInterval + 1 + kBurst);
    }
  }
  EXPECT_NEAR(static_cast<double>(taken.size()), static_cast<double>(now) / kInterval, 10);
}

}  // namespace
}  // namespace sluice::path_test
