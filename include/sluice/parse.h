/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * From bytes to a flow. Parses Ethernet, up to two VLAN tags, IPv4 with options, IPv6 with extension headers, TCP, UDP,
 * ICMP errors that quote a flow or an echo, ICMP echo, fragments, ARP requests and neighbour solicitations.
 *
 * Nothing is read at or past `end`. A packet whose IP header can't be trusted gets its verdict at once. What is wrong
 * further in is only ours to judge when the packet is for a virtual address, so it is kept in `reason`, and the packet
 * goes to the kernel untouched when it isn't.
 *
 * Sources: RFC 791, 8200 (IP), 815/3128/7112 (fragments), 9293 (TCP), 768 (UDP), 792/4443 (ICMP), 826 (ARP), 4861 (ND).
 * The IPv4 header's checksum is not verified here: devices do it, and a wrong one stays wrong on its way (updates are
 * incremental), so its receiver sees it. */
#ifndef SLUICE_PARSE_H_
#define SLUICE_PARSE_H_

#include "sluice/types.h"
#include "sluice/verdict.h"

enum sluice_packet_kind {
  /* TCP or UDP with ports: whole packets and first fragments. */
  SLUICE_PACKET_FLOW,
  /* No ports; `fragment_id` says what it belongs to. */
  SLUICE_PACKET_LATER_FRAGMENT,
  /* `flow` is the quoted packet's, turned round: as its client sends it. */
  SLUICE_PACKET_ICMP_ERROR,
  /* A request, its reply. As a flow: protocol SLUICE_IP_ICMP in either IP version, the identifier is the port of who
   * asks, the other one's is 0. A first fragment is `reason` to those who want the whole of it. */
  SLUICE_PACKET_ECHO,
  SLUICE_PACKET_ECHO_REPLY,
  /* `flow.destination` is the address asked for, `flow.source` who asks. */
  SLUICE_PACKET_ARP,
  SLUICE_PACKET_NEIGHBOR,
  /* For a virtual address: dropped with `reason`. */
  SLUICE_PACKET_UNUSABLE,
};

#define SLUICE_PACKET_IPV6 1
#define SLUICE_PACKET_SYN 2
/* FIN or RST: the client is done. */
#define SLUICE_PACKET_CLOSE 4
#define SLUICE_PACKET_FIRST_FRAGMENT 8

struct sluice_packet {
  struct sluice_flow flow;
  union {
    /* Of a fragment. */
    uint32_t fragment_id;
    /* Of an ICMP error: where the quoted transport header begins, from the quoted IP header. */
    uint32_t quote_l4;
  };
  /* From the start of the frame. */
  uint16_t l3_offset;
  uint16_t l4_offset;
  /* Of the IP packet, header included; the frame may be longer (padding). */
  uint32_t l3_length;
  uint8_t kind;
  uint8_t flags;
  /* Of SLUICE_PACKET_UNUSABLE: a verdict that drops. */
  uint8_t reason;
  uint8_t reserved;
} __attribute__((aligned(8)));
SLUICE_STATIC_ASSERT(sizeof(struct sluice_packet) == 56, "less than a cache line");
SLUICE_STATIC_ASSERT(SLUICE_PACKET_FLOW == 0 &&
                         offsetof(struct sluice_packet, flags) == offsetof(struct sluice_packet, kind) + 1 &&
                         offsetof(struct sluice_packet, kind) % 4 == 0,
                     "compared as one word (follow.h)");
SLUICE_STATIC_ASSERT(offsetof(struct sluice_packet, l3_offset) == offsetof(struct sluice_packet, fragment_id) + 4 &&
                         offsetof(struct sluice_packet, l4_offset) == offsetof(struct sluice_packet, l3_offset) + 2 &&
                         offsetof(struct sluice_packet, flags) == offsetof(struct sluice_packet, l3_length) + 5,
                     "written as words (sluice_parse_common)");

/* Ends a parse: the packet is fine as IP, and unusable beyond that. */
SLUICE_INLINE enum sluice_verdict sluice_unusable(struct sluice_packet* packet, enum sluice_verdict reason) {
  packet->kind = SLUICE_PACKET_UNUSABLE;
  packet->reason = (uint8_t)reason;
  return SLUICE_CONTINUE;
}

