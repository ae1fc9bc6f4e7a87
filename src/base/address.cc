#include "base/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

constexpr std::array<uint8_t, 12> kIpv4Mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

absl::Status NotAnAddress(std::string_view text) {
  return absl::InvalidArgumentError(
      absl::StrCat("\"", std::string(text), "\" is not an IP address; write one like 203.0.113.10 or 2001:db8::10"));
}

}  // namespace

bool Address::IsIpv4() const {
  return std::equal(kIpv4Mapped.begin(), kIpv4Mapped.end(), bytes.begin());
}

absl::StatusOr<Address> ParseAddress(std::string_view text) {
  const std::string terminated(text);
  Address address;
  if (inet_pton(AF_INET6, terminated.c_str(), address.bytes.data()) == 1) return address;
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

absl::StatusOr<Prefix> ParsePrefix(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", std::string(text), "\" has no prefix length; write it like 198.51.100.2/24"));
  }
  absl::StatusOr<Address> address = ParseAddress(text.substr(0, slash));
  if (!address.ok()) return address.status();
  const int most = address->IsIpv4() ? 32 : 128;
  Prefix prefix{*address, 0};
  const std::string length(text.substr(slash + 1));
  if (!absl::SimpleAtoi(length, &prefix.length) || prefix.length < 0 || prefix.length > most) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", length, "\" is not a prefix length; it would be between 0 and ", most));
  }
  return prefix;
}

absl::StatusOr<Mac> ParseMac(std::string_view text) {
  const std::string terminated(text);
  Mac mac{};
  int end = 0;
  const int fields = std::sscanf(terminated.c_str(), "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
                                 &mac[3], &mac[4], &mac[5], &end);
  if (fields != 6 || static_cast<size_t>(end) != terminated.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", terminated, "\" is not a MAC address; write it like 02:00:00:00:00:01"));
  }
  return mac;
}

std::string FormatMac(const Mac& mac) {
  std::array<char, 18> text{};
  std::snprintf(text.data(), text.size(), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                mac[5]);
  return text.data();
}

}  // namespace sluice
