/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Translated packets between IP versions (RFC 7915): IPv4 and IPv6 headers, fragments, and ICMP errors with the packet
 * that they quote; ICMP echo in one piece. Addresses, ports and the transport checksum follow from struct
 * sluice_endpoints, as within one version (translate.h).
 *
 * Headers grow and shrink in front of what stays where it is: the transport header, a later fragment's payload, or the
 * transport header of a quoted packet. So everything is read first (sluice_crossing_read), the engine moves the head of
 * the frame, and then all of it is written (sluice_crossing_write). Nothing is fragmented here.
 *
 * Extensions of ICMP errors (RFC 4884) are cut off: they describe the network on the other side. */
#ifndef SLUICE_TRANSLATE46_H_
#define SLUICE_TRANSLATE46_H_

#include "sluice/echo46.h"
#include "sluice/reply.h"
#include "sluice/translate.h"

#define SLUICE_IP_HOP_OPTIONS 0
#define SLUICE_IP_ROUTING 43
#define SLUICE_IP_FRAGMENT 44
#define SLUICE_IP_DESTINATION_OPTIONS 60
#define SLUICE_FRAGMENT_BYTES 8
/* An IPv4 packet up to this length may be fragmented on its way: as IPv6 it passes everywhere, so its sender will not
 * make it shorter (RFC 7915 section 5.1). */
#define SLUICE_IPV4_UNFRAGMENTED 1260
/* ICMP errors are cut to this length, of either version: RFC 4443 section 2.4(c), and more than RFC 1812 asks for. */
#define SLUICE_ERROR_BYTES SLUICE_IPV6_LEAST_MTU
/* Longer ones are not looked at: no router sends them (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4(c)). */
#define SLUICE_ERROR_MOST 4096

/* What an IP header says that the other version has too. Host order. */
struct sluice_header46 {
  /* Of a fragment; else what tells an IPv4 packet from others, 0 for nothing. */
  uint32_t identification;
  /* What the length field leaves for the transport, or for a piece of it. */
  uint32_t payload;
  /* Offset in bytes, and 1 when more fragments follow. */
  uint16_t fragment;
  /* Of the header that was read, with all options and extension headers. */
  uint16_t bytes;
  uint8_t tos;
  uint8_t hops;
  uint8_t protocol;
  /* Has a fragment header in IPv6; it may be the only fragment. */
  bool fragmented;
};

/* A packet between two versions. */
struct sluice_crossing {
  struct sluice_header46 outer;
  /* Of the packet that an ICMP error quotes. */
  struct sluice_header46 quoted;
  /* Of the IP packet that is written. */
  uint32_t length;
  /* Bytes from the IP header to what stays where it is, when read and when written. */
  uint16_t before;
  uint16_t after;
  /* Of an ICMP error: the first and the second word of its header, but for the checksum, as they are written; and the
   * sum of all that goes. */
  uint32_t kind;
  uint32_t rest;
  uint16_t gone;
};

/* Bytes of the header in the other version. */
SLUICE_INLINE uint32_t sluice_header46_length(const struct sluice_header46* header, bool ipv6) {
  if (!ipv6) return SLUICE_IPV4_BYTES;
  return SLUICE_IPV6_BYTES + (header->fragmented ? SLUICE_FRAGMENT_BYTES : 0);
}

/* Whether an option asks for a route that the packet has not yet come to the end of (RFC 791 section 3.1: loose and
 * strict source route): it is for the next address there, and IPv6 has no such thing (RFC 7915 section 4.1). Other
 * options are left out. */
SLUICE_INLINE bool sluice_source_routed(const uint8_t* l3, const uint8_t* end, uint32_t header) {
  uint32_t at = SLUICE_IPV4_BYTES;
  for (uint32_t i = 0; i < 40 && at + 2 < header; i++) {
    const uint8_t* option = l3 + SLUICE_BOUND(at, 0x3f);
    if (option + 3 > end || option[0] == 0) return false;
    if (option[0] == 131 || option[0] == 137) return option[2] <= option[1];
    if (option[0] != 1 && option[1] < 2) return false;
    at = (uint32_t)SLUICE_FORGET(at + (option[0] == 1 ? 1 : option[1]), 0x1ff, option[0]);
  }
  return false;
}