/* Written whole, as sluice_ipv4 is. */
SLUICE_INLINE struct sluice_address sluice_load_address(const void* at) {
  struct sluice_address address;
#ifdef __SSE2__
  _mm_storeu_si128((__m128i*)address.words, _mm_loadu_si128((const __m128i*)at));
#else
  sluice_write_address(&address, at);
#endif
  return address;
}

/* Mapped addresses stand for IPv4 in the tables; on the wire they are nobody's (RFC 4291 section 2.5.5.2). `flow` is an
 * IPv6 packet's. */
SLUICE_INLINE bool sluice_poses_as_ipv4(const struct sluice_flow* flow) {
  return sluice_address_is_ipv4(&flow->source) || sluice_address_is_ipv4(&flow->destination);
}

/* Whether one of a flow's ports is 0, which no flow has. */
SLUICE_INLINE bool sluice_has_no_port(uint32_t ports) {
  return (ports & 0xffff) == 0 || ports <= 0xffff;
}

/* What a TCP header's flags make of its packet: SLUICE_PACKET_*. Only a bare SYN opens a flow: a SYN-ACK never comes
 * from a client. */
SLUICE_INLINE uint32_t sluice_tcp_flags(uint32_t flags) {
  const uint32_t changing = flags & (SLUICE_TCP_SYN | SLUICE_TCP_FIN | SLUICE_TCP_RST);
  if (SLUICE_LIKELY(changing == 0)) return 0;
  if (changing != SLUICE_TCP_SYN) return SLUICE_PACKET_CLOSE;
  return flags & SLUICE_TCP_ACK ? 0 : SLUICE_PACKET_SYN;
}

/* `l4` is the TCP header, `length` what the IP header leaves for it. */
SLUICE_INLINE enum sluice_verdict sluice_parse_tcp(const uint8_t* l4, const uint8_t* end, uint32_t length,
                                                   bool first_fragment, struct sluice_packet* packet) {
  if (length < SLUICE_TCP_BYTES || l4 + SLUICE_TCP_BYTES > end)
    return sluice_unusable(packet, first_fragment ? SLUICE_VERDICT_tiny_fragment : SLUICE_VERDICT_truncated_transport);
  packet->flow.ports = sluice_load32(l4);
  const uint32_t header = (uint32_t)(l4[12] >> 4) * 4;
  const uint32_t flags = l4[13];
  if (SLUICE_UNLIKELY(header > length))
    return sluice_unusable(packet, first_fragment ? SLUICE_VERDICT_tiny_fragment : SLUICE_VERDICT_malformed_tcp);
  if (SLUICE_UNLIKELY(header < SLUICE_TCP_BYTES) ||
      SLUICE_UNLIKELY((flags & SLUICE_TCP_SYN) && (flags & (SLUICE_TCP_FIN | SLUICE_TCP_RST))))
    return sluice_unusable(packet, SLUICE_VERDICT_malformed_tcp);
  if (SLUICE_UNLIKELY(sluice_has_no_port(packet->flow.ports))) return sluice_unusable(packet, SLUICE_VERDICT_zero_port);
  packet->flags |= (uint8_t)sluice_tcp_flags(flags);
  return SLUICE_CONTINUE;
}

SLUICE_INLINE enum sluice_verdict sluice_parse_udp(const uint8_t* l4, const uint8_t* end, uint32_t length,
                                                   bool first_fragment, struct sluice_packet* packet) {
  if (length < SLUICE_UDP_BYTES || l4 + SLUICE_UDP_BYTES > end)
    return sluice_unusable(packet, first_fragment ? SLUICE_VERDICT_tiny_fragment : SLUICE_VERDICT_truncated_transport);
  packet->flow.ports = sluice_load32(l4);
  const uint32_t claimed = SLUICE_16(sluice_load16(l4 + 4));
  if (claimed < SLUICE_UDP_BYTES || (claimed > length && !first_fragment))
    return sluice_unusable(packet, SLUICE_VERDICT_malformed_udp);
  if (SLUICE_UNLIKELY(sluice_has_no_port(packet->flow.ports))) return sluice_unusable(packet, SLUICE_VERDICT_zero_port);
  return SLUICE_CONTINUE;
}

/* Walks IPv6 extension headers from `offset` (of `base`) until the transport header. Updates offset and protocol;
 * *fragment is the fragment header's offset field (RFC 8200 section 4.5) as a host-order word, 0 without one or when
 * the packet is whole. Returns a reason, or SLUICE_CONTINUE. */
