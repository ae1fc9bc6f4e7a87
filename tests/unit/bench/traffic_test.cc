// The generator's packets: what they are, and that flows are as many and as popular as asked for.
#include "traffic.h"

#include <gmock/gmock.h>
#include <rte_mbuf.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>

#include "tests/packet/checksums.h"
#include "tests/packet/describe.h"

namespace sluice::bench {
namespace {

using packet_test::Checked;
using packet_test::ChecksumsOf;
using packet_test::DescribePacket;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// An rte_mbuf with its buffer behind it, as they lie in a pool.
class Buffer {
 public:
  Buffer() : memory_(std::make_unique<Memory>()) {
    packet()->buf_addr = memory_->bytes + sizeof(rte_mbuf);
    packet()->buf_len = sizeof(memory_->bytes) - sizeof(rte_mbuf);
  }
  rte_mbuf* packet() { return reinterpret_cast<rte_mbuf*>(memory_->bytes); }
  std::string frame() { return {rte_pktmbuf_mtod(packet(), const char*), packet()->data_len}; }

 private:
  struct Memory {
    alignas(RTE_CACHE_LINE_SIZE) uint8_t bytes[sizeof(rte_mbuf) + RTE_MBUF_DEFAULT_BUF_SIZE] = {};
  };
  std::unique_ptr<Memory> memory_;
};

std::string ClientOf(const std::string& frame, int family) {
  return family == 4 ? frame.substr(26, 4) + frame.substr(34, 2) : frame.substr(22, 16) + frame.substr(54, 2);
}

void ExpectRight(const std::string& frame, int family) {
  EXPECT_EQ(ChecksumsOf(frame).ip, family == 4 ? Checked::kRight : Checked::kNone) << DescribePacket(frame);
  EXPECT_EQ(ChecksumsOf(frame).transport, Checked::kRight) << DescribePacket(frame);
}

class TrafficTest : public ::testing::TestWithParam<std::tuple<int, uint8_t>> {
 protected:
  int Family() const { return std::get<0>(GetParam()); }
  uint8_t Protocol() const { return std::get<1>(GetParam()); }
  bool Tcp() const { return Protocol() == SLUICE_IP_TCP; }
  uint16_t Shortest() const { return Traffic::Shortest(Family(), Protocol()); }
  TrafficOptions Options(uint64_t flows) const {
    return {.family = Family(), .protocol = Protocol(), .flows = flows, .sizes = {Shortest()}};
  }
  std::string Next(Traffic& traffic) {
    traffic.Write(buffer_.packet(), used_);
    used_ = true;
    return buffer_.frame();
  }

