// Translated packets are the packets that somebody would have written with the other addresses and ports: compared byte
// by byte with what the notation makes of them, whose checksums are computed in full.
#include "sluice/translate.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "tests/packet/bytes.h"
#include "tests/packet/notation.h"
#include "tests/unit/path/exact_bytes.h"

namespace sluice::path_test {
namespace {

using packet_test::Packet;

struct End {
  std::string address;
  uint16_t port;
};

struct Flow {
  bool ipv6;
  bool tcp;
  End source;
  End destination;

  sluice_flow Path() const {
    sluice_flow flow{};
    const auto read = [](const std::string& text) {
      const absl::StatusOr<Address> parsed = ParseAddress(text);
      EXPECT_TRUE(parsed.ok()) << parsed.status();
      return sluice_load_address(parsed->bytes.data());
    };
    flow.source = read(source.address);
    flow.destination = read(destination.address);
    flow.source_port = SLUICE_16(source.port);
    flow.destination_port = SLUICE_16(destination.port);
    flow.protocol = tcp ? SLUICE_IP_TCP : SLUICE_IP_UDP;
    return flow;
  }
  Flow Turned() const { return {ipv6, tcp, destination, source}; }
};

class TranslateTest : public testing::Test {
 protected:
  uint32_t Random(uint32_t below) { return static_cast<uint32_t>(random_() % below); }

  End RandomEnd(bool ipv6) {
    End end;
    if (ipv6) {
      // Many zeros and ones, where one's complement has two of them.
      for (int i = 0; i < 8; i++) {
        const uint32_t words[] = {0, 0xffff, Random(65536), Random(65536)};
        absl::StrAppend(&end.address, i == 0 ? "" : ":", absl::Hex(i == 0 ? 0x2001 : words[Random(4)]));
      }
    } else {
      const uint32_t bytes[] = {0, 255, Random(256)};
      end.address = absl::StrCat(1 + Random(223), ".", bytes[Random(3)], ".", bytes[Random(3)], ".", bytes[Random(3)]);
    }
    end.port = static_cast<uint16_t>(1 + Random(65535));
    return end;
  }
  Flow RandomFlow(bool ipv6, bool tcp) { return {ipv6, tcp, RandomEnd(ipv6), RandomEnd(ipv6)}; }

  static std::string Ip(const Flow& flow, uint32_t ttl, const std::string& rest = "") {
    return absl::StrCat(flow.ipv6 ? "ipv6(src=" : "ipv4(src=", flow.source.address, ", dst=", flow.destination.address,
                        flow.ipv6 ? ", hop=" : ", ttl=", ttl, rest, ")");
  }
  static std::string Transport(const Flow& flow, const std::string& rest = "") {
    return absl::StrCat(flow.tcp ? "tcp(sport=" : "udp(sport=", flow.source.port, ", dport=", flow.destination.port,
                        rest, ")");
  }

  // What becomes of a frame when its flow becomes `to`; what is behind the IP packet stays.
  std::string Translate(const std::string& frame, const Flow& to, bool keeps_source = false) {
    uint8_t* at = exact_.Place(frame);
    sluice_packet packet{};
    EXPECT_EQ(sluice_parse(at, exact_.end(), &packet), SLUICE_CONTINUE);
    const sluice_flow after = to.Path();
    const sluice_endpoints endpoints = {&after.source, &after.destination, after.ports,
                                        sluice_flow_delta(&packet.flow, &after), keeps_source};
    uint8_t* l3 = at + packet.l3_offset;
    EXPECT_TRUE(sluice_translate(l3, l3 + packet.l3_length, &packet, &endpoints));
    return std::string(at, exact_.end());
  }

