#include "sluice/reply.h"

#include <gtest/gtest.h>

#include <random>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/packet/notation.h"
#include "tests/unit/path/exact_bytes.h"

namespace sluice::path_test {
namespace {

using packet_test::Packet;

constexpr sluice_port kPort = {{2, 0, 0, 0, 0, 1}, 1500};
// Replies go back where the question came from, from the port's own address.
const std::string kBack = "eth(dst=02:00:00:00:00:aa, src=02:00:00:00:00:01)/";

// The reply to a frame, in hex.
std::string Reply(const std::string& text, sluice_verdict reply, uint32_t mtu = 0) {
  const std::string frame = Packet(text);
  ExactBytes exact;
  sluice_packet packet{};
  EXPECT_EQ(sluice_parse(exact.Place(frame), exact.end(), &packet), SLUICE_CONTINUE) << text;
  const auto growth = static_cast<size_t>(sluice_reply_growth(&packet, reply));
  const uint32_t length = sluice_reply_length(static_cast<uint32_t>(frame.size()), &packet, reply);
  EXPECT_LE(growth, static_cast<size_t>(SLUICE_HEADROOM));
  EXPECT_LE(length, growth + frame.size() + SLUICE_TAILROOM);
  const std::string fence(16, '\x5a');
  std::string moved = fence + std::string(growth, '\xee') + frame;
  moved.resize(fence.size() + length, '\xdd');
  uint8_t* head = exact.Place(moved) + fence.size();
  EXPECT_TRUE(sluice_reply_write(head, exact.end(), &packet, reply, &kPort, mtu));
  EXPECT_EQ(std::string(reinterpret_cast<char*>(head) - fence.size(), fence.size()), fence);
  return absl::BytesToHexString(std::string(reinterpret_cast<char*>(head), length));
}

std::string Hex(const std::string& text) {
  return absl::BytesToHexString(Packet(text));
}

const char* const kTags[] = {"", "vlan(10)/", "qinq(10)/vlan(20)/"};

TEST(ArpTest, Reply) {
  for (const std::string tags : kTags) {
    EXPECT_EQ(Reply("eth(dst=ff:ff:ff:ff:ff:ff)/" + tags + "arp(sip=203.0.113.1, tip=203.0.113.10)/pad(18)",
                    SLUICE_VERDICT_replied_arp),
              Hex(kBack + tags +
                  "arp(op=2, smac=02:00:00:00:00:01, sip=203.0.113.10, tmac=02:00:00:00:00:aa, "
                  "tip=203.0.113.1)/pad(18)"));
  }
}

TEST(NeighborTest, Advertisement) {
  for (const std::string tags : kTags) {
    for (const char* option : {"", ", mac=02:00:00:00:00:aa"}) {
      EXPECT_EQ(Reply("eth(dst=33:33:ff:00:00:10)/" + tags + "ipv6(src=fe80::1, dst=ff02::1:ff00:10, hop=255)/" +
                          "ns(target=2001:db8::10" + option + ")",
                      SLUICE_VERDICT_replied_neighbor),
                Hex(kBack + tags +
                    "ipv6(src=2001:db8::10, dst=fe80::1, hop=255)/"
                    "na(target=2001:db8::10, mac=02:00:00:00:00:01, flags=0x60000000)"));
    }
  }
}

// Somebody without an address yet asks whether this one is taken: all nodes hear that it is (RFC 4861 section 7.2.4).
TEST(NeighborTest, ProbeForADuplicate) {
  EXPECT_EQ(Reply("eth(dst=33:33:ff:00:00:10)/ipv6(src=::, dst=ff02::1:ff00:10, hop=255)/ns(target=2001:db8::10)",
                  SLUICE_VERDICT_replied_neighbor),
            Hex("eth(dst=33:33:00:00:00:01, src=02:00:00:00:00:01)/ipv6(src=2001:db8::10, dst=ff02::1, hop=255)/"
                "na(target=2001:db8::10, mac=02:00:00:00:00:01, flags=0x20000000)"));
}

TEST(NeighborTest, ALongerSolicitationIsCutToTheAdvertisement) {
  EXPECT_EQ(Reply("eth/ipv6(src=fe80::1, dst=ff02::1:ff00:10, hop=255)/ns(target=2001:db8::10)/payload(80)/pad(7)",
                  SLUICE_VERDICT_replied_neighbor),
            Hex(kBack + "ipv6(src=2001:db8::10, dst=fe80::1, hop=255)/"
                        "na(target=2001:db8::10, mac=02:00:00:00:00:01, flags=0x60000000)"));
}

TEST(EchoTest, EverySize) {
  for (const std::string tags : kTags) {
    for (const int size : {0, 1, 2, 55, 56, 57, 1400}) {
      const std::string rest = absl::StrCat("id=77, seq=", size, ")/payload(", size, ")/pad(3)");
      EXPECT_EQ(
          Reply("eth/" + tags + "ipv4(src=192.0.2.7, dst=203.0.113.10, ttl=3, tos=4, id=9, df)/icmp(type=8, " + rest,
                SLUICE_VERDICT_replied_echo),
          Hex(kBack + tags + "ipv4(src=203.0.113.10, dst=192.0.2.7, ttl=64, tos=4, id=9, df)/icmp(type=0, " + rest));
      EXPECT_EQ(Reply("eth/" + tags + "ipv6(src=2001:db8:f::7, dst=2001:db8::10, hop=3)/icmp6(type=128, " + rest,
                      SLUICE_VERDICT_replied_echo),
                Hex(kBack + tags + "ipv6(src=2001:db8::10, dst=2001:db8:f::7, hop=64)/icmp6(type=129, " + rest));
    }
  }
}

TEST(EchoTest, BehindOptionsAndExtensionHeaders) {
  EXPECT_EQ(Reply("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, options=01010101)/icmp(type=8, id=1)",
                  SLUICE_VERDICT_replied_echo),
            Hex(kBack + "ipv4(src=203.0.113.10, dst=192.0.2.7, options=01010101)/icmp(type=0, id=1)"));
  EXPECT_EQ(
      Reply("eth/ipv6(src=2001:db8:f::7, dst=2001:db8::10)/dstopts(16)/icmp6(type=128)", SLUICE_VERDICT_replied_echo),
      Hex(kBack + "ipv6(src=2001:db8::10, dst=2001:db8:f::7)/dstopts(16)/icmp6(type=129)"));
}

// The one message whose words add up to nothing: its checksum is 0xffff, and 0 is wrong.
TEST(EchoTest, AllZero) {
  EXPECT_EQ(Reply("eth/ipv4(src=192.0.2.7, dst=203.0.113.10)/icmp(type=8)", SLUICE_VERDICT_replied_echo),
            Hex(kBack + "ipv4(src=203.0.113.10, dst=192.0.2.7)/icmp(type=0, sum=0xffff)"));
}

// Many values of the fields that the update of a checksum goes over.
TEST(EchoTest, AnyChecksum) {
  for (uint32_t id = 0; id < 65536; id += 97) {
    const std::string rest = absl::StrCat("id=", id, ", seq=", id * 31 % 65536, ")");
    const std::string ip = absl::StrCat(", id=", id);
    ASSERT_EQ(
        Reply("eth/ipv4(src=192.0.2.7, dst=203.0.113.10" + ip + ")/icmp(type=8, " + rest, SLUICE_VERDICT_replied_echo),
        Hex(kBack + "ipv4(src=203.0.113.10, dst=192.0.2.7" + ip + ")/icmp(type=0, " + rest));
    ASSERT_EQ(
        Reply("eth/ipv6(src=2001:db8:f::7, dst=2001:db8::10)/icmp6(type=128, " + rest, SLUICE_VERDICT_replied_echo),
        Hex(kBack + "ipv6(src=2001:db8::10, dst=2001:db8:f::7)/icmp6(type=129, " + rest));
  }
}

TEST(TooBigTest, Ipv4QuotesUpTo576Bytes) {
  for (const std::string tags : kTags) {
    for (const int payload : {0, 1, 519, 520, 521, 1432, 8000}) {
      const std::string packet =
          absl::StrCat("ipv4(src=192.0.2.7, dst=203.0.113.10, df, id=5)/udp/payload(", payload, ")");
      EXPECT_EQ(
          Reply("eth/" + tags + packet + "/pad(5)", SLUICE_VERDICT_replied_too_big, 1480),
          Hex(kBack + tags + "ipv4(src=203.0.113.10, dst=192.0.2.7, df)/icmp(type=3, code=4, mtu=1480)/slice(0, 548)/" +
              packet));
    }
  }
}

TEST(TooBigTest, Ipv6QuotesUpTo1280Bytes) {
  for (const std::string tags : kTags) {
    for (const int payload : {0, 1, 1183, 1184, 1185, 1412, 8000}) {
      const std::string packet =
          absl::StrCat("ipv6(src=2001:db8:f::7, dst=2001:db8::10, label=9)/udp/payload(", payload, ")");
      EXPECT_EQ(Reply("eth/" + tags + packet + "/pad(5)", SLUICE_VERDICT_replied_too_big, 1460),
                Hex(kBack + tags + "ipv6(src=2001:db8::10, dst=2001:db8:f::7)/icmp6(type=2, mtu=1460)/slice(0, 1232)/" +
                    packet));
    }
  }
}

TEST(TooBigTest, Ipv6NeverAsksForLessThanItsLeastMtu) {
  const std::string packet = "ipv6(src=2001:db8:f::7, dst=2001:db8::10)/tcp/payload(1300)";
  EXPECT_EQ(Reply("eth/" + packet, SLUICE_VERDICT_replied_too_big, 1200),
            Hex(kBack + "ipv6(src=2001:db8::10, dst=2001:db8:f::7)/icmp6(type=2, mtu=1280)/slice(0, 1232)/" + packet));
}

TEST(ProhibitedTest, QuotesAsMuchAsTooBig) {
  for (const std::string tags : kTags) {
    for (const int payload : {0, 1, 519, 520, 521, 1432}) {
      const std::string udp = absl::StrCat("/udp(dport=53)/payload(", payload, ")");
      const std::string ipv4 = "ipv4(src=192.0.2.7, dst=203.0.113.10, id=5)" + udp;
      EXPECT_EQ(
          Reply("eth/" + tags + ipv4 + "/pad(5)", SLUICE_VERDICT_replied_source_denied),
          Hex(kBack + tags + "ipv4(src=203.0.113.10, dst=192.0.2.7, df)/icmp(type=3, code=13)/slice(0, 548)/" + ipv4));
      const std::string ipv6 = "ipv6(src=2001:db8:f::7, dst=2001:db8::10, label=9)" + udp;
      EXPECT_EQ(
          Reply("eth/" + tags + ipv6 + "/pad(5)", SLUICE_VERDICT_replied_source_denied),
          Hex(kBack + tags + "ipv6(src=2001:db8::10, dst=2001:db8:f::7)/icmp6(type=1, code=1)/slice(0, 1232)/" + ipv6));
    }
  }
}

TEST(ReplyTest, AFrameTooShortIsRefused) {
  for (const sluice_verdict reply : {SLUICE_VERDICT_replied_arp, SLUICE_VERDICT_replied_neighbor,
                                     SLUICE_VERDICT_replied_echo, SLUICE_VERDICT_replied_too_big}) {
    for (const uint8_t flags : {0, SLUICE_PACKET_IPV6}) {
      for (uint32_t length = 0; length < 36; length++) {
        ExactBytes exact;
        uint8_t* head = exact.Place(std::string(length, '\0'));
        sluice_packet packet{};
        packet.l3_offset = 14;
        packet.l4_offset = 34;
        packet.l3_length = 28;
        packet.flags = flags;
        EXPECT_FALSE(sluice_reply_write(head, exact.end(), &packet, reply, &kPort, 1500)) << reply << " " << length;
      }
    }
  }
}

}  // namespace
}  // namespace sluice::path_test
