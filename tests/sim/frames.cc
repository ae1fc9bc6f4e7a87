#include "tests/sim/frames.h"

#include <algorithm>

#include "sluice/types.h"

namespace sluice::sim_test {
namespace {

constexpr size_t kFirstBytes = 104;
constexpr size_t kDatagramBytes = 208;

void PutWord(Bytes& bytes, uint32_t value) {
  bytes.push_back(static_cast<uint8_t>(value >> 8));
  bytes.push_back(static_cast<uint8_t>(value));
}
void PutLong(Bytes& bytes, uint32_t value) {
  PutWord(bytes, value >> 16);
  PutWord(bytes, value & 0xffff);
}
void PutAddress(Bytes& bytes, const Address& address) {
  bytes.insert(bytes.end(), address.bytes.begin() + (address.IsIpv4() ? 12 : 0), address.bytes.end());
}

// `fragment`: the IPv4 field of flags and offset.
void PutIp(Bytes& bytes, const Address& source, const Address& destination, uint8_t protocol, size_t payload,
           uint32_t id = 0, uint32_t fragment = 0) {
  if (source.IsIpv4()) {
    PutWord(bytes, 0x4500);
    PutWord(bytes, static_cast<uint32_t>(SLUICE_IPV4_BYTES + payload));
    PutWord(bytes, id & 0xffff);
    PutWord(bytes, fragment);
    PutWord(bytes, 64u << 8 | protocol);
    PutWord(bytes, 0);
  } else {
    PutLong(bytes, 0x60000000);
    PutWord(bytes, static_cast<uint32_t>(payload));
    PutWord(bytes, uint32_t{protocol} << 8 | 64);
  }
  PutAddress(bytes, source);
  PutAddress(bytes, destination);
}

Bytes Ethernet(const Tuple& tuple) {
  Bytes bytes = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0xaa};
  PutWord(bytes, tuple.source.IsIpv4() ? SLUICE_ETHERTYPE_IPV4 : SLUICE_ETHERTYPE_IPV6);
  return bytes;
}

Bytes Fragment(const Tuple& tuple, uint32_t id, size_t offset, size_t length, bool more) {
  Bytes bytes = Ethernet(tuple);
  if (tuple.source.IsIpv4()) {
    const uint32_t field = static_cast<uint32_t>(offset / 8) | (more ? 0x2000u : 0);
    PutIp(bytes, tuple.source, tuple.destination, SLUICE_IP_UDP, length, id, field);
    return bytes;
  }
  PutIp(bytes, tuple.source, tuple.destination, 44, length + 8);
  PutWord(bytes, uint32_t{SLUICE_IP_UDP} << 8);
  PutWord(bytes, static_cast<uint32_t>(offset) | (more ? 1u : 0));
  PutLong(bytes, id);
  return bytes;
}

void PutUdp(Bytes& bytes, const Tuple& tuple, size_t length) {
  PutWord(bytes, tuple.source_port);
  PutWord(bytes, tuple.destination_port);
  PutWord(bytes, static_cast<uint32_t>(length));
  PutWord(bytes, 0);
}

}  // namespace

Bytes TcpFrame(const Tuple& tuple, uint8_t flags, size_t payload) {
  Bytes bytes = Ethernet(tuple);
  PutIp(bytes, tuple.source, tuple.destination, SLUICE_IP_TCP, SLUICE_TCP_BYTES + payload);
  PutWord(bytes, tuple.source_port);
  PutWord(bytes, tuple.destination_port);
  PutLong(bytes, 0);
  PutLong(bytes, 0);
  PutWord(bytes, 0x5000u | flags);
  PutWord(bytes, 8192);
  PutLong(bytes, 0);
  bytes.resize(bytes.size() + payload);
  return bytes;
}

Bytes UdpFrame(const Tuple& tuple, size_t payload) {
  Bytes bytes = Ethernet(tuple);
  PutIp(bytes, tuple.source, tuple.destination, SLUICE_IP_UDP, SLUICE_UDP_BYTES + payload);
  PutUdp(bytes, tuple, SLUICE_UDP_BYTES + payload);
  bytes.resize(bytes.size() + payload);
  return bytes;
}

Bytes FirstFragment(const Tuple& tuple, uint32_t id) {
  Bytes bytes = Fragment(tuple, id, 0, kFirstBytes, true);
  PutUdp(bytes, tuple, kDatagramBytes);
  bytes.resize(bytes.size() + kFirstBytes - SLUICE_UDP_BYTES);
  return bytes;
}

Bytes LaterFragment(const Tuple& tuple, uint32_t id) {
  Bytes bytes = Fragment(tuple, id, kFirstBytes, kDatagramBytes - kFirstBytes, false);
  bytes.resize(bytes.size() + kDatagramBytes - kFirstBytes);
  return bytes;
}

Bytes IcmpError(const Tuple& tuple) {
  const bool ipv4 = tuple.source.IsIpv4();
  Address router = tuple.source;
  router.bytes[15] = 254;
  const size_t quote = (ipv4 ? SLUICE_IPV4_BYTES : SLUICE_IPV6_BYTES) + 8;
  Bytes bytes = Ethernet(tuple);
  PutIp(bytes, router, tuple.destination, ipv4 ? SLUICE_IP_ICMP : SLUICE_IP_ICMPV6, SLUICE_ICMP_BYTES + quote);
  PutLong(bytes, ipv4 ? 0x03040000 : 0x02000000);
  PutLong(bytes, 1400);
  PutIp(bytes, tuple.destination, tuple.source, tuple.protocol, 1000);
  PutWord(bytes, tuple.destination_port);
  PutWord(bytes, tuple.source_port);
  PutLong(bytes, 0);
  return bytes;
}

}  // namespace sluice::sim_test
