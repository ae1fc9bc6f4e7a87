// Text of addresses, prefixes and MAC addresses, both ways.
#include "base/address.h"

#include <random>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;

TEST(Address, FormatsAsPeopleWrite) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"203.0.113.10", "203.0.113.10"},
      {"0.0.0.0", "0.0.0.0"},
      {"255.255.255.255", "255.255.255.255"},
      {"2001:db8::10", "2001:db8::10"},
      {"2001:DB8:0:0:0:0:0:10", "2001:db8::10"},
      {"::", "::"},
      {"::1", "::1"},
      {"::ffff:198.51.100.2", "198.51.100.2"},
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
      {"fe80::1", "fe80::1"},
  };
  for (const auto& [text, expected] : cases) {
    const absl::StatusOr<Address> address = ParseAddress(text);
    ASSERT_TRUE(address.ok()) << address.status();
    EXPECT_EQ(FormatAddress(*address), expected);
  }
}

TEST(Address, Ipv4IsMapped) {
  const Address address = ParseAddress("203.0.113.10").value();
  EXPECT_TRUE(address.IsIpv4());
  EXPECT_EQ(address.bytes, (std::array<uint8_t, 16>{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 10}));
  EXPECT_FALSE(ParseAddress("2001:db8::10").value().IsIpv4());
  // The deprecated compatible form (RFC 4291 section 2.5.5.1) is IPv6.
  EXPECT_FALSE(ParseAddress("::203.0.113.10").value().IsIpv4());
}

TEST(Address, RefusesWhatIsNone) {
  for (const std::string text :
       {"", " ", "10", "10.0.0", "10.0.0.256", "10.0.0.01x", "10.0.0.1 ", " 10.0.0.1", "10.0.0.1/24", "10.0.0.1:80",
        "[::1]", "fe80::1%eth0", ":::", "1::2::3", "12345::", "web.example.com"}) {
    const absl::StatusOr<Address> address = ParseAddress(text);
    ASSERT_EQ(address.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(address.status().message()), HasSubstr("\"" + text + "\" is not an IP address; write"));
  }
  using std::string_literals::operator""s;
  EXPECT_FALSE(ParseAddress("10.0.0.1\0"s).ok()) << "a zero byte does not end the text";
}

TEST(Address, RandomOnesComeBack) {
  std::mt19937 random(1);
  for (int i = 0; i < 20000; i++) {
    Address address;
    // Zeros often, for the short forms.
    for (uint8_t& byte : address.bytes) byte = random() % 2 == 0 ? 0 : static_cast<uint8_t>(random());
    if (i % 4 == 0) address.bytes[10] = address.bytes[11] = 0xff;
    if (i % 8 == 0) std::fill_n(address.bytes.begin(), 10, uint8_t{0});
    const std::string text = FormatAddress(address);
    ASSERT_EQ(ParseAddress(text).value(), address) << text;
    ASSERT_EQ(text.find(':') == std::string::npos, address.IsIpv4()) << text;
  }
}

TEST(Address, SortsByBytes) {
  EXPECT_LT(ParseAddress("10.0.0.1").value(), ParseAddress("10.0.1.0").value());
  EXPECT_LT(ParseAddress("255.255.255.255").value(), ParseAddress("2001:db8::").value());
}

TEST(Prefix, ParsesBothFamilies) {
  const Prefix ipv4 = ParsePrefix("198.51.100.2/24").value();
  EXPECT_EQ(FormatAddress(ipv4.address), "198.51.100.2") << "host bits stay";
  EXPECT_EQ(ipv4.length, 24);
  EXPECT_EQ(ParsePrefix("0.0.0.0/0").value().length, 0);
  EXPECT_EQ(ParsePrefix("2001:db8::/120").value().length, 120);
  EXPECT_EQ(ParsePrefix("2001:db8::1/128").value().length, 128);
}

