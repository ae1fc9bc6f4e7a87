#include "sluice/rewrite.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/packet/bytes.h"
#include "tests/packet/hand_tables.h"
#include "tests/packet/notation.h"
#include "tests/unit/path/exact_bytes.h"

namespace sluice::path_test {
namespace {

using packet_test::BackendRecord;
using packet_test::HandBackend;
using packet_test::LongAt;
using packet_test::Packet;

// The frame after its journey, as an engine composes it: the head moves, the length changes, headers are written.
std::string Rewrite(const std::string& frame, const sluice_backend& backend, uint64_t hash) {
  ExactBytes exact;
  sluice_packet packet{};
  const uint8_t* data = exact.Place(frame);
  EXPECT_EQ(sluice_parse(data, exact.end(), &packet), SLUICE_CONTINUE);
  const int32_t growth = sluice_rewrite_growth(&packet, &backend);
  EXPECT_LE(growth, SLUICE_HEADROOM);
  const auto length = static_cast<uint32_t>(frame.size());
  const uint32_t new_length = sluice_rewrite_length(length, &packet, &backend);
  // Again at a place where the new frame ends where memory does; in front of it lies what must not change.
  const std::string fence(16, '\x5a');
  const std::string head(static_cast<size_t>(std::max(growth, 0)), '\xee');
  std::string moved = head + frame;
  moved.resize(static_cast<size_t>(growth < 0 ? new_length - growth : new_length));
  uint8_t* start = exact.Place(fence + moved) + fence.size();
  uint8_t* at = start + (growth < 0 ? -growth : 0);
  EXPECT_TRUE(sluice_rewrite(at, exact.end(), &packet, &backend, hash));
  EXPECT_EQ(std::string(reinterpret_cast<char*>(start) - fence.size(), fence.size()), fence);
  return std::string(reinterpret_cast<char*>(at), reinterpret_cast<char*>(exact.end()));
}

std::string Hex(const std::string& bytes) {
  return absl::BytesToHexString(bytes);
}

constexpr uint64_t kHash = 0x123456789abcdef0ull;
// What the hash leads to: UDP source port and flow label.
constexpr uint32_t kPort = 0xc000 | (kHash >> 20 & 0x3fff);
constexpr uint32_t kLabel = kHash & 0xfffff;

struct Family {
  bool ipv6;
  std::string Ip(uint32_t ttl, uint32_t tos) const {
    return ipv6 ? absl::StrCat("ipv6(src=2001:db8:f::7, dst=2001:db8::10, label=7, hop=", ttl, ", tos=", tos, ")/")
                : absl::StrCat("ipv4(src=192.0.2.7, dst=203.0.113.10, id=5, ttl=", ttl, ", tos=", tos, ")/");
  }
};

std::string Outer(const HandBackend& backend, bool ipv6, uint32_t tos) {
  const std::string addresses =
      absl::StrCat("(src=", std::string(backend.source), ", dst=", std::string(backend.address));
  const std::string ip = ipv6 ? absl::StrCat("ipv6", addresses, ", tos=", tos, ", hop=64, label=", kLabel, ")/")
                              : absl::StrCat("ipv4", addresses, ", tos=", tos, ", ttl=64, df)/");
  if (backend.forwarding == SLUICE_IPIP) return ip;
  return absl::StrCat(ip, "udp(sport=", kPort, ", dport=6080, sum=0)/gue/");
}

// Mode, families of the inner and the outer packet, VLAN tag of the next hop.
class TunnelTest : public testing::TestWithParam<std::tuple<sluice_forwarding, bool, bool, uint16_t>> {
 protected:
  TunnelTest() : inner_{std::get<1>(GetParam())}, outer_ipv6_(std::get<2>(GetParam())) {
    backend_.forwarding = std::get<0>(GetParam());
    backend_.vlan = std::get<3>(GetParam());
    if (outer_ipv6_) {
      backend_.address = "2001:db8:1::11";
      backend_.source = "2001:db8:1::2";
    }
  }
  std::string L2() const {
    return absl::StrCat("eth(dst=02:00:00:00:01:", outer_ipv6_ ? "11" : "0b", ", src=02:00:00:00:00:01)/",
                        backend_.vlan ? absl::StrCat("vlan(", backend_.vlan, ")/") : "");
  }

