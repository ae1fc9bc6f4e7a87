/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Step 3 of a packet's journey: from a parsed packet to its listener, to an answer of our own, or out. */
#ifndef SLUICE_DISPATCH_H_
#define SLUICE_DISPATCH_H_

#include "sluice/listener.h"
#include "sluice/parse.h"

/* What a packet for a virtual address, with `flags` SLUICE_VIRTUAL_*, meets when it is no flow. */
SLUICE_INLINE enum sluice_verdict sluice_dispatch_virtual(const struct sluice_packet* packet, uint32_t flags) {
  switch (packet->kind) {
    case SLUICE_PACKET_LATER_FRAGMENT:
      return SLUICE_CONTINUE;
    case SLUICE_PACKET_ECHO:
      if (packet->flags & SLUICE_PACKET_FIRST_FRAGMENT) return (enum sluice_verdict)packet->reason;
      return flags & SLUICE_VIRTUAL_ECHO ? SLUICE_VERDICT_replied_echo : SLUICE_VERDICT_echo_off;
    case SLUICE_PACKET_ARP:
    case SLUICE_PACKET_NEIGHBOR:
      if (!(flags & SLUICE_VIRTUAL_ANNOUNCE)) return SLUICE_VERDICT_pass_not_virtual;
      if (sluice_address_equal(&packet->flow.source, &packet->flow.destination)) return SLUICE_VERDICT_address_conflict;
      return packet->kind == SLUICE_PACKET_ARP ? SLUICE_VERDICT_replied_arp : SLUICE_VERDICT_replied_neighbor;
    default:
      return (enum sluice_verdict)packet->reason;
  }
}

/* SLUICE_CONTINUE when the packet goes on to a backend: *listener is its listener, and *pool that one's;
 * SLUICE_NO_LISTENER and SLUICE_NO_POOL for a later fragment (it has no ports). Else the verdict; a replied_* one is
 * still to be written (reply.h). */
SLUICE_INLINE enum sluice_verdict sluice_dispatch(const struct sluice_tables* tables,
                                                  const struct sluice_settings* settings,
                                                  const struct sluice_packet* packet, uint32_t* listener,
                                                  uint32_t* pool) {
  *listener = SLUICE_NO_LISTENER;
  *pool = SLUICE_NO_POOL;
  if (SLUICE_LIKELY(packet->kind == SLUICE_PACKET_FLOW || packet->kind == SLUICE_PACKET_ICMP_ERROR))
    return sluice_listener_find(tables, settings, &packet->flow, listener, pool);
  uint32_t flags = 0;
  if (!sluice_virtual_find(tables, settings, &packet->flow.destination, &flags)) return SLUICE_VERDICT_pass_not_virtual;
  return sluice_dispatch_virtual(packet, flags);
}

#endif /* SLUICE_DISPATCH_H_ */
