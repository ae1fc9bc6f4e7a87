/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * A TCP RST made from nothing but a session, for an end that would otherwise wait for an answer that never comes (RFC
 * 9293 section 3.5.2). Its sequence number is the next one that the receiver expects, by what it was seen to
 * acknowledge, so it is believed (RFC 5961 section 3.2). */
#ifndef SLUICE_RESET_H_
#define SLUICE_RESET_H_

#include "sluice/checksum.h"
#include "sluice/rewrite.h"
#include "sluice/session.h"
#include "sluice/tables.h"

#define SLUICE_RESET_TTL 64
/* Of the largest: a VLAN tag, IPv6. */
#define SLUICE_RESET_BYTES (SLUICE_ETHERNET_BYTES + SLUICE_VLAN_BYTES + SLUICE_IPV6_BYTES + SLUICE_TCP_BYTES)

/* Whom a RST goes to, and from. */
struct sluice_reset {
  const uint8_t* destination_mac;
  const uint8_t* source_mac;
  const struct sluice_address* source;
  const struct sluice_address* destination;
  /* As they lie in the packet. */
  uint32_t ports;
  /* Host order. */
  uint32_t sequence;
  uint32_t acknowledgment;
  uint16_t vlan;
};

/* Only a side that has acknowledged something can be told. */
SLUICE_INLINE bool sluice_reset_possible(uint64_t receiver) {
  return (receiver & SLUICE_WORD_ACK) != 0;
}

SLUICE_INLINE void sluice_write_reset_ip(uint8_t* l3, const struct sluice_reset* reset, bool ipv6) {
  if (ipv6) {
    sluice_store32(l3, SLUICE_32(0x60000000u));
    sluice_store16(l3 + 4, SLUICE_16(SLUICE_TCP_BYTES));
    l3[6] = SLUICE_IP_TCP;
    l3[7] = SLUICE_RESET_TTL;
    sluice_write_address(l3 + 8, reset->source);
    sluice_write_address(l3 + 24, reset->destination);
    return;
  }
  sluice_store32(l3, SLUICE_32(0x45000000u | (SLUICE_IPV4_BYTES + SLUICE_TCP_BYTES)));
  sluice_store32(l3 + 4, SLUICE_32(0x4000));
  sluice_store32(l3 + 8, SLUICE_32((uint32_t)SLUICE_RESET_TTL << 24 | (uint32_t)SLUICE_IP_TCP << 16));
  sluice_store32(l3 + 12, reset->source->words[3]);
  sluice_store32(l3 + 16, reset->destination->words[3]);
  sluice_store16(l3 + 10, (uint16_t)~sluice_checksum_fold(
                              sluice_checksum_bytes(l3, l3 + SLUICE_IPV4_BYTES, SLUICE_IPV4_BYTES, SLUICE_IPV4_BYTES)));
}

/* Writes the frame at `head`, which has room for SLUICE_RESET_BYTES; returns its length. */
SLUICE_INLINE uint32_t sluice_write_reset(uint8_t* head, const struct sluice_reset* reset) {
  const bool ipv6 = !sluice_address_is_ipv4(reset->destination);
  uint8_t* l3 = head + SLUICE_ETHERNET_BYTES + (reset->vlan ? SLUICE_VLAN_BYTES : 0);
  uint8_t* tcp = l3 + (ipv6 ? SLUICE_IPV6_BYTES : SLUICE_IPV4_BYTES);
  __builtin_memcpy(head, reset->destination_mac, SLUICE_MAC_BYTES);
  __builtin_memcpy(head + SLUICE_MAC_BYTES, reset->source_mac, SLUICE_MAC_BYTES);
  sluice_write_l2_type(head, reset->vlan, ipv6 ? SLUICE_16(SLUICE_ETHERTYPE_IPV6) : SLUICE_16(SLUICE_ETHERTYPE_IPV4));
  sluice_write_reset_ip(l3, reset, ipv6);
  sluice_store32(tcp, reset->ports);
  sluice_store32(tcp + 4, SLUICE_32(reset->sequence));
  sluice_store32(tcp + 8, SLUICE_32(reset->acknowledgment));
  sluice_store32(tcp + 12, SLUICE_32(5u << 28 | (uint32_t)(SLUICE_TCP_RST | SLUICE_TCP_ACK) << 16));
  sluice_store32(tcp + 16, 0);
  const uint32_t sum = sluice_pseudo_sum(reset->source, reset->destination, SLUICE_IP_TCP, SLUICE_TCP_BYTES) +
                       sluice_checksum_bytes(tcp, tcp + SLUICE_TCP_BYTES, SLUICE_TCP_BYTES, SLUICE_TCP_BYTES);
  sluice_store16(tcp + 16, (uint16_t)~sluice_checksum_fold(sum));
  return (uint32_t)(tcp + SLUICE_TCP_BYTES - head);
}

#endif /* SLUICE_RESET_H_ */
