#include "xdp_packet.h"

#include <algorithm>
#include <initializer_list>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "sluice/parse.h"

namespace sluice::bench {
namespace {

constexpr size_t kIp = SLUICE_ETHERNET_BYTES;
constexpr std::array<uint8_t, 6> kOwnMac = {2, 0, 0, 0, 0, 1};
constexpr std::array<uint8_t, 6> kClientMac = {2, 0, 0, 0, 0, 0xaa};
constexpr uint32_t kFirstClient = 0x0b000000;
constexpr uint32_t kFirstPort = 0x4000;

size_t TransportOf(const XdpTraffic& traffic) {
  return kIp + (traffic.ipv6 ? SLUICE_IPV6_BYTES : SLUICE_IPV4_BYTES);
}

// As it lies in a packet of the family.
std::string Bytes(const std::string& address) {
  const Address parsed = *ParseAddress(address);
  const size_t skipped = parsed.IsIpv4() ? 12 : 0;
  return {parsed.bytes.begin() + static_cast<std::ptrdiff_t>(skipped), parsed.bytes.end()};
}

template <typename Values>
void Put(Packet& packet, size_t at, const Values& bytes) {
  std::copy(bytes.begin(), bytes.end(), packet.begin() + static_cast<std::ptrdiff_t>(at));
}
void Put(Packet& packet, size_t at, std::initializer_list<uint8_t> bytes) {
  Put<std::initializer_list<uint8_t>>(packet, at, bytes);
}

std::string VirtualAddressOf(const XdpTraffic& traffic) {
  const std::string network = traffic.ipv6 ? "2001:db8::" : "203.0.113.";
  return absl::StrCat(network, traffic.ours ? "10" : "11");
}

uint16_t PortAt(absl::Span<const uint8_t> packet, size_t at) {
  return static_cast<uint16_t>(packet[at] << 8 | packet[at + 1]);
}

// One's complement, of whole words.
uint32_t Sum(absl::Span<const uint8_t> bytes) {
  uint32_t sum = 0;
  for (size_t i = 0; i + 1 < bytes.size(); i += 2) sum += PortAt(bytes, i);
  return sum % 0xffff;
}

bool IsIn(const std::string& address, const std::string& network) {
  return address.substr(0, address.size() - 1) == Bytes(absl::StrCat(network, 1)).substr(0, address.size() - 1);
}

bool HasRightEnds(const XdpTraffic& traffic, const Ends& in, const Ends& out) {
  if (!traffic.translates()) return in == out;
  if (traffic.reverse) return out.source == Bytes(VirtualAddressOf(traffic)) && out.source_port == 80;
  const bool server = IsIn(out.destination, ServerNetwork(traffic)) && out.destination_port == 80;
  if (traffic.forwarding == "full_nat") return server && IsIn(out.source, NatNetwork(traffic.ipv6));
  return server && out.source == in.source && out.source_port == in.source_port;
}

// What a checksum is off by stays.
bool HaveSameSums(const XdpTraffic& traffic, absl::Span<const uint8_t> in, absl::Span<const uint8_t> out) {
  const size_t l4 = TransportOf(traffic);
  const size_t addresses = l4 - 2 * (traffic.ipv6 ? 16 : 4);
  if (Sum(in.subspan(addresses)) != Sum(out.subspan(addresses))) return false;
  return traffic.ipv6 || Sum(in.subspan(kIp, l4 - kIp)) == Sum(out.subspan(kIp, l4 - kIp));
}

bool IsRight(const XdpTraffic& traffic, absl::Span<const uint8_t> in, absl::Span<const uint8_t> out) {
  if (!traffic.ours) return in == out;
  if (out.size() < in.size() || (out.size() > in.size()) != traffic.tunnels()) return false;
  const auto& mac = traffic.reverse ? kClientMac : kServerMac;
  if (!std::equal(mac.begin(), mac.end() - 1, out.begin())) return false;
  // Behind what has come in front of it.
  const absl::Span<const uint8_t> inner = out.last(in.size());
  const size_t hops = kIp + (traffic.ipv6 ? 7 : 8);
  return inner[hops] + (traffic.forwarding == "dsr_l2" ? 0 : 1) == in[hops] && HaveSameSums(traffic, in, inner) &&
         HasRightEnds(traffic, EndsOf(traffic, in), EndsOf(traffic, inner));
}

std::string Hex(absl::Span<const uint8_t> packet) {
  return absl::BytesToHexString({reinterpret_cast<const char*>(packet.data()), packet.size()});
}

}  // namespace

std::string ServerNetwork(const XdpTraffic& traffic) {
  if (!traffic.ipv6) return "10.0.0.";
  // Only what stays in the client's packet is of its family.
  return traffic.tunnels() ? "10.0.1." : "2001:db8:1::";
}

std::string NatNetwork(bool ipv6) {
  return ipv6 ? "2001:db8:2::" : "198.51.100.";
}

Packet MakePacket(const XdpTraffic& traffic, bool answer, uint8_t tcp_flags) {
  Packet packet{};
  Put(packet, 0, kOwnMac);
  Put(packet, SLUICE_MAC_BYTES, kClientMac);
  const auto protocol = static_cast<uint8_t>(traffic.udp ? SLUICE_IP_UDP : SLUICE_IP_TCP);
  const size_t l4 = TransportOf(traffic);
  const auto l4_length = static_cast<uint8_t>(kPacketBytes - l4);
  if (traffic.ipv6) {
    Put(packet, 12, {0x86, 0xdd, 0x60, 0, 0, 0, 0, l4_length, protocol, 64});
    // All but the hosts, which are the wrapper's.
    Put(packet, 22, Bytes(answer ? ServerNetwork(traffic) : "2001:db8::"));
    if (answer) Put(packet, 38, Bytes(traffic.forwarding == "full_nat" ? NatNetwork(true) : "2001:db8::"));
  } else {
    Put(packet, 12,
        {0x08, 0, 0x45, 0, 0, static_cast<uint8_t>(SLUICE_IPV4_BYTES + l4_length), 0, 1, 0x40, 0, 64, protocol});
  }
  if (!answer) {
    const std::string to = Bytes(VirtualAddressOf(traffic));
    Put(packet, l4 - to.size(), to);
    Put(packet, l4 + 2, {0, 80});
  }
  if (traffic.udp) {
    Put(packet, l4 + 4, {0, l4_length, 0x12, 0x34});
  } else {
    Put(packet, l4 + 12, {0x50, tcp_flags});
  }
  return packet;
}

Ends EndsOf(const XdpTraffic& traffic, absl::Span<const uint8_t> packet) {
  const size_t l4 = TransportOf(traffic);
  const size_t bytes = traffic.ipv6 ? 16 : 4;
  const auto* at = reinterpret_cast<const char*>(packet.data());
  return {{at + l4 - 2 * bytes, bytes}, {at + l4 - bytes, bytes}, PortAt(packet, l4), PortAt(packet, l4 + 2)};
}

uint32_t FlowTo(const Ends& ends) {
  uint32_t client = 0;
  for (const char byte : ends.destination.substr(ends.destination.size() - 4))
    client = client << 8 | static_cast<uint8_t>(byte);
  return (client - kFirstClient) << 15 | (ends.destination_port - kFirstPort);
}

absl::Status CheckOutput(const XdpTraffic& traffic, absl::Span<const uint8_t> in, absl::Span<const uint8_t> out) {
  if (IsRight(traffic, in, out)) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("a packet is not what it is to become: ", Hex(in), " became ", Hex(out)));
}

}  // namespace sluice::bench
