#include "engine/own_packet.h"

#include <cstring>

#include "sluice/rewrite.h"

namespace sluice {

std::optional<OwnPacket> ReadOwnPacket(absl::Span<const uint8_t> ip) {
  if (ip.empty()) return std::nullopt;
  OwnPacket packet{std::vector<uint8_t>(SLUICE_ETHERNET_BYTES), {}};
  packet.frame.insert(packet.frame.end(), ip.begin(), ip.end());
  uint8_t* begin = packet.frame.data();
  const bool ipv6 = ip[0] >> 4 == 6;
  sluice_store16(begin + 12, ipv6 ? SLUICE_16(SLUICE_ETHERTYPE_IPV6) : SLUICE_16(SLUICE_ETHERTYPE_IPV4));
  if (sluice_parse(begin, begin + packet.frame.size(), &packet.parsed) != SLUICE_CONTINUE) return std::nullopt;
  if (packet.parsed.kind != SLUICE_PACKET_FLOW) return std::nullopt;
  return packet;
}

std::optional<std::vector<uint8_t>> FrameToBackend(const OwnPacket& packet, const sluice_backend& backend,
                                                   uint64_t hash) {
  const bool translates = backend.forwarding == SLUICE_NAT || backend.forwarding == SLUICE_FULL_NAT;
  if (translates || !(backend.flags & SLUICE_BACKEND_NEXT_HOP)) return std::nullopt;
  const uint8_t* l3 = packet.frame.data() + packet.parsed.l3_offset;
  if (sluice_exceeds_mtu(&packet.parsed, &backend) || sluice_ttl_expires(l3, &packet.parsed, &backend)) {
    return std::nullopt;
  }
  const auto size = static_cast<uint32_t>(packet.frame.size());
  std::vector<uint8_t> frame(sluice_rewrite_length(size, &packet.parsed, &backend));
  const int32_t growth = sluice_rewrite_growth(&packet.parsed, &backend);
  const uint32_t l3_at = static_cast<uint32_t>(growth + packet.parsed.l3_offset);
  std::memcpy(frame.data() + l3_at, l3, packet.parsed.l3_length);
  if (!sluice_rewrite(frame.data(), frame.data() + frame.size(), &packet.parsed, &backend, hash)) return std::nullopt;
  return frame;
}

}  // namespace sluice
