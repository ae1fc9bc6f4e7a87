#include "tables/sequence.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>
#include <random>

namespace sluice {
namespace {

TEST(SequenceTest, EqualOnesTakeTurns) {
  EXPECT_EQ(SequenceTurns(std::vector<uint32_t>{7, 7, 7}, 251), (std::vector<uint32_t>{1, 1, 1}));
  EXPECT_EQ(BuildSequence(std::vector<uint32_t>{1, 1, 1}), (std::vector<uint32_t>{0, 1, 2}));
  EXPECT_EQ(BuildSequence(std::vector<uint32_t>{2, 2}), (std::vector<uint32_t>{0, 1, 0, 1}));
}

TEST(SequenceTest, HeavyOnesAreSpread) {
  EXPECT_EQ(BuildSequence(std::vector<uint32_t>{4, 1, 1}), (std::vector<uint32_t>{0, 1, 0, 0, 2, 0}));
}

TEST(SequenceTest, WeightsLoseWhatTheyHaveInCommon) {
  EXPECT_EQ(SequenceTurns(std::vector<uint32_t>{10, 20, 15}, 251), (std::vector<uint32_t>{2, 4, 3}));
  EXPECT_EQ(SequenceTurns(std::vector<uint32_t>{65535}, 251), (std::vector<uint32_t>{1}));
}

TEST(SequenceTest, WeightsThatDoNotFit) {
  const std::vector<uint32_t> weights = {65535, 32768, 1, 1};
  const std::vector<uint32_t> turns = SequenceTurns(weights, 1009);
  EXPECT_LE(std::accumulate(turns.begin(), turns.end(), 0u), 1009u);
  EXPECT_NEAR(turns[0], 2.0 * turns[1], 2);
  EXPECT_GT(turns[0], 660u);
  EXPECT_EQ(turns[2], 1u);
  // As many as there are places.
  EXPECT_EQ(SequenceTurns(std::vector<uint32_t>{9, 1, 1}, 3), (std::vector<uint32_t>{1, 1, 1}));
}

// Wherever one begins and however far one goes, nobody is far from its share.
TEST(SequenceTest, EveryStretchHasTheShares) {
  std::mt19937 random(1);
  for (uint32_t round = 0; round < 50; round++) {
    SCOPED_TRACE(testing::Message() << "round " << round);
    std::vector<uint32_t> weights(1 + random() % 30);
    for (uint32_t& weight : weights) weight = 1 + random() % 10;
    const std::vector<uint32_t> turns = SequenceTurns(weights, 65537);
    const std::vector<uint32_t> sequence = BuildSequence(turns);
    const uint32_t sum = std::accumulate(turns.begin(), turns.end(), 0u);
    ASSERT_EQ(sequence.size(), sum);
    for (uint32_t i = 0; i < turns.size(); i++) {
      ASSERT_EQ(static_cast<uint64_t>(weights[0]) * turns[i], static_cast<uint64_t>(weights[i]) * turns[0]);
    }
    std::vector<uint32_t> seen(turns.size());
    // Off by its own turn, and by half a turn of each of at most ten classes in which others are ahead.
    for (uint32_t at = 0; at < sum; at++) {
      seen[sequence[at]]++;
      for (uint32_t i = 0; i < turns.size(); i++) {
        const double share = static_cast<double>(turns[i]) / sum;
        ASSERT_LE(std::abs(seen[i] - (at + 1) * share), 1 + 5 * share) << i << " at " << at;
      }
    }
    ASSERT_EQ(seen, turns);
  }
}

}  // namespace
}  // namespace sluice
