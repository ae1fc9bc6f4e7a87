#include "engine/announce.h"

#include <cstring>

#include "sluice/reply.h"

namespace sluice {
namespace {

void WriteEthernet(uint8_t* at, const Mac& destination, const Mac& source, uint16_t type) {
  std::memcpy(at, destination.data(), destination.size());
  std::memcpy(at + SLUICE_MAC_BYTES, source.data(), source.size());
  sluice_store16(at + 2 * SLUICE_MAC_BYTES, SLUICE_16(type));
}

// An ARP request for the address by the address: hosts update what they know and nobody answers.
std::vector<uint8_t> GratuitousArp(const Address& address, const Mac& mac) {
  std::vector<uint8_t> frame(SLUICE_ETHERNET_BYTES + SLUICE_ARP_BYTES);
  WriteEthernet(frame.data(), Mac{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, mac, SLUICE_ETHERTYPE_ARP);
  uint8_t* arp = frame.data() + SLUICE_ETHERNET_BYTES;
  sluice_store32(arp, SLUICE_32(0x00010800));
  sluice_store32(arp + 4, SLUICE_32(0x06040001));
  std::memcpy(arp + 8, mac.data(), mac.size());
  std::memcpy(arp + 14, address.bytes.data() + 12, 4);
  std::memcpy(arp + 24, address.bytes.data() + 12, 4);
  return frame;
}

// What the path would answer to a solicitation by a host without an address: to all nodes, overriding.
std::vector<uint8_t> Advertisement(const Address& address, const Mac& mac) {
  std::vector<uint8_t> frame(SLUICE_ETHERNET_BYTES + SLUICE_IPV6_BYTES + SLUICE_ADVERTISEMENT_BYTES);
  WriteEthernet(frame.data(), mac, mac, SLUICE_ETHERTYPE_IPV6);
  sluice_packet packet{};
  packet.l3_offset = SLUICE_ETHERNET_BYTES;
  std::memcpy(&packet.flow.destination, address.bytes.data(), address.bytes.size());
  sluice_port port{};
  std::memcpy(port.mac, mac.data(), mac.size());
  sluice_write_advertisement(frame.data(), frame.data() + frame.size(), &packet, &port);
  return frame;
}

}  // namespace

std::vector<uint8_t> AnnouncementFrame(const Address& address, const Mac& mac) {
  return address.IsIpv4() ? GratuitousArp(address, mac) : Advertisement(address, mac);
}

}  // namespace sluice
