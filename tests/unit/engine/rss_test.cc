// RSS as devices do it: the hash against the vectors of Microsoft's verification suite ("Verifying the RSS hash
// calculation", Windows driver documentation).
#include "engine/sim/rss.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/packet/notation.h"

namespace sluice {
namespace {

using packet_test::Packet;

uint32_t HashOf(const std::string& text) {
  const std::string frame = Packet(text);
  return RssHash({reinterpret_cast<const uint8_t*>(frame.data()), frame.size()});
}

const std::string kIpv4 = "ipv4(src=66.9.149.187, dst=161.142.100.80";
const std::string kIpv6 = "ipv6(src=3ffe:2501:200:1fff::7, dst=3ffe:2501:200:3::1)";

TEST(RssTest, HashesAddressesAndPortsOfTcpAndUdp) {
  EXPECT_EQ(HashOf("eth/" + kIpv4 + ")/tcp(sport=2794, dport=1766)"), 0x51ccc178u);
  EXPECT_EQ(HashOf("eth/" + kIpv4 + ")/udp(sport=2794, dport=1766)"), 0x51ccc178u);
  EXPECT_EQ(HashOf("eth/" + kIpv6 + "/tcp(sport=2794, dport=1766)"), 0x40207d3du);
}

TEST(RssTest, FindsThePortsBehindTagsAndOptions) {
  EXPECT_EQ(HashOf("eth/qinq(5)/vlan(10)/" + kIpv4 + ", options=01010101)/tcp(sport=2794, dport=1766)"), 0x51ccc178u);
}

TEST(RssTest, HashesFragmentsByAddressesAlone) {
  EXPECT_EQ(HashOf("eth/" + kIpv4 + ", mf, id=7)/slice(0, 64)/udp(sport=2794, dport=1766)/payload(100)"), 0x323e8fc2u);
  EXPECT_EQ(HashOf("eth/" + kIpv4 + ", frag=64, id=7)/slice(64, 44)/udp(sport=2794, dport=1766)/payload(100)"),
            0x323e8fc2u);
  EXPECT_EQ(HashOf("eth/" + kIpv6 + "/frag6(more)/slice(0, 64)/udp(sport=2794, dport=1766)/payload(100)"), 0x2cc18cd5u);
}

TEST(RssTest, HashesIcmpByAddressesAlone) {
  EXPECT_EQ(HashOf("eth/" + kIpv4 + ")/icmp(type=8)"), 0x323e8fc2u);
}

TEST(RssTest, HasNoHashForOtherFrames) {
  EXPECT_EQ(HashOf("eth/arp(sip=66.9.149.187, tip=161.142.100.80)"), 0u);
  EXPECT_EQ(HashOf("eth/" + kIpv4 + ")/tcp/cut(33)"), 0u);
  EXPECT_EQ(HashOf("eth/vlan(1)/" + kIpv4 + ")/tcp/cut(16)"), 0u);
  EXPECT_EQ(HashOf("eth/" + kIpv4 + ")/tcp/cut(5)"), 0u);
}

TEST(RssTest, TakesTheAddressesWhenThePortsAreCutOff) {
  EXPECT_EQ(HashOf("eth/" + kIpv4 + ")/tcp/cut(36)"), 0x323e8fc2u);
}

}  // namespace
}  // namespace sluice
