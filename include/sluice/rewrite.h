/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * New headers for a packet that goes to its backend: Ethernet alone (dsr_l2), or Ethernet and a tunnel around the
 * client's packet (ipip: RFC 2003, 2473, 4213; gue: draft-ietf-intarea-gue-09, variant 0, over IPv4 or IPv6 UDP).
 *
 * As the RFCs on tunnels say: the inner TTL or hop limit goes down by one, because the packet is forwarded (RFC 2003
 * section 3.1, RFC 2473 section 3.1); the outer one starts at 64; DSCP is copied out (uniform model, RFC 2983), and so
 * is ECN (normal mode, RFC 6040 section 4.1); the outer IPv4 header is atomic with DF set, so its identification is 0
 * (RFC 6864); outer UDP over IPv6 has no checksum (RFC 6935, 6936) and its source port (RFC 6335 dynamic range) as well
 * as the IPv6 flow label (RFC 6438) carry the flow's entropy. dsr_l2 changes MAC addresses and the VLAN tag and nothing
 * else.
 *
 * The engine moves the packet's head by sluice_rewrite_growth bytes and sets its length to sluice_rewrite_length, then
 * sluice_rewrite writes from the new head. */
#ifndef SLUICE_REWRITE_H_
#define SLUICE_REWRITE_H_

#include "sluice/checksum.h"
#include "sluice/parse.h"
#include "sluice/tables.h"

#define SLUICE_GUE_BYTES 4
#define SLUICE_OUTER_TTL 64

SLUICE_INLINE uint32_t sluice_l2_length(const struct sluice_backend* backend) {
  return SLUICE_ETHERNET_BYTES + (backend->vlan ? SLUICE_VLAN_BYTES : 0);
}

/* Bytes by which the head of the frame moves forward (negative: VLAN tags go). */
SLUICE_INLINE int32_t sluice_rewrite_growth(const struct sluice_packet* packet, const struct sluice_backend* backend) {
  return (int32_t)(sluice_l2_length(backend) + backend->outer_length) - (int32_t)packet->l3_offset;
}

/* Length of the new frame. Padding behind the IP packet stays where nothing is put around it. */
SLUICE_INLINE uint32_t sluice_rewrite_length(uint32_t frame_length, const struct sluice_packet* packet,
                                             const struct sluice_backend* backend) {
  const uint32_t l2 = sluice_l2_length(backend);
  if (backend->forwarding == SLUICE_DSR_L2) return l2 + (frame_length - packet->l3_offset);
  return l2 + backend->outer_length + packet->l3_length;
}

SLUICE_INLINE bool sluice_exceeds_mtu(const struct sluice_packet* packet, const struct sluice_backend* backend) {
  return packet->l3_length + backend->outer_length > backend->mtu;
}

/* Sum of the outer IPv4 header's words that are the same for every packet of a backend; the builder keeps it in
 * `outer_sum`. Version, DF, TTL, addresses; without length, TOS and protocol. */
SLUICE_INLINE uint16_t sluice_outer_sum(uint32_t source, uint32_t destination) {
  return sluice_checksum_fold(SLUICE_16(0x4500) + SLUICE_16(0x4000) + SLUICE_16(SLUICE_OUTER_TTL << 8) +
                              sluice_checksum_word(source) + sluice_checksum_word(destination));
}

/* What follows the MAC addresses; `vlan` in host order, 0 for no tag. */
SLUICE_INLINE void sluice_write_l2_type(uint8_t* at, uint16_t vlan, uint16_t type) {
  if (vlan) {
    sluice_store16(at + 12, SLUICE_16(SLUICE_ETHERTYPE_VLAN));
    sluice_store16(at + 14, SLUICE_16(vlan));
    sluice_store16(at + 16, type);
  } else {
    sluice_store16(at + 12, type);
  }
}

/* Both MAC addresses, which the record begins with. */
SLUICE_INLINE void sluice_write_macs(uint8_t* at, const struct sluice_backend* backend) {
  const uint8_t* macs = (const uint8_t*)backend;
  sluice_store64(at, sluice_load64(macs));
  sluice_store32(at + 8, sluice_load32(macs + 8));
}

SLUICE_INLINE void sluice_write_l2(uint8_t* at, const struct sluice_backend* backend, uint16_t type) {
  sluice_write_macs(at, backend);
  sluice_write_l2_type(at, backend->vlan, type);
}

/* `payload` is the length behind the header, `protocol` what is in it, `tos` DSCP and ECN. */
SLUICE_INLINE void sluice_write_outer_ipv4(uint8_t* at, const struct sluice_backend* backend, uint32_t payload,
                                           uint32_t protocol, uint32_t tos) {
  const uint16_t total = SLUICE_16(SLUICE_IPV4_BYTES + payload);
  const uint32_t sum = (uint32_t)backend->outer_sum + total + SLUICE_16(tos) + SLUICE_16(protocol);
  const uint32_t checksum = (uint16_t)~sluice_checksum_fold(sum);
  sluice_store64(at, (uint64_t)SLUICE_32(0x4000) << 32 | (uint32_t)total << 16 | tos << 8 | 0x45);
  sluice_store32(at + 8, checksum << 16 | protocol << 8 | SLUICE_OUTER_TTL);
  sluice_store32(at + 12, backend->source.words[3]);
  sluice_store32(at + 16, backend->destination.words[3]);
}

