// The short way of a session's packet beside the long one: what it takes, the long one takes, and with the same words.
#include "sluice/session_follow.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <random>

namespace sluice::path_test {
namespace {

constexpr uint32_t kNow = 1000;

sluice_address Ipv4(uint32_t last) {
  return sluice_ipv4(SLUICE_32(0xc0000200 | last));
}
sluice_address Ipv6(uint32_t last) {
  return {{SLUICE_32(0x20010db8), 0, 0, SLUICE_32(last)}};
}

// Few values of everything, so that many things are equal.
class SessionFollowTest : public ::testing::Test {
 protected:
  uint32_t Any(uint32_t below) { return static_cast<uint32_t>(random_() % below); }
  sluice_address AnyAddress() { return Any(2) ? Ipv4(Any(2)) : Ipv6(Any(2)); }
  uint16_t AnyPort() { return SLUICE_16(static_cast<uint16_t>(80 + Any(2))); }

  sluice_session AnySession() {
    sluice_session session{};
    session.client = AnyAddress();
    session.ports = SLUICE_PORTS_OF(AnyPort(), AnyPort());
    session.source_port = AnyPort();
    session.server_port = AnyPort();
    session.protocol = Any(2) ? SLUICE_IP_TCP : SLUICE_IP_UDP;
    session.flags = static_cast<uint8_t>(Any(4) | (Any(3) ? 0 : Any(256)));
    session.nat_address = SLUICE_NO_NAT_ADDRESS;
    return session;
  }

  sluice_packet AnyPacket() {
    sluice_packet packet{};
    packet.flow = {.source = AnyAddress(), .destination = AnyAddress()};
    packet.flow.ports = SLUICE_PORTS_OF(AnyPort(), AnyPort());
    packet.flow.protocol = Any(2) ? SLUICE_IP_TCP : SLUICE_IP_UDP;
    packet.kind = static_cast<uint8_t>(Any(3) ? 0 : Any(4));
    packet.flags = static_cast<uint8_t>((Any(2) ? SLUICE_PACKET_IPV6 : 0) | (Any(3) ? 0 : Any(256)));
    return packet;
  }

  // As of a side that has said something in this tick or the one before.
  uint64_t AnyWord() {
    return uint64_t{Any(4) + 1} << SLUICE_WORD_NUMBER_SHIFT | uint64_t{Any(3)} << SLUICE_WORD_WINDOW_SHIFT |
           (Any(3) ? SLUICE_WORD_SYN | SLUICE_WORD_ACK : uint64_t{Any(16)} << 12) | (kNow - (Any(4) == 0));
  }

  std::array<uint8_t, SLUICE_TCP_BYTES> AnyHeader() {
    std::array<uint8_t, SLUICE_TCP_BYTES> l4{};
    for (uint8_t& byte : l4) byte = static_cast<uint8_t>(random_());
    l4[13] = static_cast<uint8_t>(Any(3) ? SLUICE_TCP_ACK | (Any(2) ? 0x08 : 0) : Any(64));
    return l4;
  }

