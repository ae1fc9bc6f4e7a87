/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What a client hears whose new flow is refused (access.h): of TCP a RST as from a closed port (RFC 9293 section
 * 3.10.7.1), which its sender believes; of UDP an ICMP error (reply.h). */
#ifndef SLUICE_REFUSAL_H_
#define SLUICE_REFUSAL_H_

#include "sluice/reply_headers.h"

/* These verdicts follow each other. */
SLUICE_INLINE bool sluice_reply_refuses(enum sluice_verdict reply) {
  return reply >= SLUICE_VERDICT_replied_source_denied && reply <= SLUICE_VERDICT_replied_listener_full;
}
SLUICE_INLINE bool sluice_reply_is_reset(const struct sluice_packet* packet, enum sluice_verdict reply) {
  return sluice_reply_refuses(reply) && packet->flow.protocol == SLUICE_IP_TCP;
}

/* The verdict when nothing is sent after all. */
SLUICE_INLINE enum sluice_verdict sluice_reply_withheld(enum sluice_verdict reply) {
  if (reply == SLUICE_VERDICT_replied_source_denied) return SLUICE_VERDICT_source_denied;
  if (reply == SLUICE_VERDICT_replied_source_over_rate) return SLUICE_VERDICT_source_over_rate;
  return reply == SLUICE_VERDICT_replied_listener_full ? SLUICE_VERDICT_listener_full : SLUICE_VERDICT_too_big;
}

SLUICE_INLINE uint32_t sluice_refusal_length(const struct sluice_packet* packet) {
  return packet->l3_offset + (packet->flags & SLUICE_PACKET_IPV6 ? SLUICE_IPV6_BYTES : SLUICE_IPV4_BYTES) +
         SLUICE_TCP_BYTES;
}

/* What answers a segment. */
struct sluice_refusal {
  /* As they lie in the packet. */
  uint32_t ports;
  uint32_t sequence;
  uint32_t acknowledgment;
  uint32_t flags;
};

/* With an acknowledgment it says what comes next; without one, what it carries is acknowledged. */
SLUICE_INLINE struct sluice_refusal sluice_refusal_of(const uint8_t* tcp, const struct sluice_packet* packet) {
  struct sluice_refusal refusal = {packet->flow.ports >> 16 | packet->flow.ports << 16, sluice_load32(tcp + 8), 0,
                                   SLUICE_TCP_RST};
  if (tcp[13] & SLUICE_TCP_ACK) return refusal;
  const uint32_t headers = (uint32_t)(packet->l4_offset - packet->l3_offset) + (uint32_t)(tcp[12] >> 4) * 4;
  const uint32_t length = packet->l3_length - headers + (packet->flags & SLUICE_PACKET_SYN ? 1 : 0);
  refusal.sequence = 0;
  refusal.acknowledgment = SLUICE_32(SLUICE_32(sluice_load32(tcp + 4)) + length);
  refusal.flags |= SLUICE_TCP_ACK;
  return refusal;
}

SLUICE_INLINE void sluice_write_refusal_tcp(uint8_t* tcp, const struct sluice_refusal* refusal,
                                            const struct sluice_packet* packet) {
  const uint32_t rest = SLUICE_32(5u << 28 | refusal->flags << 16);
  const uint32_t sum =
      sluice_pseudo_sum(&packet->flow.destination, &packet->flow.source, SLUICE_IP_TCP, SLUICE_TCP_BYTES) +
      sluice_checksum_word(refusal->ports) + sluice_checksum_word(refusal->sequence) +
      sluice_checksum_word(refusal->acknowledgment) + sluice_checksum_word(rest);
  sluice_store32(tcp, refusal->ports);
  sluice_store32(tcp + 4, refusal->sequence);
  sluice_store32(tcp + 8, refusal->acknowledgment);
  sluice_store32(tcp + 12, rest);
  sluice_store32(tcp + 16, (uint16_t)~sluice_checksum_fold(sum));
}

/* Writes the RST over the packet; the frame then has sluice_refusal_length. */
SLUICE_INLINE bool sluice_write_refusal(uint8_t* head, const uint8_t* end, const struct sluice_packet* packet,
                                        const struct sluice_port* port) {
  uint8_t* l3 = head + SLUICE_BOUND(packet->l3_offset, 0x1f);
  const uint8_t* l4 = head + SLUICE_BOUND(packet->l4_offset, 0xfff);
  SLUICE_KEEP(l3);
  if (head + SLUICE_ETHERNET_BYTES > end || l4 + SLUICE_TCP_BYTES > end) return false;
  const struct sluice_refusal refusal = sluice_refusal_of(l4, packet);
  if (packet->flags & SLUICE_PACKET_IPV6) {
    if (l3 + SLUICE_IPV6_BYTES + SLUICE_TCP_BYTES > end) return false;
    sluice_return_macs(head, port);
    sluice_write_ipv6(l3, SLUICE_TCP_BYTES, SLUICE_IP_TCP, SLUICE_REPLY_TTL, &packet->flow.destination,
                      &packet->flow.source);
    sluice_write_refusal_tcp(l3 + SLUICE_IPV6_BYTES, &refusal, packet);
    return true;
  }
  if (l3 + SLUICE_IPV4_BYTES + SLUICE_TCP_BYTES > end) return false;
  sluice_return_macs(head, port);
  sluice_write_ipv4(l3, SLUICE_TCP_BYTES, SLUICE_IP_TCP, packet);
  sluice_write_refusal_tcp(l3 + SLUICE_IPV4_BYTES, &refusal, packet);
  return true;
}

#endif /* SLUICE_REFUSAL_H_ */