SLUICE_INLINE enum sluice_verdict sluice_skip_extensions(const uint8_t* base, const uint8_t* end, uint32_t* offset,
                                                         uint32_t* protocol, uint32_t* fragment,
                                                         uint32_t* fragment_id) {
  const uint32_t start = *offset;
  SLUICE_UNROLL
  for (uint32_t i = 0; i <= SLUICE_EXTENSION_HEADERS; i++) {
    const uint32_t type = *protocol;
    const bool options = type == 0 || type == 43 || type == 60 || type == 135 || type == 139 || type == 140;
    if (!options && type != 44 && type != 51) return SLUICE_CONTINUE;
    if (i == SLUICE_EXTENSION_HEADERS) break;
    const uint8_t* header = base + *offset;
    if (header + 8 > end) return SLUICE_VERDICT_truncated_extension;
    *protocol = header[0];
    uint32_t next = *offset + 8;
    if (type == 44) {
      *fragment = SLUICE_16(sluice_load16(header + 2)) & 0xfff9;
      *fragment_id = sluice_load32(header + 4);
      /* What follows in a later fragment is payload. */
      if (*fragment & 0xfff8) {
        *offset = next;
        return SLUICE_CONTINUE;
      }
    } else {
      /* Units of 8 bytes not counting the first; AH: of 4 bytes, less two (RFC 4302 section 2.2). */
      next += type == 51 ? (uint32_t)header[1] * 4 : (uint32_t)header[1] * 8;
    }
    if (next - start > SLUICE_EXTENSION_BYTES) return SLUICE_VERDICT_extension_depth;
    *offset = (uint32_t)SLUICE_FORGET(next, 0x7ff, header[1]);
  }
  return SLUICE_VERDICT_extension_depth;
}

/* The echo that an ICMP error quotes, turned round (RFC 5508 section 4). */
SLUICE_RARE enum sluice_verdict sluice_parse_quoted_echo(const uint8_t* l4, struct sluice_packet* packet) {
  const bool ipv6 = packet->flags & SLUICE_PACKET_IPV6;
  const bool request = l4[0] == (ipv6 ? 128 : 8);
  if (l4[1] != 0 || (!request && l4[0] != (ipv6 ? 129 : 0)))
    return sluice_unusable(packet, SLUICE_VERDICT_unusable_quote);
  packet->flow.protocol = SLUICE_IP_ICMP;
  packet->flow.source_port = request ? 0 : sluice_load16(l4 + 4);
  packet->flow.destination_port = request ? sluice_load16(l4 + 4) : 0;
  return SLUICE_CONTINUE;
}

/* The flow of the packet that an ICMP error quotes at `quote`. It left the virtual address, so source and destination
 * change places. Eight bytes of transport header are enough (RFC 792). `outer` is the ICMP packet's own destination: an
 * error that quotes some other address's packet is not believed. `length` is what the ICMP error quotes; the frame may
 * go on behind it. */
