// Pools of packets in pages of 4 KiB, which DPDK itself would fill with one packet each.
#include "engine/dpdk/packet_pool.h"

#include <gmock/gmock.h>
#include <rte_errno.h>

#include <algorithm>
#include <set>

#include "ethdev_testbed.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

constexpr uintptr_t kLine = 64;
// Of a first-level cache.
constexpr uintptr_t kSets = 64;

class PacketPoolTest : public EthdevTestbed {
 protected:
  // All packets of a pool, by address.
  void TakeAll() {
    rte_mempool* pool = MakePool();
    packets_.resize(kMbufs);
    ASSERT_EQ(rte_pktmbuf_alloc_bulk(pool, packets_.data(), kMbufs), 0);
    std::sort(packets_.begin(), packets_.end());
  }

  void TearDown() override {
    rte_pktmbuf_free_bulk(packets_.data(), static_cast<unsigned>(packets_.size()));
    EthdevTestbed::TearDown();
  }

  std::vector<rte_mbuf*> packets_;
};

TEST_F(PacketPoolTest, OneLiesRightBehindTheOther) {
  TakeAll();
  const size_t each =
      static_cast<size_t>(reinterpret_cast<uint8_t*>(packets_[1]) - reinterpret_cast<uint8_t*>(packets_[0]));
  EXPECT_LT(each, sizeof(rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE + 4 * kLine);
  for (uint32_t i = 1; i < kMbufs; i++) {
    ASSERT_EQ(reinterpret_cast<uint8_t*>(packets_[i]), reinterpret_cast<uint8_t*>(packets_[0]) + i * each) << i;
  }
}

TEST_F(PacketPoolTest, TheirLinesUseTheWholeCache) {
  TakeAll();
  std::set<uintptr_t> headers;
  std::set<uintptr_t> frames;
  for (uint32_t i = 0; i < kSets; i++) {
    headers.insert(reinterpret_cast<uintptr_t>(packets_[i]) / kLine % kSets);
    frames.insert(rte_pktmbuf_mtod(packets_[i], uintptr_t) / kLine % kSets);
  }
  EXPECT_EQ(headers.size(), kSets);
  EXPECT_EQ(frames.size(), kSets);
}

TEST_F(PacketPoolTest, BuffersAreWholeAndApart) {
  TakeAll();
  for (uint32_t i = 0; i < kMbufs; i++) {
    ASSERT_EQ(packets_[i]->buf_len, RTE_MBUF_DEFAULT_BUF_SIZE);
    std::memset(packets_[i]->buf_addr, static_cast<int>(i % 251), RTE_MBUF_DEFAULT_BUF_SIZE);
  }
  for (uint32_t i = 0; i < kMbufs; i++) {
    const auto* buffer = static_cast<const uint8_t*>(packets_[i]->buf_addr);
    const auto other = std::find_if(buffer, buffer + RTE_MBUF_DEFAULT_BUF_SIZE,
                                    [i](uint8_t byte) { return byte != static_cast<uint8_t>(i % 251); });
    ASSERT_EQ(other, buffer + RTE_MBUF_DEFAULT_BUF_SIZE) << i;
  }
}

TEST_F(PacketPoolTest, DevicesMayUseThem) {
  TakeAll();
  EXPECT_EQ(packets_[0]->pool->flags & (RTE_MEMPOOL_F_NON_IO | RTE_MEMPOOL_F_NO_IOVA_CONTIG), 0U);
  for (rte_mbuf* packet : packets_) {
    ASSERT_EQ(rte_mempool_virt2iova(packet), reinterpret_cast<uintptr_t>(packet));
    ASSERT_EQ(packet->buf_iova, reinterpret_cast<uintptr_t>(packet->buf_addr));
  }
}

TEST_F(PacketPoolTest, MemoryGoesBackWithThePool) {
  for (int i = 0; i < 100; i++) {
    const auto pool = CreatePacketPool("often", kMbufs, /*cache=*/256, RTE_MBUF_DEFAULT_BUF_SIZE);
    ASSERT_TRUE(pool.ok()) << i << ": " << pool.status();
    rte_mempool_free(*pool);
  }
}

TEST_F(PacketPoolTest, RefusesWhatItHasNoMemoryFor) {
  for (int i = 0; i < 3; i++) {
    const auto pool = CreatePacketPool("large", 1'000'000, /*cache=*/256, RTE_MBUF_DEFAULT_BUF_SIZE);
    ASSERT_FALSE(pool.ok());
    EXPECT_THAT(WordsOf(pool.status()), HasSubstr("no memory for 1000000 packets of 2176 bytes: Cannot allocate"));
  }
  // Nothing is left of them.
  EXPECT_NE(MakePool(), nullptr);
}

TEST_F(PacketPoolTest, RefusesASecondOneOfAName) {
  const auto pool = CreatePacketPool("one", kMbufs, /*cache=*/0, RTE_MBUF_DEFAULT_BUF_SIZE);
  ASSERT_TRUE(pool.ok()) << pool.status();
  const auto other = CreatePacketPool("one", kMbufs, /*cache=*/0, RTE_MBUF_DEFAULT_BUF_SIZE);
  EXPECT_THAT(WordsOf(other.status()), HasSubstr("File exists"));
  rte_mempool_free(*pool);
}

}  // namespace
}  // namespace sluice
