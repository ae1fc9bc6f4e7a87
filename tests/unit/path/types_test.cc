#include "sluice/types.h"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string>

#include "sluice/tables.h"
#include "sluice/verdict.h"
#include "tests/packet/hand_tables.h"

namespace sluice::path_test {
namespace {

using packet_test::PathAddress;

TEST(AddressTest, EqualByEveryBit) {
  const sluice_address address = PathAddress("2001:db8::10");
  EXPECT_TRUE(sluice_address_equal(&address, &address));
  for (int bit = 0; bit < 128; bit++) {
    sluice_address other = address;
    other.words[bit / 32] ^= 1u << bit % 32;
    EXPECT_FALSE(sluice_address_equal(&address, &other)) << bit;
  }
}

TEST(AddressTest, Ipv4IsMapped) {
  const sluice_address mapped = PathAddress("203.0.113.10");
  EXPECT_TRUE(sluice_address_is_ipv4(&mapped));
  const sluice_address made = sluice_ipv4(SLUICE_32(0xcb00710a));
  EXPECT_TRUE(sluice_address_equal(&mapped, &made));
  for (const char* text : {"::", "::1", "::203.0.113.10", "64:ff9b::203.0.113.10", "2001:db8::10"}) {
    const sluice_address address = PathAddress(text);
    EXPECT_FALSE(sluice_address_is_ipv4(&address)) << text;
  }
}

TEST(LoadTest, AtAnyAlignment) {
  alignas(8) uint8_t bytes[16] = {};
  for (int at = 0; at < 8; at++) {
    sluice_store32(bytes + at, 0x12345678);
    EXPECT_EQ(sluice_load32(bytes + at), 0x12345678u);
    sluice_store16(bytes + at, 0xabcd);
    EXPECT_EQ(sluice_load16(bytes + at), 0xabcd);
  }
}

// The kind goes by the order of the list; a verdict put into the wrong place would be counted as another kind.
TEST(VerdictTest, KindsAsTheListSays) {
#define CHECK_KIND(name, kind, text) \
  EXPECT_EQ(sluice_verdict_kind(SLUICE_VERDICT_##name), SLUICE_KIND_##kind) << "verdict " #name;
  SLUICE_VERDICTS(CHECK_KIND)
#undef CHECK_KIND
}

TEST(VerdictTest, NamesAndTextsAreThereAndDiffer) {
  std::set<std::string> names;
  std::set<std::string> texts;
  for (uint32_t verdict = 0; verdict < SLUICE_VERDICT_COUNT; verdict++) {
    EXPECT_TRUE(names.insert(sluice_verdict_name(verdict)).second);
    EXPECT_TRUE(texts.insert(sluice_verdict_text(verdict)).second) << sluice_verdict_text(verdict);
  }
  EXPECT_STREQ(sluice_verdict_name(SLUICE_VERDICT_no_listener), "no_listener");
}

// What is put into 8, 16 or 20 bits has room there.
TEST(LimitsTest, FitTheirFields) {
  EXPECT_LE(SLUICE_VERDICT_COUNT, 255);
  EXPECT_LE(SLUICE_BACKENDS, SLUICE_NO_BACKEND);
  EXPECT_EQ(SLUICE_NO_BACKEND, (1u << 20) - 1);
  EXPECT_GE(SLUICE_HEADROOM, SLUICE_ETHERNET_BYTES + SLUICE_VLAN_BYTES + SLUICE_IPV6_BYTES + SLUICE_UDP_BYTES + 4);
  EXPECT_EQ(sluice_index_key(SLUICE_IP_TCP, SLUICE_16(80)), 0x50008006u);
}

}  // namespace
}  // namespace sluice::path_test