SLUICE_INLINE enum sluice_verdict sluice_parse_quote(const uint8_t* quote, const uint8_t* end, uint32_t length,
                                                     struct sluice_packet* packet) {
  const struct sluice_address outer = packet->flow.destination;
  uint32_t protocol;
  uint32_t offset;
  packet->kind = SLUICE_PACKET_ICMP_ERROR;
  if (packet->flags & SLUICE_PACKET_IPV6) {
    uint32_t fragment = 0;
    uint32_t fragment_id = 0;
    if (length < SLUICE_IPV6_BYTES || quote + SLUICE_IPV6_BYTES > end)
      return sluice_unusable(packet, SLUICE_VERDICT_truncated_quote);
    if (quote[0] >> 4 != 6) return sluice_unusable(packet, SLUICE_VERDICT_unusable_quote);
    protocol = quote[6];
    offset = SLUICE_IPV6_BYTES;
    packet->flow.destination = sluice_load_address(quote + 8);
    packet->flow.source = sluice_load_address(quote + 24);
    const enum sluice_verdict reason = sluice_skip_extensions(quote, end, &offset, &protocol, &fragment, &fragment_id);
    if (reason != SLUICE_CONTINUE || (fragment & 0xfff8)) protocol = 0;
  } else {
    if (length < SLUICE_IPV4_BYTES || quote + SLUICE_IPV4_BYTES > end)
      return sluice_unusable(packet, SLUICE_VERDICT_truncated_quote);
    offset = (uint32_t)(quote[0] & 0xf) * 4;
    protocol = quote[9];
    if (quote[0] >> 4 != 4 || offset < SLUICE_IPV4_BYTES || (sluice_load16(quote + 6) & SLUICE_16(0x1fff)))
      protocol = 0;
    packet->flow.destination = sluice_ipv4(sluice_load32(quote + 12));
    packet->flow.source = sluice_ipv4(sluice_load32(quote + 16));
  }
  const bool own = sluice_address_equal(&outer, &packet->flow.destination);
  packet->flow.destination = outer;
  packet->flow.protocol = protocol;
  const bool echo = protocol == (packet->flags & SLUICE_PACKET_IPV6 ? SLUICE_IP_ICMPV6 : SLUICE_IP_ICMP);
  if (!own || (protocol != SLUICE_IP_TCP && protocol != SLUICE_IP_UDP && !echo))
    return sluice_unusable(packet, SLUICE_VERDICT_unusable_quote);
  const uint8_t* l4 = quote + SLUICE_BOUND(offset, 0x7ff);
  if (offset + 8 > length || l4 + 8 > end) return sluice_unusable(packet, SLUICE_VERDICT_truncated_quote);
  packet->quote_l4 = offset;
  if (echo) return sluice_parse_quoted_echo(l4, packet);
  packet->flow.source_port = sluice_load16(l4 + 2);
  packet->flow.destination_port = sluice_load16(l4);
  /* No flow has such a port; the index keeps port ranges under it. */
  if (sluice_has_no_port(packet->flow.ports)) return sluice_unusable(packet, SLUICE_VERDICT_zero_port);
  return SLUICE_CONTINUE;
}

/* A neighbour solicitation (RFC 4861 section 4.3; hop limit 255 proves that it is from the link). */
SLUICE_INLINE enum sluice_verdict sluice_parse_solicitation(const uint8_t* l3, const uint8_t* l4, const uint8_t* end,
                                                            uint32_t length, struct sluice_packet* packet) {
  if (length < 24 || l4 + 24 > end) return sluice_unusable(packet, SLUICE_VERDICT_truncated_transport);
  if (l3[7] != 255 || l4[1] != 0) return sluice_unusable(packet, SLUICE_VERDICT_unsupported_icmp);
  packet->flow.destination = sluice_load_address(l4 + 8);
  packet->kind = SLUICE_PACKET_NEIGHBOR;
  return SLUICE_CONTINUE;
}

SLUICE_INLINE enum sluice_verdict sluice_parse_icmp(const uint8_t* l3, const uint8_t* l4, const uint8_t* end,
                                                    uint32_t length, struct sluice_packet* packet) {
  const bool ipv6 = packet->flags & SLUICE_PACKET_IPV6;
  if (length < SLUICE_ICMP_BYTES || l4 + SLUICE_ICMP_BYTES > end)
    return sluice_unusable(packet, SLUICE_VERDICT_truncated_transport);
  const uint8_t type = l4[0];
  const bool whole = !(packet->flags & SLUICE_PACKET_FIRST_FRAGMENT);
  const bool request = type == (ipv6 ? 128 : 8);
  if ((request || type == (ipv6 ? 129 : 0)) && l4[1] == 0) {
    packet->kind = request ? SLUICE_PACKET_ECHO : SLUICE_PACKET_ECHO_REPLY;
    packet->reason = SLUICE_VERDICT_unsupported_icmp;
    packet->flow.protocol = SLUICE_IP_ICMP;
    packet->flow.source_port = request ? sluice_load16(l4 + 4) : 0;
    packet->flow.destination_port = request ? 0 : sluice_load16(l4 + 4);
    return SLUICE_CONTINUE;
  }
  /* Unreachable, (v6: too big), time exceeded, parameter problem. */
  const bool error = ipv6 ? type >= 1 && type <= 4 : type == 3 || type == 11 || type == 12;
  if (whole && error) return sluice_parse_quote(l4 + SLUICE_ICMP_BYTES, end, length - SLUICE_ICMP_BYTES, packet);
  if (whole && ipv6 && type == 135) return sluice_parse_solicitation(l3, l4, end, length, packet);
  return sluice_unusable(packet, SLUICE_VERDICT_unsupported_icmp);
}