/* RFC 7915 section 4.1, without addresses. False: has no counterpart. */
SLUICE_INLINE bool sluice_read46_ipv4(const uint8_t* l3, const uint8_t* end, struct sluice_header46* header) {
  if (l3 + SLUICE_IPV4_BYTES > end) return false;
  const uint32_t bytes = (uint32_t)(l3[0] & 0xf) * 4;
  const uint32_t total = SLUICE_16(sluice_load16(l3 + 2));
  const uint32_t flags = SLUICE_16(sluice_load16(l3 + 6));
  if (bytes < SLUICE_IPV4_BYTES || total < bytes) return false;
  if (bytes > SLUICE_IPV4_BYTES && sluice_source_routed(l3, end, bytes)) return false;
  header->bytes = (uint16_t)bytes;
  header->payload = total - bytes;
  header->tos = l3[1];
  header->hops = l3[8];
  header->protocol = l3[9];
  header->fragment = (uint16_t)((flags & 0x1fff) << 3 | (flags & 0x2000) >> 13);
  header->fragmented = header->fragment != 0;
  header->identification = header->fragmented ? SLUICE_16(sluice_load16(l3 + 4)) : 0;
  return true;
}

/* RFC 7915 section 5.1: hop-by-hop and destination options and routes at their end are left out. Others have no
 * counterpart, nor has any behind a fragment header: it belongs to what was cut into pieces (section 5.1.1). */
SLUICE_INLINE bool sluice_read46_extensions(const uint8_t* l3, const uint8_t* end, struct sluice_header46* header) {
  uint32_t at = SLUICE_IPV6_BYTES;
  SLUICE_UNROLL
  for (uint32_t i = 0; i < SLUICE_EXTENSION_HEADERS; i++) {
    const uint32_t type = header->protocol;
    const bool options = type == SLUICE_IP_HOP_OPTIONS || type == SLUICE_IP_DESTINATION_OPTIONS;
    if (!options && type != SLUICE_IP_ROUTING && type != SLUICE_IP_FRAGMENT) break;
    const uint8_t* extension = l3 + SLUICE_BOUND(at, 0x7ff);
    if (header->fragmented || extension + 8 > end) return false;
    header->protocol = extension[0];
    at = (uint32_t)SLUICE_FORGET(at + 8, 0xfff, extension[0]);
    if (type == SLUICE_IP_FRAGMENT) {
      header->fragmented = true;
      header->fragment = SLUICE_16(sluice_load16(extension + 2)) & 0xfff9;
      header->identification = SLUICE_32(sluice_load32(extension + 4));
      continue;
    }
    if (type == SLUICE_IP_ROUTING && extension[3] != 0) return false;
    at = (uint32_t)SLUICE_FORGET(at + (uint32_t)extension[1] * 8, 0xfff, extension[1]);
    if (at > SLUICE_IPV6_BYTES + SLUICE_EXTENSION_BYTES) return false;
  }
  header->bytes = (uint16_t)at;
  return true;
}

SLUICE_INLINE bool sluice_read46_ipv6(const uint8_t* l3, const uint8_t* end, struct sluice_header46* header) {
  if (l3 + SLUICE_IPV6_BYTES > end) return false;
  header->tos = (uint8_t)(SLUICE_32(sluice_load32(l3)) >> 20);
  header->hops = l3[7];
  header->protocol = l3[6];
  header->fragment = 0;
  header->fragmented = false;
  header->identification = 0;
  if (!sluice_read46_extensions(l3, end, header)) return false;
  const uint32_t total = SLUICE_IPV6_BYTES + SLUICE_16(sluice_load16(l3 + 4));
  if (total < header->bytes) return false;
  header->payload = total - header->bytes;
  return header->payload <= 0xffff - SLUICE_IPV4_BYTES;
}

