// Frames of this node's own packets toward backends.
#include "engine/own_packet.h"

#include <gtest/gtest.h>

#include <string>

#include "hand_tables.h"
#include "tests/packet/notation.h"

namespace sluice {
namespace {

using packet_test::Packet;

constexpr char kEthernet[] = "eth(dst=02:00:00:00:09:01, src=02:00:00:00:00:01)";
constexpr char kIpv4[] = "ipv4(src=203.0.113.2, dst=203.0.113.10, ttl=";
constexpr char kIpv6[] = "ipv6(src=2001:db8::2, dst=2001:db8::10, hop=";
constexpr char kSyn[] = "tcp(sport=40000, dport=80, syn)";

std::string Layers(const std::string& ip, int hops, const std::string& transport = kSyn) {
  return ip + std::to_string(hops) + ")/" + transport;
}

// The packet as it comes out of a TUN interface.
std::optional<OwnPacket> Read(const std::string& layers) {
  const std::string frame = Packet("eth()/" + layers);
  const auto* bytes = reinterpret_cast<const uint8_t*>(frame.data());
  return ReadOwnPacket(absl::MakeConstSpan(bytes, frame.size()).subspan(SLUICE_ETHERNET_BYTES));
}

sluice_backend Backend(sluice_forwarding forwarding, bool outer_ipv6 = false) {
  sluice_backend backend{};
  const Mac destination{2, 0, 0, 0, 9, 1};
  const Mac source{2, 0, 0, 0, 0, 1};
  std::copy(destination.begin(), destination.end(), backend.destination_mac);
  std::copy(source.begin(), source.end(), backend.source_mac);
  backend.mtu = 1500;
  backend.forwarding = forwarding;
  backend.flags = SLUICE_BACKEND_LIVE | SLUICE_BACKEND_NEXT_HOP | (outer_ipv6 ? SLUICE_BACKEND_OUTER_IPV6 : 0);
  backend.source = PathAddress(outer_ipv6 ? "2001:db8::2" : "203.0.113.2");
  backend.destination = PathAddress(outer_ipv6 ? "2001:db8::11" : "203.0.113.11");
  if (forwarding == SLUICE_DSR_L2) return backend;
  backend.outer_length = outer_ipv6 ? SLUICE_IPV6_BYTES : SLUICE_IPV4_BYTES;
  backend.outer_sum = sluice_outer_sum(backend.source.words[3], backend.destination.words[3]);
  if (forwarding == SLUICE_GUE) {
    backend.outer_length += SLUICE_UDP_BYTES + SLUICE_GUE_BYTES;
    backend.service_port = SLUICE_16(6080);
  }
  return backend;
}

// Empty: none.
std::string Frame(const std::string& layers, const sluice_backend& backend, uint64_t hash = 0) {
  const std::optional<OwnPacket> packet = Read(layers);
  EXPECT_TRUE(packet.has_value()) << layers;
  const std::optional<std::vector<uint8_t>> frame = FrameToBackend(*packet, backend, hash);
  return frame.has_value() ? std::string(frame->begin(), frame->end()) : "";
}

TEST(OwnPacketTest, WithoutATunnelItGoesAsItIs) {
  EXPECT_EQ(Frame(Layers(kIpv4, 1), Backend(SLUICE_DSR_L2)), Packet(kEthernet + ("/" + Layers(kIpv4, 1))));
  EXPECT_EQ(Frame(Layers(kIpv6, 1), Backend(SLUICE_DSR_L2)), Packet(kEthernet + ("/" + Layers(kIpv6, 1))));
  sluice_backend tagged = Backend(SLUICE_DSR_L2);
  tagged.vlan = 10;
  EXPECT_EQ(Frame(Layers(kIpv4, 1), tagged), Packet(kEthernet + ("/vlan(10)/" + Layers(kIpv4, 1))));
}

TEST(OwnPacketTest, TunnelsTakeAHop) {
  const std::string outer4 = kEthernet + std::string("/ipv4(src=203.0.113.2, dst=203.0.113.11, df)/");
  const std::string outer6 = kEthernet + std::string("/ipv6(src=2001:db8::2, dst=2001:db8::11)/");
  EXPECT_EQ(Frame(Layers(kIpv4, 3), Backend(SLUICE_IPIP)), Packet(outer4 + Layers(kIpv4, 2)));
  EXPECT_EQ(Frame(Layers(kIpv6, 3), Backend(SLUICE_IPIP, true)), Packet(outer6 + Layers(kIpv6, 2)));
  EXPECT_EQ(Frame(Layers(kIpv6, 3), Backend(SLUICE_IPIP)), Packet(outer4 + Layers(kIpv6, 2)));
  EXPECT_EQ(Frame(Layers(kIpv4, 3), Backend(SLUICE_GUE)),
            Packet(outer4 + "udp(sport=49152, dport=6080, sum=0)/gue()/" + Layers(kIpv4, 2)));
  EXPECT_EQ(Frame(Layers(kIpv6, 3), Backend(SLUICE_GUE, true)),
            Packet(outer6 + "udp(sport=49152, dport=6080, sum=0)/gue()/" + Layers(kIpv6, 2)));
  // The flow's part of the outer port.
  EXPECT_EQ(Frame(Layers(kIpv4, 3), Backend(SLUICE_GUE), uint64_t{7} << 20),
            Packet(outer4 + "udp(sport=49159, dport=6080, sum=0)/gue()/" + Layers(kIpv4, 2)));
}

TEST(OwnPacketTest, WhatThePathWouldNotForwardDoesNotGo) {
  EXPECT_EQ(Frame(Layers(kIpv4, 1), Backend(SLUICE_IPIP)), "") << "no hop is left";
  EXPECT_EQ(Frame(Layers(kIpv6, 1), Backend(SLUICE_GUE)), "");
  const std::string large = Layers(kIpv4, 3, "udp(sport=40000, dport=53)/payload(1252)");
  sluice_backend narrow = Backend(SLUICE_IPIP);
  narrow.mtu = 1300;
  EXPECT_NE(Frame(large, narrow), "");
  narrow.mtu = 1299;
  EXPECT_EQ(Frame(large, narrow), "");
  sluice_backend lost = Backend(SLUICE_DSR_L2);
  lost.flags = SLUICE_BACKEND_LIVE;
  EXPECT_EQ(Frame(Layers(kIpv4, 1), lost), "") << "no next hop";
  EXPECT_EQ(Frame(Layers(kIpv4, 3), Backend(SLUICE_NAT)), "") << "it would need a session";
}

TEST(OwnPacketTest, OnlyPacketsOfFlowsAreRead) {
  const std::optional<OwnPacket> packet = Read(Layers(kIpv4, 1));
  ASSERT_TRUE(packet.has_value());
  EXPECT_EQ(packet->parsed.flow.source_port, SLUICE_16(40000));
  EXPECT_EQ(packet->parsed.flow.protocol, SLUICE_IP_TCP);
  EXPECT_FALSE(ReadOwnPacket({}).has_value());
  EXPECT_FALSE(Read("ipv4(src=203.0.113.2, dst=203.0.113.10, frag=8)/payload(16)").has_value());
  EXPECT_FALSE(Read("ipv6(src=fe80::2, dst=2001:db8::10, hop=255)/ns(target=2001:db8::10)").has_value());
  EXPECT_FALSE(Read("ipv4(src=203.0.113.2, dst=203.0.113.10)/icmp(type=8, id=1, seq=1)").has_value());
  const std::string cut =
      Packet("eth()/ipv4(src=203.0.113.2, dst=203.0.113.10)/tcp(syn)").substr(SLUICE_ETHERNET_BYTES, 30);
  EXPECT_FALSE(ReadOwnPacket({reinterpret_cast<const uint8_t*>(cut.data()), cut.size()}).has_value());
}

}  // namespace
}  // namespace sluice
