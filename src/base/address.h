// Text forms of the addresses that operators write and logs show.
//
// Thread-safety: pure functions. Errors: absl::InvalidArgumentError in words for the person who wrote the text.
// An address is 16 bytes in network order, IPv4 mapped into ::ffff:0:0/96 (RFC 4291 section 2.5.5.2), as in the path.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sluice {

struct Address {
  std::array<uint8_t, 16> bytes{};

  bool IsIpv4() const;
  auto operator<=>(const Address&) const = default;

  template <typename H>
  friend H AbslHashValue(H h, const Address& address) {
    return H::combine(std::move(h), address.bytes);
  }
};

// "203.0.113.10" or "2001:db8::10"; no zone, no port, no prefix length.
absl::StatusOr<Address> ParseAddress(std::string_view text);
// The form that people know: dotted quad for IPv4, RFC 5952 for IPv6.
std::string FormatAddress(const Address& address);

// Of its family: 32 or 128.
int AddressBits(const Address& address);

struct Prefix {
  Address address;
  // 0..32 for IPv4, 0..128 for IPv6.
  int length = 0;
};
// "198.51.100.2/24"; host bits are kept.
absl::StatusOr<Prefix> ParsePrefix(std::string_view text);
// The same, or an address alone, which is a prefix of all its bits.
absl::StatusOr<Prefix> ParsePrefixOrAddress(std::string_view text);
// What the prefix holds: its first address (all host bits 0) and its last (all 1).
Address FirstAddress(const Prefix& prefix);
Address LastAddress(const Prefix& prefix);
bool Contains(const Prefix& prefix, const Address& address);

using Mac = std::array<uint8_t, 6>;
// "02:00:00:00:00:01".
absl::StatusOr<Mac> ParseMac(std::string_view text);
std::string FormatMac(const Mac& mac);

}  // namespace sluice