/* `bytes`: where the parser has found the transport header. */
SLUICE_INLINE bool sluice_read46(const uint8_t* l3, const uint8_t* end, bool ipv6, uint32_t bytes,
                                 struct sluice_header46* header) {
  if (!(ipv6 ? sluice_read46_ipv6(l3, end, header) : sluice_read46_ipv4(l3, end, header))) return false;
  return header->bytes == bytes;
}

SLUICE_INLINE bool sluice_write46_ipv6(uint8_t* l3, const uint8_t* end, const struct sluice_header46* header,
                                       const struct sluice_endpoints* to) {
  if (l3 + SLUICE_IPV6_BYTES > end) return false;
  const uint32_t extra = header->fragmented ? SLUICE_FRAGMENT_BYTES : 0;
  sluice_store32(l3, SLUICE_32(6u << 28 | (uint32_t)header->tos << 20));
  sluice_store16(l3 + 4, SLUICE_16(header->payload + extra));
  l3[6] = header->fragmented ? SLUICE_IP_FRAGMENT : header->protocol;
  l3[7] = header->hops;
  sluice_write_address(l3 + 8, to->source);
  sluice_write_address(l3 + 24, to->destination);
  if (!header->fragmented) return true;
  uint8_t* extension = l3 + SLUICE_IPV6_BYTES;
  if (extension + SLUICE_FRAGMENT_BYTES > end) return false;
  sluice_store16(extension, header->protocol);
  sluice_store16(extension + 2, SLUICE_16(header->fragment));
  sluice_store32(extension + 4, SLUICE_32(header->identification));
  return true;
}

/* Flags and identification: RFC 7915 section 5.1, 5.1.1. Without an identification a packet must not be fragmented. */
SLUICE_INLINE bool sluice_write46_ipv4(uint8_t* l3, const uint8_t* end, const struct sluice_header46* header,
                                       const struct sluice_endpoints* to) {
  if (l3 + SLUICE_IPV4_BYTES > end) return false;
  const uint32_t total = SLUICE_IPV4_BYTES + header->payload;
  const uint32_t identification = header->identification & 0xffff;
  uint32_t flags = (uint32_t)header->fragment >> 3 | (header->fragment & 1u) << 13;
  if (!header->fragmented && (total > SLUICE_IPV4_UNFRAGMENTED || identification == 0)) flags = 0x4000;
  sluice_store32(l3, SLUICE_32(0x45u << 24 | (uint32_t)header->tos << 16 | total));
  sluice_store32(l3 + 4, SLUICE_32(identification << 16 | flags));
  sluice_store32(l3 + 8, (uint32_t)header->hops | (uint32_t)header->protocol << 8);
  sluice_store32(l3 + 12, to->source->words[3]);
  sluice_store32(l3 + 16, to->destination->words[3]);
  const uint32_t sum = sluice_checksum_bytes(l3, end, SLUICE_IPV4_BYTES, SLUICE_IPV4_BYTES);
  sluice_store16(l3 + 10, (uint16_t)~sluice_checksum_fold(sum));
  return true;
}

SLUICE_INLINE bool sluice_write46(uint8_t* l3, const uint8_t* end, bool ipv6, const struct sluice_header46* header,
                                  const struct sluice_endpoints* to) {
  return ipv6 ? sluice_write46_ipv6(l3, end, header, to) : sluice_write46_ipv4(l3, end, header, to);
}

/* What a pointer into one header is in the other (RFC 7915 figures 3 and 6); 0xff: nothing. */
SLUICE_INLINE uint32_t sluice_pointer_to_ipv6(uint32_t pointer) {
  if (pointer < 2) return pointer;
  if (pointer < 4) return 4;
  if (pointer == 8) return 7;
  if (pointer == 9) return 6;
  if (pointer >= 12 && pointer < 16) return 8;
  return pointer >= 16 && pointer < 20 ? 24 : 0xff;
}
SLUICE_INLINE uint32_t sluice_pointer_to_ipv4(uint32_t pointer) {
  if (pointer < 2) return pointer;
  if (pointer == 4 || pointer == 5) return 2;
  if (pointer == 6) return 9;
  if (pointer == 7) return 8;
  if (pointer >= 8 && pointer < 24) return 12;
  return pointer >= 24 && pointer < 40 ? 16 : 0xff;
}

