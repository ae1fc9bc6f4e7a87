/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Packets that the path answers itself, made out of the packet that asks: ARP (RFC 826), neighbour advertisement (RFC
 * 4861 section 4.4), ICMP echo (RFC 792, 4443 section 4.2), fragmentation needed (RFC 1191) and packet too big (RFC
 * 4443 section 3.2). VLAN tags stay as they came; the frame goes back where it came from.
 *
 * And what a client is told whose new flow is refused: administratively prohibited (RFC 1812 section 5.2.7.1, RFC 4443
 * section 3.1), or a RST (refusal.h).
 *
 * Each kind has its growth (bytes to add in front) and its length; the engine arranges both, then sluice_reply_write
 * writes from the new head. A RST is no longer than what it answers and takes its place, so it is written before the
 * frame is cut to its length: by sluice_write_refusal. They return false when the frame is shorter than that, which
 * only the verifier believes possible. */
#ifndef SLUICE_REPLY_H_
#define SLUICE_REPLY_H_

#include "sluice/refusal.h"
#include "sluice/reply_headers.h"
#include "sluice/time.h"

#define SLUICE_ADVERTISEMENT_BYTES 32
/* An ICMP error quotes as much as fits into 576 bytes (RFC 1812 section 4.3.2.3), for IPv6 into 1,280 (RFC 4443). */
#define SLUICE_QUOTE_IPV4 (576 - SLUICE_IPV4_BYTES - SLUICE_ICMP_BYTES)
#define SLUICE_QUOTE_IPV6 (1280 - SLUICE_IPV6_BYTES - SLUICE_ICMP_BYTES)
#define SLUICE_IPV6_LEAST_MTU 1280

/* ICMP errors a worker sends: 1,000 a second on average, 50 at once. */
#define SLUICE_ERROR_INTERVAL 1000000ull
#define SLUICE_ERROR_BURST 50ull

/* Whether another one may be sent. */
SLUICE_INLINE bool sluice_error_take(struct sluice_limiter* limiter, uint64_t now) {
  return sluice_limiter_take(limiter, now, SLUICE_ERROR_INTERVAL, SLUICE_ERROR_BURST);
}

SLUICE_INLINE uint32_t sluice_quote_length(const struct sluice_packet* packet) {
  const uint32_t most = packet->flags & SLUICE_PACKET_IPV6 ? SLUICE_QUOTE_IPV6 : SLUICE_QUOTE_IPV4;
  return packet->l3_length < most ? packet->l3_length : most;
}

SLUICE_INLINE uint32_t sluice_error_headers(const struct sluice_packet* packet) {
  return SLUICE_ICMP_BYTES + (packet->flags & SLUICE_PACKET_IPV6 ? SLUICE_IPV6_BYTES : SLUICE_IPV4_BYTES);
}

/* Whether the client of a packet that is too big may be told: errors are not answered with errors (RFC 1122
 * section 3.2.2), nor are IPv4 fragments behind the first (RFC 1812 section 4.3.2.7), which was as long. */
SLUICE_INLINE bool sluice_tells_too_big(const struct sluice_packet* packet) {
  if (packet->kind == SLUICE_PACKET_LATER_FRAGMENT) return packet->flags & SLUICE_PACKET_IPV6;
  return packet->kind != SLUICE_PACKET_ICMP_ERROR;
}

/* Whether the reply quotes the packet. */
SLUICE_INLINE bool sluice_reply_is_error(const struct sluice_packet* packet, enum sluice_verdict reply) {
  return reply == SLUICE_VERDICT_replied_too_big ||
         (sluice_reply_refuses(reply) && packet->flow.protocol != SLUICE_IP_TCP);
}

SLUICE_INLINE int32_t sluice_reply_growth(const struct sluice_packet* packet, enum sluice_verdict reply) {
  return sluice_reply_is_error(packet, reply) ? (int32_t)sluice_error_headers(packet) : 0;
}

SLUICE_INLINE uint32_t sluice_reply_length(uint32_t frame_length, const struct sluice_packet* packet,
                                           enum sluice_verdict reply) {
  if (sluice_reply_is_error(packet, reply))
    return packet->l3_offset + sluice_error_headers(packet) + sluice_quote_length(packet);
  if (sluice_reply_is_reset(packet, reply)) return sluice_refusal_length(packet);
  if (reply == SLUICE_VERDICT_replied_neighbor)
    return packet->l3_offset + SLUICE_IPV6_BYTES + SLUICE_ADVERTISEMENT_BYTES;
  return frame_length;
}

