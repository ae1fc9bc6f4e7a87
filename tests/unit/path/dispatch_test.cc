#include "sluice/dispatch.h"

#include <gtest/gtest.h>

#include "tests/packet/hand_tables.h"
#include "tests/packet/notation.h"
#include "tests/unit/path/exact_bytes.h"

namespace sluice::path_test {
namespace {

using packet_test::HandTables;

class DispatchTest : public testing::Test {
 protected:
  DispatchTest() {
    tables_.AddVirtual("203.0.113.10");
    tables_.AddVirtual("2001:db8::10");
    // Routed to us: silent on the link, and no echo.
    tables_.AddVirtual("203.0.113.20", 0);
    tables_.AddVirtual("2001:db8::20", 0);
    tables_.AddVirtual("203.0.113.30", SLUICE_VIRTUAL_ECHO);
    web_ = tables_.AddListener("203.0.113.10", SLUICE_IP_TCP, 80, 0);
  }

  // The verdict's name, "continue" with the listener when it has one.
  std::string Dispatch(const std::string& text) {
    const std::string bytes = packet_test::Packet(text);
    sluice_packet packet{};
    sluice_verdict verdict = sluice_parse(exact_.Place(bytes), exact_.end(), &packet);
    uint32_t listener = 12345;
    uint32_t pool = 12345;
    if (verdict == SLUICE_CONTINUE) {
      verdict = sluice_dispatch(&tables_.view(), tables_.view().settings, &packet, &listener, &pool);
    }
    if (verdict != SLUICE_CONTINUE) return sluice_verdict_name(verdict);
    EXPECT_EQ(pool, listener == SLUICE_NO_LISTENER ? SLUICE_NO_POOL : tables_.view().listeners[listener].pool) << text;
    return listener == SLUICE_NO_LISTENER ? "continue" : "continue to " + std::to_string(listener);
  }

  HandTables tables_;
  uint32_t web_ = 0;
  ExactBytes exact_;
};

TEST_F(DispatchTest, Flows) {
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.10)/tcp(dport=80)"), "continue to 0");
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.10)/tcp(dport=81)"), "no_listener");
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.11)/tcp(dport=80)"), "pass_not_virtual");
}

TEST_F(DispatchTest, FragmentsWithoutPorts) {
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, frag=64)/payload(8)"), "continue");
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.11, frag=64)/payload(8)"), "pass_not_virtual");
}

TEST_F(DispatchTest, ErrorsByTheirQuote) {
  const std::string quote = "/icmp(type=3)/ipv4(src=203.0.113.10, dst=192.0.2.7)/tcp(dport=40000, sport=";
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.10)" + quote + "80)"), "continue to 0");
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.10)" + quote + "81)"), "no_listener");
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.20)" + quote + "80)"), "unusable_quote");
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.11)" + quote + "80)"), "pass_not_virtual");
}

// An error that quotes port zero must not meet the index entry of port ranges, whose value is no listener.
TEST_F(DispatchTest, ErrorsThatQuotePortZero) {
  tables_.AddRanges("203.0.113.10", SLUICE_IP_TCP, {{8000, 8001}}, 0);
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.10)/icmp(type=3)/ipv4(src=203.0.113.10, dst=192.0.2.7)/"
                     "tcp(dport=40000, sport=0)"),
            "zero_port");
}

TEST_F(DispatchTest, Echo) {
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.10)/icmp(type=8)"), "replied_echo");
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.20)/icmp(type=8)"), "echo_off");
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, mf)/slice(0, 8)/icmp(type=8)"), "unsupported_icmp");
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.10)/icmp(type=0)"), "unsupported_icmp");
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.11)/icmp(type=8)"), "pass_not_virtual");
  EXPECT_EQ(Dispatch("eth/ipv6(src=2001:db8:f::7, dst=2001:db8::10)/icmp6(type=128)"), "replied_echo");
  EXPECT_EQ(Dispatch("eth/ipv6(src=2001:db8:f::7, dst=2001:db8::20)/icmp6(type=128)"), "echo_off");
}

TEST_F(DispatchTest, Link) {
  EXPECT_EQ(Dispatch("eth/arp(sip=203.0.113.1, tip=203.0.113.10)"), "replied_arp");
  EXPECT_EQ(Dispatch("eth/arp(sip=0.0.0.0, tip=203.0.113.10)"), "replied_arp");
  EXPECT_EQ(Dispatch("eth/arp(sip=203.0.113.10, tip=203.0.113.10)"), "address_conflict");
  EXPECT_EQ(Dispatch("eth/arp(sip=203.0.113.1, tip=203.0.113.20)"), "pass_not_virtual");
  EXPECT_EQ(Dispatch("eth/arp(sip=203.0.113.1, tip=203.0.113.30)"), "pass_not_virtual");
  EXPECT_EQ(Dispatch("eth/arp(sip=203.0.113.1, tip=203.0.113.11)"), "pass_not_virtual");
  const std::string ip = "eth/ipv6(src=fe80::1, dst=ff02::1:ff00:10, hop=255)/ns(mac=02:00:00:00:00:aa, target=";
  EXPECT_EQ(Dispatch(ip + "2001:db8::10)"), "replied_neighbor");
  EXPECT_EQ(Dispatch(ip + "2001:db8::20)"), "pass_not_virtual");
  EXPECT_EQ(Dispatch(ip + "2001:db8::11)"), "pass_not_virtual");
}

// What is broken is ours to judge only when it is for a virtual address.
TEST_F(DispatchTest, BrokenPacketsOfOthersPass) {
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.10)/tcp(syn, fin)"), "malformed_tcp");
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.11)/tcp(syn, fin)"), "pass_not_virtual");
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.10, proto=47)/payload(20)"), "unsupported_protocol");
  EXPECT_EQ(Dispatch("eth/ipv4(src=192.0.2.7, dst=203.0.113.11, proto=47)/payload(20)"), "pass_not_virtual");
}

}  // namespace
}  // namespace sluice::path_test
