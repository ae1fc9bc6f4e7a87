// The frames that tell a link where a virtual address is.
#include "engine/announce.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/packet/notation.h"

namespace sluice {
namespace {

std::string FrameFor(const std::string& text) {
  const absl::StatusOr<Address> address = ParseAddress(text);
  EXPECT_TRUE(address.ok());
  const std::vector<uint8_t> frame = AnnouncementFrame(*address, Mac{2, 0, 0, 0, 0, 7});
  return {frame.begin(), frame.end()};
}

// RFC 5227 section 3: a request, sender and target address the same, target MAC zero.
TEST(AnnounceTest, Ipv4IsAGratuitousArp) {
  EXPECT_EQ(FrameFor("203.0.113.10"),
            packet_test::Packet("eth(dst=ff:ff:ff:ff:ff:ff, src=02:00:00:00:00:07)/"
                                "arp(smac=02:00:00:00:00:07, sip=203.0.113.10, tip=203.0.113.10)"));
}

// RFC 4861 sections 4.4 and 7.2.6: to all nodes, hop limit 255, override set, solicited not.
TEST(AnnounceTest, Ipv6IsAnUnsolicitedAdvertisement) {
  EXPECT_EQ(FrameFor("2001:db8::10"),
            packet_test::Packet("eth(dst=33:33:00:00:00:01, src=02:00:00:00:00:07)/"
                                "ipv6(src=2001:db8::10, dst=ff02::1, hop=255)/"
                                "na(target=2001:db8::10, flags=0x20000000, mac=02:00:00:00:00:07)"));
}

}  // namespace
}  // namespace sluice
