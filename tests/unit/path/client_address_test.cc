// The header and the option with a client's address: what becomes of numbers, and packets whose checksums are computed
// in full by the notation, or here.
#include "sluice/client_address.h"

#include <gtest/gtest.h>

#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "tests/packet/bytes.h"
#include "tests/packet/notation.h"
#include "tests/unit/path/exact_bytes.h"

namespace sluice::path_test {
namespace {

using packet_test::Fold;
using packet_test::LongAt;
using packet_test::Packet;
using packet_test::Sum;
using packet_test::WordAt;

sluice_session Session(uint8_t flags) {
  sluice_session session{};
  const std::string address = absl::HexStringToBytes(
      flags & SLUICE_SESSION_CLIENT_IPV6 ? "20010db8000f00000000000000000007" : "00000000000000000000ffffc0000207");
  std::memcpy(&session.client, address.data(), address.size());
  session.ports = SLUICE_16(40000) | static_cast<uint32_t>(SLUICE_16(80)) << 16;
  session.flags = flags;
  return session;
}

// An IPv4 packet as it is parsed, at the end of memory, with room in front.
class ClientAddressTest : public testing::Test {
 protected:
  void Read(const std::string& text) {
    frame_ = bytes_.Place(Packet(text));
    ASSERT_EQ(sluice_parse(frame_, bytes_.end(), &packet_), SLUICE_CONTINUE);
  }
  uint8_t* l3() { return frame_ + packet_.l3_offset; }
  uint8_t* l4() { return frame_ + packet_.l4_offset; }
  const uint8_t* end() { return l3() + packet_.l3_length; }
  void MakeGap(uint32_t offset, uint32_t bytes) {
    std::memmove(frame_ - bytes, frame_, packet_.l4_offset + offset);
    frame_ -= bytes;
  }
  // From `at` to the packet's end.
  std::string From(const uint8_t* at) { return {at, end()}; }
  std::string Text() { return From(frame_); }

