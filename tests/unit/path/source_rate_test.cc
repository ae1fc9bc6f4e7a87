#include "sluice/source_rate.h"

#include <gtest/gtest.h>

#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "tests/packet/hand_tables.h"

namespace sluice::path_test {
namespace {

constexpr uint64_t kWindow = uint64_t{1} << SLUICE_WINDOW_SHIFT;

// Partitions' own memory.
class SourceRateTest : public ::testing::Test {
 protected:
  static constexpr uint32_t kPartitions = 3;

  SourceRateTest() {
    for (auto& memory : memory_) sources_.push_back(memory.data());
  }
  bool Take(const char* source, uint32_t most, uint32_t own = 0, uint32_t listener = 0) {
    return Take(packet_test::PathAddress(source), most, own, listener);
  }
  bool Take(const sluice_address& source, uint32_t most, uint32_t own = 0, uint32_t listener = 0) {
    const sluice_selector selector{own,         now_,    nullptr, nullptr, nullptr, sources_.data(),
                                   kPartitions, nullptr, nullptr};
    return sluice_source_take(&tables_.view(), &selector, listener, most, &source) == 1;
  }
  uint32_t TakeMany(const char* source, uint32_t times, uint32_t most) {
    uint32_t taken = 0;
    for (uint32_t i = 0; i < times; i++) taken += Take(source, most, i % kPartitions) ? 1 : 0;
    return taken;
  }

  packet_test::HandTables tables_;
  std::array<std::vector<sluice_source_line>, kPartitions> memory_{
      std::vector<sluice_source_line>(SLUICE_SOURCE_LINES), std::vector<sluice_source_line>(SLUICE_SOURCE_LINES),
      std::vector<sluice_source_line>(SLUICE_SOURCE_LINES)};
  std::vector<sluice_source_line*> sources_;
  uint64_t now_ = 5000 * kWindow;
};

TEST_F(SourceRateTest, OverAllPartitions) {
  EXPECT_EQ(TakeMany("192.0.2.7", 50, 10), 10u);
  for (uint32_t own = 0; own < kPartitions; own++) EXPECT_FALSE(Take("192.0.2.7", 10, own));
  EXPECT_TRUE(Take("192.0.2.7", 11));
}

TEST_F(SourceRateTest, EachSourceAndEachListenerByItself) {
  EXPECT_EQ(TakeMany("192.0.2.7", 20, 10), 10u);
  EXPECT_TRUE(Take("192.0.2.8", 1));
  EXPECT_TRUE(Take("192.0.2.7", 1, 0, 7));
  EXPECT_FALSE(Take("192.0.2.7", 1, 1, 7));
}

TEST_F(SourceRateTest, AnIpv6SourceIsItsNetwork) {
  EXPECT_TRUE(Take("2001:db8:1:2::1", 2));
  EXPECT_TRUE(Take("2001:db8:1:2:ffff::", 2));
  EXPECT_FALSE(Take("2001:db8:1:2:3:4:5:6", 2));
  EXPECT_TRUE(Take("2001:db8:1:3::1", 2));
}

TEST_F(SourceRateTest, TheWindowBeforeCountsLessAndLess) {
  EXPECT_EQ(TakeMany("192.0.2.7", 256, 256), 256u);
  now_ += kWindow;
  EXPECT_EQ(TakeMany("192.0.2.7", 256, 256), 0u);
  now_ += kWindow / 4;
  EXPECT_NEAR(TakeMany("192.0.2.7", 256, 256), 64, kPartitions);
  now_ += kWindow / 2;
  EXPECT_NEAR(TakeMany("192.0.2.7", 256, 256), 128, 2 * kPartitions);
  now_ += kWindow / 4;
  EXPECT_NEAR(TakeMany("192.0.2.7", 256, 256), 64, 3 * kPartitions);
}

TEST_F(SourceRateTest, TwoWindowsLaterAllIsForgotten) {
  EXPECT_EQ(TakeMany("192.0.2.7", 100, 100), 100u);
  now_ += 2 * kWindow;
  EXPECT_EQ(TakeMany("192.0.2.7", 200, 100), 100u);
}

// Never more than so many within a window's time, wherever it begins, but for what the estimate is off: half as much
// again in the worst case, when all came at the end of one window and the beginning of the next.
TEST_F(SourceRateTest, ASteadyFloodHasItsRate) {
  constexpr uint32_t kMost = 100;
  std::deque<uint64_t> taken;
  uint64_t total = 0;
  const uint64_t end = now_ + 50 * kWindow;
  for (; now_ < end; now_ += kWindow / 1000) {
    if (!Take("192.0.2.7", kMost, static_cast<uint32_t>(now_ >> 20) % kPartitions)) continue;
    total++;
    taken.push_back(now_);
    while (taken.front() + kWindow <= now_) taken.pop_front();
    EXPECT_LE(taken.size(), kMost + kPartitions * 2);
  }
  EXPECT_NEAR(static_cast<double>(total), 50 * kMost, 50 * kMost * 0.08);
}

// Whoever has many flows keeps its count under a flood of sources that have one.
TEST_F(SourceRateTest, AFloodOfSourcesPushesOutItsOwn) {
  EXPECT_EQ(TakeMany("192.0.2.7", 30, 30), 30u);
  std::mt19937 random(1);
  for (uint32_t i = 0; i < kPartitions * SLUICE_SOURCE_LINES * SLUICE_SOURCE_WAYS * 3; i++) {
    Take(sluice_address{{0, 0, SLUICE_32(0xffff), static_cast<uint32_t>(random())}}, 30, i % kPartitions);
  }
  EXPECT_FALSE(Take("192.0.2.7", 30));
}

TEST_F(SourceRateTest, ThousandsOfSourcesEachHaveTheirs) {
  constexpr uint32_t kSources = 10000;
  uint32_t taken = 0;
  for (uint32_t round = 0; round < 5; round++) {
    for (uint32_t i = 0; i < kSources; i++) {
      taken += Take(sluice_address{{0, 0, SLUICE_32(0xffff), SLUICE_32(0x0a000000u + i)}}, 3, round % kPartitions);
    }
  }
  // But for those that have been forgotten where too many fell into one line.
  EXPECT_GE(taken, 3 * kSources);
  EXPECT_LE(taken, 3 * kSources + kSources / 100);
}

}  // namespace
}  // namespace sluice::path_test