/* Behind the IP header: `length` bytes of protocol `flow.protocol` at l4_offset, wherever that is. */
SLUICE_INLINE enum sluice_verdict sluice_parse_transport(const uint8_t* data, const uint8_t* end, uint32_t length,
                                                         struct sluice_packet* packet) {
  const uint8_t* l3 = data + SLUICE_BOUND(packet->l3_offset, 0x1f);
  const uint8_t* l4 = data + SLUICE_BOUND(packet->l4_offset, 0xfff);
  const bool first_fragment = packet->flags & SLUICE_PACKET_FIRST_FRAGMENT;
  if (packet->flow.protocol == SLUICE_IP_TCP) return sluice_parse_tcp(l4, end, length, first_fragment, packet);
  if (packet->flow.protocol == SLUICE_IP_UDP) return sluice_parse_udp(l4, end, length, first_fragment, packet);
  if (packet->flow.protocol == (packet->flags & SLUICE_PACKET_IPV6 ? SLUICE_IP_ICMPV6 : SLUICE_IP_ICMP)) {
    /* Only the verifier needs it again: the IP header has been read already. */
    if (l3 + SLUICE_IPV4_BYTES > end) return SLUICE_VERDICT_truncated_ip;
    return sluice_parse_icmp(l3, l4, end, length, packet);
  }
  return sluice_unusable(packet, SLUICE_VERDICT_unsupported_protocol);
}

SLUICE_INLINE enum sluice_verdict sluice_parse_ipv4(const uint8_t* data, const uint8_t* end, const uint8_t* l3,
                                                    struct sluice_packet* packet) {
  if (l3 + SLUICE_IPV4_BYTES > end) return SLUICE_VERDICT_truncated_ip;
  const uint32_t header = (uint32_t)(l3[0] & 0xf) * 4;
  const uint32_t total = SLUICE_16(sluice_load16(l3 + 2));
  if (l3[0] >> 4 != 4 || header < SLUICE_IPV4_BYTES || total < header) return SLUICE_VERDICT_malformed_ip;
  if ((uint64_t)(end - l3) < total) return SLUICE_VERDICT_truncated_ip;
  packet->l3_length = total;
  packet->l4_offset = (uint16_t)(packet->l3_offset + header);
  packet->flow.source = sluice_ipv4(sluice_load32(l3 + 12));
  packet->flow.destination = sluice_ipv4(sluice_load32(l3 + 16));
  packet->flow.protocol = l3[9];
  const uint32_t fragment = SLUICE_16(sluice_load16(l3 + 6));
  if (fragment & 0x3fff) {
    packet->fragment_id = sluice_load16(l3 + 4);
    if (fragment & 0x1fff) {
      /* Offset 8 would overwrite the flags of a TCP header (RFC 3128). */
      if ((fragment & 0x1fff) == 1 && packet->flow.protocol == SLUICE_IP_TCP)
        return sluice_unusable(packet, SLUICE_VERDICT_tiny_fragment);
      packet->kind = SLUICE_PACKET_LATER_FRAGMENT;
      return SLUICE_CONTINUE;
    }
    packet->flags |= SLUICE_PACKET_FIRST_FRAGMENT;
  }
  return sluice_parse_transport(data, end, total - header, packet);
}

SLUICE_INLINE enum sluice_verdict sluice_parse_ipv6(const uint8_t* data, const uint8_t* end, const uint8_t* l3,
                                                    struct sluice_packet* packet) {
  if (l3 + SLUICE_IPV6_BYTES > end) return SLUICE_VERDICT_truncated_ip;
  const uint32_t total = SLUICE_IPV6_BYTES + SLUICE_16(sluice_load16(l3 + 4));
  if (l3[0] >> 4 != 6) return SLUICE_VERDICT_malformed_ip;
  if ((uint64_t)(end - l3) < total) return SLUICE_VERDICT_truncated_ip;
  packet->flags = SLUICE_PACKET_IPV6;
  packet->l3_length = total;
  packet->flow.source = sluice_load_address(l3 + 8);
  packet->flow.destination = sluice_load_address(l3 + 24);
  if (SLUICE_UNLIKELY(sluice_poses_as_ipv4(&packet->flow))) return SLUICE_VERDICT_malformed_ip;
  uint32_t protocol = l3[6];
  uint32_t offset = (uint32_t)SLUICE_BOUND(packet->l3_offset, 0x1f) + SLUICE_IPV6_BYTES;
  uint32_t fragment = 0;
  packet->flow.protocol = protocol;
  packet->l4_offset = (uint16_t)offset;
  const enum sluice_verdict reason =
      sluice_skip_extensions(data, end, &offset, &protocol, &fragment, &packet->fragment_id);
  if (reason != SLUICE_CONTINUE) return sluice_unusable(packet, reason);
  if (offset - packet->l3_offset > total) return sluice_unusable(packet, SLUICE_VERDICT_truncated_extension);
  packet->flow.protocol = protocol;
  packet->l4_offset = (uint16_t)offset;
  if (SLUICE_UNLIKELY(fragment)) {
    if (fragment & 0xfff8) {
      if ((fragment & 0xfff8) == 8 && protocol == SLUICE_IP_TCP)
        return sluice_unusable(packet, SLUICE_VERDICT_tiny_fragment);
      packet->kind = SLUICE_PACKET_LATER_FRAGMENT;
      return SLUICE_CONTINUE;
    }
    packet->flags |= SLUICE_PACKET_FIRST_FRAGMENT;
  }
  return sluice_parse_transport(data, end, total - (offset - packet->l3_offset), packet);
}

