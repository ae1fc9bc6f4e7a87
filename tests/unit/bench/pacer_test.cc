// When packets are due.
#include "pacer.h"

#include <gtest/gtest.h>

namespace sluice::bench {
namespace {

TEST(Pacer, ARateThatIsNoWholeNumberOfCycles) {
  Pacer pacer(0.3, 1000);
  uint64_t due = 0;
  for (uint64_t now = 1000; now <= 101'000; now += 7) due += pacer.Due(now, 32);
  EXPECT_NEAR(static_cast<double>(due), 30'000, 3);
}

TEST(Pacer, WhatIsBeyondTheLimitIsDueLater) {
  Pacer pacer(1, 0);
  EXPECT_EQ(pacer.Due(50, 32), 32u);
  EXPECT_EQ(pacer.Due(50, 32), 18u);
  EXPECT_EQ(pacer.Due(50, 32), 0u);
}

TEST(Pacer, AStandstillIsNotMadeUpFor) {
  Pacer pacer(1, 0);
  EXPECT_EQ(pacer.Due(1'000'000, 1000), 128u);
  EXPECT_EQ(pacer.Due(1'000'010, 1000), 10u);
}

}  // namespace
}  // namespace sluice::bench
