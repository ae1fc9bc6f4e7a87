#include "base/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdio>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr std::array<uint8_t, 12> kIpv4Mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

absl::Status NotAnAddress(std::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", std::string(text), "\" is not an IP address; write one like 203.0.113.10 or 2001:db8::10"));
}

Address End(const Prefix& prefix, bool last) {
  Address end = prefix.address;
  // IPv4 stands in the last 32 bits.
  const int fixed = 128 - AddressBits(prefix.address) + prefix.length;
  for (int i = 0; i < 16; ++i) {
    const auto host = static_cast<uint8_t>(0xff >> std::clamp(fixed - 8 * i, 0, 8));
    uint8_t& byte = end.bytes[static_cast<size_t>(i)];
    byte = static_cast<uint8_t>(last ? byte | host : byte & ~host);
  }
  return end;
}

}  // namespace

bool Address::IsIpv4() const {
  return std::equal(kIpv4Mapped.begin(), kIpv4Mapped.end(), bytes.begin());
}

absl::StatusOr<Address> ParseAddress(std::string_view text) {
  const std::string terminated(text);
  // To inet_pton, text ends at a zero byte.
  if (text.find('\0') != std::string_view::npos) return NotAnAddress(text);
  Address address;
  if (text.find(':') != std::string_view::npos) {
    if (inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) return address;
    return NotAnAddress(text);
  }
  std::copy(kIpv4Mapped.begin(), kIpv4Mapped.end(), address.bytes.begin());
  if (inet_pton(AF_INET, terminated.c_str(), address.bytes.data() + kIpv4Mapped.size()) == 1) return address;
  return NotAnAddress(text);
}

std::string FormatAddress(const Address& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (address.IsIpv4()) {
    inet_ntop(AF_INET, address.bytes.data() + kIpv4Mapped.size(), text.data(), text.size());
  } else {
    inet_ntop(AF_INET6, address.bytes.data(), text.data(), text.size());
  }
  return text.data();
}

int AddressBits(const Address& address) {
  return address.IsIpv4() ? 32 : 128;
}

absl::StatusOr<Prefix> ParsePrefix(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", std::string(text), "\" has no prefix length; write it like 198.51.100.2/24"));
  }
  absl::StatusOr<Address> address = ParseAddress(text.substr(0, slash));
  if (!address.ok()) return address.status();
  const int most = AddressBits(*address);
  Prefix prefix{*address, 0};
  const std::string length(text.substr(slash + 1));
  // SimpleAtoi also takes white space and a sign.
  const bool digits = std::all_of(length.begin(), length.end(), [](char c) { return absl::ascii_isdigit(c); });
  if (!digits || !absl::SimpleAtoi(length, &prefix.length) || prefix.length > most) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", length, "\" is not a prefix length; it would be between 0 and ", most));
  }
  return prefix;
}

absl::StatusOr<Prefix> ParsePrefixOrAddress(std::string_view text) {
  if (text.find('/') != std::string_view::npos) return ParsePrefix(text);
  const absl::StatusOr<Address> address = ParseAddress(text);
  if (!address.ok()) return address.status();
  return Prefix{*address, AddressBits(*address)};
}

Address FirstAddress(const Prefix& prefix) {
  return End(prefix, /*last=*/false);
}

Address LastAddress(const Prefix& prefix) {
  return End(prefix, /*last=*/true);
}

bool Contains(const Prefix& prefix, const Address& address) {
  return prefix.address.IsIpv4() == address.IsIpv4() && FirstAddress(prefix) == FirstAddress({address, prefix.length});
}

absl::StatusOr<Mac> ParseMac(std::string_view text) {
  constexpr size_t kPitch = 3;
  Mac mac{};
  bool good = text.size() == mac.size() * kPitch - 1;
  for (size_t i = 0; good && i < text.size(); i++) {
    const char c = text[i];
    if (i % kPitch == 2) {
      good = c == ':';
      continue;
    }
    good = absl::ascii_isxdigit(c);
    const int digit = absl::ascii_isdigit(c) ? c - '0' : absl::ascii_tolower(c) - 'a' + 10;
    mac[i / kPitch] = static_cast<uint8_t>(mac[i / kPitch] << 4 | digit);
  }
  if (good) return mac;
  return absl::InvalidArgumentError(
      absl::StrCat("\"", std::string(text), "\" is not a MAC address; write it like 02:00:00:00:00:01"));
}

std::string FormatMac(const Mac& mac) {
  std::array<char, 18> text{};
  std::snprintf(text.data(), text.size(), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                mac[5]);
  return text.data();
}

}  // namespace sluice