SLUICE_INLINE void sluice_write_outer_ipv6(uint8_t* at, const struct sluice_backend* backend, uint32_t payload,
                                           uint32_t protocol, uint32_t tos, uint64_t hash) {
  sluice_store32(at, SLUICE_32(0x60000000u | tos << 20 | ((uint32_t)hash & 0xfffff)));
  sluice_store16(at + 4, SLUICE_16(payload));
  at[6] = (uint8_t)protocol;
  at[7] = SLUICE_OUTER_TTL;
  sluice_write_address(at + 8, &backend->source);
  sluice_write_address(at + 24, &backend->destination);
}

/* UDP and GUE; `inner` is the length of the packet inside. */
SLUICE_INLINE void sluice_write_gue(uint8_t* at, const struct sluice_backend* backend, uint32_t inner,
                                    uint32_t protocol, uint64_t hash) {
  sluice_store16(at, SLUICE_16(0xc000 | ((uint32_t)(hash >> 20) & 0x3fff)));
  sluice_store16(at + 2, backend->service_port);
  sluice_store16(at + 4, SLUICE_16(SLUICE_UDP_BYTES + SLUICE_GUE_BYTES + inner));
  sluice_store16(at + 6, 0);
  /* Variant 0, data, no optional fields; what is inside; no flags. */
  sluice_store32(at + 8, SLUICE_32(protocol << 16));
}

/* Takes one hop off the inner packet, which is known to have more than one, and gives its DSCP and ECN. */
SLUICE_INLINE uint32_t sluice_forward_inner(uint8_t* inner, bool ipv6) {
  if (ipv6) {
    inner[7]--;
    return (SLUICE_32(sluice_load32(inner)) >> 20) & 0xff;
  }
  /* The TTL is the lower byte of its word in memory: ~m + m' of RFC 1624 is the same whatever it was. */
  sluice_store16(inner + 10, (uint16_t)~sluice_checksum_sum((uint16_t)~sluice_load16(inner + 10), 0xfffe));
  inner[8]--;
  return inner[1];
}

/* Whether the packet is on its last hop; `l3` is its IP header. */
SLUICE_INLINE bool sluice_is_last_hop(const uint8_t* l3, const struct sluice_packet* packet) {
  return l3[packet->flags & SLUICE_PACKET_IPV6 ? 7 : 8] <= 1;
}
/* Whether a tunnel would use that up. */
SLUICE_INLINE bool sluice_ttl_expires(const uint8_t* l3, const struct sluice_packet* packet,
                                      const struct sluice_backend* backend) {
  return backend->forwarding != SLUICE_DSR_L2 && sluice_is_last_hop(l3, packet);
}

/* The tunnel's headers between `at` and the inner packet at at + backend->outer_length. The comparisons with `end` are
 * for the verifier: a frame of sluice_rewrite_length is never shorter. */
SLUICE_INLINE bool sluice_write_outer(uint8_t* at, const uint8_t* end, const struct sluice_packet* packet,
                                      const struct sluice_backend* backend, uint64_t hash) {
  uint8_t* inner = at + SLUICE_BOUND(backend->outer_length, 0x3f);
  if (inner + SLUICE_IPV4_BYTES > end) return false;
  const bool inner_ipv6 = packet->flags & SLUICE_PACKET_IPV6;
  const uint32_t inner_protocol = inner_ipv6 ? SLUICE_IP_IPV6 : SLUICE_IP_IPV4;
  const uint32_t tos = sluice_forward_inner(inner, inner_ipv6);
  const bool gue = backend->forwarding == SLUICE_GUE;
  const uint32_t payload = packet->l3_length + (gue ? SLUICE_UDP_BYTES + SLUICE_GUE_BYTES : 0);
  const uint32_t protocol = gue ? SLUICE_IP_UDP : inner_protocol;
  if (backend->flags & SLUICE_BACKEND_OUTER_IPV6) {
    if (at + SLUICE_IPV6_BYTES > end) return false;
    sluice_write_outer_ipv6(at, backend, payload, protocol, tos, hash);
    at += SLUICE_IPV6_BYTES;
  } else {
    if (at + SLUICE_IPV4_BYTES > end) return false;
    sluice_write_outer_ipv4(at, backend, payload, protocol, tos);
    at += SLUICE_IPV4_BYTES;
  }
  if (!gue) return true;
  if (at + SLUICE_UDP_BYTES + SLUICE_GUE_BYTES > end) return false;
  sluice_write_gue(at, backend, packet->l3_length, inner_protocol, hash);
  return true;
}

