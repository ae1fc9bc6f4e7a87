#include "sluice/refusal.h"

#include <gtest/gtest.h>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/packet/notation.h"
#include "tests/unit/path/exact_bytes.h"

namespace sluice::path_test {
namespace {

using packet_test::Packet;

constexpr sluice_port kPort = {{2, 0, 0, 0, 0, 1}, 1500};
const char* const kTags[] = {"", "vlan(10)/", "qinq(10)/vlan(20)/"};
constexpr size_t kBuffer = 16;

// The RST in a segment's place, in hex.
std::string Refusal(const std::string& text) {
  const std::string frame = Packet(text);
  ExactBytes exact;
  sluice_packet packet{};
  EXPECT_EQ(sluice_parse(exact.Place(frame), exact.end(), &packet), SLUICE_CONTINUE) << text;
  EXPECT_TRUE(sluice_reply_is_reset(&packet, SLUICE_VERDICT_replied_source_denied));
  const uint32_t length = sluice_refusal_length(&packet);
  EXPECT_LE(length, frame.size()) << "it takes the segment's place";
  uint8_t* head = exact.Place(std::string(kBuffer, '\x5a') + frame) + kBuffer;
  EXPECT_TRUE(sluice_write_refusal(head, exact.end(), &packet, &kPort));
  EXPECT_EQ(std::string(reinterpret_cast<char*>(head) - kBuffer, kBuffer), std::string(kBuffer, '\x5a'));
  return absl::BytesToHexString(std::string(reinterpret_cast<char*>(head), length));
}

// The IP headers and a segment that are answered, with what comes behind them; and the flags of the answer.
void ExpectReset(const std::string& segment, const std::string& reset, const std::string& options4 = "",
                 const std::string& extensions = "") {
  for (const std::string tags : kTags) {
    const std::string back = "eth(dst=02:00:00:00:00:aa, src=02:00:00:00:00:01)/" + tags;
    const std::string tcp = "tcp(sport=80, dport=40000, window=0, " + reset + ")";
    EXPECT_EQ(Refusal("eth/" + tags + "ipv4(src=192.0.2.7, dst=203.0.113.10, id=5, ttl=9" + options4 + ")/" + segment),
              absl::BytesToHexString(Packet(back + "ipv4(src=203.0.113.10, dst=192.0.2.7, df)/" + tcp)))
        << segment;
    EXPECT_EQ(
        Refusal("eth/" + tags + "ipv6(src=2001:db8:f::7, dst=2001:db8::10, hop=3, label=7)/" + extensions + segment),
        absl::BytesToHexString(Packet(back + "ipv6(src=2001:db8::10, dst=2001:db8:f::7)/" + tcp)))
        << segment;
  }
}

TEST(RefusalTest, ASynIsAcknowledged) {
  ExpectReset("tcp(seq=1000, syn)", "acknr=1001, rst, ack");
  ExpectReset("tcp(seq=4294967295, syn, options=020405b401030307)", "acknr=0, rst, ack");
}

TEST(RefusalTest, WhatItCarriesToo) {
  ExpectReset("tcp(seq=1000, syn)/payload(100)", "acknr=1101, rst, ack");
  ExpectReset("tcp(seq=1000)/payload(3)/pad(5)", "acknr=1003, rst, ack");
}

TEST(RefusalTest, AnAcknowledgmentSaysWhatComesNext) {
  ExpectReset("tcp(seq=1000, acknr=5000, ack)/payload(100)", "seq=5000, rst");
  ExpectReset("tcp(seq=1000, acknr=5000, syn, ack)", "seq=5000, rst");
}

TEST(RefusalTest, BehindOptionsAndExtensionHeaders) {
  ExpectReset("tcp(seq=1000, syn)/payload(1)", "acknr=1002, rst, ack", ", options=01010101", "hopopts/dstopts(24)/");
  ExpectReset("tcp(seq=1000, syn)", "acknr=1001, rst, ack", ", options=" + std::string(80, '1'), "routing(24)/");
}

TEST(RefusalTest, OnlyTcpIsReset) {
  sluice_packet packet{};
  packet.flow.protocol = SLUICE_IP_UDP;
  EXPECT_FALSE(sluice_reply_is_reset(&packet, SLUICE_VERDICT_replied_source_denied));
  packet.flow.protocol = SLUICE_IP_TCP;
  EXPECT_FALSE(sluice_reply_is_reset(&packet, SLUICE_VERDICT_replied_too_big));
}

TEST(RefusalTest, AFrameTooShortIsLeftAlone) {
  for (const uint8_t flags : {0, SLUICE_PACKET_IPV6}) {
    for (uint32_t length = 0; length < (flags ? 74u : 54u); length++) {
      ExactBytes exact;
      uint8_t* head = exact.Place(std::string(length, '\0'));
      sluice_packet packet{};
      packet.l3_offset = 14;
      packet.l4_offset = 34;
      packet.flags = flags;
      EXPECT_FALSE(sluice_write_refusal(head, exact.end(), &packet, &kPort)) << length;
    }
  }
}

}  // namespace
}  // namespace sluice::path_test