  Buffer buffer_;
  bool used_ = false;
};

TEST_P(TrafficTest, EstablishedFlowsOpenNothing) {
  Traffic traffic(Options(100'000));
  for (int i = 0; i < 1000; i++) {
    const std::string frame = Next(traffic);
    EXPECT_EQ(frame.size(), Family() == 4 ? 60u : Tcp() ? 74u : 70u);
    ExpectRight(frame, Family());
    EXPECT_THAT(DescribePacket(frame), AllOf(HasSubstr(Family() == 4 ? "dst=203.0.113.10" : "dst=2001:db8::10"),
                                             HasSubstr(Tcp() ? "tcp" : "udp"), Not(HasSubstr("syn"))));
  }
}

TEST_P(TrafficTest, StampsComeBackWithTheirPackets) {
  TrafficOptions options = Options(10);
  options.sizes = {Shortest(), 1518};
  Traffic traffic(options);
  // All ones: where sums carry most.
  for (const uint64_t time : {uint64_t{0}, uint64_t{0x0123'4567'89ab'cdef}, UINT64_MAX, uint64_t{0xffff}}) {
    for (size_t i = 0; i < options.sizes.size(); i++) {
      Next(traffic);
      traffic.Stamp(buffer_.packet(), time);
      ExpectRight(buffer_.frame(), Family());
      EXPECT_NE(buffer_.frame().find(std::string(reinterpret_cast<const char*>(&time), sizeof(time))),
                std::string::npos);
      rte_pktmbuf_prepend(buffer_.packet(), 20);
      EXPECT_EQ(traffic.StampOf(buffer_.packet()), time);
      rte_pktmbuf_adj(buffer_.packet(), 20);
    }
  }
}

TEST_P(TrafficTest, FlowsAreAsManyAsAskedFor) {
  Traffic traffic(Options(200));
  std::set<std::string> clients;
  for (int i = 0; i < 10'000; i++) clients.insert(ClientOf(Next(traffic), Family()));
  EXPECT_EQ(clients.size(), 200u);
}

TEST_P(TrafficTest, NewFlowsAreNeverAnOldOne) {
  TrafficOptions options = Options(100);
  options.new_flows = 0.25;
  Traffic traffic(options);
  std::set<std::string> opened, established;
  for (int i = 0; i < 1000; i++) {
    const std::string frame = Next(traffic);
    ExpectRight(frame, Family());
    // Every fourth.
    const bool opens = i % 4 == 3;
    EXPECT_EQ(DescribePacket(frame).find("syn") != std::string::npos, opens && Tcp());
    (opens ? opened : established).insert(ClientOf(frame, Family()));
  }
  EXPECT_EQ(opened.size(), 250u);
  for (const std::string& client : established) EXPECT_FALSE(opened.contains(client));
}

TEST_P(TrafficTest, ByZipfOneFlowHasMost) {
  TrafficOptions options = Options(1000);
  options.zipf_exponent = 2;
  Traffic traffic(options);
  std::map<std::string, int> packets;
  for (int i = 0; i < 10'000; i++) packets[ClientOf(Next(traffic), Family())]++;
  int most = 0;
  for (const auto& [client, count] : packets) most = std::max(most, count);
  // 1 of zeta(2) = 1.64.
  EXPECT_NEAR(most, 6080, 300);
  EXPECT_GT(packets.size(), 20u);
}

TEST_P(TrafficTest, SizesComeInTurn) {
  TrafficOptions options = Options(10);
  options.sizes = {Shortest(), 594, 1518};
  Traffic traffic(options);
  for (int i = 0; i < 9; i++) {
    const std::string frame = Next(traffic);
    EXPECT_EQ(frame.size() + 4, options.sizes[static_cast<size_t>(i) % 3]);
    ExpectRight(frame, Family());
  }
}

// A tunnel's headers stand before where the packet was.
TEST_P(TrafficTest, BuffersThatMoveAreTakenBack) {
  TrafficOptions options = Options(10);
  options.moved = true;
  Traffic traffic(options);
  const std::string first = Next(traffic);
  rte_pktmbuf_prepend(buffer_.packet(), 20);
  const std::string second = Next(traffic);
  EXPECT_EQ(second.size(), first.size());
  ExpectRight(second, Family());
}

TEST_P(TrafficTest, ServersAnswerWhatOpensAFlow) {
  const Traffic::Kind kinds[] = {Traffic::kAck, Traffic::kSyn};
  for (const Traffic::Kind kind : kinds) {
    Traffic traffic(Options(10));
    traffic.WriteFlow(buffer_.packet(), false, 3, kind);
    const std::string before = buffer_.frame();
    ASSERT_EQ(traffic.TurnAround(buffer_.packet()), kind == Traffic::kSyn || !Tcp());
    if (kind == Traffic::kAck && Tcp()) continue;
    ExpectRight(buffer_.frame(), Family());
    EXPECT_THAT(DescribePacket(buffer_.frame()),
                AllOf(HasSubstr(Family() == 4 ? "src=203.0.113.10" : "src=2001:db8::10"), HasSubstr("sport=80"),
                      HasSubstr("dport=10003")));
    EXPECT_THAT(DescribePacket(buffer_.frame()), HasSubstr(Tcp() ? "acknr=1" : "udp"));
    EXPECT_EQ(DescribePacket(buffer_.frame()).find("syn") != std::string::npos, Tcp());
    // Not twice.
    EXPECT_FALSE(traffic.TurnAround(buffer_.packet()));
  }
}

INSTANTIATE_TEST_SUITE_P(Families, TrafficTest,
                         ::testing::Combine(::testing::Values(4, 6), ::testing::Values(SLUICE_IP_TCP, SLUICE_IP_UDP)));

}  // namespace
}  // namespace sluice::bench
