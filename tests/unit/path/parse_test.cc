#include "sluice/parse.h"

#include <gtest/gtest.h>

#include <cctype>
#include <random>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/packet/bytes.h"
#include "tests/packet/notation.h"
#include "tests/unit/path/exact_bytes.h"
#include "tests/unit/path/naive_parse.h"
#include "tests/unit/path/sample_packets.h"

namespace sluice::path_test {
namespace {

using packet_test::Packet;

const std::string kIpv4 = "eth/ipv4(src=192.0.2.7, dst=203.0.113.10)/";
const std::string kIpv6 = "eth/ipv6(src=2001:db8:f::7, dst=2001:db8::10)/";

class ParseTest : public testing::Test {
 protected:
  Parsed Parse(const std::string& bytes) { return PathParse(exact_.Place(bytes), exact_.end()); }
  Parsed ParseText(const std::string& text) { return Parse(Packet(text)); }

  // The name of the verdict, or of an unusable packet's reason, or "ok".
  std::string Result(const std::string& text) {
    const Parsed parsed = ParseText(text);
    if (parsed.verdict != SLUICE_CONTINUE) return sluice_verdict_name(parsed.verdict);
    return parsed.packet.kind == SLUICE_PACKET_UNUSABLE ? sluice_verdict_name(parsed.packet.reason) : "ok";
  }

  void ExpectLikeNaive(const std::string& bytes) {
    const std::string path = Text(Parse(bytes));
    const std::string naive = Text(NaiveParse(bytes));
    ASSERT_EQ(path, naive) << absl::BytesToHexString(bytes);
    // The long way knows common packets too.
    Parsed any;
    any.verdict = sluice_parse_any(exact_.Place(bytes), exact_.end(), &any.packet);
    ASSERT_EQ(Text(any), naive) << absl::BytesToHexString(bytes);
  }

  bool IsCommon(const std::string& text) {
    sluice_packet packet{};
    return sluice_parse_common(exact_.Place(Packet(text)), exact_.end(), &packet);
  }

