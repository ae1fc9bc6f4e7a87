// Packets of clients, servers and routers between them, with the checksums that they should have: computed in full, by
// nothing that the path has. What must come out of the balancer is built in the same way, with other addresses.
//
// Thread-safety: pure functions.
#pragma once

#include <compare>
#include <cstdint>
#include <vector>

#include "base/address.h"

namespace sluice::sim_test {

using Bytes = std::vector<uint8_t>;

// Port in host order.
struct Endpoint {
  Address address;
  uint16_t port = 0;
  auto operator<=>(const Endpoint&) const = default;
};

enum class Shape {
  kWhole,
  // Of a UDP datagram in two fragments.
  kFirstFragment,
  kLaterFragment,
  // From `router` to the destination, about a packet that went from there to the source.
  kIcmpError,
};

inline constexpr uint8_t kFin = 1;
inline constexpr uint8_t kSyn = 2;
inline constexpr uint8_t kRst = 4;
inline constexpr uint8_t kAck = 16;
inline constexpr int kNoScale = -1;

struct NatPacket {
  Shape shape = Shape::kWhole;
  uint8_t protocol = 0;
  Endpoint source;
  Endpoint destination;
  uint8_t ttl = 64;
  // What else is in it: identification, payload.
  uint32_t seed = 0;
  uint32_t payload = 0;
  // TCP.
  uint8_t flags = 0;
  uint32_t sequence = 0;
  uint32_t acknowledgment = 0;
  uint16_t window = 0;
  int scale = kNoScale;
  // UDP over IPv4.
  bool no_checksum = false;
  // Of an ICMP error; `quoted` bytes of transport header and payload, 8 at least.
  Address router;
  uint32_t quoted = 8;
};

// Whom a frame is from and to on the link, VLAN 0 for none, and the port of the engine that it comes in or goes out by.
struct Link {
  Mac destination{};
  Mac source{};
  uint16_t vlan = 0;
  uint16_t port = 0;
  bool operator==(const Link&) const = default;
};

Bytes FrameOf(const NatPacket& packet, const Link& link);

// Who a frame is from: address and source port. No ICMP.
Endpoint SourceOf(const Bytes& frame);

}  // namespace sluice::sim_test
