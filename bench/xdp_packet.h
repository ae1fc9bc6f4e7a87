// The packets that the wrapper puts back before each repetition, and what is to become of them.
//
// Thread-safety: pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace sluice::bench {

// What packets are like.
struct XdpTraffic {
  // As in the configuration: dsr_l2, ipip, gue, nat, full_nat.
  std::string forwarding = "ipip";
  bool ipv6 = false;
  bool udp = false;
  // To a listener, or to an address that is nobody's.
  bool ours = true;
  // From servers to translated clients.
  bool reverse = false;

  bool translates() const { return forwarding == "nat" || forwarding == "full_nat"; }
  bool tunnels() const { return forwarding == "ipip" || forwarding == "gue"; }
};

// Where backends and, in full NAT, addresses of ours are: up to the last number.
std::string ServerNetwork(const XdpTraffic& traffic);
std::string NatNetwork(bool ipv6);
// Which backend it is stands in the last byte.
constexpr std::array<uint8_t, 6> kServerMac = {2, 0, 0, 0, 1, 0};

constexpr uint8_t kSyn = 0x02;
constexpr uint8_t kSynAck = 0x12;
constexpr uint8_t kAck = 0x10;

// Ethernet, IP and what fits into 78 bytes, of both families.
constexpr size_t kPacketBytes = 78;
using Packet = std::array<uint8_t, kPacketBytes>;
// As its client sends it, or its server when it is an answer, but for what is the flow's: the wrapper writes that.
// Checksums are wrong: the path does not look at them, and changes them by what it changes in the packet.
Packet MakePacket(const XdpTraffic& traffic, bool answer, uint8_t tcp_flags);

// Who a packet is from and to: addresses as they lie in it, ports in host order.
struct Ends {
  std::string source, destination;
  uint16_t source_port = 0, destination_port = 0;
  bool operator==(const Ends&) const = default;
};
Ends EndsOf(const XdpTraffic& traffic, absl::Span<const uint8_t> packet);
// The number of the client's flow that a packet to it is of.
uint32_t FlowTo(const Ends& ends);

// Whether `out` is what `in` is to become: to its next hop, in its tunnel or none, addresses and ports translated or
// not, with one hop less wherever it has been routed, and checksums that have followed all of it.
absl::Status CheckOutput(const XdpTraffic& traffic, absl::Span<const uint8_t> in, absl::Span<const uint8_t> out);

}  // namespace sluice::bench
