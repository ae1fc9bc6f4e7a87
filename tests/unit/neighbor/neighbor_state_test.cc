// The state machine of one neighbour, on a clock of the test's own.
#include "neighbor/neighbor_state.h"

#include <gtest/gtest.h>
#include <linux/neighbour.h>

namespace sluice {
namespace {

using Action = NeighborState::Action;
constexpr Mac kOld = {2, 0, 0, 0, 0, 1};
constexpr Mac kNew = {2, 0, 0, 0, 0, 2};

class NeighborStateTest : public ::testing::Test {
 protected:
  // Goes to when the machine wants something.
  Action NextWhenDue() {
    EXPECT_NE(state_.due(), absl::InfiniteFuture());
    now_ = std::max(now_, state_.due());
    return state_.Next(now_);
  }
  void Report(uint16_t state, std::optional<Mac> mac = std::nullopt) { state_.Report(state, mac, now_); }

  absl::Time now_ = absl::UnixEpoch() + absl::Hours(1);
  NeighborState state_;
};

TEST_F(NeighborStateTest, AnAbsentNeighborIsUsedAtOnce) {
  state_.Gone(now_);
  EXPECT_EQ(state_.due(), now_);
  EXPECT_EQ(NextWhenDue(), Action::kUse);
  EXPECT_FALSE(state_.resolved());
  EXPECT_FALSE(state_.failed());
  Report(NUD_REACHABLE, kOld);
  EXPECT_TRUE(state_.resolved());
  EXPECT_EQ(state_.mac(), kOld);
}

TEST_F(NeighborStateTest, AnOldFailureIsNotBelieved) {
  Report(NUD_FAILED);
  EXPECT_FALSE(state_.failed());
  EXPECT_EQ(state_.due(), now_);
  EXPECT_EQ(NextWhenDue(), Action::kUse);
  Report(NUD_FAILED);
  EXPECT_TRUE(state_.failed());
}

TEST_F(NeighborStateTest, StaleIsProbedAndKept) {
  Report(NUD_STALE, kOld);
  EXPECT_TRUE(state_.resolved());
  EXPECT_EQ(state_.due(), now_);
  EXPECT_EQ(NextWhenDue(), Action::kProbe);
  Report(NUD_PROBE, kOld);
  EXPECT_TRUE(state_.resolved());
  Report(NUD_STALE, kNew);
  EXPECT_EQ(state_.mac(), kNew);
  EXPECT_EQ(state_.due(), now_ + NeighborState::kAskInterval) << "not a storm of probes";
}

TEST_F(NeighborStateTest, AFailedProbeFailsAndIsFollowedByABroadcast) {
  Report(NUD_STALE, kOld);
  ASSERT_EQ(NextWhenDue(), Action::kProbe);
  Report(NUD_PROBE, kOld);
  Report(NUD_FAILED);
  EXPECT_TRUE(state_.failed());
  EXPECT_FALSE(state_.resolved());
  EXPECT_EQ(state_.due(), now_);
  EXPECT_EQ(NextWhenDue(), Action::kUse);
  Report(NUD_REACHABLE, kNew);
  EXPECT_FALSE(state_.failed());
  EXPECT_EQ(state_.mac(), kNew);
}

TEST_F(NeighborStateTest, FailureIsStickyAndBacksOff) {
  state_.Gone(now_);
  absl::Duration expected = NeighborState::kFirstRetry;
  ASSERT_EQ(NextWhenDue(), Action::kUse);
  for (int i = 0; i < 6; ++i) {
    Report(NUD_FAILED);
    EXPECT_TRUE(state_.failed());
    EXPECT_EQ(state_.due() - now_, expected);
    expected = std::min(2 * expected, NeighborState::kLongestRetry);
    // The kernel collects failed entries; that is no news.
    const absl::Time due = state_.due();
    state_.Gone(now_);
    EXPECT_EQ(state_.due(), due);
    EXPECT_EQ(NextWhenDue(), Action::kUse);
    EXPECT_TRUE(state_.failed());
    Report(NUD_INCOMPLETE);
    EXPECT_TRUE(state_.failed());
  }
  Report(NUD_STALE, kOld);
  EXPECT_FALSE(state_.failed());
  Report(NUD_PROBE, kOld);
  Report(NUD_FAILED);
  ASSERT_EQ(NextWhenDue(), Action::kUse);
  Report(NUD_FAILED);
  EXPECT_LE(state_.due() - now_, 2 * NeighborState::kFirstRetry) << "back-off starts anew after an answer";
}

TEST_F(NeighborStateTest, ADeletedEntryStaysInUseUntilTheHostFails) {
  Report(NUD_REACHABLE, kOld);
  // What `ip neigh del` makes the kernel tell.
  Report(NUD_FAILED);
  EXPECT_TRUE(state_.resolved());
  state_.Gone(now_);
  EXPECT_TRUE(state_.resolved());
  EXPECT_EQ(NextWhenDue(), Action::kUse);
  EXPECT_TRUE(state_.resolved());
  Report(NUD_FAILED);
  EXPECT_FALSE(state_.resolved());
  EXPECT_TRUE(state_.failed());
}

TEST_F(NeighborStateTest, ACollectorThatWorksAgainstUsIsNotFought) {
  Report(NUD_REACHABLE, kOld);
  int uses = 0;
  const absl::Time end = now_ + absl::Seconds(10);
  while (now_ < end) {
    state_.Gone(now_);
    uses += NextWhenDue() == Action::kUse ? 1 : 0;
  }
  EXPECT_LE(uses, 12);
  EXPECT_GE(uses, 9);
}

TEST_F(NeighborStateTest, FixedEntriesAreNeverTouched) {
  Report(NUD_PERMANENT, kOld);
  EXPECT_TRUE(state_.resolved());
  EXPECT_EQ(state_.due(), absl::InfiniteFuture());
  Report(NUD_NOARP, kOld);
  EXPECT_EQ(state_.due(), absl::InfiniteFuture());
}

TEST_F(NeighborStateTest, SilenceOfTheKernelIsFollowedByALook) {
  state_.Gone(now_);
  ASSERT_EQ(NextWhenDue(), Action::kUse);
  EXPECT_EQ(state_.due(), now_ + NeighborState::kAnswerTimeout);
  EXPECT_EQ(NextWhenDue(), Action::kLook);
  Report(NUD_REACHABLE, kOld);
  EXPECT_EQ(NextWhenDue(), Action::kLook);
}

TEST_F(NeighborStateTest, ARefusalIsToldAndTriedAgain) {
  state_.Gone(now_);
  ASSERT_EQ(NextWhenDue(), Action::kUse);
  state_.Refused(absl::ResourceExhaustedError("table full"), now_);
  EXPECT_TRUE(state_.failed());
  EXPECT_EQ(state_.refusal(), "table full");
  EXPECT_EQ(state_.due(), now_ + NeighborState::kFirstRetry);
  EXPECT_EQ(NextWhenDue(), Action::kUse);
  Report(NUD_REACHABLE, kOld);
  EXPECT_TRUE(state_.resolved());
  EXPECT_EQ(state_.refusal(), "");
}

}  // namespace
}  // namespace sluice
