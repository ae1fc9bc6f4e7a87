/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Translated packets within one IP version: other addresses and ports, one hop less, checksums updated by what has
 * changed (RFC 1624; RFC 3022 section 4.1, 4.3 for ICMP errors and what they quote, RFC 5508). Between versions:
 * translate46.h.
 *
 * The engine puts the new Ethernet header in front of the IP header first; what is here begins with that. */
#ifndef SLUICE_TRANSLATE_H_
#define SLUICE_TRANSLATE_H_

#include "sluice/checksum.h"
#include "sluice/parse.h"
#include "sluice/session.h"
#include "sluice/tables.h"

/* Whom the packet is from and to from here on. */
struct sluice_endpoints {
  const struct sluice_address* source;
  const struct sluice_address* destination;
  /* As they lie in the packet. */
  uint32_t ports;
  /* What its transport checksum gains (one's complement, byte order of memory). */
  uint16_t delta;
  /* The source is the client's own: an ICMP error from a router on its side keeps that one's. */
  bool keeps_source;
};

SLUICE_INLINE uint32_t sluice_ports(uint16_t source, uint16_t destination) {
  return source | (uint32_t)destination << 16;
}

/* What a checksum gains when a flow gets other addresses. The prefix of a mapped IPv4 address adds 0xffff, which is
 * nothing, so it holds between IP versions as well (RFC 7915 section 4.5). */
SLUICE_INLINE uint16_t sluice_address_delta(const struct sluice_flow* before, const struct sluice_flow* after) {
  const uint16_t old = sluice_checksum_addresses(&before->source, &before->destination);
  return sluice_checksum_sum(sluice_checksum_addresses(&after->source, &after->destination), (uint16_t)~old);
}

/* What a transport checksum gains when a flow becomes another: addresses (pseudo header) and ports. */
SLUICE_INLINE uint16_t sluice_flow_delta(const struct sluice_flow* before, const struct sluice_flow* after) {
  const uint16_t old = sluice_checksum_fold(sluice_checksum_word(before->ports));
  return sluice_checksum_fold(sluice_checksum_word(after->ports) + (uint16_t)~old +
                              sluice_address_delta(before, after));
}

SLUICE_INLINE uint16_t sluice_checksum_add(uint16_t checksum, uint16_t delta) {
  return (uint16_t)~sluice_checksum_fold((uint32_t)(uint16_t)~checksum + delta);
}

/* What a TCP checksum covers gains, when that is by bytes at `at`: at an odd place they are the second and first of two
 * words. `gain` is a sum of words. */
SLUICE_INLINE void sluice_tcp_gain(uint8_t* l4, const uint8_t* at, uint32_t gain) {
  const uint16_t sum = sluice_checksum_fold(gain);
  sluice_store16(l4 + 16, sluice_checksum_add(sluice_load16(l4 + 16), (at - l4) & 1 ? SLUICE_16(sum) : sum));
}

/* Changes what stands at `at` in a TCP header, and the checksum with it. */
SLUICE_INLINE void sluice_tcp_store16(uint8_t* l4, uint8_t* at, uint16_t value) {
  const uint32_t gain = (uint32_t)(uint16_t)~sluice_load16(at) + value;
  sluice_store16(at, value);
  sluice_tcp_gain(l4, at, gain);
}
SLUICE_INLINE void sluice_tcp_store32(uint8_t* l4, uint8_t* at, uint32_t value) {
  const uint32_t gain = sluice_checksum_word(~sluice_load32(at)) + sluice_checksum_word(value);
  sluice_store32(at, value);
  sluice_tcp_gain(l4, at, gain);
}

/* A SYN says how long the segments may be that come back (RFC 9293 section 3.7.1), by the headers of its own version:
 * toward IPv6 they are 20 bytes longer, and each connection would begin with packets too big. Only ever less.
 * `headers`: of IP and TCP, where the packet goes. */