/* What the word of a backend says that begins with its pool, which is to be put to it, when its packets take few steps:
 * a live one with a next hop and no VLAN tag, in one of these modes. */
#define SLUICE_PLAIN_WORD(mode, family) \
  ((uint64_t)(mode) << 48 | (uint64_t)(SLUICE_BACKEND_LIVE | SLUICE_BACKEND_NEXT_HOP | (family)) << 56)
#define SLUICE_PLAIN_DSR_L2 SLUICE_PLAIN_WORD(SLUICE_DSR_L2, 0)
#define SLUICE_PLAIN_IPIP SLUICE_PLAIN_WORD(SLUICE_IPIP, 0)
#define SLUICE_PLAIN_IPIP_IPV6 SLUICE_PLAIN_WORD(SLUICE_IPIP, SLUICE_BACKEND_OUTER_IPV6)

/* The common case, in fewer steps: whether the frame keeps all but its MAC addresses: a live backend of the pool,
 * dsr_l2, a next hop, no VLAN tag on either side, small enough. Then sluice_write_macs is all that is to be done.
 * `plain` is sluice_plain_backend of the pool. */
SLUICE_INLINE uint64_t sluice_plain_backend(uint32_t pool) {
  return pool | SLUICE_PLAIN_DSR_L2;
}
SLUICE_INLINE bool sluice_only_macs_change(const struct sluice_packet* packet, const struct sluice_backend* backend,
                                           uint64_t plain) {
  return SLUICE_LIKELY(sluice_load64(&backend->pool) == plain) &&
         SLUICE_LIKELY(packet->l3_offset == SLUICE_ETHERNET_BYTES) && SLUICE_LIKELY(packet->l3_length <= backend->mtu);
}

/* The common tunnel, in fewer steps: of a common packet (parse.h), in its frame of `length` bytes, to a backend that is
 * SLUICE_PLAIN_IPIP or SLUICE_PLAIN_IPIP_IPV6: whether it is small enough and has no padding behind it. Then the
 * frame's head moves forward by `outer`, the length of the outer header, and sluice_write_ipip is all that is to be
 * done. */
SLUICE_INLINE bool sluice_only_ipip_comes(uint64_t length, const struct sluice_packet* packet,
                                          const struct sluice_backend* backend, uint32_t outer) {
  return SLUICE_LIKELY(length == SLUICE_ETHERNET_BYTES + packet->l3_length) &&
         SLUICE_LIKELY(packet->l3_length + outer <= backend->mtu);
}
SLUICE_INLINE void sluice_write_ipip(uint8_t* head, const struct sluice_packet* packet,
                                     const struct sluice_backend* backend, uint64_t hash, bool outer_ipv6) {
  const bool inner_ipv6 = packet->flags & SLUICE_PACKET_IPV6;
  uint8_t* at = head + SLUICE_ETHERNET_BYTES;
  uint8_t* inner = at + (outer_ipv6 ? SLUICE_IPV6_BYTES : SLUICE_IPV4_BYTES);
  const uint32_t protocol = inner_ipv6 ? SLUICE_IP_IPV6 : SLUICE_IP_IPV4;
  const uint32_t tos = sluice_forward_inner(inner, inner_ipv6);
  sluice_write_macs(head, backend);
  sluice_store16(head + 12, outer_ipv6 ? SLUICE_16(SLUICE_ETHERTYPE_IPV6) : SLUICE_16(SLUICE_ETHERTYPE_IPV4));
  if (outer_ipv6) {
    sluice_write_outer_ipv6(at, backend, packet->l3_length, protocol, tos, hash);
  } else {
    sluice_write_outer_ipv4(at, backend, packet->l3_length, protocol, tos);
  }
}

/* Writes the headers of a frame that now starts at `head`. False when it is shorter than they are, which only the
 * verifier believes possible. */
SLUICE_INLINE bool sluice_rewrite(uint8_t* head, const uint8_t* end, const struct sluice_packet* packet,
                                  const struct sluice_backend* backend, uint64_t hash) {
  const bool dsr = backend->forwarding == SLUICE_DSR_L2;
  const bool ipv6 = dsr ? packet->flags & SLUICE_PACKET_IPV6 : backend->flags & SLUICE_BACKEND_OUTER_IPV6;
  if (head + SLUICE_ETHERNET_BYTES + SLUICE_VLAN_BYTES > end) return false;
  sluice_write_l2(head, backend, ipv6 ? SLUICE_16(SLUICE_ETHERTYPE_IPV6) : SLUICE_16(SLUICE_ETHERTYPE_IPV4));
  return dsr || sluice_write_outer(head + sluice_l2_length(backend), end, packet, backend, hash);
}

#endif /* SLUICE_REWRITE_H_ */
