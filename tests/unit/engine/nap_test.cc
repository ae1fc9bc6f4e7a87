#include "engine/dpdk/nap.h"

#include <gtest/gtest.h>

namespace sluice {
namespace {

TEST(NapTest, AWorkerThatHadPacketsLatelyIsAwake) {
  // A pause of a sender that was interrupted.
  EXPECT_EQ(NapNs(0, false), 0u);
  EXPECT_EQ(NapNs(50'000, false), 0u);
  EXPECT_EQ(NapNs(kAwakeNs - 1, false), 0u);
}

TEST(NapTest, APacketWaitsForAShareOfThePauseBeforeIt) {
  uint64_t last = 0;
  for (uint64_t idle = kAwakeNs; idle < 100 * kAwakeNs; idle += 10'000) {
    const uint64_t nap = NapNs(idle, false);
    EXPECT_GT(nap, 0u) << idle;
    EXPECT_LE(nap, idle / kNapShare) << idle;
    EXPECT_GE(nap, last) << idle;
    last = nap;
  }
}

TEST(NapTest, AnIdleWorkerWakesUpSeldomAndWithinTheLimit) {
  EXPECT_EQ(NapNs(1'000'000'000, false), kLongestNapNs);
  EXPECT_EQ(NapNs(UINT64_MAX, false), kLongestNapNs);
}

TEST(NapTest, OneThatIsWokenSleepsSoonerAndLonger) {
  EXPECT_EQ(NapNs(kAwakeWhereWokenNs - 1, true), 0u);
  EXPECT_EQ(NapNs(kAwakeWhereWokenNs, true), kLongestSleepNs);
  EXPECT_EQ(NapNs(UINT64_MAX, true), kLongestSleepNs);
}

}  // namespace
}  // namespace sluice