SLUICE_INLINE void sluice_clamp_mss(uint8_t* l4, const uint8_t* end, uint32_t mtu, uint32_t headers) {
  if (l4 + SLUICE_TCP_BYTES > end || !(l4[13] & SLUICE_TCP_SYN) || mtu <= headers) return;
  uint8_t* value = sluice_tcp_option(l4, end, 2, 4);
  if (!value || value + 2 > end) return;
  if (SLUICE_16(sluice_load16(value)) > mtu - headers) sluice_tcp_store16(l4, value, SLUICE_16(mtu - headers));
}

/* `l3` is an IPv4 header. `hop`: 1 takes one hop off, 0 leaves the TTL (a quoted header). */
SLUICE_INLINE void sluice_translate_ipv4(uint8_t* l3, const struct sluice_endpoints* to, uint32_t hop) {
  const uint32_t source = to->source->words[3];
  const uint32_t destination = to->destination->words[3];
  /* The TTL is the lower byte of its word in memory. */
  const uint32_t sum = (uint32_t)(uint16_t)~sluice_load16(l3 + 10) + sluice_checksum_word(~sluice_load32(l3 + 12)) +
                       sluice_checksum_word(~sluice_load32(l3 + 16)) + sluice_checksum_word(source) +
                       sluice_checksum_word(destination) + (hop ? 0xfffe : 0);
  l3[8] = (uint8_t)(l3[8] - hop);
  sluice_store16(l3 + 10, (uint16_t)~sluice_checksum_fold(sum));
  sluice_store32(l3 + 12, source);
  sluice_store32(l3 + 16, destination);
}

/* The same with one hop less, where it is known what the checksum gains by the addresses. */
SLUICE_INLINE void sluice_translate_ipv4_by(uint8_t* l3, uint32_t source, uint32_t destination, uint16_t delta) {
  /* The TTL is the lower byte of its word in memory. */
  const uint32_t sum = 0xffffu - sluice_load16(l3 + 10) + delta + 0xfffe;
  l3[8]--;
  sluice_store16(l3 + 10, (uint16_t)~sluice_checksum_fold(sum));
  sluice_store32(l3 + 12, source);
  sluice_store32(l3 + 16, destination);
}

SLUICE_INLINE void sluice_translate_ipv6(uint8_t* l3, const struct sluice_endpoints* to, uint32_t hop) {
  l3[7] = (uint8_t)(l3[7] - hop);
  sluice_write_address(l3 + 8, to->source);
  sluice_write_address(l3 + 24, to->destination);
}

/* Where the checksum stands in a transport header. */
#define SLUICE_TCP_CHECKSUM 16
SLUICE_INLINE uint32_t sluice_checksum_offset(uint32_t protocol) {
  return protocol == SLUICE_IP_TCP ? SLUICE_TCP_CHECKSUM : 6;
}

/* New ports and checksum. False when [l4, end) is too short to hold the checksum, which only a quoted header may be:
 * the ports, which it has, are written all the same. A UDP checksum of 0 is none and stays so (RFC 768). */
SLUICE_INLINE bool sluice_translate_transport(uint8_t* l4, const uint8_t* end, uint32_t protocol,
                                              const struct sluice_endpoints* to) {
  const bool udp = protocol == SLUICE_IP_UDP;
  if (l4 + 4 > end) return false;
  sluice_store32(l4, to->ports);
  uint8_t* at = l4 + sluice_checksum_offset(protocol);
  if (at + 2 > end) return false;
  const uint16_t before = sluice_load16(at);
  if (udp && before == 0) return true;
  const uint16_t after = sluice_checksum_add(before, to->delta);
  sluice_store16(at, udp && after == 0 ? 0xffff : after);
  return true;
}

/* The same in a packet whose whole transport header the parser has seen. */
SLUICE_INLINE void sluice_translate_transport_by(uint8_t* l4, uint32_t protocol, uint32_t ports, uint16_t delta) {
  const bool udp = SLUICE_UNLIKELY(protocol == SLUICE_IP_UDP);
  sluice_store32(l4, ports);
  uint8_t* at = l4 + (udp ? 6 : 16);
  const uint16_t before = sluice_load16(at);
  if (udp && before == 0) return;
  const uint16_t after = (uint16_t)~sluice_checksum_sum((uint16_t)~before, delta);
  sluice_store16(at, udp && after == 0 ? 0xffff : after);
}

