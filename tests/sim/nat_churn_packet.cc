#include "tests/sim/nat_churn_packet.h"

#include <algorithm>
#include <cassert>

#include "sluice/types.h"

namespace sluice::sim_test {
namespace {

constexpr uint8_t kFragmentHeader = 44;
// Of a datagram in fragments: bytes in the first.
constexpr size_t kFirstBytes = 48;

void PutWord(Bytes& bytes, uint32_t value) {
  bytes.push_back(static_cast<uint8_t>(value >> 8));
  bytes.push_back(static_cast<uint8_t>(value));
}
void PutLong(Bytes& bytes, uint32_t value) {
  PutWord(bytes, value >> 16);
  PutWord(bytes, value);
}
void PutAddress(Bytes& bytes, const Address& address) {
  bytes.insert(bytes.end(), address.bytes.begin() + (address.IsIpv4() ? 12 : 0), address.bytes.end());
}
void SetWord(Bytes& bytes, size_t at, uint32_t value) {
  bytes[at] = static_cast<uint8_t>(value >> 8);
  bytes[at + 1] = static_cast<uint8_t>(value);
}

// RFC 1071, byte by byte.
uint32_t Sum(const Bytes& bytes, size_t first, size_t last) {
  uint32_t sum = 0;
  for (size_t i = first; i < last; i++) sum += bytes[i] << ((i - first) % 2 == 0 ? 8 : 0);
  return sum;
}
uint32_t Checksum(uint32_t sum) {
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

// The transport's checksum over the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1) and `bytes`.
uint32_t PseudoChecksum(const Address& source, const Address& destination, uint8_t protocol, const Bytes& bytes) {
  Bytes pseudo;
  pseudo.reserve(40);
  PutAddress(pseudo, source);
  PutAddress(pseudo, destination);
  PutLong(pseudo, static_cast<uint32_t>(bytes.size()));
  PutLong(pseudo, protocol);
  return Checksum(Sum(pseudo, 0, pseudo.size()) + Sum(bytes, 0, bytes.size()));
}

void PutIp(Bytes& bytes, const Address& source, const Address& destination, uint8_t protocol, size_t payload,
           uint8_t ttl, uint32_t id, uint32_t fragment) {
  const size_t start = bytes.size();
  if (source.IsIpv4()) {
    PutWord(bytes, 0x4500);
    PutWord(bytes, static_cast<uint32_t>(SLUICE_IPV4_BYTES + payload));
    PutWord(bytes, id);
    PutWord(bytes, fragment);
    PutWord(bytes, uint32_t{ttl} << 8 | protocol);
    PutWord(bytes, 0);
  } else {
    PutLong(bytes, 0x60000000 | (id & 0xfffff));
    PutWord(bytes, static_cast<uint32_t>(payload));
    PutWord(bytes, uint32_t{protocol} << 8 | ttl);
  }
  PutAddress(bytes, source);
  PutAddress(bytes, destination);
  if (source.IsIpv4()) SetWord(bytes, start + 10, Checksum(Sum(bytes, start, start + SLUICE_IPV4_BYTES)));
}

Bytes TransportOf(const NatPacket& packet) {
  Bytes bytes;
  bytes.reserve(64 + packet.payload);
  PutWord(bytes, packet.source.port);
  PutWord(bytes, packet.destination.port);
  const bool tcp = packet.protocol == SLUICE_IP_TCP;
  if (tcp) {
    const uint32_t words = packet.scale == kNoScale ? 5 : 6;
    PutLong(bytes, packet.sequence);
    PutLong(bytes, packet.acknowledgment);
    PutWord(bytes, words << 12 | packet.flags);
    PutWord(bytes, packet.window);
    PutLong(bytes, 0);
    if (packet.scale != kNoScale) PutLong(bytes, 0x01030300u | static_cast<uint32_t>(packet.scale));
  } else {
    PutWord(bytes, SLUICE_UDP_BYTES + packet.payload);
    PutWord(bytes, 0);
  }
  for (uint32_t i = 0; i < packet.payload; i++) bytes.push_back(static_cast<uint8_t>(packet.seed + i * 37));
  if (packet.no_checksum) return bytes;
  uint32_t checksum = PseudoChecksum(packet.source.address, packet.destination.address, packet.protocol, bytes);
  if (!tcp && checksum == 0) checksum = 0xffff;
  SetWord(bytes, tcp ? 16 : 6, checksum);
  return bytes;
}

void PutFragment(Bytes& bytes, const NatPacket& packet) {
  const Bytes whole = TransportOf(packet);
  assert(whole.size() > kFirstBytes);
  const bool first = packet.shape == Shape::kFirstFragment;
  const Address& source = packet.source.address;
  const auto begin = whole.begin() + (first ? 0 : kFirstBytes);
  const auto end = first ? whole.begin() + kFirstBytes : whole.end();
  const auto length = static_cast<size_t>(end - begin);
  if (source.IsIpv4()) {
    PutIp(bytes, source, packet.destination.address, packet.protocol, length, packet.ttl, packet.seed & 0xffff,
          first ? 0x2000u : kFirstBytes / 8);
  } else {
    PutIp(bytes, source, packet.destination.address, kFragmentHeader, length + 8, packet.ttl, 0, 0);
    PutWord(bytes, uint32_t{packet.protocol} << 8);
    PutWord(bytes, first ? 1u : kFirstBytes);
    PutLong(bytes, packet.seed);
  }
  bytes.insert(bytes.end(), begin, end);
}

// Packet too big, or fragmentation needed.
void PutError(Bytes& bytes, const NatPacket& packet) {
  const bool ipv4 = packet.source.address.IsIpv4();
  NatPacket about = packet;
  std::swap(about.source, about.destination);
  const Bytes transport = TransportOf(about);
  const size_t quoted = std::min<size_t>(packet.quoted, transport.size());
  Bytes icmp;
  PutLong(icmp, ipv4 ? 0x03040000 : 0x02000000);
  PutLong(icmp, 1400);
  PutIp(icmp, about.source.address, about.destination.address, about.protocol, transport.size(), 55,
        packet.seed & 0xffff, 0);
  icmp.insert(icmp.end(), transport.begin(), transport.begin() + static_cast<ptrdiff_t>(quoted));
  const uint8_t protocol = ipv4 ? SLUICE_IP_ICMP : SLUICE_IP_ICMPV6;
  SetWord(icmp, 2,
          ipv4 ? Checksum(Sum(icmp, 0, icmp.size()))
               : PseudoChecksum(packet.router, packet.destination.address, protocol, icmp));
  PutIp(bytes, packet.router, packet.destination.address, protocol, icmp.size(), packet.ttl, packet.seed & 0xffff, 0);
  bytes.insert(bytes.end(), icmp.begin(), icmp.end());
}

}  // namespace

Bytes FrameOf(const NatPacket& packet, const Link& link) {
  Bytes bytes;
  bytes.reserve(192 + packet.payload);
  bytes.insert(bytes.end(), link.destination.begin(), link.destination.end());
  bytes.insert(bytes.end(), link.source.begin(), link.source.end());
  if (link.vlan != 0) {
    PutWord(bytes, SLUICE_ETHERTYPE_VLAN);
    PutWord(bytes, link.vlan);
  }
  PutWord(bytes, packet.source.address.IsIpv4() ? SLUICE_ETHERTYPE_IPV4 : SLUICE_ETHERTYPE_IPV6);
  if (packet.shape == Shape::kIcmpError) {
    PutError(bytes, packet);
  } else if (packet.shape != Shape::kWhole) {
    PutFragment(bytes, packet);
  } else {
    const Bytes transport = TransportOf(packet);
    PutIp(bytes, packet.source.address, packet.destination.address, packet.protocol, transport.size(), packet.ttl,
          packet.seed & 0xffff, 0);
    bytes.insert(bytes.end(), transport.begin(), transport.end());
  }
  return bytes;
}

Endpoint SourceOf(const Bytes& frame) {
  size_t at = SLUICE_ETHERNET_BYTES;
  if (frame[12] == 0x81) at += SLUICE_VLAN_BYTES;
  const bool ipv4 = frame[at] >> 4 == 4;
  Endpoint source;
  const size_t address = at + (ipv4 ? 12 : 8);
  const size_t length = ipv4 ? 4 : 16;
  if (ipv4) source.address.bytes[10] = source.address.bytes[11] = 0xff;
  std::copy_n(frame.begin() + static_cast<ptrdiff_t>(address), length,
              source.address.bytes.end() - static_cast<ptrdiff_t>(length));
  size_t transport = at + (ipv4 ? SLUICE_IPV4_BYTES : SLUICE_IPV6_BYTES);
  if (!ipv4 && frame[at + 6] == kFragmentHeader) transport += 8;
  source.port = static_cast<uint16_t>(frame[transport] << 8 | frame[transport + 1]);
  return source;
}

}  // namespace sluice::sim_test