/* Where a router does not say its MTU: the largest usual one that the packet of this length did not pass (RFC 1191
 * section 7.1). Less than IPv6's least is of no use. */
SLUICE_INLINE uint32_t sluice_mtu_plateau(uint32_t length) {
  if (length > 32000) return 32000;
  if (length > 17914) return 17914;
  if (length > 8166) return 8166;
  if (length > 4352) return 4352;
  if (length > 2002) return 2002;
  return length > 1492 ? 1492 : SLUICE_IPV6_LEAST_MTU - SLUICE_IPV4_BYTES;
}

/* Type and code as they lie in the first word of an ICMP header. */
SLUICE_INLINE uint32_t sluice_icmp_kind(uint32_t type, uint32_t code) {
  return type | code << 8;
}

/* RFC 7915 section 4.2, destination unreachable. `mtu`: the largest IPv6 packet that the links next to us take. */
SLUICE_INLINE bool sluice_unreachable_to_ipv6(const uint8_t* icmp, uint32_t mtu, struct sluice_crossing* crossing) {
  const uint32_t code = icmp[1];
  if (code == 2) {
    /* Protocol: the next header is what is wrong. */
    crossing->kind = sluice_icmp_kind(4, 1);
    crossing->rest = SLUICE_32(6);
    return true;
  }
  if (code == 4) {
    uint32_t said = SLUICE_16(sluice_load16(icmp + 6));
    if (said == 0) said = sluice_mtu_plateau(crossing->quoted.payload + crossing->quoted.bytes);
    said += SLUICE_IPV6_BYTES - SLUICE_IPV4_BYTES;
    if (said > mtu) said = mtu;
    crossing->kind = sluice_icmp_kind(2, 0);
    crossing->rest = SLUICE_32(said < SLUICE_IPV6_LEAST_MTU ? SLUICE_IPV6_LEAST_MTU : said);
    return true;
  }
  const bool forbidden = code == 9 || code == 10 || code == 13 || code == 15;
  crossing->kind = sluice_icmp_kind(1, code == 3 ? 4 : forbidden ? 1 : 0);
  crossing->rest = 0;
  return code <= 15 && code != 14;
}

/* RFC 7915 section 4.2. False: has no counterpart. */
SLUICE_INLINE bool sluice_error_to_ipv6(const uint8_t* icmp, uint32_t mtu, struct sluice_crossing* crossing) {
  if (icmp[0] == 3) return sluice_unreachable_to_ipv6(icmp, mtu, crossing);
  crossing->rest = 0;
  if (icmp[0] == 11) {
    crossing->kind = sluice_icmp_kind(3, icmp[1]);
    return true;
  }
  /* Code 1 is of a missing option. */
  if (icmp[0] != 12 || (icmp[1] != 0 && icmp[1] != 2)) return false;
  const uint32_t pointer = sluice_pointer_to_ipv6(icmp[4]);
  crossing->kind = sluice_icmp_kind(4, 0);
  crossing->rest = SLUICE_32(pointer);
  return pointer != 0xff;
}

