// Rates by moments, of a clock that the test moves.
#include "moments.h"

#include <gtest/gtest.h>

namespace sluice::bench {
namespace {

// Ten ticks in a microsecond.
constexpr double kTicks = 10;

TEST(Moments, PausesAreNotInTheRate) {
  Moments moments(kTicks, 1000, 50);
  uint64_t now = 1000;
  uint64_t packets = 50;
  for (int i = 0; i < 200; i++) {
    // 12.5 in each microsecond for 1 ms, and 9 ms nothing.
    for (int us = 0; us < 1000; us += 2) moments.Look(now += 20, packets += 25);
    for (int us = 0; us < 9000; us += 2) moments.Look(now += 20, packets);
  }
  EXPECT_NEAR(moments.Undisturbed(), 12.5, 12.5 / 128);
}

// Whoever counts was away: what came meanwhile is there at once when it is back.
TEST(Moments, WhatHasWaitedIsNotInTheRate) {
  Moments moments(kTicks, 0, 0);
  uint64_t now = 0;
  uint64_t packets = 0;
  for (int i = 0; i < 200; i++) {
    for (int us = 0; us < 2000; us += 2) moments.Look(now += 20, packets += 10);
    moments.Look(now += 40'000, packets);
    moments.Look(now += 20, packets += 1000);
  }
  EXPECT_NEAR(moments.Undisturbed(), 5, 5.0 / 128);
}

TEST(Moments, OfAnEvenRateItIsTheRate) {
  Moments moments(kTicks, 0, 0);
  for (uint64_t us = 7; us < 100'000; us += 7) moments.Look(us * 10, us * 3);
  EXPECT_NEAR(moments.Undisturbed(), 3, 3.0 / 128);
}

TEST(Moments, EndAfterThreeHundredMicroseconds) {
  Moments moments(kTicks, 0, 0);
  EXPECT_FALSE(moments.Look(2990, 100));
  EXPECT_EQ(moments.Undisturbed(), 0);
  EXPECT_TRUE(moments.Look(3000, 300));
  EXPECT_FALSE(moments.Look(5990, 300));
  EXPECT_NEAR(moments.Undisturbed(), 1, 0.01);
}

}  // namespace
}  // namespace sluice::bench