  ExactBytes exact_;
};

TEST_F(ParseTest, ReadPastTheEndStopsATest) {
  exact_.Place("x");
  EXPECT_EQ(*(exact_.end() - 1), 'x');
  EXPECT_DEATH(static_cast<void>(*static_cast<volatile uint8_t*>(exact_.end())), "");
}

TEST_F(ParseTest, Tcp) {
  const sluice_packet packet = ParseText(kIpv4 + "tcp(sport=40000, dport=443, syn)/payload(7)/pad(4)").packet;
  EXPECT_EQ(packet.kind, SLUICE_PACKET_FLOW);
  EXPECT_EQ(packet.flags, SLUICE_PACKET_SYN);
  EXPECT_EQ(packet.flow.source_port, SLUICE_16(40000));
  EXPECT_EQ(packet.flow.destination_port, SLUICE_16(443));
  EXPECT_EQ(packet.flow.protocol, 6u);
  EXPECT_EQ(packet.l3_offset, 14);
  EXPECT_EQ(packet.l4_offset, 34);
  EXPECT_EQ(packet.l3_length, 47u);
}

// Whatever it says, the result is the same: this is about who goes which way.
TEST_F(ParseTest, CommonPackets) {
  for (const std::string& ip : {kIpv4, kIpv6}) {
    for (const char* common : {"tcp(ack)", "tcp(syn)", "tcp(fin, ack)/payload(9)", "tcp(ack, options=01010101)",
                               "udp/payload(3)", "tcp(ack)/pad(6)"}) {
      EXPECT_TRUE(IsCommon(ip + common)) << ip << common;
    }
    for (const char* other : {"tcp(syn, fin)", "tcp(ack, sport=0)", "tcp(ack, doff=4)", "udp(len=7)", "udp(len=9)"}) {
      EXPECT_FALSE(IsCommon(ip + other)) << ip << other;
    }
  }
  const std::string v4 = "ipv4(src=192.0.2.7, dst=203.0.113.10";
  const std::string v6 = "ipv6(src=2001:db8:f::7, dst=2001:db8::10";
  EXPECT_TRUE(IsCommon("eth/" + v4 + ", ttl=2)/udp"));
  EXPECT_FALSE(IsCommon("eth/" + v4 + ", ttl=1)/udp"));
  EXPECT_FALSE(IsCommon("eth/" + v4 + ", options=01010101)/udp"));
  EXPECT_FALSE(IsCommon("eth/" + v4 + ", mf)/udp/payload(8)"));
  EXPECT_FALSE(IsCommon("eth/vlan(1)/" + v4 + ")/udp"));
  EXPECT_FALSE(IsCommon("eth/" + v4 + ")/icmp(type=8)"));
  EXPECT_TRUE(IsCommon("eth/" + v6 + ", hop=2)/udp"));
  EXPECT_FALSE(IsCommon("eth/" + v6 + ", hop=1)/udp"));
  EXPECT_FALSE(IsCommon("eth/" + v6 + ")/dstopts/udp"));
}

TEST_F(ParseTest, TcpFlags) {
  for (uint32_t flags = 0; flags < 256; flags++) {
    std::string bytes = Packet(kIpv4 + "tcp");
    bytes[14 + 20 + 13] = static_cast<char>(flags);
    ASSERT_NO_FATAL_FAILURE(ExpectLikeNaive(bytes));
  }
  EXPECT_EQ(ParseText(kIpv4 + "tcp(syn, ack)").packet.flags, 0) << "a SYN-ACK never opens a flow";
  EXPECT_EQ(ParseText(kIpv4 + "tcp(rst)").packet.flags, SLUICE_PACKET_CLOSE);
  EXPECT_EQ(ParseText(kIpv6 + "tcp(fin, ack)").packet.flags, SLUICE_PACKET_CLOSE | SLUICE_PACKET_IPV6);
  EXPECT_EQ(Result(kIpv4 + "tcp(syn, fin)"), "malformed_tcp");
  EXPECT_EQ(Result(kIpv4 + "tcp(syn, rst)"), "malformed_tcp");
}

TEST_F(ParseTest, EveryPrefixOfEverySample) {
  for (const std::string& sample : SamplePackets()) {
    for (size_t length = 0; length <= sample.size(); length++) {
      ASSERT_NO_FATAL_FAILURE(ExpectLikeNaive(sample.substr(0, length)));
    }
  }
}

// Every byte of every sample takes every value: so does every length and every type.
TEST_F(ParseTest, EveryValueOfEveryByte) {
  for (const std::string& sample : SamplePackets()) {
    for (size_t at = 12; at < sample.size(); at++) {
      std::string bytes = sample;
      for (int value = 0; value < 256; value++) {
        bytes[at] = static_cast<char>(value);
        ASSERT_NO_FATAL_FAILURE(ExpectLikeNaive(bytes));
      }
    }
  }
}

TEST_F(ParseTest, RandomMutations) {
  std::mt19937 random(1);
  std::set<std::string> results;
  for (int i = 0; i < 200000; i++) {
    std::string bytes = SamplePackets()[random() % SamplePackets().size()];
    for (uint32_t changes = random() % 6; changes > 0; changes--) bytes[random() % bytes.size()] = random() & 0xff;
    if (random() % 4 == 0) bytes.resize(random() % (bytes.size() + 1));
    if (random() % 4 == 0) bytes += std::string(random() % 64, '\x3a');
    ASSERT_NO_FATAL_FAILURE(ExpectLikeNaive(bytes));
    const Parsed parsed = NaiveParse(bytes);
    results.insert(parsed.verdict != SLUICE_CONTINUE              ? sluice_verdict_name(parsed.verdict)
                   : parsed.packet.kind == SLUICE_PACKET_UNUSABLE ? sluice_verdict_name(parsed.packet.reason)
                                                                  : absl::StrCat("kind ", parsed.packet.kind));
  }
  // All of the verdicts that parse can give but the one that needs nine extension headers, and all kinds.
  EXPECT_GE(results.size(), 21u) << testing::PrintToString(results);
}

TEST_F(ParseTest, RandomBytes) {
  std::mt19937 random(2);
  for (int i = 0; i < 100000; i++) {
    std::string bytes(random() % 200, '\0');
    for (char& byte : bytes) byte = static_cast<char>(random());
    const char* types[] = {"\x08\x00", "\x86\xdd", "\x08\x06", "\x81\x00"};
    if (bytes.size() > 15) {
      bytes.replace(12, 2, types[random() % 4], 2);
      bytes[14] = random() % 2 ? 0x45 : 0x60;
    }
    ASSERT_NO_FATAL_FAILURE(ExpectLikeNaive(bytes));
  }
}

TEST_F(ParseTest, VlanTags) {
  const std::string inner = "ipv4(src=192.0.2.7, dst=203.0.113.10)/udp";
  EXPECT_EQ(ParseText("eth/" + inner).packet.l3_offset, 14);
  EXPECT_EQ(ParseText("eth/vlan(10)/" + inner).packet.l3_offset, 18);
  EXPECT_EQ(ParseText("eth/qinq(10)/vlan(20)/" + inner).packet.l3_offset, 22);
  EXPECT_EQ(Result("eth/vlan(1)/vlan(2)/vlan(3)/" + inner), "pass_vlan_depth");
  EXPECT_EQ(Result("eth/vlan(1)/cut(16)"), "truncated_ethernet");
}

TEST_F(ParseTest, Ipv4Options) {
  for (size_t length = 0; length <= 40; length += 4) {
    const std::string options = length ? absl::StrCat(", options=", std::string(length * 2, '0')) : "";
    const sluice_packet packet =
        ParseText("eth/ipv4(src=192.0.2.7, dst=203.0.113.10" + options + ")/tcp(dport=81)/payload(3)").packet;
    EXPECT_EQ(packet.kind, SLUICE_PACKET_FLOW);
    EXPECT_EQ(packet.l4_offset, 34 + length);
    EXPECT_EQ(packet.flow.destination_port, SLUICE_16(81));
  }
}

TEST_F(ParseTest, Ipv4LengthsThatLie) {
  for (int header = 0; header < 16; header++) {
    for (int total = 0; total < 80; total++) {
      const std::string ip = absl::StrCat("ipv4(src=192.0.2.7, dst=203.0.113.10, ihl=", header, ", len=", total, ")");
      ASSERT_NO_FATAL_FAILURE(ExpectLikeNaive(Packet("eth/" + ip + "/tcp(ack)/payload(20)")));
    }
  }
  EXPECT_EQ(Result("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, ihl=4)/tcp"), "malformed_ip");
  EXPECT_EQ(Result("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, version=6)/tcp"), "malformed_ip");
  EXPECT_EQ(Result("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, len=19)/tcp"), "malformed_ip");
  EXPECT_EQ(Result("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, len=41)/tcp"), "truncated_ip");
  EXPECT_EQ(Result("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, len=39)/tcp"), "truncated_transport");
}

TEST_F(ParseTest, Ipv6LengthsThatLie) {
  for (int length = 0; length < 100; length++) {
    const std::string ip = absl::StrCat("ipv6(src=2001:db8:f::7, dst=2001:db8::10, len=", length, ")");
    ASSERT_NO_FATAL_FAILURE(ExpectLikeNaive(Packet("eth/" + ip + "/hopopts/dstopts/tcp(ack)/payload(20)")));
  }
  EXPECT_EQ(Result("eth/ipv6(src=2001:db8:f::7, dst=2001:db8::10, len=21)/tcp"), "truncated_ip");
  EXPECT_EQ(Result("eth/ipv6(src=2001:db8:f::7, dst=2001:db8::10, len=12)/dstopts(16)/tcp"), "truncated_extension");
  EXPECT_EQ(Result("eth/ipv6(src=2001:db8:f::7, dst=2001:db8::10, version=4)/tcp"), "malformed_ip");
  EXPECT_EQ(Result("eth/ipv6(src=2001:db8:f::7, dst=2001:db8::10)/hex(bytes=60000000)/cut(53)"), "truncated_ip");
}

TEST_F(ParseTest, MappedAddressesAreNobodysOnTheWire) {
  std::string bytes = Packet(kIpv6 + "tcp");
  bytes.replace(14 + 24, 12, std::string(10, '\0') + "\xff\xff");
  EXPECT_EQ(Parse(bytes).verdict, SLUICE_VERDICT_malformed_ip);
}

TEST_F(ParseTest, ExtensionHeadersOfAllKindsInAllOrders) {
  std::vector<std::string> headers = {"ah(24)",     "dstopts(24)", "frag6(id=1)",
                                      "hopopts(8)", "mobility(8)", "routing(16)"};
  std::sort(headers.begin(), headers.end());
  do {
    std::string text = kIpv6;
    for (const std::string& header : headers) text += header + "/";
    const std::string bytes = Packet(text + "udp(dport=53)/payload(2)");
    ASSERT_NO_FATAL_FAILURE(ExpectLikeNaive(bytes));
    const sluice_packet packet = Parse(bytes).packet;
    ASSERT_EQ(packet.kind, SLUICE_PACKET_FLOW);
    ASSERT_EQ(packet.flow.destination_port, SLUICE_16(53));
    ASSERT_EQ(packet.l4_offset, 14 + 40 + 24 + 24 + 8 + 8 + 8 + 16);
  } while (std::next_permutation(headers.begin(), headers.end()));
}

TEST_F(ParseTest, TooManyExtensionHeaders) {
  std::string text = kIpv6;
  for (int count = 1; count <= 10; count++) {
    text += "dstopts/";
    EXPECT_EQ(Result(text + "tcp"), count <= SLUICE_EXTENSION_HEADERS ? "ok" : "extension_depth") << count;
  }
  EXPECT_EQ(Result(kIpv6 + "dstopts(1024)/tcp"), "ok");
  EXPECT_EQ(Result(kIpv6 + "dstopts(1024)/dstopts/tcp"), "extension_depth");
  EXPECT_EQ(Result(kIpv6 + "dstopts(1032)/tcp"), "extension_depth");
}

TEST_F(ParseTest, ProtocolsWithoutListeners) {
  for (int protocol = 0; protocol < 256; protocol++) {
    const std::string v4 = absl::StrCat("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, proto=", protocol, ")/payload(40)");
    const std::string v6 =
        absl::StrCat("eth/ipv6(src=2001:db8:f::7, dst=2001:db8::10, next=", protocol, ")/payload(40)");
    ASSERT_NO_FATAL_FAILURE(ExpectLikeNaive(Packet(v4)));
    ASSERT_NO_FATAL_FAILURE(ExpectLikeNaive(Packet(v6)));
  }
  EXPECT_EQ(Result("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, proto=58)/payload(40)"), "unsupported_protocol");
  EXPECT_EQ(Result("eth/ipv6(src=2001:db8:f::7, dst=2001:db8::10, next=1)/payload(40)"), "unsupported_protocol");
}

TEST_F(ParseTest, FragmentsIpv4) {
  const std::string ip = "eth/ipv4(src=192.0.2.7, dst=203.0.113.10, id=0x1234, ";
  sluice_packet packet = ParseText(ip + "mf)/slice(0, 64)/udp/payload(100)").packet;
  EXPECT_EQ(packet.kind, SLUICE_PACKET_FLOW);
  EXPECT_EQ(packet.flags, SLUICE_PACKET_FIRST_FRAGMENT);
  EXPECT_EQ(packet.fragment_id, SLUICE_16(0x1234));
  packet = ParseText(ip + "frag=64)/slice(64, 44)/udp/payload(100)").packet;
  EXPECT_EQ(packet.kind, SLUICE_PACKET_LATER_FRAGMENT);
  EXPECT_EQ(packet.fragment_id, SLUICE_16(0x1234));
  EXPECT_EQ(packet.flow.ports, 0u);
  EXPECT_EQ(ParseText(ip + "mf, frag=64)/slice(64, 8)/udp/payload(100)").packet.kind, SLUICE_PACKET_LATER_FRAGMENT);
  EXPECT_EQ(Result(ip + "mf)/slice(0, 16)/tcp(ack)"), "tiny_fragment");
  EXPECT_EQ(Result(ip + "mf)/slice(0, 24)/tcp(ack, options=0101010101010101)"), "tiny_fragment");
  EXPECT_EQ(Result(ip + "mf)/slice(0, 4)/udp"), "tiny_fragment");
  EXPECT_EQ(Result(ip + "frag=8)/slice(8, 64)/tcp/payload(90)"), "tiny_fragment") << "RFC 3128";
  EXPECT_EQ(Result(ip + "frag=8)/slice(8, 64)/udp/payload(90)"), "ok");
}

TEST_F(ParseTest, FragmentsIpv6) {
  sluice_packet packet = ParseText(kIpv6 + "frag6(more, id=0x12345678)/slice(0, 64)/udp/payload(100)").packet;
  EXPECT_EQ(packet.kind, SLUICE_PACKET_FLOW);
  EXPECT_EQ(packet.flags, SLUICE_PACKET_IPV6 | SLUICE_PACKET_FIRST_FRAGMENT);
  EXPECT_EQ(packet.fragment_id, SLUICE_32(0x12345678));
  packet = ParseText(kIpv6 + "frag6(at=64, id=0x12345678)/slice(64, 44)/udp/payload(100)").packet;
  EXPECT_EQ(packet.kind, SLUICE_PACKET_LATER_FRAGMENT);
  EXPECT_EQ(packet.fragment_id, SLUICE_32(0x12345678));
  // An atomic fragment is a whole packet (RFC 6946).
  packet = ParseText(kIpv6 + "frag6(id=7)/tcp(syn)").packet;
  EXPECT_EQ(packet.kind, SLUICE_PACKET_FLOW);
  EXPECT_EQ(packet.flags, SLUICE_PACKET_IPV6 | SLUICE_PACKET_SYN);
  EXPECT_EQ(Result(kIpv6 + "frag6(more)/slice(0, 16)/tcp(ack)"), "tiny_fragment");
  EXPECT_EQ(Result(kIpv6 + "frag6(more)/slice(0, 24)/tcp(ack, options=0101010101010101)"), "tiny_fragment");
  EXPECT_EQ(Result(kIpv6 + "frag6(at=8)/slice(8, 64)/tcp(ack)/payload(80)"), "tiny_fragment");
  EXPECT_EQ(Result(kIpv6 + "frag6(more)/slice(0, 8)/dstopts/tcp(ack)"), "tiny_fragment");
}

TEST_F(ParseTest, UdpLengths) {
  EXPECT_EQ(Result(kIpv4 + "udp(len=7)/payload(4)"), "malformed_udp");
  EXPECT_EQ(Result(kIpv4 + "udp(len=8)/payload(4)"), "ok");
  EXPECT_EQ(Result(kIpv4 + "udp(len=13)/payload(4)/pad(9)"), "malformed_udp");
  EXPECT_EQ(Result(kIpv6 + "udp(len=0)/payload(4)"), "malformed_udp");
  EXPECT_EQ(Result(kIpv4 + "udp(sport=0)"), "zero_port");
  EXPECT_EQ(Result(kIpv4 + "udp(dport=0)"), "zero_port");
  EXPECT_EQ(Result(kIpv6 + "tcp(sport=0)"), "zero_port");
}

class QuoteTest : public ParseTest {};

TEST_F(QuoteTest, FlowAsItsClientSendsIt) {
  const sluice_packet packet =
      ParseText(
          "eth/ipv4(src=198.51.100.1, dst=203.0.113.10)/icmp(type=3, code=4, mtu=1400)/slice(0, 28)/"
          "ipv4(src=203.0.113.10, dst=192.0.2.7)/tcp(sport=80, dport=40000)/payload(900)")
          .packet;
  EXPECT_EQ(packet.kind, SLUICE_PACKET_ICMP_ERROR);
  const sluice_packet from_client = ParseText(kIpv4 + "tcp(sport=40000, dport=80)").packet;
  EXPECT_EQ(memcmp(&packet.flow, &from_client.flow, sizeof(packet.flow)), 0);
}

TEST_F(QuoteTest, OfEverySize) {
  const std::string quoted4 =
      "ipv4(src=203.0.113.10, dst=192.0.2.7, options=01010101)/udp(sport=53, dport=40000)/payload(30)";
  const std::string quoted6 =
      "ipv6(src=2001:db8::10, dst=2001:db8:f::7)/dstopts(16)/tcp(sport=80, dport=40000)/payload(9)";
  for (int size = 0; size < 90; size++) {
    const std::string slice = absl::StrCat("slice(0, ", size, ")/");
    for (const char* behind : {"", "/pad(40)"}) {
      ASSERT_NO_FATAL_FAILURE(ExpectLikeNaive(Packet(kIpv4 + "icmp(type=11)/" + slice + quoted4 + behind)));
      ASSERT_NO_FATAL_FAILURE(ExpectLikeNaive(Packet(kIpv6 + "icmp6(type=2)/" + slice + quoted6 + behind)));
    }
    EXPECT_EQ(Result(kIpv4 + "icmp(type=11)/" + slice + quoted4), size < 32 ? "truncated_quote" : "ok") << size;
  }
  // What lies behind the IP packet is padding and no quote.
  EXPECT_EQ(Result("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, len=55)/icmp(type=3)/"
                   "ipv4(src=203.0.113.10, dst=192.0.2.7)/udp"),
            "truncated_quote");
}

TEST_F(QuoteTest, OfPacketsThatAreNoFlowOfThisAddress) {
  const std::string error = kIpv4 + "icmp(type=3)/";
  EXPECT_EQ(Result(error + "ipv4(src=203.0.113.11, dst=192.0.2.7)/udp"), "unusable_quote");
  EXPECT_EQ(Result(error + "ipv4(src=203.0.113.10, dst=192.0.2.7, frag=64)/udp"), "unusable_quote");
  EXPECT_EQ(Result(error + "ipv4(src=203.0.113.10, dst=192.0.2.7)/icmp(type=13)"), "unusable_quote");
  EXPECT_EQ(Result(error + "ipv4(src=203.0.113.10, dst=192.0.2.7)/icmp(type=8, code=1)"), "unusable_quote");
  EXPECT_EQ(Result(error + "ipv4(src=203.0.113.10, dst=192.0.2.7, proto=58)/icmp6(type=128)"), "unusable_quote");
  EXPECT_EQ(Result(error + "ipv4(src=203.0.113.10, dst=192.0.2.7, version=6)/udp"), "unusable_quote");
  EXPECT_EQ(Result(error + "ipv4(src=203.0.113.10, dst=192.0.2.7)/udp(sport=0)"), "zero_port");
  EXPECT_EQ(Result(error + "ipv4(src=203.0.113.10, dst=192.0.2.7)/udp(dport=0)"), "zero_port");
  EXPECT_EQ(Result(kIpv6 + "icmp6(type=1)/ipv6(src=2001:db8::10, dst=2001:db8:f::7)/frag6(at=8)/udp"),
            "unusable_quote");
}

TEST_F(QuoteTest, OnlyOfErrors) {
  for (int type = 0; type < 256; type++) {
    const bool v4 = type == 3 || type == 11 || type == 12;
    const std::string icmp = absl::StrCat("(type=", type, ", code=1)/");
    EXPECT_EQ(Result(kIpv4 + "icmp" + icmp + "ipv4(src=203.0.113.10, dst=192.0.2.7)/udp"),
              v4 ? "ok" : "unsupported_icmp");
    const bool v6 = type >= 1 && type <= 4;
    EXPECT_EQ(Result(kIpv6 + "icmp6" + icmp + "ipv6(src=2001:db8::10, dst=2001:db8:f::7)/udp"),
              v6 ? "ok" : "unsupported_icmp");
  }
}

TEST_F(ParseTest, Echo) {
  for (const std::string& request : {kIpv4 + "icmp(type=8, id=7)", kIpv6 + "icmp6(type=128, id=7)"}) {
    const sluice_packet packet = ParseText(request + "/payload(9)").packet;
    EXPECT_EQ(packet.kind, SLUICE_PACKET_ECHO);
    EXPECT_EQ(packet.flow.protocol, SLUICE_IP_ICMP);
    EXPECT_EQ(packet.flow.ports, uint32_t{SLUICE_16(7)});
  }
  for (const std::string& reply : {kIpv4 + "icmp(type=0, id=7)", kIpv6 + "icmp6(type=129, id=7)"}) {
    const sluice_packet packet = ParseText(reply + "/payload(9)").packet;
    EXPECT_EQ(packet.kind, SLUICE_PACKET_ECHO_REPLY);
    EXPECT_EQ(packet.flow.protocol, SLUICE_IP_ICMP);
    EXPECT_EQ(packet.flow.ports, uint32_t{SLUICE_16(7)} << 16);
  }
  for (const char* other : {"icmp(type=8, code=1)", "icmp(type=0, code=1)", "icmp(type=128)", "icmp(type=129)"}) {
    EXPECT_EQ(Result(kIpv4 + other), "unsupported_icmp") << other;
  }
}

TEST_F(ParseTest, FirstFragmentOfAnEcho) {
  const std::string ip = "eth/ipv4(src=192.0.2.7, dst=203.0.113.10, mf, id=9)/slice(0, 24)/";
  const sluice_packet packet = ParseText(ip + "icmp(type=8, id=7)/payload(60)").packet;
  EXPECT_EQ(packet.kind, SLUICE_PACKET_ECHO);
  EXPECT_EQ(packet.flags, SLUICE_PACKET_FIRST_FRAGMENT);
  EXPECT_EQ(packet.fragment_id, uint32_t{SLUICE_16(9)});
  EXPECT_EQ(packet.reason, SLUICE_VERDICT_unsupported_icmp);
}

// A request has its identifier from us, a reply from its client.
TEST_F(QuoteTest, OfAnEchoAsItsClientSendsIt) {
  const std::string four = kIpv4 + "icmp(type=3)/ipv4(src=203.0.113.10, dst=192.0.2.7)/icmp(id=7, type=";
  const std::string six = kIpv6 + "icmp6(type=1)/ipv6(src=2001:db8::10, dst=2001:db8:f::7)/icmp6(id=7, type=";
  for (const auto& [text, ports] : {std::pair{four + "8)", uint32_t{SLUICE_16(7)} << 16},
                                    {four + "0)", uint32_t{SLUICE_16(7)}},
                                    {six + "128)", uint32_t{SLUICE_16(7)} << 16},
                                    {six + "129)", uint32_t{SLUICE_16(7)}}}) {
    const sluice_packet packet = ParseText(text).packet;
    EXPECT_EQ(packet.kind, SLUICE_PACKET_ICMP_ERROR) << text;
    EXPECT_EQ(packet.flow.protocol, SLUICE_IP_ICMP) << text;
    EXPECT_EQ(packet.flow.ports, ports) << text;
  }
}

TEST_F(ParseTest, Arp) {
  const sluice_packet packet = ParseText("eth/arp(sip=203.0.113.1, tip=203.0.113.10)/pad(18)").packet;
  EXPECT_EQ(packet.kind, SLUICE_PACKET_ARP);
  EXPECT_EQ(packet.flow.source.words[3], SLUICE_32(0xcb007101));
  EXPECT_EQ(packet.flow.destination.words[3], SLUICE_32(0xcb00710a));
  EXPECT_EQ(Result("eth/arp(op=2, sip=203.0.113.1, tip=203.0.113.10)"), "pass_not_virtual");
  EXPECT_EQ(Result("eth/arp(hardware=6, sip=203.0.113.1, tip=203.0.113.10)"), "pass_not_virtual");
  EXPECT_EQ(Result("eth/arp(hlen=8, sip=203.0.113.1, tip=203.0.113.10)"), "pass_not_virtual");
  EXPECT_EQ(Result("eth/arp(sip=203.0.113.1, tip=203.0.113.10)/cut(41)"), "truncated_ip");
}

TEST_F(ParseTest, NeighborSolicitation) {
  const std::string ip = "eth/ipv6(src=fe80::1, dst=ff02::1:ff00:10, hop=";
  const sluice_packet packet = ParseText(ip + "255)/ns(target=2001:db8::10, mac=02:00:00:00:00:aa)").packet;
  EXPECT_EQ(packet.kind, SLUICE_PACKET_NEIGHBOR);
  EXPECT_EQ(packet.flow.destination.words[3], SLUICE_32(0x10));
  EXPECT_EQ(Result(ip + "254)/ns(target=2001:db8::10)"), "unsupported_icmp") << "not from the link";
  EXPECT_EQ(Result(ip + "255)/slice(0, 23)/ns(target=2001:db8::10)"), "truncated_transport");
}

}  // namespace
}  // namespace sluice::path_test