/* RFC 7915 section 5.2. `mtu`: the largest IPv4 packet that the links next to us take. */
SLUICE_INLINE bool sluice_error_to_ipv4(const uint8_t* icmp, uint32_t mtu, struct sluice_crossing* crossing) {
  const uint32_t code = icmp[1];
  const uint32_t word = SLUICE_32(sluice_load32(icmp + 4));
  crossing->rest = 0;
  if (icmp[0] == 1) {
    crossing->kind = sluice_icmp_kind(3, code == 1 ? 10 : code == 4 ? 3 : 1);
    return code <= 4;
  }
  if (icmp[0] == 2) {
    /* No link of IPv6 has less (RFC 8201 section 4): who says so wants small packets. */
    uint32_t said = word < SLUICE_IPV6_LEAST_MTU ? SLUICE_IPV6_LEAST_MTU : word;
    said -= SLUICE_IPV6_BYTES - SLUICE_IPV4_BYTES;
    crossing->kind = sluice_icmp_kind(3, 4);
    crossing->rest = SLUICE_32(said > mtu ? mtu : said);
    return true;
  }
  if (icmp[0] == 3) {
    crossing->kind = sluice_icmp_kind(11, code);
    return true;
  }
  if (code == 1) {
    crossing->kind = sluice_icmp_kind(3, 2);
    return true;
  }
  const uint32_t pointer = sluice_pointer_to_ipv4(word);
  crossing->kind = sluice_icmp_kind(12, 0);
  crossing->rest = SLUICE_32(pointer << 24);
  return code == 0 && pointer != 0xff;
}

/* How much of the `length` bytes behind an ICMP error's header is the quoted packet: what follows it are extensions
 * (RFC 4884 section 4), when the length is plausible. */
SLUICE_INLINE uint32_t sluice_quoted_bytes(const uint8_t* icmp, bool ipv6, uint32_t length, uint32_t least) {
  uint32_t said = (uint32_t)icmp[5] * 4;
  if (ipv6) said = icmp[0] == 1 || icmp[0] == 3 ? (uint32_t)icmp[4] * 8 : 0;
  return said >= least && said < length ? said : length;
}

/* The sum of what an ICMP error loses: its header, the IP header that it quotes, ports and checksum of the transport
 * header behind that, what is cut off, and IPv6's pseudo header. A checksum that was wrong stays wrong. */
SLUICE_INLINE uint16_t sluice_error_gone(const uint8_t* l3, const uint8_t* end, const struct sluice_packet* packet,
                                         const struct sluice_crossing* crossing) {
  const uint32_t quoted = SLUICE_ICMP_BYTES + (uint32_t)SLUICE_BOUND(packet->quote_l4, 0x7ff);
  const uint32_t most = SLUICE_ICMP_BYTES + SLUICE_IPV6_BYTES + SLUICE_EXTENSION_BYTES + 8;
  const uint8_t* icmp = l3 + SLUICE_BOUND(crossing->before - quoted, 0x7ff);
  const uint8_t* checksum = icmp + quoted + SLUICE_TCP_CHECKSUM;
  const uint32_t length = packet->l3_length - crossing->before + quoted;
  const uint32_t kept = crossing->length - crossing->after + quoted;
  uint32_t sum = sluice_checksum_fold(sluice_checksum_payload(icmp, end, quoted + 8, most)) +
                 sluice_checksum_fold(
                     sluice_checksum_payload(icmp + SLUICE_BOUND(kept, 0x1fff), end, length - kept, SLUICE_ERROR_MOST));
  if (kept >= quoted + SLUICE_TCP_CHECKSUM + 2 && checksum + 2 <= end) sum += sluice_load16(checksum);
  if ((packet->flags & SLUICE_PACKET_IPV6) && l3 + SLUICE_IPV6_BYTES <= end) {
    const struct sluice_address source = sluice_load_address(l3 + 8);
    const struct sluice_address destination = sluice_load_address(l3 + 24);
    sum += sluice_pseudo_sum(&source, &destination, SLUICE_IP_ICMPV6, length);
  }
  return sluice_checksum_fold(sum);
}

