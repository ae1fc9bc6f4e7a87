// Frames for the tests of decap, built layer by layer from the inside: Ethernet(Ipv4(Udp(...))).
//
// Lengths and the IPv4 header checksum are right; a test that wants a lie writes it over them.
#pragma once

#include <arpa/inet.h>

#include <cstdint>
#include <string>

namespace sluice::decap_test {

using Bytes = std::string;

enum class Family { kIpv4, kIpv6 };

inline constexpr uint8_t kProtocolHopByHop = 0;
inline constexpr uint8_t kProtocolIpv4 = 4;
inline constexpr uint8_t kProtocolTcp = 6;
inline constexpr uint8_t kProtocolUdp = 17;
inline constexpr uint8_t kProtocolIpv6 = 41;
inline constexpr uint8_t kProtocolFragment = 44;
inline constexpr uint8_t kProtocolDestinationOptions = 60;

inline Bytes Byte(unsigned value) {
  return Bytes(1, static_cast<char>(value));
}
inline Bytes Word(unsigned value) {
  return Byte(value >> 8 & 0xff) + Byte(value & 0xff);
}
inline Bytes Zeros(size_t count) {
  return Bytes(count, '\0');
}
inline void SetWord(Bytes& bytes, size_t offset, unsigned value) {
  bytes.replace(offset, 2, Word(value));
}
inline unsigned GetWord(const Bytes& bytes, size_t offset) {
  return static_cast<uint8_t>(bytes[offset]) << 8 | static_cast<uint8_t>(bytes[offset + 1]);
}

inline Bytes AddressBytes(Family family, const char* text) {
  uint8_t bytes[16] = {};
  inet_pton(family == Family::kIpv4 ? AF_INET : AF_INET6, text, bytes);
  return Bytes(reinterpret_cast<char*>(bytes), family == Family::kIpv4 ? 4 : 16);
}

struct IpHeader {
  const char* source;
  const char* destination;
  uint8_t protocol;
  uint8_t ecn = 0;
  // IPv4 options (a multiple of 4 bytes), or IPv6 extension headers, the first of which is `protocol`.
  Bytes options;
  uint16_t ipv4_fragment = 0;
};

// Some DSCP, so that a test sees when it gets lost.
inline constexpr uint8_t kDscpBits = 0xb8;

inline void FillIpv4Checksum(Bytes& ip) {
  SetWord(ip, 10, 0);
  uint32_t sum = 0;
  for (size_t i = 0; i < static_cast<size_t>(ip[0] & 15) * 4; i += 2) sum += GetWord(ip, i);
  while (sum >> 16) sum = (sum & 0xffff) + (sum >> 16);
  SetWord(ip, 10, ~sum & 0xffff);
}

inline Bytes Ipv4(const IpHeader& header, const Bytes& payload) {
  const size_t length = 20 + header.options.size();
  Bytes ip = Byte(0x40 | length / 4) + Byte(kDscpBits | header.ecn) + Word(length + payload.size()) + Word(0x1234) +
             Word(header.ipv4_fragment) + Byte(64) + Byte(header.protocol) + Word(0) +
             AddressBytes(Family::kIpv4, header.source) + AddressBytes(Family::kIpv4, header.destination) +
             header.options;
  FillIpv4Checksum(ip);
  return ip + payload;
}

inline Bytes Ipv6(const IpHeader& header, const Bytes& payload) {
  const unsigned traffic_class = kDscpBits | header.ecn;
  return Word(0x6000 | traffic_class << 4 | 0xa) + Word(0xbcde) + Word(header.options.size() + payload.size()) +
         Byte(header.protocol) + Byte(64) + AddressBytes(Family::kIpv6, header.source) +
         AddressBytes(Family::kIpv6, header.destination) + header.options + payload;
}

inline Bytes Ip(Family family, const IpHeader& header, const Bytes& payload) {
  return family == Family::kIpv4 ? Ipv4(header, payload) : Ipv6(header, payload);
}

// Without a checksum, as tunnels send it (RFC 6935).
inline Bytes Udp(unsigned destination_port, const Bytes& payload) {
  return Word(0xc001) + Word(destination_port) + Word(8 + payload.size()) + Word(0) + payload;
}

// draft-ietf-intarea-gue-09 section 3.1; `data` is a multiple of 4 bytes.
inline Bytes Gue0(uint8_t protocol, const Bytes& data = "", unsigned flags = 0) {
  return Byte(data.size() / 4) + Byte(protocol) + Word(flags) + data;
}

inline uint8_t ProtocolOf(Family family) {
  return family == Family::kIpv4 ? kProtocolIpv4 : kProtocolIpv6;
}

inline Bytes Ethernet(Family family, const Bytes& ip, const Bytes& tag = "") {
  return Bytes("\x02\0\0\0\0\x01\x02\0\0\0\0\x02", 12) + tag + Word(family == Family::kIpv4 ? 0x0800 : 0x86dd) + ip;
}

}  // namespace sluice::decap_test
