// Packets as people write them, layer by layer:
//
//   eth(dst=02:00:00:00:00:01) / vlan(10) / ipv4(src=192.0.2.7, dst=203.0.113.10, df) / tcp(sport=40000, syn) /
//   payload(5)
//
// Lengths, checksums, EtherTypes and protocol numbers are computed from what follows; a field that is given is taken as
// it is, so that a case can lie. The encoder shares no code with the path. Layers and their fields (defaults):
//
//   eth      dst (02:00:00:00:00:01), src (02:00:00:00:00:aa), type
//   vlan     the tag's number first; pcp (0), type; qinq for EtherType 0x88a8 in front of it
//   arp      op (1), smac, sip, tmac (zero), tip, hardware (1), protocol (0x0800), hlen (6), plen (4)
//   ipv4     src, dst, ttl (64), tos (0), id (0), df, mf, frag (offset in bytes), proto, len, ihl, version, sum,
//            options (hex, a multiple of 4 bytes)
//   ipv6     src, dst, hop (64), tos (0), label (0), next, len, version
//   hopopts, routing, dstopts, mobility, ah    length in bytes (8), next; eight bytes at least
//   frag6    at (offset in bytes, 0), more, id (0), next
//   tcp      sport (40000), dport (80), seq (0), acknr (0), doff, window (8192), sum, options (hex), and the flags
//            fin syn rst psh ack urg ece cwr
//   udp      sport (40000), dport (53), len, sum
//   gue      proto, word (all four bytes)
//   icmp     type, code (0), sum; rest (four bytes as one number), or id and seq, or mtu
//   icmp6    the same
//   ns, na   target, mac (of the option; none without), flags (na), sum
//   payload  that many bytes 0, 1, 2 ...
//   hex      those bytes
//   slice    offset, length: of all that follows, built whole, only these bytes: fragments, and packets that ICMP
//   quotes pad      that many zeros behind the packet, in no length cut      the frame ends after that many bytes; the
//   last layer, as is pad
//
// Numbers are decimal or 0x...; addresses and MACs as usual.
#pragma once

#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace sluice::packet_test {

// The frame's bytes, or what is wrong with the text.
absl::StatusOr<std::string> EncodePacket(std::string_view text);

// For tests whose text is a constant: a mistake in it ends the program.
std::string Packet(std::string_view text);

}  // namespace sluice::packet_test