/* An ICMP error, behind its IP header, which has been read. */
SLUICE_INLINE enum sluice_verdict sluice_crossing_read_error(const uint8_t* l3, const uint8_t* end,
                                                             const struct sluice_packet* packet, uint32_t mtu,
                                                             struct sluice_crossing* crossing) {
  const bool ipv6 = packet->flags & SLUICE_PACKET_IPV6;
  const uint32_t quote_l4 = SLUICE_BOUND(packet->quote_l4, 0x7ff);
  const uint8_t* icmp = l3 + SLUICE_BOUND(crossing->before, 0x7ff);
  const uint8_t* l4 = icmp + SLUICE_ICMP_BYTES + quote_l4;
  if (packet->l3_length > SLUICE_ERROR_MOST || l4 + 8 > end) return SLUICE_VERDICT_untranslatable;
  if (!sluice_read46(icmp + SLUICE_ICMP_BYTES, end, ipv6, quote_l4, &crossing->quoted))
    return SLUICE_VERDICT_untranslatable;
  if (!(ipv6 ? sluice_error_to_ipv4(icmp, mtu, crossing) : sluice_error_to_ipv6(icmp, mtu, crossing)))
    return SLUICE_VERDICT_untranslatable;
  const uint32_t length = packet->l3_length - crossing->before;
  uint32_t kept = sluice_quoted_bytes(icmp, ipv6, length - SLUICE_ICMP_BYTES, quote_l4 + 8) - quote_l4;
  crossing->before = (uint16_t)(crossing->before + SLUICE_ICMP_BYTES + quote_l4);
  crossing->after = (uint16_t)(crossing->after + SLUICE_ICMP_BYTES + sluice_header46_length(&crossing->quoted, !ipv6));
  if (crossing->after + kept > SLUICE_ERROR_BYTES) kept = SLUICE_ERROR_BYTES - crossing->after;
  crossing->length = crossing->after + kept;
  crossing->outer.protocol = ipv6 ? SLUICE_IP_ICMP : SLUICE_IP_ICMPV6;
  crossing->quoted.protocol = sluice_protocol46(crossing->quoted.protocol, !ipv6);
  return SLUICE_CONTINUE;
}

/* The checksum `offset` bytes into [l4, end); 0 for none. It tells an IPv4 packet that nobody has cut yet from others
 * between the same hosts (RFC 791 section 3.2). That is enough where the RFC wants a generator, which workers would
 * have to share: it matters only to links of less than 1,260 bytes, two equal packets may lend each other their pieces,
 * and pieces of different ones still have to add up to this very checksum. */
SLUICE_INLINE uint32_t sluice_own_checksum(const uint8_t* l4, const uint8_t* end, uint32_t offset) {
  if (l4 + offset + 2 > end) return 0;
  return SLUICE_16(sluice_load16(l4 + offset));
}

/* sluice_crossing_read but for `gone`, the sum over an ICMP error: to the verifier it is a stage of its own. */
SLUICE_INLINE enum sluice_verdict sluice_crossing_read_headers(const uint8_t* l3, const uint8_t* end,
                                                               const struct sluice_packet* packet, uint32_t mtu,
                                                               struct sluice_crossing* crossing) {
  const bool ipv6 = packet->flags & SLUICE_PACKET_IPV6;
  const bool error = packet->kind == SLUICE_PACKET_ICMP_ERROR;
  const uint32_t bytes = SLUICE_BOUND((uint32_t)packet->l4_offset - packet->l3_offset, 0x7ff);
  struct sluice_header46* outer = &crossing->outer;
  if (!sluice_read46(l3, end, ipv6, bytes, outer)) return SLUICE_VERDICT_untranslatable;
  const uint32_t protocol = outer->protocol;
  outer->hops--;
  crossing->before = (uint16_t)bytes;
  crossing->after = (uint16_t)sluice_header46_length(outer, !ipv6);
  crossing->length = crossing->after + outer->payload;
  const bool icmp = error || packet->flow.protocol == SLUICE_IP_ICMP;
  const uint32_t offset = icmp ? 2 : sluice_checksum_offset(protocol);
  const uint32_t checksum = sluice_own_checksum(l3 + bytes, end, offset);
  if (!outer->fragmented) outer->identification = checksum;
  if (error) {
    const enum sluice_verdict verdict = sluice_crossing_read_error(l3, end, packet, mtu, crossing);
    outer->payload = crossing->length - sluice_header46_length(outer, !ipv6);
    return verdict;
  }
  if (packet->flow.protocol == SLUICE_IP_ICMP && packet->kind != SLUICE_PACKET_LATER_FRAGMENT) {
    /* What the pseudo header says of the length is known of the whole alone (RFC 7915 section 1.2). */
    if (packet->flags & SLUICE_PACKET_FIRST_FRAGMENT) return SLUICE_VERDICT_untranslatable;
    outer->protocol = sluice_protocol46(outer->protocol, !ipv6);
    return SLUICE_CONTINUE;
  }
  /* A later fragment of IPv6 is found without its protocol. */
  if (protocol != SLUICE_IP_TCP && protocol != SLUICE_IP_UDP) return SLUICE_VERDICT_untranslatable;
  const bool flow = packet->kind == SLUICE_PACKET_FLOW;
  /* RFC 8200 section 8.1: its receiver would drop it. */
  if (flow && !ipv6 && protocol == SLUICE_IP_UDP && checksum == 0) return SLUICE_VERDICT_no_checksum;
  return SLUICE_CONTINUE;
}

