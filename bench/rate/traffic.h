// What the generator of sluicebench sends: TCP or UDP packets of any number of flows to the site of balancer.h, laid
// out ahead but for the few bytes that tell flows apart.
//
// Thread-safety: one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "sluice/parse.h"

struct rte_mbuf;

namespace sluice::bench {

struct TrafficOptions {
  // 4 or 6.
  int family = 4;
  // SLUICE_IP_TCP or SLUICE_IP_UDP.
  uint8_t protocol = SLUICE_IP_TCP;
  uint64_t flows = 1;
  // Of all packets, the share that are the first (of TCP a SYN) of a flow that has not been before: 0 to 1.
  double new_flows = 0;
  // Frames on the wire, check sequence included, bytes; packets have them in turn. None shorter than Shortest().
  std::vector<uint16_t> sizes;
  // Flows are drawn evenly, or by Zipf's law with this exponent, above 1; 0: evenly.
  double zipf_exponent = 0;
  // Whoever gets the packets sends them from another place in their buffers than they came to (a tunnel's headers).
  bool moved = false;
};

class Traffic {
 public:
  explicit Traffic(const TrafficOptions& options);

  // Bytes on the wire of the shortest frame: with a TCP header inside, or a UDP header and eight bytes.
  static uint16_t Shortest(int family, uint8_t protocol);

  // Makes the buffer the next packet: of a flow drawn, or a new one. `used`: it has been one before. Its payload
  // (behind the headers) has to be zero, and nothing that a balancer does changes that.
  void Write(rte_mbuf* packet, bool used) {
    const Choice choice = Choose();
    WriteFlow(packet, used, choice.flow, choice.kind);
  }

  enum Kind : uint32_t { kAck, kSyn };
  // Of this flow; the first `flows` are those that are drawn.
  void WriteFlow(rte_mbuf* packet, bool used, uint64_t flow, Kind kind);

  // Headers and what follows them, as much of a packet as is ever written.
  static constexpr uint32_t kTemplateBytes = 96;
  // The same into memory that has kTemplateBytes; returns the packet's length, without the check sequence, which a
  // device adds.
  uint16_t Write(uint8_t* at) {
    const Choice choice = Choose();
    return WriteFlow(at, choice.flow, choice.kind);
  }
  uint16_t WriteFlow(uint8_t* at, uint64_t flow, Kind kind);

  // From now on (TrafficOptions::new_flows).
  void SetNewFlows(double share) { new_flows_ = share; }
  // A flow that has not been before.
  uint64_t NextNew() { return next_new_++; }

  // Puts a time into a packet that Write has just made, and gets it from one that has come back, wherever the balancer
  // put headers before it: TCP's two numbers, which nobody reads of an established flow, so that the shortest frames
  // have room for it too; the payload of UDP.
  void Stamp(rte_mbuf* packet, uint64_t time) const;
  uint64_t StampOf(const rte_mbuf* packet) const;

  // Of a client's SYN, or any UDP packet of one, that a balancer has translated and sent to a server: makes it the
  // server's answer. False: it is another packet.
  bool TurnAround(rte_mbuf* packet) const;
  bool TurnAround(uint8_t* at) const;

 private:
  struct Choice {
    uint64_t flow;
    Kind kind;
  };
  // All zero behind the headers.
  struct Template {
    alignas(32) std::array<uint8_t, kTemplateBytes> bytes{};
    // Without the check sequence, which a device adds.
    uint16_t length = 0;
    // Sums of what IPv4's and the transport's checksums cover, in the byte order of memory, without what tells flows
    // apart.
    uint32_t ip_sum = 0;
    uint32_t transport_sum = 0;
  };

  uint32_t StampOffset() const;
  uint32_t TransportBytes() const { return udp_ ? SLUICE_UDP_BYTES : SLUICE_TCP_BYTES; }
  void WriteTransport(uint8_t* at, uint32_t length, Kind kind) const;
  Template MakeTemplate(uint16_t size, Kind kind) const;
  Choice Choose() {
    new_due_ += new_flows_;
    if (new_due_ < 1) return {Draw(), kAck};
    new_due_ -= 1;
    return {next_new_++, kSyn};
  }
  uint64_t Draw();

  const TrafficOptions options_;
  const bool ipv6_;
  const bool udp_;
  // A buffer that was a packet has its place and length already. Then its rte_mbuf is left alone: over a NIC too it is
  // the worker's driver that writes it, and its line would only travel between the cores.
  const bool in_place_;
  // By kind, and by place in `sizes`.
  std::array<std::vector<Template>, 2> templates_;
  size_t next_size_ = 0;
  uint64_t random_ = 0x9e3779b97f4a7c15ull;
  // With Zipf's law: flows in the order in which they are sent, over and over.
  std::vector<uint32_t> drawn_;
  size_t next_drawn_ = 0;
  uint64_t next_new_;
  double new_flows_;
  double new_due_ = 0;
};

}  // namespace sluice::bench