  std::mt19937_64 random_{1};
};

// What it says of kinds, flags and families, one by one.
TEST_F(SessionFollowTest, WhatIsPlain) {
  uint32_t plain = 0;
  for (uint32_t i = 0; i < 200000; i++) {
    const sluice_session session = AnySession();
    const sluice_packet packet = AnyPacket();
    const bool ipv6 = packet.flags & SLUICE_PACKET_IPV6;
    const uint8_t families = session.flags & (SLUICE_SESSION_CLIENT_IPV6 | SLUICE_SESSION_SERVER_IPV6);
    const bool expected = packet.kind == SLUICE_PACKET_FLOW && (packet.flags & ~SLUICE_PACKET_IPV6) == 0 &&
                          session.protocol == packet.flow.protocol && (session.flags & ~families) == 0 &&
                          families == (ipv6 ? SLUICE_SESSION_CLIENT_IPV6 | SLUICE_SESSION_SERVER_IPV6 : 0);
    const bool found = sluice_packet_is_plain(&packet) && sluice_session_is_plain(&packet, &session, 0);
    ASSERT_EQ(found, expected) << i;
    plain += expected;
  }
  EXPECT_GT(plain, 1000U);
}

TEST_F(SessionFollowTest, WhoseTheyAre) {
  std::array<uint32_t, 2> found{};
  for (uint32_t i = 0; i < 200000; i++) {
    const sluice_session session = AnySession();
    const sluice_flow flow = AnyPacket().flow;
    if (flow.protocol != session.protocol) continue;
    const sluice_address listener = AnyAddress();
    const sluice_flow forward = sluice_session_forward_flow(&session, &listener);
    const bool from_client = std::memcmp(&flow, &forward, sizeof(flow)) == 0;
    ASSERT_EQ(sluice_session_is_from_client(&session, &flow, &listener), from_client) << i;
    sluice_backend backend{};
    backend.destination = AnyAddress();
    const sluice_address source = AnyAddress();
    const bool from_server = sluice_session_is_reverse(&session, &flow, &backend, &source);
    ASSERT_EQ(sluice_session_is_from_server(&session, &flow, &backend.destination, &source), from_server) << i;
    found[0] += from_client;
    found[1] += from_server;
  }
  EXPECT_GT(found[0], 50U);
  EXPECT_GT(found[1], 50U);
}

// The words are those of the long way, and neither the session's state nor what is believed is in question.
TEST_F(SessionFollowTest, WhatIsNoted) {
  uint32_t quick = 0;
  for (uint32_t i = 0; i < 200000; i++) {
    const uint64_t word = AnyWord();
    const uint64_t peer = AnyWord();
    const auto l4 = AnyHeader();
    if (!sluice_word_only_acknowledges(word, peer, l4.data(), sluice_word_noted(kNow))) continue;
    quick++;
    const sluice_segment segment = sluice_segment_read(l4.data());
    ASSERT_EQ(segment.flags & (SLUICE_TCP_SYN | SLUICE_TCP_FIN | SLUICE_TCP_RST), 0);
    const uint64_t after = sluice_word_acknowledgment(word, l4.data(), 0, kNow);
    ASSERT_EQ(after, sluice_word_segment(word, &segment, false, kNow)) << i;
    ASSERT_EQ(after, sluice_word_segment(word, &segment, true, kNow)) << i;
    ASSERT_EQ(sluice_session_state(SLUICE_IP_TCP, after, peer), sluice_session_state(SLUICE_IP_TCP, word, peer));
    ASSERT_EQ(sluice_session_rank(SLUICE_IP_TCP, word, peer), SLUICE_RANK_SETTLED);
    ASSERT_EQ(sluice_word_ends(word, after), 0);
    ASSERT_EQ(sluice_session_opening(false, word, after, peer), SLUICE_OPENING_NO_NEWS);
  }
  EXPECT_GT(quick, 10000U);
}

TEST_F(SessionFollowTest, WhoPlainlyServes) {
  sluice_backend backend{};
  backend.pool = 7;
  backend.forwarding = SLUICE_FULL_NAT;
  backend.flags = SLUICE_BACKEND_LIVE | SLUICE_BACKEND_NEXT_HOP | SLUICE_BACKEND_OUTER_IPV6 | SLUICE_BACKEND_UNHEALTHY;
  const auto plain = [&](uint32_t pool) {
    return (sluice_load64(&backend.pool) & SLUICE_PLAIN_MASK) == sluice_plainly_serves(pool);
  };
  EXPECT_TRUE(plain(7));
  EXPECT_FALSE(plain(8));
  backend.vlan = 3;
  EXPECT_FALSE(plain(7));
  EXPECT_EQ(sluice_load64(&backend.pool) & SLUICE_SERVES_MASK, sluice_plainly_serves(7) & SLUICE_SERVES_MASK);
  backend.vlan = 0;
  backend.flags = SLUICE_BACKEND_LIVE;
  EXPECT_FALSE(plain(7));
  backend.flags = SLUICE_BACKEND_NEXT_HOP;
  EXPECT_FALSE(plain(7));
}

}  // namespace
}  // namespace sluice::path_test