/* Reads the packet whose IP header is at `l3` and which ends at `end` (without the frame's padding); it has a hop to
 * lose. `mtu`: the largest packet of the other version that the links on either side take; ICMP errors say no more than
 * that (RFC 7915 section 4.2, 5.2). SLUICE_CONTINUE, or why it can't be translated. */
SLUICE_INLINE enum sluice_verdict sluice_crossing_read(const uint8_t* l3, const uint8_t* end,
                                                       const struct sluice_packet* packet, uint32_t mtu,
                                                       struct sluice_crossing* crossing) {
  const enum sluice_verdict verdict = sluice_crossing_read_headers(l3, end, packet, mtu, crossing);
  if (packet->kind == SLUICE_PACKET_ICMP_ERROR && verdict == SLUICE_CONTINUE)
    crossing->gone = sluice_error_gone(l3, end, packet, crossing);
  return verdict;
}

/* The largest packet of the sender's version that goes through a link of `mtu` as the other version. */
SLUICE_INLINE uint32_t sluice_crossing_mtu(const struct sluice_crossing* crossing, bool ipv6, uint32_t mtu) {
  if (ipv6) return mtu + SLUICE_IPV6_BYTES - SLUICE_IPV4_BYTES;
  return mtu + SLUICE_IPV4_BYTES - sluice_header46_length(&crossing->outer, true);
}

/* Sum of the message behind an ICMP error's IP header, as it is written: what sluice_error_gone has of the other one.
 * `header` bytes of it are the quoted IP header. */
SLUICE_INLINE uint32_t sluice_error_sum(const uint8_t* icmp, const uint8_t* end, uint32_t header, bool ipv6) {
  const uint8_t* quote = icmp + SLUICE_ICMP_BYTES;
  const uint8_t* l4 = quote + header;
  uint64_t sum = (uint64_t)sluice_load32(icmp) + sluice_load32(icmp + 4) + sluice_quote_sum(quote, l4, end, ipv6);
  if (header > SLUICE_IPV6_BYTES) sum += (uint64_t)sluice_load32(l4 - 8) + sluice_load32(l4 - 4);
  return sluice_checksum_narrow(sum);
}

/* The parts of sluice_crossing_write, to the verifier stages of their own. The message behind an ICMP error's IP
 * header; `to` is where the error goes. */