SLUICE_INLINE bool sluice_write_arp_reply(uint8_t* head, const uint8_t* end, const struct sluice_packet* packet,
                                          const struct sluice_port* port) {
  uint8_t* arp = head + SLUICE_BOUND(packet->l3_offset, 0x1f);
  if (arp + SLUICE_ARP_BYTES > end || head + SLUICE_ETHERNET_BYTES > end) return false;
  sluice_return_macs(head, port);
  arp[7] = 2;
  __builtin_memcpy(arp + 18, arp + 8, 10);
  __builtin_memcpy(arp + 8, port->mac, SLUICE_MAC_BYTES);
  sluice_store32(arp + 14, packet->flow.destination.words[3]);
  return true;
}

/* Solicited and overriding; to all nodes, unsolicited, when the asker has no address yet (RFC 4861 section 7.2.4). */
SLUICE_INLINE bool sluice_write_advertisement(uint8_t* head, const uint8_t* end, const struct sluice_packet* packet,
                                              const struct sluice_port* port) {
  uint8_t* ipv6 = head + SLUICE_BOUND(packet->l3_offset, 0x1f);
  if (ipv6 + SLUICE_IPV6_BYTES + SLUICE_ADVERTISEMENT_BYTES > end || head + SLUICE_ETHERNET_BYTES > end) return false;
  struct sluice_address to = packet->flow.source;
  const bool probe = (to.words[0] | to.words[1] | to.words[2] | to.words[3]) == 0;
  sluice_return_macs(head, port);
  if (probe) {
    to.words[0] = SLUICE_32(0xff020000u);
    to.words[3] = SLUICE_32(1);
    sluice_store16(head, SLUICE_16(0x3333));
    sluice_store32(head + 2, SLUICE_32(1));
  }
  sluice_write_ipv6(ipv6, SLUICE_ADVERTISEMENT_BYTES, SLUICE_IP_ICMPV6, 255, &packet->flow.destination, &to);
  uint8_t* icmp = ipv6 + SLUICE_IPV6_BYTES;
  sluice_store32(icmp, SLUICE_32(136u << 24));
  sluice_store32(icmp + 4, probe ? SLUICE_32(0x20000000u) : SLUICE_32(0x60000000u));
  __builtin_memcpy(icmp + 8, &packet->flow.destination, sizeof(packet->flow.destination));
  sluice_store16(icmp + 24, SLUICE_16(0x0201));
  __builtin_memcpy(icmp + 26, port->mac, SLUICE_MAC_BYTES);
  const uint32_t sum = sluice_pseudo_sum(&packet->flow.destination, &to, SLUICE_IP_ICMPV6, SLUICE_ADVERTISEMENT_BYTES) +
                       sluice_checksum_bytes(icmp, end, SLUICE_ADVERTISEMENT_BYTES, SLUICE_ADVERTISEMENT_BYTES);
  sluice_store16(icmp + 2, (uint16_t)~sluice_checksum_fold(sum));
  return true;
}

/* The request turned round; everything behind the ICMP type stays as it is. */
SLUICE_INLINE bool sluice_write_echo_reply(uint8_t* head, const uint8_t* end, const struct sluice_packet* packet,
                                           const struct sluice_port* port) {
  const bool ipv6 = packet->flags & SLUICE_PACKET_IPV6;
  uint8_t* l3 = head + SLUICE_BOUND(packet->l3_offset, 0x1f);
  uint8_t* icmp = head + SLUICE_BOUND(packet->l4_offset, 0xfff);
  if (head + SLUICE_ETHERNET_BYTES > end || l3 + SLUICE_IPV4_BYTES > end || icmp + SLUICE_ICMP_BYTES > end)
    return false;
  sluice_return_macs(head, port);
  if (ipv6) {
    if (l3 + SLUICE_IPV6_BYTES > end) return false;
    l3[7] = SLUICE_REPLY_TTL;
    sluice_write_address(l3 + 8, &packet->flow.destination);
    sluice_write_address(l3 + 24, &packet->flow.source);
  } else {
    const uint16_t before = sluice_load16(l3 + 8);
    l3[8] = SLUICE_REPLY_TTL;
    sluice_store16(l3 + 10, sluice_checksum_update(sluice_load16(l3 + 10), before, sluice_load16(l3 + 8)));
    sluice_store32(l3 + 12, packet->flow.destination.words[3]);
    sluice_store32(l3 + 16, packet->flow.source.words[3]);
  }
  const uint16_t before = sluice_load16(icmp);
  icmp[0] = ipv6 ? 129 : 0;
  const uint16_t checksum = sluice_checksum_update(sluice_load16(icmp + 2), before, sluice_load16(icmp));
  /* Of a reply that is all zeros only 0xffff is right; of any other the two are the same number (RFC 1624 section 3).
   */
  sluice_store16(icmp + 2, checksum ? checksum : 0xffff);
  return true;
}

