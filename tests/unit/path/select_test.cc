#include "sluice/select.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/packet/hand_tables.h"

namespace sluice::path_test {
namespace {

TEST(SelectTest, SharesOfTheTable) {
  packet_test::HandTables tables;
  tables.AddPool({7, 7, 7});
  std::vector<uint32_t> slots(997, 1);
  for (size_t i = 0; i < slots.size() / 4; i++) slots[i] = 2;
  const uint32_t pool = tables.AddPool(slots);
  std::mt19937_64 random(1);
  uint32_t twos = 0;
  constexpr uint32_t kFlows = 100000;
  for (uint32_t i = 0; i < kFlows; i++) {
    const uint32_t slot = sluice_select(&tables.view(), pool, random());
    ASSERT_TRUE(slot == 1 || slot == 2);
    twos += slot == 2;
  }
  EXPECT_NEAR(twos, kFlows * 249.0 / 997, 800);
  EXPECT_EQ(sluice_select(&tables.view(), 0, 0), 7u);
  EXPECT_EQ(sluice_select(&tables.view(), 0, ~0ull), 7u);
}

TEST(SelectTest, EmptyPool) {
  packet_test::HandTables tables;
  EXPECT_EQ(sluice_select(&tables.view(), tables.AddPool({}), 1), static_cast<uint32_t>(SLUICE_NO_BACKEND));
}

}  // namespace
}  // namespace sluice::path_test