SLUICE_INLINE bool sluice_crossing_write_error(uint8_t* l3, const uint8_t* end, const struct sluice_packet* packet,
                                               const struct sluice_crossing* crossing,
                                               const struct sluice_endpoints* to) {
  const bool ipv6 = !(packet->flags & SLUICE_PACKET_IPV6);
  uint8_t* icmp = l3 + sluice_header46_length(&crossing->outer, ipv6);
  /* What it quotes was translated on its way here; its checksum takes that back. */
  const struct sluice_endpoints quoted = sluice_endpoints_turned(to);
  const uint32_t header = sluice_header46_length(&crossing->quoted, ipv6);
  uint8_t* l4 = icmp + SLUICE_ICMP_BYTES + header;
  if (l4 + 8 > end) return false;
  sluice_store32(icmp, crossing->kind);
  sluice_store32(icmp + 4, crossing->rest);
  if (!sluice_write46(icmp + SLUICE_ICMP_BYTES, end, ipv6, &crossing->quoted, &quoted)) return false;
  if (packet->flow.protocol == SLUICE_IP_ICMP) {
    const struct sluice_address* source = ipv6 ? quoted.source : &packet->flow.destination;
    const struct sluice_address* destination = ipv6 ? quoted.destination : &packet->flow.source;
    sluice_echo46(l4, ipv6, crossing->quoted.payload, source, destination, &quoted);
  } else {
    sluice_translate_transport(l4, end, crossing->quoted.protocol, &quoted);
  }
  uint32_t sum = sluice_checksum_fold(sluice_error_sum(icmp, end, header, ipv6));
  if (ipv6) sum += sluice_pseudo_sum(to->source, to->destination, SLUICE_IP_ICMPV6, crossing->outer.payload);
  sum = (uint32_t)(uint16_t)~crossing->gone + sluice_checksum_fold(sum);
  sluice_store16(icmp + 2, (uint16_t)~sluice_checksum_fold(sum));
  return true;
}

/* All other headers, but for what a SYN says. */
SLUICE_INLINE bool sluice_crossing_write_headers(uint8_t* l3, const uint8_t* end, const struct sluice_packet* packet,
                                                 const struct sluice_crossing* crossing,
                                                 const struct sluice_endpoints* to) {
  const bool ipv6 = !(packet->flags & SLUICE_PACKET_IPV6);
  uint8_t* l4 = l3 + sluice_header46_length(&crossing->outer, ipv6);
  if (!sluice_write46(l3, end, ipv6, &crossing->outer, to)) return false;
  if (packet->kind == SLUICE_PACKET_ICMP_ERROR || packet->kind == SLUICE_PACKET_LATER_FRAGMENT) return true;
  if (packet->flow.protocol == SLUICE_IP_ICMP) {
    if (l4 + SLUICE_ICMP_BYTES > end) return false;
    const struct sluice_address* source = ipv6 ? to->source : &packet->flow.source;
    const struct sluice_address* destination = ipv6 ? to->destination : &packet->flow.destination;
    sluice_echo46(l4, ipv6, crossing->outer.payload, source, destination, to);
    return true;
  }
  return sluice_translate_transport(l4, end, crossing->outer.protocol, to);
}
SLUICE_INLINE bool sluice_crossing_may_clamp(const struct sluice_packet* packet) {
  return packet->kind == SLUICE_PACKET_FLOW && packet->flow.protocol == SLUICE_IP_TCP;
}
SLUICE_INLINE void sluice_crossing_clamp(uint8_t* l3, const uint8_t* end, const struct sluice_packet* packet,
                                         const struct sluice_crossing* crossing, uint32_t mtu) {
  const uint32_t ip = packet->flags & SLUICE_PACKET_IPV6 ? SLUICE_IPV4_BYTES : SLUICE_IPV6_BYTES;
  sluice_clamp_mss(l3 + SLUICE_BOUND(crossing->after, 0x7f), end, mtu, SLUICE_TCP_BYTES + ip);
}

/* Writes what has been read as a packet of the other version, from `l3` to `end`, crossing->length bytes; what stays
 * where it is is crossing->after bytes behind `l3`. `mtu` is that of the link where it goes. False when it is shorter
 * than its headers, which only the verifier believes possible. */
SLUICE_INLINE bool sluice_crossing_write(uint8_t* l3, const uint8_t* end, const struct sluice_packet* packet,
                                         const struct sluice_crossing* crossing, const struct sluice_endpoints* to,
                                         uint32_t mtu) {
  if (!sluice_crossing_write_headers(l3, end, packet, crossing, to)) return false;
  if (packet->kind == SLUICE_PACKET_ICMP_ERROR) return sluice_crossing_write_error(l3, end, packet, crossing, to);
  if (sluice_crossing_may_clamp(packet)) sluice_crossing_clamp(l3, end, packet, crossing, mtu);
  return true;
}

#endif /* SLUICE_TRANSLATE46_H_ */