/* An error of this type and code (network order, a checksum of zero behind them) and the word behind the checksum. From
 * the virtual address, because that is whom the client talks to. */
SLUICE_INLINE bool sluice_write_error(uint8_t* head, const uint8_t* end, const struct sluice_packet* packet,
                                      const struct sluice_port* port, uint32_t type, uint32_t word) {
  const uint32_t l2 = SLUICE_BOUND(packet->l3_offset, 0x1f);
  const uint32_t payload = SLUICE_ICMP_BYTES + sluice_quote_length(packet);
  const uint32_t growth = sluice_error_headers(packet);
  uint8_t* l3 = head + l2;
  if (head + SLUICE_ETHERNET_BYTES > end || head + growth + 22 > end ||
      l3 + SLUICE_IPV6_BYTES + SLUICE_ICMP_BYTES > end)
    return false;
  /* Ethernet and up to two tags; what is copied too much is overwritten below. */
  __builtin_memcpy(head, head + growth, SLUICE_ETHERNET_BYTES + SLUICE_VLAN_TAGS * SLUICE_VLAN_BYTES);
  sluice_return_macs(head, port);
  uint8_t* icmp = l3 + growth - SLUICE_ICMP_BYTES;
  sluice_store32(icmp, type);
  sluice_store32(icmp + 4, word);
  uint32_t sum = 0;
  if (packet->flags & SLUICE_PACKET_IPV6) {
    sluice_write_ipv6(l3, payload, SLUICE_IP_ICMPV6, SLUICE_REPLY_TTL, &packet->flow.destination, &packet->flow.source);
    sum = sluice_pseudo_sum(&packet->flow.destination, &packet->flow.source, SLUICE_IP_ICMPV6, payload);
  } else {
    sluice_write_ipv4(l3, payload, SLUICE_IP_ICMP, packet);
  }
  sum += sluice_checksum_fold(sluice_checksum_payload(icmp, end, payload, SLUICE_ICMP_BYTES + SLUICE_QUOTE_IPV6));
  sluice_store16(icmp + 2, (uint16_t)~sluice_checksum_fold(sum));
  return true;
}

/* `mtu` is the largest packet that would have passed, of replied_too_big only. That is sent for IPv4 without DF too:
 * the path does not fragment, and a client that hears of the path's MTU does. */
SLUICE_INLINE bool sluice_reply_write(uint8_t* head, const uint8_t* end, const struct sluice_packet* packet,
                                      enum sluice_verdict reply, const struct sluice_port* port, uint32_t mtu) {
  if (reply == SLUICE_VERDICT_replied_arp) return sluice_write_arp_reply(head, end, packet, port);
  if (reply == SLUICE_VERDICT_replied_neighbor) return sluice_write_advertisement(head, end, packet, port);
  if (reply == SLUICE_VERDICT_replied_echo) return sluice_write_echo_reply(head, end, packet, port);
  const bool ipv6 = packet->flags & SLUICE_PACKET_IPV6;
  uint32_t type = ipv6 ? SLUICE_32(1u << 24 | 1u << 16) : SLUICE_32(3u << 24 | 13u << 16);
  uint32_t word = 0;
  if (reply == SLUICE_VERDICT_replied_too_big) {
    type = ipv6 ? SLUICE_32(2u << 24) : SLUICE_32(3u << 24 | 4u << 16);
    word = SLUICE_32(ipv6 && mtu < SLUICE_IPV6_LEAST_MTU ? SLUICE_IPV6_LEAST_MTU : mtu);
  }
  return sluice_write_error(head, end, packet, port, type, word);
}

#endif /* SLUICE_REPLY_H_ */