/* What the checksum of an echo gains between two flows: its identifier, and in IPv6 the addresses of the pseudo header
 * (RFC 4443 section 2.3), which IPv4 has not. Between versions that is added when its length is known. */
SLUICE_INLINE uint16_t sluice_echo_delta(const struct sluice_flow* before, const struct sluice_flow* after) {
  const bool ipv6 = !sluice_address_is_ipv4(&before->source) && !sluice_address_is_ipv4(&after->source);
  const uint16_t old = sluice_checksum_fold(sluice_checksum_word(before->ports));
  return sluice_checksum_fold(sluice_checksum_word(after->ports) + (uint16_t)~old +
                              (ipv6 ? sluice_address_delta(before, after) : 0));
}

/* The identifier of an echo and its checksum; of its two ports one is 0. `l4` has a whole header, quoted or not. */
SLUICE_RARE void sluice_translate_echo(uint8_t* l4, const struct sluice_endpoints* to) {
  const uint16_t checksum = sluice_checksum_add(sluice_load16(l4 + 2), to->delta);
  /* As of a reply of our own (reply.h). */
  sluice_store16(l4 + 2, checksum ? checksum : 0xffff);
  sluice_store16(l4 + 4, (uint16_t)(to->ports | to->ports >> 16));
}

/* A packet that goes the other way: what an ICMP error quotes is one of those. */
SLUICE_INLINE struct sluice_endpoints sluice_endpoints_turned(const struct sluice_endpoints* to) {
  const struct sluice_endpoints turned = {to->destination, to->source, to->ports >> 16 | to->ports << 16, to->delta,
                                          false};
  return turned;
}

/* What a translation changes in a quoted packet, summed: the IP header, and of the transport header ports and checksum,
 * which TCP has behind the eight bytes that are always quoted. `quote` and `l4` have that much, but
 * not every verifier remembers it where the packet turns out to be IPv6. */
SLUICE_INLINE uint16_t sluice_quote_sum(const uint8_t* quote, const uint8_t* l4, const uint8_t* end, bool ipv6) {
  uint64_t sum = (uint64_t)sluice_load32(l4) + sluice_load32(l4 + 4);
  SLUICE_UNROLL
  for (uint32_t i = 0; i < SLUICE_IPV4_BYTES; i += 4) sum += sluice_load32(quote + i);
  if (ipv6) {
    SLUICE_KEEP(quote);
    if (quote + SLUICE_IPV6_BYTES > end) return 0;
    SLUICE_UNROLL
    for (uint32_t i = SLUICE_IPV4_BYTES; i < SLUICE_IPV6_BYTES; i += 4) sum += sluice_load32(quote + i);
  }
  if (l4 + SLUICE_TCP_CHECKSUM + 2 <= end) sum += sluice_load16(l4 + SLUICE_TCP_CHECKSUM);
  return sluice_checksum_fold(sluice_checksum_narrow(sum));
}

/* The packet that an ICMP error quotes: `quote` is its IP header, `quote_l4` from there its transport header. Returns
 * what the sum of the quoted bytes has gained. */
SLUICE_INLINE uint16_t sluice_translate_quote(uint8_t* quote, const uint8_t* end, uint32_t quote_l4, bool ipv6,
                                              uint32_t protocol, const struct sluice_endpoints* quoted) {
  uint8_t* l4 = quote + SLUICE_BOUND(quote_l4, 0x7ff);
  if (quote + SLUICE_IPV6_BYTES > end && ipv6) return 0;
  if (quote + SLUICE_IPV4_BYTES > end || l4 + 8 > end) return 0;
  const uint16_t before = sluice_quote_sum(quote, l4, end, ipv6);
  if (ipv6) {
    SLUICE_KEEP(quote);
    if (quote + SLUICE_IPV6_BYTES > end) return 0;
    sluice_translate_ipv6(quote, quoted, 0);
  } else {
    sluice_translate_ipv4(quote, quoted, 0);
  }
  if (protocol == SLUICE_IP_ICMP) {
    sluice_translate_echo(l4, quoted);
  } else {
    sluice_translate_transport(l4, end, protocol, quoted);
  }
  return sluice_checksum_sum(sluice_quote_sum(quote, l4, end, ipv6), (uint16_t)~before);
}

