#include "health/schedule.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <vector>

namespace sluice {
namespace {

absl::Time At(int64_t ms) {
  return absl::FromUnixMillis(ms);
}

// Beside a map that is searched from one end to the other.
TEST(CheckScheduleTest, GivesTheEarliestAsASearchThroughAllDoes) {
  std::mt19937 random(7);
  CheckSchedule schedule;
  std::map<uint64_t, absl::Time> naive;
  int64_t now = 0;
  for (int step = 0; step < 20'000; step++) {
    const uint64_t id = random() % 50;
    switch (random() % 4) {
      case 0:
      case 1:
        naive[id] = At(now + static_cast<int64_t>(random() % 100));
        schedule.Set(id, naive[id]);
        break;
      case 2:
        naive.erase(id);
        schedule.Remove(id);
        break;
      default:
        now += random() % 10;
        break;
    }
    ASSERT_EQ(schedule.size(), naive.size());
    const std::optional<CheckSchedule::Due> due = schedule.TakeDue(At(now));
    absl::Time earliest = absl::InfiniteFuture();
    for (const auto& [other, at] : naive) earliest = std::min(earliest, at);
    ASSERT_EQ(due.has_value(), earliest <= At(now));
    if (!due.has_value()) continue;
    ASSERT_EQ(due->at, earliest);
    ASSERT_EQ(naive.at(due->id), earliest);
    naive.erase(due->id);
  }
}

TEST(SpreadOverTest, AnyNumberLiesEvenlyOverThePeriod) {
  for (const uint64_t count : {3, 10, 1'000, 10'000}) {
    // No tenth of the period has twice its share, wherever the numbers begin.
    for (const uint64_t first : {0, 17, 123'456}) {
      std::vector<uint64_t> tenths(10);
      for (uint64_t n = first; n < first + count; n++) {
        const absl::Duration at = SpreadOver(absl::Seconds(1), n);
        ASSERT_GE(at, absl::ZeroDuration());
        ASSERT_LT(at, absl::Seconds(1));
        tenths[static_cast<size_t>(at / absl::Milliseconds(100))]++;
      }
      for (const uint64_t share : tenths) EXPECT_LE(share, count / 10 * 2 + 1) << count << " from " << first;
    }
  }
}

}  // namespace
}  // namespace sluice