  HandBackend backend_;
  Family inner_;
  bool outer_ipv6_;
};

TEST_P(TunnelTest, EveryByteAsWritten) {
  for (const uint32_t tos : {0u, 1u, 2u, 3u, 0xb8u, 0xffu}) {
    for (const uint32_t ttl : {2u, 64u, 255u}) {
      for (const char* inner : {"tcp(ack, psh)/payload(33)", "udp/payload(1)", "udp(sum=0)/payload(1200)"}) {
        const std::string in = Packet("eth/" + inner_.Ip(ttl, tos) + inner);
        const std::string out = Packet(L2() + Outer(backend_, outer_ipv6_, tos) + inner_.Ip(ttl - 1, tos) + inner);
        ASSERT_EQ(Hex(Rewrite(in, BackendRecord(backend_), kHash)), Hex(out)) << tos << " " << ttl << " " << inner;
      }
    }
  }
}

// Tags that the packet came with go, padding too: nothing but the IP packet goes into a tunnel.
TEST_P(TunnelTest, NothingButTheIpPacketGoesIn) {
  for (const char* l2 : {"eth/", "eth/vlan(5)/", "eth/qinq(6)/vlan(5)/"}) {
    const std::string in = Packet(l2 + inner_.Ip(9, 0) + "udp/payload(3)/pad(11)");
    const std::string out = Packet(L2() + Outer(backend_, outer_ipv6_, 0) + inner_.Ip(8, 0) + "udp/payload(3)");
    EXPECT_EQ(Hex(Rewrite(in, BackendRecord(backend_), kHash)), Hex(out)) << l2;
  }
}

// Options, extension headers and fragments are the inner packet's own affair.
TEST_P(TunnelTest, HeadersInsideStay) {
  const std::string options =
      inner_.ipv6 ? "hopopts(16)/frag6(more, id=9)/slice(0, 64)/udp/payload(90)" : "slice(0, 64)/udp/payload(90)";
  std::string ip = inner_.Ip(9, 0);
  std::string forwarded = inner_.Ip(8, 0);
  if (!inner_.ipv6) {
    for (std::string* text : {&ip, &forwarded}) text->insert(text->find(')'), ", mf, options=9404000001010101");
  }
  const std::string out = Packet(L2() + Outer(backend_, outer_ipv6_, 0) + forwarded + options);
  EXPECT_EQ(Hex(Rewrite(Packet("eth/" + ip + options), BackendRecord(backend_), kHash)), Hex(out));
}

// A header checksum that was wrong stays wrong, by as much: the receiver is told (only IPv4 has one).
TEST_P(TunnelTest, WrongChecksumsStayWrong) {
  if (inner_.ipv6) return;
  const std::string in = Packet("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, sum=0x1234)/udp");
  const std::string good = Packet("eth/ipv4(src=192.0.2.7, dst=203.0.113.10)/udp");
  const size_t at = Rewrite(in, BackendRecord(backend_), kHash).size() - 28 + 10;
  EXPECT_NE(Rewrite(in, BackendRecord(backend_), kHash).substr(at, 2),
            Rewrite(good, BackendRecord(backend_), kHash).substr(at, 2));
}

TEST_P(TunnelTest, EntropyIsInTheOuterHeader) {
  std::mt19937_64 random(1);
  const std::string in = Packet("eth/" + inner_.Ip(64, 0) + "udp");
  std::set<std::string> headers;
  for (int i = 0; i < 200; i++) {
    const std::string out = Rewrite(in, BackendRecord(backend_), random());
    headers.insert(out.substr(0, out.size() - in.size() + 14));
  }
  const bool varies = outer_ipv6_ || backend_.forwarding == SLUICE_GUE;
  EXPECT_EQ(headers.size() > 190, varies);
  EXPECT_EQ(headers.size() == 1, !varies);
}

TEST_P(TunnelTest, LastHop) {
  const sluice_backend backend = BackendRecord(backend_);
  for (uint32_t ttl = 0; ttl < 4; ttl++) {
    const std::string frame = Packet("eth/" + inner_.Ip(ttl, 0) + "udp");
    const auto* data = reinterpret_cast<const uint8_t*>(frame.data());
    sluice_packet packet{};
    ASSERT_EQ(sluice_parse(data, data + frame.size(), &packet), SLUICE_CONTINUE);
    EXPECT_EQ(sluice_ttl_expires(data + 14, &packet, &backend), ttl <= 1);
  }
}

TEST_P(TunnelTest, MtuCountsTheOuterHeaders) {
  const sluice_backend backend = BackendRecord(backend_);
  sluice_packet packet{};
  packet.l3_length = 1500u - backend.outer_length;
  EXPECT_FALSE(sluice_exceeds_mtu(&packet, &backend));
  packet.l3_length++;
  EXPECT_TRUE(sluice_exceeds_mtu(&packet, &backend));
}

std::string TunnelName(const testing::TestParamInfo<TunnelTest::ParamType>& parameter) {
  const auto& [mode, inner, outer, vlan] = parameter.param;
  return absl::StrCat(mode == SLUICE_IPIP ? "ipip" : "gue", inner ? "_6" : "_4", outer ? "in6" : "in4",
                      vlan ? "_vlan" : "");
}

INSTANTIATE_TEST_SUITE_P(Modes, TunnelTest,
                         testing::Combine(testing::Values(SLUICE_IPIP, SLUICE_GUE), testing::Bool(), testing::Bool(),
                                          testing::Values(uint16_t{0}, uint16_t{100})),
                         TunnelName);

class DsrTest : public testing::TestWithParam<bool> {};

TEST_P(DsrTest, OnlyMacAddressesAndTheTagChange) {
  const Family family{GetParam()};
  const std::string inner = family.Ip(1, 3) + "tcp(syn, options=020405b4)/pad(2)";
  for (const char* l2 : {"eth/", "eth/vlan(5)/", "eth/qinq(6)/vlan(5)/"}) {
    const std::string in = Packet(l2 + inner);
    const std::string plain = Packet("eth(dst=02:00:00:00:01:0b, src=02:00:00:00:00:01)/" + inner);
    EXPECT_EQ(Hex(Rewrite(in, BackendRecord({}), kHash)), Hex(plain)) << l2;
    const std::string tagged = Packet("eth(dst=02:00:00:00:01:0b, src=02:00:00:00:00:01)/vlan(4094)/" + inner);
    EXPECT_EQ(Hex(Rewrite(in, BackendRecord({.vlan = 4094}), kHash)), Hex(tagged)) << l2;
  }
}

TEST_P(DsrTest, NoHopAndNoRoomIsTaken) {
  const sluice_backend backend = BackendRecord({});
  sluice_packet packet{};
  packet.flags = GetParam() ? SLUICE_PACKET_IPV6 : 0;
  const uint8_t l3[40] = {};
  EXPECT_FALSE(sluice_ttl_expires(l3, &packet, &backend));
  packet.l3_length = 1500;
  EXPECT_FALSE(sluice_exceeds_mtu(&packet, &backend));
}

INSTANTIATE_TEST_SUITE_P(Families, DsrTest, testing::Bool(), [](const testing::TestParamInfo<bool>& parameter) {
  return parameter.param ? "ipv6" : "ipv4";
});

TEST(OuterSumTest, OfAnyAddressesTosAndLength) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; i++) {
    HandBackend hand{.forwarding = SLUICE_IPIP};
    sluice_backend backend = BackendRecord(hand);
    backend.source.words[3] = random();
    backend.destination.words[3] = random();
    backend.outer_sum = sluice_outer_sum(backend.source.words[3], backend.destination.words[3]);
    uint8_t header[20];
    sluice_write_outer_ipv4(header, &backend, random() % 65000, random() % 256, random() % 256);
    const std::string bytes(reinterpret_cast<char*>(header), sizeof(header));
    ASSERT_EQ(packet_test::Fold(packet_test::Sum(bytes)), 0xffff);
  }
}

TEST(RewriteTest, AFrameTooShortForItsHeadersIsRefused) {
  const sluice_backend backend = BackendRecord({.forwarding = SLUICE_GUE});
  sluice_packet packet{};
  packet.l3_offset = 14;
  packet.l3_length = 20;
  for (uint32_t length = 0; length < 14 + 32 + 20; length++) {
    ExactBytes exact;
    uint8_t* data = exact.Place(std::string(length, '\0'));
    EXPECT_FALSE(sluice_rewrite(data, exact.end(), &packet, &backend, kHash)) << length;
  }
}

}  // namespace
}  // namespace sluice::path_test
