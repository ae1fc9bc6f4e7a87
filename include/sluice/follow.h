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

/* The backend that `entry` names, if the packet may follow it: not expired, a live backend of the listener's pool (or
 * pools), not a new connection over a closing one, nor a SYN that comes again while its server is down. Else null, and
 * the flow is new. */
SLUICE_INLINE const struct sluice_backend* sluice_follow(const struct sluice_tables* tables, uint64_t entry,
                                                         const struct sluice_packet* packet,
                                                         const struct sluice_terms* terms, uint32_t tick) {
  if (sluice_entry_expired(entry, tick, terms->idle)) return NULL;
  const bool opens = packet->flags & SLUICE_PACKET_SYN;
  if (opens && sluice_entry_state(entry) == SLUICE_STATE_CLOSING) return NULL;
  const struct sluice_backend* backend = SLUICE_AT(tables, sluice_backend, backends, sluice_entry_slot(entry));
  if (SLUICE_MISSING(backend) || !(backend->flags & SLUICE_BACKEND_LIVE)) return NULL;
  if (SLUICE_UNLIKELY(backend->pool != terms->pool) && terms->pool != SLUICE_NO_POOL &&
      sluice_split_has(tables, terms->pool, backend->pool) != 1)
    return NULL;
  const bool unhealthy = backend->flags & SLUICE_BACKEND_UNHEALTHY;
  if (unhealthy && opens && sluice_entry_state(entry) == SLUICE_STATE_NEW) return NULL;
  return backend;
}

/* The common case, in fewer steps: whether a packet that finds `entry` changes nothing in it, and needs nothing from it
 * but its backend. True for a packet in the midst of a flow (no SYN, FIN, RST, fragment or ICMP error) that is
 * confirmed and has been seen in this tick, so the entry is neither expired nor closing. An empty entry never is.
 * `noted` is sluice_entry_noted of the tick. */
SLUICE_INLINE uint64_t sluice_entry_noted(uint32_t tick) {
  return (uint64_t)SLUICE_STATE_CONFIRMED << SLUICE_ENTRY_STATE_SHIFT | tick;
}
SLUICE_INLINE bool sluice_nothing_to_note(uint64_t entry, const struct sluice_packet* packet, uint64_t noted) {
  const uint64_t changing = (uint64_t)3 << SLUICE_ENTRY_STATE_SHIFT | SLUICE_TICK_MASK;
  const uint32_t flags = SLUICE_PACKET_SYN | SLUICE_PACKET_CLOSE | SLUICE_PACKET_FIRST_FRAGMENT;
  /* Kind (0 is a flow) and flags in one comparison. */
  return SLUICE_LIKELY((entry & changing) == noted) &&
         SLUICE_LIKELY((sluice_load32(&packet->kind) & (0xff | flags << 8)) == 0);
}

/* Whether packets for `pool`, a listener's, may be sent to it; and whether that is plain, as of nearly all packets. */
SLUICE_INLINE bool sluice_backend_is_of(const struct sluice_backend* backend, uint32_t pool) {
  return SLUICE_LIKELY(backend->flags & SLUICE_BACKEND_LIVE) && SLUICE_LIKELY(backend->pool == pool);
}
SLUICE_INLINE bool sluice_backend_serves(const struct sluice_tables* tables, const struct sluice_backend* backend,
                                         uint32_t pool) {
  if (SLUICE_LIKELY(sluice_backend_is_of(backend, pool))) return true;
  return (backend->flags & SLUICE_BACKEND_LIVE) && sluice_split_has(tables, pool, backend->pool) == 1;
}

/* Notes in the flow's own entry that the packet has passed; whether the packet has ended the flow. An ICMP error says
 * nothing about the flow's being alive. Written only when something changes: once a tick for a busy flow. */
SLUICE_INLINE bool sluice_touch(uint64_t* at, uint64_t entry, const struct sluice_packet* packet, uint32_t tick) {
  if (packet->kind == SLUICE_PACKET_ICMP_ERROR) return false;
  const bool closes = packet->flags & SLUICE_PACKET_CLOSE;
  const uint64_t touched = sluice_entry_touch(entry, tick, packet->flags & SLUICE_PACKET_SYN, closes);
  if (touched != entry) SLUICE_STORE_ENTRY(at, touched);
  return closes && sluice_entry_state(entry) != SLUICE_STATE_CLOSING;
}

/* Whether a packet without an entry gets one: flows do, unless all it does is end one. */
SLUICE_INLINE bool sluice_makes_entry(const struct sluice_packet* packet) {
  return packet->kind == SLUICE_PACKET_FLOW && !(packet->flags & SLUICE_PACKET_CLOSE);
}

#endif /* SLUICE_FOLLOW_H_ */
