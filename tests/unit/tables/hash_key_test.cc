// The derived key is the same in every version: nodes of a fleet of mixed versions agree.
#include "tables/hash_key.h"

#include <numeric>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tables/desired.h"

namespace sluice {
namespace {

TEST(HashKey, IsHkdfSha256) {
  std::vector<uint8_t> key(kHashKeySize);
  std::iota(key.begin(), key.end(), uint8_t{0});
  const absl::StatusOr<FlowHashKey> words = DeriveFlowHashKey(key);
  ASSERT_TRUE(words.ok()) << words.status();
  // By Python's hmac and hashlib, as RFC 5869 section 2 says.
  EXPECT_THAT(*words, testing::ElementsAre(0x4e095121, 0x67bf864a, 0x2000d0e8, 0x61a6b3bd, 0x613d4eeb, 0xd242ffd7,
                                           0xba1e280a, 0xa7ddf441, 0x32151fad, 0x67caa5b6));
}

TEST(HashKey, NeedsItsLength) {
  for (const size_t size : {0, 31, 33}) {
    EXPECT_EQ(DeriveFlowHashKey(std::vector<uint8_t>(size)).status().code(), absl::StatusCode::kInvalidArgument);
  }
}

uint16_t Ticks(int64_t seconds, int32_t nanoseconds = 0) {
  google::protobuf::Duration timeout;
  timeout.set_seconds(seconds);
  timeout.set_nanos(nanoseconds);
  return IdleTicks(timeout);
}

TEST(IdleTicks, RoundsUpAndAddsOne) {
  // One tick is 2.147483648 s.
  EXPECT_EQ(Ticks(1), 2);
  EXPECT_EQ(Ticks(2, 147483647), 2);
  EXPECT_EQ(Ticks(2, 147483648), 2);
  EXPECT_EQ(Ticks(2, 147483649), 3);
  EXPECT_EQ(Ticks(6000), 2795);
}

}  // namespace
}  // namespace sluice