/* Who an ICMP error is from, where its own source stays. */
SLUICE_INLINE struct sluice_address sluice_outer_source(const uint8_t* l3, bool ipv6) {
  return ipv6 ? sluice_load_address(l3 + 8) : sluice_ipv4(sluice_load32(l3 + 12));
}

/* An ICMP error: outer addresses, the quoted packet and the checksum over all of it. `to` is where the error goes, with
 * the ports and the delta of a packet of that direction. */
SLUICE_INLINE bool sluice_translate_icmp_error(uint8_t* l3, const uint8_t* end, const struct sluice_packet* packet,
                                               const struct sluice_endpoints* to) {
  const bool ipv6 = packet->flags & SLUICE_PACKET_IPV6;
  uint8_t* icmp = l3 + SLUICE_BOUND(packet->l4_offset - packet->l3_offset, 0x7ff);
  if (l3 + SLUICE_IPV4_BYTES > end || icmp + SLUICE_ICMP_BYTES > end) return false;
  if (ipv6 && l3 + SLUICE_IPV6_BYTES > end) return false;
  const struct sluice_address own = sluice_outer_source(l3, ipv6);
  struct sluice_endpoints outer = *to;
  if (to->keeps_source) outer.source = &own;
  /* It was translated on its way here; its checksum takes that back. */
  const struct sluice_endpoints quoted = sluice_endpoints_turned(to);
  uint32_t sum = (uint16_t)~sluice_load16(icmp + 2);
  sum += sluice_translate_quote(icmp + SLUICE_ICMP_BYTES, end, packet->quote_l4, ipv6, packet->flow.protocol, &quoted);
  if (ipv6) {
    const struct sluice_address before = sluice_load_address(l3 + 24);
    sluice_translate_ipv6(l3, &outer, 1);
    sum += sluice_checksum_addresses(outer.source, outer.destination);
    sum += (uint16_t)~sluice_checksum_addresses(&own, &before);
  } else {
    sluice_translate_ipv4(l3, &outer, 1);
  }
  sluice_store16(icmp + 2, (uint16_t)~sluice_checksum_fold(sum));
  return true;
}

/* sluice_translate of what is no ICMP error: to the verifier those are a stage of their own. */
SLUICE_INLINE bool sluice_translate_flow(uint8_t* l3, const uint8_t* end, const struct sluice_packet* packet,
                                         const struct sluice_endpoints* to) {
  if (packet->flags & SLUICE_PACKET_IPV6) {
    if (l3 + SLUICE_IPV6_BYTES > end) return false;
    sluice_translate_ipv6(l3, to, 1);
  } else {
    if (l3 + SLUICE_IPV4_BYTES > end) return false;
    sluice_translate_ipv4(l3, to, 1);
  }
  if (packet->kind == SLUICE_PACKET_LATER_FRAGMENT) return true;
  uint8_t* l4 = l3 + SLUICE_BOUND(packet->l4_offset - packet->l3_offset, 0x7ff);
  if (SLUICE_UNLIKELY(packet->kind != SLUICE_PACKET_FLOW)) {
    if (l4 + SLUICE_ICMP_BYTES > end) return false;
    sluice_translate_echo(l4, to);
    return true;
  }
  return sluice_translate_transport(l4, end, packet->flow.protocol, to);
}

/* Writes the packet whose IP header is at `l3` and which ends at `end` (without the frame's padding) as it goes on.
 * False when it is shorter than its headers, which only the verifier believes possible. */
SLUICE_INLINE bool sluice_translate(uint8_t* l3, const uint8_t* end, const struct sluice_packet* packet,
                                    const struct sluice_endpoints* to) {
  if (SLUICE_UNLIKELY(packet->kind == SLUICE_PACKET_ICMP_ERROR))
    return sluice_translate_icmp_error(l3, end, packet, to);
  return sluice_translate_flow(l3, end, packet, to);
}

#endif /* SLUICE_TRANSLATE_H_ */