SLUICE_INLINE enum sluice_verdict sluice_parse_arp(const uint8_t* arp, const uint8_t* end,
                                                   struct sluice_packet* packet) {
  if (arp + SLUICE_ARP_BYTES > end) return SLUICE_VERDICT_truncated_ip;
  /* Ethernet, IPv4, 6, 4, request: anything else is the kernel's. */
  if (sluice_load32(arp) != SLUICE_32(0x00010800) || sluice_load32(arp + 4) != SLUICE_32(0x06040001))
    return SLUICE_VERDICT_pass_not_virtual;
  packet->l3_length = SLUICE_ARP_BYTES;
  packet->flow.source = sluice_ipv4(sluice_load32(arp + 14));
  packet->flow.destination = sluice_ipv4(sluice_load32(arp + 24));
  packet->kind = SLUICE_PACKET_ARP;
  return SLUICE_CONTINUE;
}

/* As sluice_parse, of any frame. */
SLUICE_RARE enum sluice_verdict sluice_parse_any(const uint8_t* data, const uint8_t* end,
                                                 struct sluice_packet* packet) {
  packet->flow.ports = 0;
  packet->flow.protocol = 0;
  packet->fragment_id = 0;
  packet->l4_offset = 0;
  packet->l3_length = 0;
  packet->kind = SLUICE_PACKET_FLOW;
  packet->flags = 0;
  packet->reason = 0;
  packet->reserved = 0;
  if (data + SLUICE_ETHERNET_BYTES > end) return SLUICE_VERDICT_truncated_ethernet;
  uint16_t type = sluice_load16(data + 12);
  uint32_t offset = SLUICE_ETHERNET_BYTES;
  if (SLUICE_UNLIKELY(type != SLUICE_16(SLUICE_ETHERTYPE_IPV4) && type != SLUICE_16(SLUICE_ETHERTYPE_IPV6))) {
    SLUICE_UNROLL
    for (uint32_t tags = 0; tags <= SLUICE_VLAN_TAGS; tags++) {
      if (type != SLUICE_16(SLUICE_ETHERTYPE_VLAN) && type != SLUICE_16(SLUICE_ETHERTYPE_QINQ)) break;
      if (tags == SLUICE_VLAN_TAGS) return SLUICE_VERDICT_pass_vlan_depth;
      if (data + offset + SLUICE_VLAN_BYTES > end) return SLUICE_VERDICT_truncated_ethernet;
      type = sluice_load16(data + offset + 2);
      offset += SLUICE_VLAN_BYTES;
    }
  }
  packet->l3_offset = (uint16_t)offset;
  const uint8_t* l3 = data + offset;
  SLUICE_KEEP(l3);
  if (type == SLUICE_16(SLUICE_ETHERTYPE_IPV4)) return sluice_parse_ipv4(data, end, l3, packet);
  if (type == SLUICE_16(SLUICE_ETHERTYPE_IPV6)) return sluice_parse_ipv6(data, end, l3, packet);
  if (type == SLUICE_16(SLUICE_ETHERTYPE_ARP)) return sluice_parse_arp(l3, end, packet);
  return SLUICE_VERDICT_pass_not_ip;
}

