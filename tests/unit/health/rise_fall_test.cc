// States after results, beside the plainest way to say them: look back over all results there were.
#include "health/rise_fall.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace sluice {
namespace {

using testing::HasSubstr;

CheckTerms Terms(uint32_t rise, uint32_t fall) {
  return {absl::Seconds(10), absl::Seconds(1), absl::Seconds(30), rise, fall};
}

CheckResult Result(bool passed, int second = 0) {
  CheckResult result;
  result.outcome = passed ? CheckResult::Outcome::kPassed : CheckResult::Outcome::kFailed;
  result.reason = passed ? "connected" : "refused";
  result.at = absl::FromUnixSeconds(second);
  return result;
}

bool LastAre(const std::vector<bool>& results, size_t end, uint32_t count, bool wanted) {
  if (end < count) return false;
  for (size_t i = end - count; i < end; i++) {
    if (results[i] != wanted) return false;
  }
  return true;
}

// The definition: the first result counts; after that, up when the last `rise` have all passed, down when the last
// `fall` have all failed, else as before.
HealthState Naive(const std::vector<bool>& results, const CheckTerms& terms) {
  if (results.empty()) return HealthState::kInitial;
  bool healthy = results[0];
  for (size_t end = 1; end <= results.size(); end++) {
    if (LastAre(results, end, terms.rise, true)) healthy = true;
    if (LastAre(results, end, terms.fall, false)) healthy = false;
  }
  return healthy ? HealthState::kHealthy : HealthState::kUnhealthy;
}

TEST(RiseFallTest, EveryHistoryOfTwelveResultsGivesTheStateOfTheDefinition) {
  for (const auto& [rise, fall] : {std::pair(1u, 1u), std::pair(2u, 3u), std::pair(3u, 2u), std::pair(1u, 5u)}) {
    const CheckTerms terms = Terms(rise, fall);
    for (uint32_t history = 0; history < 1 << 12; history++) {
      RiseFall health(absl::UnixEpoch());
      std::vector<bool> results;
      for (int i = 0; i < 12; i++) {
        const HealthState before = health.state();
        results.push_back(history >> i & 1);
        const bool changed = health.Take(terms, Result(results.back()));
        ASSERT_EQ(health.state(), Naive(results, terms))
            << "rise " << rise << " fall " << fall << " history " << history;
        ASSERT_EQ(changed, before != health.state());
      }
    }
  }
}

TEST(RiseFallTest, IntervalsAreFastWhileTheLastResultSpeaksAgainstTheState) {
  std::mt19937 random(1);
  const CheckTerms terms = Terms(3, 4);
  RiseFall health(absl::UnixEpoch());
  EXPECT_EQ(health.Interval(terms), terms.fast_interval);
  for (int i = 0; i < 10'000; i++) {
    const bool passed = random() % 3 != 0;
    health.Take(terms, Result(passed));
    const bool healthy = health.state() == HealthState::kHealthy;
    const absl::Duration settled = healthy ? terms.interval : terms.down_interval;
    ASSERT_EQ(health.Interval(terms), passed == healthy ? settled : terms.fast_interval);
  }
}

TEST(RiseFallTest, WhatWasNotMadeCountsNeitherWay) {
  const CheckTerms terms = Terms(2, 2);
  RiseFall health(absl::UnixEpoch());
  CheckResult not_made;
  not_made.reason = "Too many open files";
  EXPECT_FALSE(health.Take(terms, not_made));
  EXPECT_EQ(health.state(), HealthState::kInitial);
  EXPECT_TRUE(health.Take(terms, Result(true)));
  EXPECT_FALSE(health.Take(terms, Result(false)));
  EXPECT_FALSE(health.Take(terms, not_made));
  EXPECT_EQ(health.last()->reason, "Too many open files");
  EXPECT_EQ(health.state(), HealthState::kHealthy);
  EXPECT_TRUE(health.Take(terms, Result(false)));
  EXPECT_EQ(health.state(), HealthState::kUnhealthy);
}

TEST(RiseFallTest, SaysSinceWhenAndWhy) {
  const CheckTerms terms = Terms(1, 3);
  RiseFall health(absl::FromUnixSeconds(5));
  EXPECT_EQ(health.since(), absl::FromUnixSeconds(5));
  EXPECT_EQ(health.reason(), "not checked yet");
  EXPECT_FALSE(health.last().has_value());
  health.Take(terms, Result(true, 7));
  EXPECT_EQ(health.since(), absl::FromUnixSeconds(7));
  EXPECT_EQ(health.reason(), "connected");
  for (int second = 8; second <= 10; second++) health.Take(terms, Result(false, second));
  EXPECT_EQ(health.since(), absl::FromUnixSeconds(10));
  EXPECT_EQ(health.reason(), "refused (3 checks in a row have failed)");
  health.Take(terms, Result(false, 11));
  EXPECT_EQ(health.since(), absl::FromUnixSeconds(10));
  EXPECT_EQ(health.last()->at, absl::FromUnixSeconds(11));
}

TEST(RiseFallTest, OtherTermsCountFromTheNextResultOn) {
  RiseFall health(absl::UnixEpoch());
  health.Take(Terms(2, 5), Result(true));
  for (int i = 0; i < 3; i++) EXPECT_FALSE(health.Take(Terms(2, 5), Result(false)));
  EXPECT_TRUE(health.Take(Terms(2, 2), Result(false)));
}

// Takes `count` results alike; whether the last one has changed the state, and none before.
bool TakeAll(RiseFall& health, const CheckTerms& terms, bool passed, uint32_t count) {
  for (uint32_t i = 1; i < count; i++) {
    if (health.Take(terms, Result(passed))) return false;
  }
  return health.Take(terms, Result(passed));
}

TEST(RiseFallTest, WhoFlapsNeedsTwiceAsManyEachTime) {
  CheckTerms terms = Terms(2, 3);
  terms.flap_dampening = true;
  RiseFall health(absl::FromUnixSeconds(0));
  ASSERT_TRUE(health.Take(terms, Result(true)));
  // The first fall is no flap, however soon it comes.
  ASSERT_TRUE(TakeAll(health, terms, false, 3));
  EXPECT_THAT(health.reason(), testing::Not(HasSubstr("flapped")));
  ASSERT_TRUE(TakeAll(health, terms, true, 2));
  uint32_t needed = 2;
  for (int flap = 1; flap <= 8; flap++) {
    needed = std::min(2 * needed, 128U);
    ASSERT_TRUE(TakeAll(health, terms, false, 3));
    EXPECT_THAT(health.reason(), HasSubstr("it has flapped")) << flap;
    EXPECT_THAT(health.reason(), HasSubstr(std::to_string(needed) + " in a row have to pass"));
    ASSERT_TRUE(TakeAll(health, terms, true, needed)) << flap;
  }
}

TEST(RiseFallTest, WhoHasBeenWellForLongDoesNotFlap) {
  CheckTerms terms = Terms(2, 1);
  terms.flap_dampening = true;
  RiseFall health(absl::FromUnixSeconds(0));
  for (const bool passed : {true, false}) ASSERT_TRUE(health.Take(terms, Result(passed)));
  ASSERT_TRUE(TakeAll(health, terms, true, 2));
  ASSERT_TRUE(health.Take(terms, Result(false)));
  ASSERT_TRUE(TakeAll(health, terms, true, 4));
  for (int i = 0; i < 40; i++) EXPECT_FALSE(health.Take(terms, Result(true)));
  ASSERT_TRUE(health.Take(terms, Result(false)));
  EXPECT_THAT(health.reason(), testing::Not(HasSubstr("flapped")));
  ASSERT_TRUE(TakeAll(health, terms, true, 2));
}

TEST(RiseFallTest, WhatIsSeenBesidesChecksIsEnoughByItself) {
  const CheckTerms terms = Terms(2, 3);
  CheckResult seen = Result(false, 7);
  seen.reason = "observed";
  RiseFall health(absl::FromUnixSeconds(0));
  ASSERT_TRUE(health.Take(terms, Result(true, 5)));
  EXPECT_TRUE(health.Fall(terms, seen));
  EXPECT_EQ(health.state(), HealthState::kUnhealthy);
  EXPECT_EQ(health.reason(), "observed");
  EXPECT_EQ(health.since(), absl::FromUnixSeconds(7));
  EXPECT_EQ(health.last()->at, absl::FromUnixSeconds(5)) << "it was no check";
  // What has passed before it is seen again counts no more.
  EXPECT_FALSE(health.Take(terms, Result(true)));
  EXPECT_FALSE(health.Fall(terms, seen));
  EXPECT_FALSE(health.Take(terms, Result(true)));
  EXPECT_TRUE(health.Take(terms, Result(true)));
  EXPECT_EQ(health.state(), HealthState::kHealthy);
  RiseFall unchecked(absl::FromUnixSeconds(0));
  EXPECT_TRUE(unchecked.Fall(terms, seen));
  EXPECT_FALSE(unchecked.Take(terms, Result(true)));
}

TEST(RiseFallTest, WhoFailsWhileItsChecksPassFlaps) {
  CheckTerms terms = Terms(2, 3);
  terms.flap_dampening = true;
  RiseFall health(absl::FromUnixSeconds(0));
  ASSERT_TRUE(health.Take(terms, Result(true)));
  for (uint32_t needed = 2; needed <= 128; needed *= 2) {
    ASSERT_TRUE(health.Fall(terms, Result(false)));
    ASSERT_TRUE(TakeAll(health, terms, true, needed)) << needed;
  }
}

TEST(RiseFallTest, WithoutDampeningNobodyWaitsLonger) {
  const CheckTerms terms = Terms(2, 1);
  RiseFall health(absl::FromUnixSeconds(0));
  ASSERT_TRUE(health.Take(terms, Result(true)));
  for (int i = 0; i < 5; i++) {
    ASSERT_TRUE(health.Take(terms, Result(false)));
    ASSERT_TRUE(TakeAll(health, terms, true, 2));
  }
}

}  // namespace
}  // namespace sluice
