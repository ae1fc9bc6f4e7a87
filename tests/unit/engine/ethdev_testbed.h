// What the tests of DPDK devices stand on: an environment without huge pages and two lcores, pools, frames by hand.
#pragma once

#include <gtest/gtest.h>
#include <rte_eal.h>
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <sched.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/dpdk/packet_pool.h"

namespace sluice {

using Frame = std::vector<uint8_t>;

// Until `done` says so, 20 seconds at most; says whether it did.
inline bool Eventually(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    sched_yield();
  }
  return true;
}

inline std::string WordsOf(const absl::Status& status) {
  return std::string(status.message());
}

inline Frame BytesOf(const rte_mbuf* packet) {
  const auto* data = rte_pktmbuf_mtod(packet, const uint8_t*);
  return Frame(data, data + packet->data_len);
}

// An Ethernet frame of `size` bytes with an IPv4 ethertype; `seed` tells them apart.
inline Frame MakeFrame(size_t size, int seed = 0) {
  Frame frame(size);
  for (size_t i = 0; i < size; i++) frame[i] = static_cast<uint8_t>(i * 7 + static_cast<size_t>(seed));
  frame[0] = 2;
  frame[12] = 8;
  frame[13] = 0;
  return frame;
}

class EthdevTestbed : public ::testing::Test {
 protected:
  static constexpr uint32_t kMbufs = 4095;

  static void SetUpTestSuite() {
    std::vector<std::string> words = {"test", "--no-huge", "--no-shconf",          "--no-telemetry",  "--no-pci",
                                      "-m",   "128",       "--log-level=critical", "--lcores=0@0,1@0"};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ASSERT_GE(rte_eal_init(static_cast<int>(words.size()), arguments.data()), 0);
  }

  void TearDown() override {
    for (rte_mempool* pool : pools_) {
      EXPECT_EQ(rte_mempool_avail_count(pool), kMbufs) << "packets are lost";
      rte_mempool_free(pool);
    }
    pools_.clear();
  }

  // Counted and freed after the test.
  rte_mempool* MakePool(uint16_t data_room = RTE_MBUF_DEFAULT_BUF_SIZE) {
    static int number = 0;
    const auto pool = CreatePacketPool("test" + std::to_string(number++), kMbufs, /*cache=*/0, data_room);
    EXPECT_TRUE(pool.ok()) << pool.status();
    if (!pool.ok()) return nullptr;
    pools_.push_back(*pool);
    return *pool;
  }

  static rte_mbuf* MakePacket(rte_mempool* pool, const Frame& frame) {
    rte_mbuf* packet = rte_pktmbuf_alloc(pool);
    std::memcpy(rte_pktmbuf_append(packet, static_cast<uint16_t>(frame.size())), frame.data(), frame.size());
    return packet;
  }

 private:
  std::vector<rte_mempool*> pools_;
};

}  // namespace sluice
