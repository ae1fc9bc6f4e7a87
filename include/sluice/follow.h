/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Step 4 of a packet's journey: the flow's entry, and what the packet makes of it. Composed by the engines, which know
 * where the buckets are. */
#ifndef SLUICE_FOLLOW_H_
#define SLUICE_FOLLOW_H_

#include "sluice/connection.h"
#include "sluice/hash.h"
#include "sluice/select.h"

/* What the steps after dispatch need to know of a packet's listener. */
struct sluice_terms {
  /* SLUICE_NO_POOL for a later fragment: whatever live backend its first went to. */
  uint32_t pool;
  uint32_t idle;
};

/* Reads the terms of `listener` (SLUICE_NO_LISTENER for a later fragment); false when a table could not be read. */
SLUICE_INLINE bool sluice_terms_find(const struct sluice_tables* tables, uint32_t listener,
                                     struct sluice_terms* terms) {
  if (SLUICE_UNLIKELY(listener == SLUICE_NO_LISTENER)) {
    terms->pool = SLUICE_NO_POOL;
    terms->idle = SLUICE_FRAGMENT_TICKS;
    return true;
  }
  const struct sluice_listener* record = SLUICE_AT(tables, sluice_listener, listeners, listener);
  if (SLUICE_MISSING(record)) return false;
  terms->pool = record->pool;
  terms->idle = record->idle;
  return true;
}

/* The hash that the packet's entry is found by. */
SLUICE_INLINE uint64_t sluice_packet_hash(const struct sluice_settings* settings, const struct sluice_packet* packet) {
  if (SLUICE_LIKELY(packet->kind != SLUICE_PACKET_LATER_FRAGMENT)) return sluice_hash_flow(settings, &packet->flow);
  const struct sluice_flow flow = sluice_fragment_flow(packet);
  return sluice_hash_flow(settings, &flow);
}

/* The backend that `entry` names, if the packet may follow it: not expired, not a new connection over a closing one, a
 * live backend of the listener's pool. Else null, and the flow is new. */
SLUICE_INLINE const struct sluice_backend* sluice_follow(const struct sluice_tables* tables, uint64_t entry,
                                                         const struct sluice_packet* packet,
                                                         const struct sluice_terms* terms, uint32_t tick) {
  if (sluice_entry_expired(entry, tick, terms->idle)) return NULL;
  if ((packet->flags & SLUICE_PACKET_SYN) && sluice_entry_state(entry) == SLUICE_STATE_CLOSING) return NULL;
  const struct sluice_backend* backend = SLUICE_AT(tables, sluice_backend, backends, sluice_entry_slot(entry));
  if (SLUICE_MISSING(backend) || !(backend->flags & SLUICE_BACKEND_LIVE)) return NULL;
  if (backend->pool != terms->pool && terms->pool != SLUICE_NO_POOL) return NULL;
  return backend;
}

/* Notes in the flow's own entry that the packet has passed. An ICMP error says nothing about the flow's being alive.
 * Written only when something changes: once a tick for a busy flow. */
SLUICE_INLINE void sluice_touch(uint64_t* at, uint64_t entry, const struct sluice_packet* packet, uint32_t tick) {
  if (packet->kind == SLUICE_PACKET_ICMP_ERROR) return;
  const uint64_t touched =
      sluice_entry_touch(entry, tick, packet->flags & SLUICE_PACKET_SYN, packet->flags & SLUICE_PACKET_CLOSE);
  if (touched != entry) SLUICE_STORE_ENTRY(at, touched);
}

/* Whether a packet without an entry gets one: flows do, unless all it does is end one. */
SLUICE_INLINE bool sluice_makes_entry(const struct sluice_packet* packet) {
  return packet->kind == SLUICE_PACKET_FLOW && !(packet->flags & SLUICE_PACKET_CLOSE);
}

#endif /* SLUICE_FOLLOW_H_ */
