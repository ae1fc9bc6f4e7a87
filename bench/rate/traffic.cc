#include "traffic.h"

#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>

#include "absl/random/zipf_distribution.h"
#include "site.h"
#include "sluice/checksum.h"

namespace sluice::bench {
namespace {

constexpr uint32_t kCheckSequence = 4;
constexpr uint32_t kShortestFrame = 64;
constexpr uint32_t kPortsOfClient = 50'000;
constexpr uint8_t kTcpSyn = 0x02;
constexpr uint8_t kTcpAck = 0x10;
// Sequence and acknowledgment.
constexpr uint32_t kTcpNumbers = 4;
constexpr uint32_t kTcpFlags = 13;
constexpr uint32_t kTcpChecksum = 16;
constexpr uint32_t kUdpChecksum = 6;
constexpr uint16_t kPort = 80;
constexpr uint32_t kLeastPayload = 8;
// Draws by Zipf's law take longer than a packet may, so they are made ahead: several for each flow, within limits.
constexpr uint64_t kFewestDraws = uint64_t{1} << 20;
constexpr uint64_t kMostDraws = uint64_t{1} << 24;

uint32_t TransportOffset(bool ipv6) {
  return SLUICE_ETHERNET_BYTES + (ipv6 ? SLUICE_IPV6_BYTES : SLUICE_IPV4_BYTES);
}

// Without a look at the rte_mbuf: its buffer is right behind it.
uint8_t* DataOf(rte_mbuf* packet) {
  return reinterpret_cast<uint8_t*>(packet + 1) + RTE_PKTMBUF_HEADROOM;
}

const uint8_t* DataOf(const rte_mbuf* packet) {
  return reinterpret_cast<const uint8_t*>(packet + 1) + RTE_PKTMBUF_HEADROOM;
}

// Of UDP 0 would be none; to TCP all ones are the same number.
void StoreChecksum(uint8_t* at, uint16_t checksum) {
  sluice_store16(at, checksum == 0 ? 0xffff : checksum);
}

// The last four bytes of the client's address.
uint32_t SourceOffset(bool ipv6) {
  return SLUICE_ETHERNET_BYTES + (ipv6 ? 20 : 12);
}

std::vector<uint32_t> DrawByZipf(uint64_t flows, double exponent) {
  std::mt19937_64 random(flows);
  absl::zipf_distribution<uint64_t> zipf(flows - 1, exponent);
  std::vector<uint32_t> drawn(std::clamp(8 * flows, kFewestDraws, kMostDraws));
  for (uint32_t& flow : drawn) flow = static_cast<uint32_t>(zipf(random));
  return drawn;
}

void WriteIpv4(uint8_t* at, uint32_t length, uint8_t protocol) {
  at[0] = 0x45;
  sluice_store16(at + 2, SLUICE_16(length));
  at[8] = 64;
  at[9] = protocol;
  std::memcpy(at + 16, kVirtualIpv4.data(), kVirtualIpv4.size());
}

void WriteIpv6(uint8_t* at, uint32_t length, uint8_t protocol) {
  at[0] = 0x60;
  sluice_store16(at + 4, SLUICE_16(length - SLUICE_IPV6_BYTES));
  at[6] = protocol;
  at[7] = 64;
  std::memcpy(at + 8, kClientsIpv6.data(), kClientsIpv6.size());
  std::memcpy(at + 24, kVirtualIpv6.data(), kVirtualIpv6.size());
}

// Makes a SYN, whose sequence number is 0, the answer to it.
void Acknowledge(uint8_t* tcp) {
  const uint16_t before = sluice_load16(tcp + 12);
  tcp[kTcpFlags] = kTcpSyn | kTcpAck;
  sluice_store32(tcp + 8, SLUICE_32(1));
  uint16_t checksum = sluice_checksum_update(sluice_load16(tcp + kTcpChecksum), before, sluice_load16(tcp + 12));
  checksum = sluice_checksum_update(checksum, 0, SLUICE_16(1));
  sluice_store16(tcp + kTcpChecksum, checksum);
}

}  // namespace

Traffic::Traffic(const TrafficOptions& options)
    : options_(options),
      ipv6_(options.family == 6),
      udp_(options.protocol == SLUICE_IP_UDP),
      in_place_(options.sizes.size() == 1 && !options.moved),
      next_new_(options.flows),
      new_flows_(options.new_flows) {
  for (const uint16_t size : options.sizes) {
    for (const Kind kind : {kAck, kSyn}) templates_[kind].push_back(MakeTemplate(size, kind));
  }
  if (options.zipf_exponent > 0 && options.flows > 1) drawn_ = DrawByZipf(options.flows, options.zipf_exponent);
}

uint16_t Traffic::Shortest(int family, uint8_t protocol) {
  const uint32_t headers = TransportOffset(family == 6);
  const uint32_t rest = protocol == SLUICE_IP_UDP ? SLUICE_UDP_BYTES + kLeastPayload : SLUICE_TCP_BYTES;
  return static_cast<uint16_t>(std::max(headers + rest + kCheckSequence, kShortestFrame));
}

void Traffic::WriteTransport(uint8_t* at, uint32_t length, Kind kind) const {
  sluice_store16(at + 2, SLUICE_16(kPort));
  if (udp_) {
    sluice_store16(at + 4, SLUICE_16(length));
    return;
  }
  at[12] = SLUICE_TCP_BYTES / 4 << 4;
  at[kTcpFlags] = kind == kSyn ? kTcpSyn : kTcpAck;
  sluice_store16(at + 14, SLUICE_16(65535));
}

Traffic::Template Traffic::MakeTemplate(uint16_t size, Kind kind) const {
  Template made;
  made.length = static_cast<uint16_t>(size - kCheckSequence);
  uint8_t* at = made.bytes.data();
  std::copy(kBalancerMac.begin(), kBalancerMac.end(), at);
  std::copy(kRouterMac.begin(), kRouterMac.end(), at + 6);
  sluice_store16(at + 12, SLUICE_16(ipv6_ ? SLUICE_ETHERTYPE_IPV6 : SLUICE_ETHERTYPE_IPV4));
  uint8_t* ip = at + SLUICE_ETHERNET_BYTES;
  // A frame may be longer than what is in it, and the shortest of TCP over IPv4 is.
  const uint32_t ip_bytes = TransportOffset(ipv6_) - SLUICE_ETHERNET_BYTES;
  const bool padded = !udp_ && size == Shortest(options_.family, options_.protocol);
  const uint32_t length = padded ? ip_bytes + SLUICE_TCP_BYTES : made.length - SLUICE_ETHERNET_BYTES;
  ipv6_ ? WriteIpv6(ip, length, options_.protocol) : WriteIpv4(ip, length, options_.protocol);
  uint8_t* transport = at + TransportOffset(ipv6_);
  WriteTransport(transport, length - ip_bytes, kind);
  const uint8_t* end = at + kTemplateBytes;
  made.ip_sum = sluice_checksum_bytes(ip, end, ip_bytes, ip_bytes);
  // The pseudo header: both addresses, protocol, length.
  const uint32_t addresses = ipv6_ ? 32 : 8;
  made.transport_sum = sluice_checksum_bytes(transport - addresses, end, addresses + TransportBytes(), kTemplateBytes) +
                       SLUICE_16(options_.protocol) + SLUICE_16(length - ip_bytes);
  return made;
}

uint64_t Traffic::Draw() {
  if (!drawn_.empty()) {
    if (next_drawn_ == drawn_.size()) next_drawn_ = 0;
    return drawn_[next_drawn_++];
  }
  // xorshift64 (Marsaglia 2003).
  random_ ^= random_ << 13;
  random_ ^= random_ >> 7;
  random_ ^= random_ << 17;
  return (random_ >> 32) * options_.flows >> 32;
}

void Traffic::WriteFlow(rte_mbuf* packet, bool used, uint64_t flow, Kind kind) {
  const uint16_t length = WriteFlow(DataOf(packet), flow, kind);
  if (used && in_place_) return;
  packet->data_off = RTE_PKTMBUF_HEADROOM;
  packet->data_len = length;
  packet->pkt_len = length;
}

uint16_t Traffic::WriteFlow(uint8_t* at, uint64_t flow, Kind kind) {
  const Template& made = templates_[kind][next_size_];
  if (++next_size_ == templates_[kind].size()) next_size_ = 0;
  std::memcpy(at, made.bytes.data(), kTemplateBytes);
  const uint32_t client = SLUICE_32(kFirstClient + static_cast<uint32_t>(flow / kPortsOfClient));
  const uint16_t port = SLUICE_16(10'000 + flow % kPortsOfClient);
  sluice_store32(at + SourceOffset(ipv6_), client);
  uint8_t* transport = at + TransportOffset(ipv6_);
  sluice_store16(transport, port);
  const uint32_t client_sum = sluice_checksum_word(client);
  if (!ipv6_) {
    const uint16_t checksum = static_cast<uint16_t>(~sluice_checksum_fold(made.ip_sum + client_sum));
    sluice_store16(at + SLUICE_ETHERNET_BYTES + 10, checksum);
  }
  StoreChecksum(transport + (udp_ ? kUdpChecksum : kTcpChecksum),
                static_cast<uint16_t>(~sluice_checksum_fold(made.transport_sum + client_sum + port)));
  return made.length;
}

uint32_t Traffic::StampOffset() const {
  return TransportOffset(ipv6_) + (udp_ ? SLUICE_UDP_BYTES : kTcpNumbers);
}

void Traffic::Stamp(rte_mbuf* packet, uint64_t time) const {
  uint8_t* at = DataOf(packet);
  std::memcpy(at + StampOffset(), &time, sizeof(time));
  uint8_t* checksum = at + TransportOffset(ipv6_) + (udp_ ? kUdpChecksum : kTcpChecksum);
  const uint32_t sum = static_cast<uint16_t>(~sluice_load16(checksum)) +
                       sluice_checksum_word(static_cast<uint32_t>(time)) +
                       sluice_checksum_word(static_cast<uint32_t>(time >> 32));
  StoreChecksum(checksum, static_cast<uint16_t>(~sluice_checksum_fold(sum)));
}

uint64_t Traffic::StampOf(const rte_mbuf* packet) const {
  uint64_t time = 0;
  std::memcpy(&time, DataOf(packet) + StampOffset(), sizeof(time));
  return time;
}

bool Traffic::TurnAround(rte_mbuf* packet) const {
  return TurnAround(DataOf(packet));
}

bool Traffic::TurnAround(uint8_t* at) const {
  uint8_t* transport = at + TransportOffset(ipv6_);
  if (udp_ ? sluice_load16(transport + 2) != SLUICE_16(kPort) : transport[kTcpFlags] != kTcpSyn) return false;
  std::copy(kBalancerMac.begin(), kBalancerMac.end(), at);
  std::copy(kRouterMac.begin(), kRouterMac.end(), at + 6);
  // Neither of these swaps changes a checksum.
  const uint32_t address = ipv6_ ? 16 : 4;
  std::swap_ranges(transport - 2 * address, transport - address, transport - address);
  std::swap_ranges(transport, transport + 2, transport + 2);
  if (!udp_) Acknowledge(transport);
  return true;
}

}  // namespace sluice::bench
