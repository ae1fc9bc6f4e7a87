#include "tests/packet/notation.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "tests/packet/checksums.h"

namespace sluice::packet_test {
namespace {

std::string Hex(std::string_view text) {
  return absl::BytesToHexString(Packet(text));
}

// Bytes that scapy made of the same packets.
TEST(NotationTest, LikeScapy) {
  EXPECT_EQ(
      Hex("eth / vlan(10) / ipv4(src=192.0.2.7, dst=203.0.113.10, ttl=9, tos=3, id=7, df) / "
          "tcp(dport=443, syn, options=020405b4) / payload(3)"),
      "0200000000010200000000aa8100000a08004503002f00074000090673adc0000207cb00710a9c4001bb000000000000000060022000"
      "da140000020405b4000102");
  EXPECT_EQ(Hex("eth / ipv6(src=2001:db8:f::7, dst=2001:db8::10, label=5, tos=4) / dstopts / udp / payload(3)"),
            "0200000000010200000000aa86dd6040000500133c4020010db8000f0000000000000000000720010db80000000000000000000000"
            "1011000104000000009c400035000b05ca000102");
  EXPECT_EQ(Hex("eth / ipv4(src=192.0.2.7, dst=203.0.113.10) / icmp(type=3, code=4, mtu=1400) / "
                "ipv4(src=203.0.113.10, dst=192.0.2.7) / udp(sport=53, dport=40000) / hex(bytes=00)"),
            "0200000000010200000000aa0800450000390000000040017cb2c0000207cb00710a0304f5b0000005784500001d0000000040117c"
            "becb00710ac000020700359c400009655400");
  EXPECT_EQ(
      Hex("eth / ipv6(src=fe80::1, dst=ff02::1:ff00:10, hop=255) / ns(target=2001:db8::10, mac=02:00:00:00:00:aa)"),
      "0200000000010200000000aa86dd6000000000203afffe800000000000000000000000000001ff0200000000000000000001ff0000"
      "1087004a9a0000000020010db800000000000000000000001001010200000000aa");
  EXPECT_EQ(
      Hex("eth / ipv6(src=2001:db8:f::7, dst=2001:db8::10) / frag6(more, id=9) / slice(0, 16) / udp(sum=0x1234) / "
          "payload(16)"),
      "0200000000010200000000aa86dd6000000000182c4020010db8000f0000000000000000000720010db80000000000000000000000"
      "1011000001000000099c400035001812340001020304050607");
  EXPECT_EQ(Hex("eth / arp(sip=203.0.113.1, tip=203.0.113.10)"),
            "0200000000010200000000aa080600010800060400010200000000aacb007101000000000000cb00710a");
}

TEST(NotationTest, PaddingAndCuts) {
  EXPECT_EQ(Packet("eth/ipv4(src=1.2.3.4, dst=5.6.7.8)/udp/pad(18)").size(), 60u);
  EXPECT_EQ(Hex("eth/ipv4(src=1.2.3.4, dst=5.6.7.8)/udp/pad(18)").substr(32, 4), "001c");
  EXPECT_EQ(Packet("eth/ipv4(src=1.2.3.4, dst=5.6.7.8)/udp/cut(15)").size(), 15u);
}

TEST(NotationTest, MistakesOfTheWriter) {
  const auto error = [](std::string_view text) { return std::string(EncodePacket(text).status().message()); };
  EXPECT_EQ(error("eth/ipv5"), "no layer 'ipv5'");
  EXPECT_EQ(error("eth/udp(port=5)"), "udp: no field 'port'");
  EXPECT_EQ(error("eth/udp(sport=x)"), "udp: sport: 'x' is not a number");
  EXPECT_EQ(error("eth/ipv4(src=1.2.3.4)/udp"), "ipv4: dst='' is not an address of this family");
  EXPECT_EQ(error("eth/ipv6(src=1.2.3.4, dst=::1)/udp"), "ipv6: src='1.2.3.4' is not an address of this family");
  EXPECT_EQ(error("eth(dst=5)"), "eth: dst='5' is not a MAC address");
  EXPECT_EQ(error("eth/hex(bytes=123)"), "hex: bytes='123' is not a string of bytes in hex");
  EXPECT_EQ(error("eth/udp(len=5, len=6)"), "udp: 'len' twice");
  EXPECT_EQ(error("eth/udp(len=5"), "'udp(len=5' does not end in ')'");
  EXPECT_EQ(error("eth/tcp(syn=1)"), "tcp: 'syn' takes no value");
}

// The encoder's sums and those of checksums.h are two programs.
TEST(ChecksumsTest, RightAndWrong) {
  const auto of = [](const std::string& text) { return ChecksumsOf(Packet(text)); };
  const std::string ipv4 = "eth/vlan(5)/ipv4(src=192.0.2.7, dst=203.0.113.10, id=9)/";
  const std::string ipv6 = "eth/ipv6(src=2001:db8::7, dst=2001:db8::10)/";
  for (const char* inside : {"tcp(syn)/payload(7)", "udp/payload(8)", "icmp(type=8)/payload(3)"}) {
    EXPECT_EQ(of(ipv4 + inside).ip, Checked::kRight) << inside;
    EXPECT_EQ(of(ipv4 + inside).transport, Checked::kRight) << inside;
  }
  EXPECT_EQ(of(ipv6 + "dstopts/tcp(syn)/pad(4)").transport, Checked::kRight);
  EXPECT_EQ(of(ipv6 + "icmp6(type=128)").transport, Checked::kRight);
  EXPECT_EQ(of(ipv4 + "udp(sum=0)").transport, Checked::kNone);
  EXPECT_EQ(of(ipv6 + "udp(sum=0)").transport, Checked::kWrong);
  EXPECT_EQ(of(ipv4 + "tcp(syn, sum=1)").transport, Checked::kWrong);
  EXPECT_EQ(of("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, sum=1)/udp").ip, Checked::kWrong);
  const std::string error = ipv4 + "icmp(type=3)/ipv4(src=203.0.113.10, dst=192.0.2.7";
  EXPECT_EQ(of(error + ")/udp").quoted_transport, Checked::kRight);
  EXPECT_EQ(of(error + ", sum=1)/udp(sum=1)").quoted_ip, Checked::kWrong);
  EXPECT_EQ(of(error + ", sum=1)/udp(sum=1)").quoted_transport, Checked::kWrong);
  EXPECT_EQ(of(error + ", sum=1)/udp(sum=1)").transport, Checked::kRight);
}

}  // namespace
}  // namespace sluice::packet_test