  std::mt19937_64 random_{1};
  ExactBytes exact_;
};

TEST_F(TranslateTest, AnyPacket) {
  for (int round = 0; round < 20'000; round++) {
    const bool ipv6 = round % 2 == 0;
    const Flow before = RandomFlow(ipv6, round % 4 < 2);
    const Flow after = RandomFlow(ipv6, before.tcp);
    const std::string rest = before.tcp ? absl::StrCat(", seq=", Random(UINT32_MAX), ", ack", Random(2) ? ", psh" : "",
                                                       Random(2) ? ", options=020405b4" : "")
                                        : "";
    const std::string more = !ipv6 && Random(4) == 0 ? ", options=01010101, id=77, df" : "";
    const std::string extension = ipv6 && Random(4) == 0 ? " / dstopts / " : " / ";
    const std::string payload = absl::StrCat(" / payload(", Random(Random(10) == 0 ? 1400 : 30), ")");
    const uint32_t ttl = 3 + Random(253);
    const std::string padding = Random(2) ? std::string(1 + Random(40), '\xaa') : "";
    const std::string in =
        Packet("eth / " + Ip(before, ttl, more) + extension + Transport(before, rest) + payload) + padding;
    const std::string out =
        Packet("eth / " + Ip(after, ttl - 1, more) + extension + Transport(after, rest) + payload) + padding;
    ASSERT_EQ(absl::BytesToHexString(Translate(in, after)), absl::BytesToHexString(out));
    // And back; two hops less.
    const std::string back =
        Packet("eth / " + Ip(before, ttl - 2, more) + extension + Transport(before, rest) + payload) + padding;
    ASSERT_EQ(absl::BytesToHexString(Translate(out, before)), absl::BytesToHexString(back));
  }
}

TEST_F(TranslateTest, NoChecksumStaysNone) {
  for (int round = 0; round < 200; round++) {
    const Flow before = RandomFlow(false, false);
    const Flow after = RandomFlow(false, false);
    const std::string in = Packet("eth / " + Ip(before, 9) + " / " + Transport(before, ", sum=0") + " / payload(11)");
    const std::string out = Packet("eth / " + Ip(after, 8) + " / " + Transport(after, ", sum=0") + " / payload(11)");
    ASSERT_EQ(Translate(in, after), out);
  }
}

// A sum of all ones is written as such: zero would say that there is none (RFC 768).
TEST_F(TranslateTest, AUdpChecksumOfZeroIsWrittenAsOnes) {
  for (int round = 0; round < 400; round++) {
    const bool ipv6 = round % 2 == 0;
    const Flow before = RandomFlow(ipv6, false);
    const Flow after = RandomFlow(ipv6, false);
    const size_t at = SLUICE_ETHERNET_BYTES + (ipv6 ? SLUICE_IPV6_BYTES : SLUICE_IPV4_BYTES) + 6;
    const std::string zeros = Packet("eth / " + Ip(after, 8) + " / " + Transport(after) + " / hex(bytes=0000)");
    // What is missing to all ones becomes the payload.
    const std::string payload = absl::StrCat(" / hex(bytes=", absl::BytesToHexString(zeros.substr(at, 2)), ")");
    const std::string in = Packet("eth / " + Ip(before, 9) + " / " + Transport(before) + payload);
    const std::string out = Packet("eth / " + Ip(after, 8) + " / " + Transport(after) + payload);
    ASSERT_EQ(packet_test::WordAt(out, at), 0xffffu);
    ASSERT_EQ(absl::BytesToHexString(Translate(in, after)), absl::BytesToHexString(out));
  }
}

TEST_F(TranslateTest, LaterFragments) {
  for (const bool ipv6 : {false, true}) {
    const Flow before = RandomFlow(ipv6, false);
    const Flow after = RandomFlow(ipv6, false);
    const auto text = [&](const Flow& flow, uint32_t ttl) {
      return Packet(ipv6 ? "eth / " + Ip(flow, ttl) + " / frag6(at=16, id=9, next=17) / hex(bytes=0011223344556677)"
                         : "eth / " + Ip(flow, ttl, ", frag=16, id=9, proto=17") + " / hex(bytes=0011223344556677)");
    };
    EXPECT_EQ(absl::BytesToHexString(Translate(text(before, 9), after)), absl::BytesToHexString(text(after, 8)));
  }
}

// The error goes from a router to a flow's sender and quotes that one's packet; behind the quote there is padding.
TEST_F(TranslateTest, IcmpErrorsWithQuotesOfEveryLength) {
  for (const bool ipv6 : {false, true}) {
    for (const bool tcp : {false, true}) {
      for (const bool keeps : {false, true}) {
        const size_t header = ipv6 ? SLUICE_IPV6_BYTES : SLUICE_IPV4_BYTES;
        const size_t whole = header + (tcp ? SLUICE_TCP_BYTES : SLUICE_UDP_BYTES) + 45;
        for (size_t quoted = header + 8; quoted <= whole; quoted++) {
          const Flow before = RandomFlow(ipv6, tcp);
          const Flow after = RandomFlow(ipv6, tcp);
          const std::string router = RandomEnd(ipv6).address;
          const auto text = [&](const Flow& flow, const std::string& from, uint32_t hops) {
            Flow outer = flow;
            outer.source.address = from;
            return Packet(absl::StrCat("eth / ", Ip(outer, hops), ipv6 ? " / icmp6(type=2" : " / icmp(type=3, code=4",
                                       ", mtu=1400) / slice(0, ", quoted, ") / ", Ip(flow.Turned(), 33), " / ",
                                       Transport(flow.Turned()), " / payload(45)"));
          };
          const std::string in = text(before, router, 9) + "\xaa\xaa\xaa";
          std::string out = text(after, keeps ? router : after.source.address, 8) + "\xaa\xaa\xaa";
          const std::string translated = Translate(in, after, keeps);
          // Half a checksum stays what it was.
          if (tcp && quoted == header + 17) continue;
          ASSERT_EQ(absl::BytesToHexString(translated), absl::BytesToHexString(out))
              << "IPv" << (ipv6 ? 6 : 4) << ", protocol " << (tcp ? 6 : 17) << ", quote " << quoted - header;
        }
      }
    }
  }
}

// A quote that ends within the transport's checksum: the error's own holds all the same.
TEST_F(TranslateTest, HalfAQuotedChecksum) {
  const Flow before = RandomFlow(false, true);
  const Flow after = RandomFlow(false, true);
  Flow outer = before;
  outer.source.address = "192.0.2.99";
  const std::string in = Packet("eth / " + Ip(outer, 9) + " / icmp(type=3, code=4, mtu=1400) / slice(0, 37) / " +
                                Ip(before.Turned(), 33) + " / " + Transport(before.Turned()) + " / payload(45)");
  const std::string out = Translate(in, after, true);
  EXPECT_EQ(packet_test::Fold(packet_test::Sum(out.substr(SLUICE_ETHERNET_BYTES + SLUICE_IPV4_BYTES))), 0xffff);
}

TEST_F(TranslateTest, WhatAFlowGainsItsAnswersLose) {
  for (int round = 0; round < 1000; round++) {
    const bool ipv6 = round % 2 == 0;
    const sluice_flow before = RandomFlow(ipv6, true).Path();
    const sluice_flow after = RandomFlow(ipv6, true).Path();
    const uint16_t delta = sluice_flow_delta(&before, &after);
    const uint16_t back = sluice_flow_delta(&after, &before);
    const auto checksum = static_cast<uint16_t>(random_());
    const uint16_t there = sluice_checksum_add(checksum, delta);
    for (const uint16_t loss : {back, static_cast<uint16_t>(~delta)}) {
      const uint16_t again = sluice_checksum_add(there, loss);
      // 0 and 0xffff are one number.
      ASSERT_EQ(again % 0xffff, checksum % 0xffff);
    }
  }
}

}  // namespace
}  // namespace sluice::path_test