/* The transport header of a common packet at `l4`, of `length` bytes with what is in it: *flags is SLUICE_PACKET_*. */
SLUICE_INLINE bool sluice_reads_common(const uint8_t* l4, const uint8_t* end, uint32_t protocol, uint32_t length,
                                       uint32_t* flags) {
  if (SLUICE_LIKELY(protocol == SLUICE_IP_TCP)) {
    if (l4 + SLUICE_TCP_BYTES > end) return false;
    const uint32_t word = sluice_load16(l4 + 12);
    const uint32_t header = (word & 0xf0) >> 2;
    if (header < SLUICE_TCP_BYTES || header > length) return false;
    *flags |= sluice_tcp_flags(word >> 8);
    return !(word >> 8 & SLUICE_TCP_SYN) || !(word >> 8 & (SLUICE_TCP_FIN | SLUICE_TCP_RST));
  }
  if (protocol != SLUICE_IP_UDP || l4 + SLUICE_UDP_BYTES > end) return false;
  const uint32_t claimed = SLUICE_16(sluice_load16(l4 + 4));
  return claimed >= SLUICE_UDP_BYTES && claimed <= length;
}

/* The common packet, in fewer steps: a flow's, whole, without VLAN tags, options or extension headers, with a hop to
 * spare. False when it is something else, or may be: then *packet says nothing. */
SLUICE_INLINE bool sluice_parse_common(const uint8_t* data, const uint8_t* end, struct sluice_packet* packet) {
  const uint8_t* l3 = data + SLUICE_ETHERNET_BYTES;
  if (l3 + SLUICE_IPV4_BYTES > end) return false;
  const uint32_t type = sluice_load16(data + 12);
  uint32_t header = SLUICE_IPV4_BYTES;
  uint32_t flags = 0;
  uint32_t total;
  uint32_t protocol;
  uint32_t hops;
  if (SLUICE_LIKELY(type == SLUICE_16(SLUICE_ETHERTYPE_IPV4))) {
    if (SLUICE_UNLIKELY(l3[0] != 0x45) || SLUICE_UNLIKELY(sluice_load16(l3 + 6) & SLUICE_16(0x3fff))) return false;
    total = SLUICE_16(sluice_load16(l3 + 2));
    const uint32_t word = sluice_load16(l3 + 8);
    hops = word & 0xff;
    protocol = word >> 8;
    packet->flow.source = sluice_ipv4(sluice_load32(l3 + 12));
    packet->flow.destination = sluice_ipv4(sluice_load32(l3 + 16));
  } else {
    if (type != SLUICE_16(SLUICE_ETHERTYPE_IPV6) || l3 + SLUICE_IPV6_BYTES > end || l3[0] >> 4 != 6) return false;
    header = SLUICE_IPV6_BYTES;
    flags = SLUICE_PACKET_IPV6;
    total = SLUICE_IPV6_BYTES + SLUICE_16(sluice_load16(l3 + 4));
    const uint32_t word = sluice_load16(l3 + 6);
    protocol = word & 0xff;
    hops = word >> 8;
    packet->flow.source = sluice_load_address(l3 + 8);
    packet->flow.destination = sluice_load_address(l3 + 24);
    if (SLUICE_UNLIKELY(sluice_poses_as_ipv4(&packet->flow))) return false;
  }
  if (SLUICE_UNLIKELY(hops <= 1) || (uint64_t)(end - l3) < total) return false;
  const uint8_t* l4 = l3 + header;
  if (total < header || !sluice_reads_common(l4, end, protocol, total - header, &flags)) return false;
  const uint32_t ports = sluice_load32(l4);
  if (SLUICE_UNLIKELY(sluice_has_no_port(ports))) return false;
  sluice_store64(&packet->flow.ports, (uint64_t)protocol << 32 | ports);
  sluice_store64(&packet->fragment_id, (uint64_t)(SLUICE_ETHERNET_BYTES | (SLUICE_ETHERNET_BYTES + header) << 16)
                                           << 32);
  sluice_store64(&packet->l3_length, (uint64_t)flags << 40 | total);
  return true;
}

/* Parses the frame [data, end) into *packet. SLUICE_CONTINUE, or the packet's verdict. */
SLUICE_INLINE enum sluice_verdict sluice_parse(const uint8_t* data, const uint8_t* end, struct sluice_packet* packet) {
  if (SLUICE_LIKELY(sluice_parse_common(data, end, packet))) return SLUICE_CONTINUE;
  return sluice_parse_any(data, end, packet);
}

#endif /* SLUICE_PARSE_H_ */