  ExactBytes bytes_;
  uint8_t* frame_ = nullptr;
  sluice_packet packet_{};
};

constexpr uint32_t kBytes = SLUICE_PROXY_IPV4_BYTES;

sluice_proxied Begun(uint32_t first) {
  return {.first = first, .bytes = kBytes, .begun = true, .told = false};
}
sluice_proxied Told() {
  return {.first = 77, .bytes = kBytes, .begun = true, .told = true};
}

enum sluice_proxied_fate Fate(const sluice_proxied& proxied, uint32_t sequence, uint8_t flags, uint32_t payload = 0,
                              bool fragment = false, bool acknowledged = true) {
  const sluice_segment segment = {.sequence = sequence, .acknowledgment = 1, .window = 100, .flags = flags};
  return sluice_proxied_fate(&proxied, &segment, payload, fragment, acknowledged);
}

TEST_F(ClientAddressTest, StateFollowsFromFlagsAndWord) {
  const uint64_t number = uint64_t{1000} << SLUICE_WORD_NUMBER_SHIFT;
  sluice_proxied proxied = sluice_proxied_of(SLUICE_SESSION_PROXY, number | SLUICE_WORD_ACK);
  EXPECT_FALSE(proxied.begun);
  EXPECT_FALSE(proxied.told);
  EXPECT_EQ(proxied.bytes, 28u);
  proxied = sluice_proxied_of(SLUICE_SESSION_PROXY | SLUICE_SESSION_CLIENT_IPV6 | SLUICE_SESSION_TOLD,
                              number | SLUICE_WORD_ACK | SLUICE_WORD_SYN);
  EXPECT_TRUE(proxied.begun);
  EXPECT_TRUE(proxied.told);
  EXPECT_EQ(proxied.bytes, 52u);
  EXPECT_EQ(proxied.first, 1000u);
  EXPECT_FALSE(sluice_proxied_of(SLUICE_SESSION_PROXY, number | SLUICE_WORD_SYN).begun);
}

TEST_F(ClientAddressTest, WhatBecomesOfSegments) {
  for (const uint32_t first : {1000u, 0u, 10u, UINT32_MAX - 5}) {
    const sluice_proxied begun = Begun(first);
    EXPECT_EQ(Fate(begun, first, SLUICE_TCP_ACK), SLUICE_PROXIED_GROWS);
    EXPECT_EQ(Fate(begun, first, 0, 5), SLUICE_PROXIED_GROWS);
    EXPECT_EQ(Fate(begun, first, SLUICE_TCP_ACK | SLUICE_TCP_FIN), SLUICE_PROXIED_GROWS);
    EXPECT_EQ(Fate(begun, first, SLUICE_TCP_ACK, 5, true), SLUICE_PROXIED_REFUSED);
    EXPECT_EQ(Fate(begun, first + 1, SLUICE_TCP_ACK, 5), SLUICE_PROXIED_SHIFTS);
    EXPECT_EQ(Fate(begun, first + 20, SLUICE_TCP_ACK, 5, true), SLUICE_PROXIED_SHIFTS);
    // Never a byte in the header's place.
    EXPECT_EQ(Fate(begun, first - 1, SLUICE_TCP_ACK, 0), SLUICE_PROXIED_KEEPS);
    EXPECT_EQ(Fate(begun, first - 1, SLUICE_TCP_ACK, 1), SLUICE_PROXIED_KEEPS);
    EXPECT_EQ(Fate(begun, first - 1, SLUICE_TCP_ACK, 2), SLUICE_PROXIED_REFUSED);
    EXPECT_EQ(Fate(begun, first - 1, SLUICE_TCP_ACK | SLUICE_TCP_FIN, 1), SLUICE_PROXIED_REFUSED);
    EXPECT_EQ(Fate(begun, first - 50, SLUICE_TCP_ACK, 50), SLUICE_PROXIED_KEEPS);
    EXPECT_EQ(Fate(begun, first - 50, SLUICE_TCP_ACK, 51), SLUICE_PROXIED_REFUSED);
    EXPECT_EQ(Fate(begun, first - 50, SLUICE_TCP_ACK, 1, true), SLUICE_PROXIED_REFUSED);
    // Resets are behind the header if one is under way.
    EXPECT_EQ(Fate(begun, first, SLUICE_TCP_RST), SLUICE_PROXIED_SHIFTS);
    EXPECT_EQ(Fate(begun, first, SLUICE_TCP_RST, 0, false, false), SLUICE_PROXIED_KEEPS);
    EXPECT_EQ(Fate(begun, first - 1, SLUICE_TCP_RST), SLUICE_PROXIED_KEEPS);
    EXPECT_EQ(Fate(begun, first + 9, SLUICE_TCP_RST, 0, false, false), SLUICE_PROXIED_SHIFTS);
  }
  EXPECT_EQ(Fate(Told(), 5, SLUICE_TCP_ACK, 9), SLUICE_PROXIED_SHIFTS);
  EXPECT_EQ(Fate(Told(), 77, SLUICE_TCP_RST), SLUICE_PROXIED_SHIFTS);
  EXPECT_EQ(Fate(Told(), 77, SLUICE_TCP_SYN), SLUICE_PROXIED_KEEPS);
  EXPECT_EQ(Fate(Told(), 77, SLUICE_TCP_SYN, 9, true), SLUICE_PROXIED_REFUSED);
  EXPECT_EQ(Fate({.first = 77, .bytes = kBytes, .begun = false, .told = false}, 77, SLUICE_TCP_ACK, 9),
            SLUICE_PROXIED_KEEPS);
}

TEST_F(ClientAddressTest, NumbersOnTheirWayBack) {
  for (const uint32_t first : {1000u, 0u, UINT32_MAX - 5}) {
    const sluice_proxied begun = Begun(first);
    EXPECT_EQ(sluice_proxied_back(&begun, first - 3), first - 3);
    for (uint32_t part = 0; part <= kBytes; part++) EXPECT_EQ(sluice_proxied_back(&begun, first + part), first);
    EXPECT_EQ(sluice_proxied_back(&begun, first + kBytes + 1), first + 1);
    EXPECT_FALSE(sluice_proxied_is_told(&begun, first - 1, 500));
    EXPECT_FALSE(sluice_proxied_is_told(&begun, first, 500));
    EXPECT_FALSE(sluice_proxied_is_told(&begun, first + kBytes - 1, 500));
    EXPECT_TRUE(sluice_proxied_is_told(&begun, first + kBytes, 500));
    EXPECT_TRUE(sluice_proxied_is_told(&begun, first + kBytes + 500, 500));
    EXPECT_FALSE(sluice_proxied_is_told(&begun, first + kBytes + 0x10000 + 501, 500));
  }
  const sluice_proxied told = Told();
  EXPECT_EQ(sluice_proxied_back(&told, 5), 5 - kBytes);
  const sluice_proxied before = {.first = 77, .bytes = kBytes, .begun = false, .told = false};
  EXPECT_EQ(sluice_proxied_back(&before, 500), 500u);
  EXPECT_FALSE(sluice_proxied_is_told(&before, 77 + kBytes, 500));
}

TEST_F(ClientAddressTest, TheHeaderIsCountedByAnUrgentPointer) {
  Read("eth / ipv4(src=192.0.2.7, dst=203.0.113.10, options=01010101) / tcp(seq=7, ack, urg) / payload(9)");
  sluice_tcp_store16(l4(), l4() + 18, SLUICE_16(3));
  const sluice_session session = Session(SLUICE_SESSION_PROXY);
  const sluice_address to = sluice_ipv4(SLUICE_32(0xcb00710a));
  MakeGap(SLUICE_TCP_BYTES, kBytes);
  sluice_proxy_insert(l3(), &packet_, &session, &to);
  EXPECT_EQ(SLUICE_16(sluice_load16(l4() + 18)), 3 + kBytes);
  sluice_tcp_store16(l4(), l4() + 18, 0);
  EXPECT_EQ(absl::BytesToHexString(Text()),
            absl::BytesToHexString(
                Packet("eth / ipv4(src=192.0.2.7, dst=203.0.113.10, options=01010101) / tcp(seq=7, psh, ack, urg) / "
                       "hex(bytes=0d0a0d0a000d0a515549540a2111000cc0000207cb00710a9c400050) / payload(9)")));
}

TEST_F(ClientAddressTest, PayloadOfAnyLengthIsCutOff) {
  for (uint32_t length = 0; length < 20; length++) {
    Read(absl::StrCat("eth / ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(syn, options=02040100) / payload(", length,
                      ")"));
    sluice_tcp_cut_payload(l3(), end(), &packet_);
    EXPECT_EQ(Text(), Packet("eth / ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(syn, options=02040100)"));
  }
}

TEST_F(ClientAddressTest, OptionsOfAKind) {
  const auto blanked = [&](const std::string& options, uint8_t kind) {
    Read(absl::StrCat("eth / ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(options=", options, ")"));
    sluice_tcp_blank_options(l4(), end(), kind);
    const std::string text = absl::BytesToHexString(From(l4() + SLUICE_TCP_BYTES));
    EXPECT_EQ(Text(), Packet(absl::StrCat("eth / ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(options=", text, ")")));
    return text;
  };
  EXPECT_EQ(blanked("fe04aabb", 254), "01010101");
  EXPECT_EQ(blanked("01fe03aafe04bbccfe020501", 254), "010101010101010101010501");
  EXPECT_EQ(blanked("fe04aabb", 34), "fe04aabb");
  // What is behind the end is no option, nor what does not fit.
  EXPECT_EQ(blanked("00fe03aa", 254), "00fe03aa");
  EXPECT_EQ(blanked("0101fe03", 254), "0101fe03");
  EXPECT_EQ(blanked("0101fe01", 254), "0101fe01");
}

TEST_F(ClientAddressTest, LittleIsNotMadeLess) {
  Read("eth / ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(syn, ack, window=28, options=02040038)");
  sluice_lower_mss(l4(), end(), 28);
  sluice_lower_window(l4(), 28, 0);
  EXPECT_EQ(Text(), Packet("eth / ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(syn, ack, window=28, options=02040038)"));
  Read("eth / ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(syn, ack, window=29, options=0102040039000000)");
  sluice_lower_mss(l4(), end(), 28);
  sluice_lower_window(l4(), 28, 0);
  EXPECT_EQ(Text(), Packet("eth / ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(syn, ack, window=1, "
                           "options=010204001d000000)"));
  // Rounded so that it never is too much.
  Read("eth / ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(ack, window=9)");
  sluice_lower_window(l4(), 28, 3);
  EXPECT_EQ(Text(), Packet("eth / ipv4(src=192.0.2.7, dst=203.0.113.10) / tcp(ack, window=5)"));
}

TEST_F(ClientAddressTest, TheOptionTakesWhatRoomThereIs) {
  const sluice_session session = Session(SLUICE_SESSION_TOA | SLUICE_SESSION_CLIENT_IPV6);
  const std::string timestamps = "0101080a0000000100000002";
  Read(absl::StrCat("eth / ipv6(src=2001:db8:f::7, dst=2001:db8::10) / tcp(ack, options=", timestamps, timestamps,
                    ") / payload(3)"));
  EXPECT_FALSE(sluice_toa_fits(l4(), SLUICE_TOA_IPV6_BYTES));
  Read(absl::StrCat("eth / ipv6(src=2001:db8:f::7, dst=2001:db8::10) / tcp(ack, options=", timestamps,
                    "0101010101010101) / payload(3)"));
  EXPECT_TRUE(sluice_toa_fits(l4(), SLUICE_TOA_IPV6_BYTES));
  MakeGap(SLUICE_TCP_BYTES, SLUICE_TOA_IPV6_BYTES);
  sluice_toa_insert(l3(), &packet_, &session);
  EXPECT_EQ(Text(), Packet(absl::StrCat("eth / ipv6(src=2001:db8:f::7, dst=2001:db8::10) / tcp(ack, options=",
                                        "fe149c4020010db8000f00000000000000000007", timestamps,
                                        "0101010101010101) / payload(3)")));
}

// Wherever the quote ends, the error adds up, and so does the quoted segment where all of it is there.
TEST_F(ClientAddressTest, QuotesOfAnyLength) {
  const std::string quoted = "ipv4(src=203.0.113.10, dst=192.0.2.7) / tcp(sport=80, dport=40000, seq=7, acknr=";
  for (uint32_t length = 28; length <= 49; length++) {
    Read(absl::StrCat("eth / ipv4(src=192.0.2.7, dst=203.0.113.10) / icmp(type=3, code=4, mtu=1400) / slice(0, ",
                      length, ") / ", quoted, "9, ack) / payload(9)"));
    uint8_t* tcp = l4() + SLUICE_ICMP_BYTES + SLUICE_IPV4_BYTES;
    sluice_quote_store32(l4(), tcp, end(), tcp + 4, SLUICE_32(0xfffe0003));
    sluice_quote_lower_mtu(l4(), false, 28);
    EXPECT_EQ(Fold(Sum(From(l4()))), 0xffff) << length;
    EXPECT_EQ(LongAt(From(tcp), 4), 0xfffe0003u);
    EXPECT_EQ(WordAt(From(l4()), 6), 1372u);
    if (length != 49) continue;
    const std::string pseudo = absl::HexStringToBytes("cb00710ac00002070006001d");
    EXPECT_EQ(Fold(Sum(pseudo) + Sum(From(tcp))), 0xffff);
  }
}

TEST_F(ClientAddressTest, OnlyWhoSaysAnMtuSaysAnother) {
  for (const char* icmp : {"icmp(type=3, code=1, mtu=1400)", "icmp(type=11, mtu=1400)", "icmp(type=3, code=4)"}) {
    const std::string text = absl::StrCat("eth / ipv4(src=192.0.2.7, dst=203.0.113.10) / ", icmp,
                                          " / ipv4(src=203.0.113.10, dst=192.0.2.7) / tcp(sport=80, dport=40000)");
    Read(text);
    sluice_quote_lower_mtu(l4(), false, 28);
    EXPECT_EQ(Text(), Packet(text));
  }
  Read(
      "eth / ipv6(src=2001:db8:f::7, dst=2001:db8::10) / icmp6(type=2, mtu=1400) / ipv6(src=2001:db8::10, "
      "dst=2001:db8:f::7) / tcp(sport=80, dport=40000)");
  sluice_quote_lower_mtu(l4(), true, 52);
  EXPECT_EQ(Text(), Packet("eth / ipv6(src=2001:db8:f::7, dst=2001:db8::10) / icmp6(type=2, mtu=1348) / "
                           "ipv6(src=2001:db8::10, dst=2001:db8:f::7) / tcp(sport=80, dport=40000)"));
}

}  // namespace
}  // namespace sluice::path_test