TEST(Prefix, RefusesWhatIsNone) {
  for (const std::string text : {"198.51.100.2", "", "/24", "198.51.100.2/", "198.51.100.2/33", "198.51.100.2/-1",
                                 "198.51.100.2/2x", "198.51.100.2/24/24", "2001:db8::/129", "198.51.100.2/4294967296",
                                 "198.51.100.2/ 24", "198.51.100.2/+24", "web/24"}) {
    EXPECT_EQ(ParsePrefix(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  EXPECT_THAT(std::string(ParsePrefix("10.0.0.1").status().message()), HasSubstr("write it like 198.51.100.2/24"));
  EXPECT_THAT(std::string(ParsePrefix("10.0.0.1/33").status().message()), HasSubstr("between 0 and 32"));
  EXPECT_THAT(std::string(ParsePrefix("2001:db8::/129").status().message()), HasSubstr("between 0 and 128"));
}

TEST(Prefix, AnAddressAloneIsAllOfItsBits) {
  EXPECT_EQ(ParsePrefixOrAddress("198.51.100.2").value().length, 32);
  EXPECT_EQ(ParsePrefixOrAddress("2001:db8::1").value().length, 128);
  EXPECT_EQ(ParsePrefixOrAddress("198.51.100.0/24").value().length, 24);
  for (const std::string text : {"", "198.51.100", "198.51.100.2/33", "2001:db8::g", "/24"}) {
    EXPECT_EQ(ParsePrefixOrAddress(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
}

TEST(Prefix, FirstAndLastAddress) {
  struct {
    const char *text, *first, *last;
  } constexpr kCases[] = {
      {"198.51.100.77/24", "198.51.100.0", "198.51.100.255"},
      {"198.51.100.77/27", "198.51.100.64", "198.51.100.95"},
      {"198.51.100.77/32", "198.51.100.77", "198.51.100.77"},
      {"198.51.100.77/0", "0.0.0.0", "255.255.255.255"},
      {"2001:db8:7:7::7/64", "2001:db8:7:7::", "2001:db8:7:7:ffff:ffff:ffff:ffff"},
      {"2001:db8::7/126", "2001:db8::4", "2001:db8::7"},
      {"2001:db8::7/0", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
  };
  for (const auto& one : kCases) {
    const Prefix prefix = ParsePrefix(one.text).value();
    EXPECT_EQ(FormatAddress(FirstAddress(prefix)), one.first) << one.text;
    EXPECT_EQ(FormatAddress(LastAddress(prefix)), one.last) << one.text;
  }
}

TEST(Prefix, Contains) {
  struct {
    const char *prefix, *address;
    bool holds;
  } constexpr kCases[] = {
      {"198.51.100.77/27", "198.51.100.64", true},
      {"198.51.100.77/27", "198.51.100.95", true},
      {"198.51.100.77/27", "198.51.100.96", false},
      {"0.0.0.0/0", "203.0.113.7", true},
      {"2001:db8::/32", "2001:db8:ffff::1", true},
      {"2001:db8::/32", "2001:db9::", false},
      {"::/0", "203.0.113.7", false},
      {"0.0.0.0/0", "2001:db8::1", false},
  };
  for (const auto& one : kCases) {
    EXPECT_EQ(Contains(ParsePrefix(one.prefix).value(), ParseAddress(one.address).value()), one.holds)
        << one.prefix << " " << one.address;
  }
}

TEST(Mac, RoundTrips) {
  for (const std::string text : {"02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff", "00:1b:21:aa:bb:cc"}) {
    EXPECT_EQ(FormatMac(ParseMac(text).value()), text);
  }
  EXPECT_EQ(ParseMac("0A:0B:0C:0D:0E:0F").value(), (Mac{10, 11, 12, 13, 14, 15}));
}

TEST(Mac, RefusesWhatIsNone) {
  for (const std::string text : {"", "02:00:00:00:00", "02:00:00:00:00:01:02", "02:00:00:00:00:0g", "02-00-00-00-00-01",
                                 "02:00:00:00:00:01 ", " 02:00:00:00:00:01", "02:00:00:00:00: 1", "0x:00:00:00:00:01",
                                 "2:0:0:0:0:1", "+2:00:00:00:00:01", "020000000001"}) {
    EXPECT_EQ(ParseMac(text).status().code(), absl::StatusCode::kInvalidArgument) << text;
  }
  using std::string_literals::operator""s;
  EXPECT_FALSE(ParseMac("02:00:00:00:00:01\0"s).ok());
}

}  // namespace
}  // namespace sluice
