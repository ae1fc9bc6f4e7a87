#include "tests/packet/checksums.h"

#include <optional>

#include "tests/packet/bytes.h"
#include "tests/packet/session_site.h"

namespace sluice::packet_test {
namespace {

// What an IP header says of what is in it.
struct Transport {
  uint32_t protocol;
  size_t begin;
  size_t end;
};

Checked IsRight(uint32_t sum) {
  return Fold(sum) == 0xffff ? Checked::kRight : Checked::kWrong;
}

std::optional<Transport> InIpv4(const std::string& frame, size_t ip, Checked* header) {
  const size_t bytes = 4 * (ByteAt(frame, ip) & 0xf);
  const size_t length = WordAt(frame, ip + 2);
  if (bytes < 20 || length < bytes || ip + bytes > frame.size()) return std::nullopt;
  *header = IsRight(Sum(frame.substr(ip, bytes)));
  if (ip + length > frame.size()) return std::nullopt;
  if ((WordAt(frame, ip + 6) & 0x3fff) != 0) return std::nullopt;
  return Transport{ByteAt(frame, ip + 9), ip + bytes, ip + length};
}

std::optional<Transport> InIpv6(const std::string& frame, size_t ip) {
  const size_t end = ip + 40 + WordAt(frame, ip + 4);
  if (end > frame.size()) return std::nullopt;
  uint32_t next = ByteAt(frame, ip + 6);
  size_t at = ip + 40;
  while (next == 0 || next == 43 || next == 44 || next == 51 || next == 60 || next == 135 || next == 139 ||
         next == 140) {
    if (at + 8 > end) return std::nullopt;
    if (next == 44 && (WordAt(frame, at + 2) & 0xfff9) != 0) return std::nullopt;
    const size_t length = next == 44 ? 8 : next == 51 ? 8 + 4 * ByteAt(frame, at + 1) : 8 + 8 * ByteAt(frame, at + 1);
    next = ByteAt(frame, at);
    at += length;
  }
  if (at > end) return std::nullopt;
  return Transport{next, at, end};
}

Checked OfTransport(const std::string& frame, size_t ip, bool ipv6, const Transport& transport) {
  const bool icmp = transport.protocol == (ipv6 ? 58 : 1);
  const size_t length = transport.end - transport.begin;
  if (!icmp && transport.protocol != 6 && transport.protocol != 17) return Checked::kNone;
  if (length < (transport.protocol == 6 ? 20 : 8)) return Checked::kNone;
  size_t summed = length;
  if (transport.protocol == 17) {
    summed = WordAt(frame, transport.begin + 4);
    // What is behind the datagram is in nobody's sum (RFC 768 has a length of its own).
    if (summed != length) return Checked::kNone;
    if (WordAt(frame, transport.begin + 6) == 0) return ipv6 ? Checked::kWrong : Checked::kNone;
  }
  uint32_t sum = Sum(frame.substr(transport.begin, summed));
  if (!icmp || ipv6) {
    sum += Sum(ipv6 ? frame.substr(ip + 8, 32) : frame.substr(ip + 12, 8));
    sum += static_cast<uint32_t>(summed) + transport.protocol;
  }
  return IsRight(sum);
}

// The packet whose IP header is at `ip`, as far as it is there; what is in it when it is whole and no fragment.
std::optional<Transport> OfPacket(const std::string& frame, size_t ip, bool ipv6, Checked* header, Checked* inside) {
  if (ip + (ipv6 ? 40 : 20) > frame.size() || ByteAt(frame, ip) >> 4 != (ipv6 ? 6 : 4)) return std::nullopt;
  const std::optional<Transport> transport = ipv6 ? InIpv6(frame, ip) : InIpv4(frame, ip, header);
  if (transport.has_value()) *inside = OfTransport(frame, ip, ipv6, *transport);
  return transport;
}

}  // namespace

FrameChecksums ChecksumsOf(const std::string& frame) {
  FrameChecksums checksums;
  const size_t ip = IpOffset(frame);
  if (ip == 0) return checksums;
  const bool ipv6 = WordAt(frame, ip - 2) == 0x86dd;
  const std::optional<Transport> transport = OfPacket(frame, ip, ipv6, &checksums.ip, &checksums.transport);
  if (!transport.has_value() || transport->protocol != (ipv6 ? 58 : 1) || transport->end < transport->begin + 8) {
    return checksums;
  }
  const uint32_t type = ByteAt(frame, transport->begin);
  if (ipv6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12) {
    const std::string message = frame.substr(0, transport->end);
    OfPacket(message, transport->begin + 8, ipv6, &checksums.quoted_ip, &checksums.quoted_transport);
  }
  return checksums;
}

}  // namespace sluice::packet_test
