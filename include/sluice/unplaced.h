/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * A new flow for which the connection table has no place (SLUICE_VICTIM_NONE). It is forwarded all the same, each
 * packet for itself: so by hash, in whatever pool, as its next packets are, which find no entry either. Where flows
 * have to be counted it is refused, for nobody would count it. docs/decisions/connection-table.md. */
#ifndef SLUICE_UNPLACED_H_
#define SLUICE_UNPLACED_H_

#include "sluice/access.h"
#include "sluice/select.h"

struct sluice_unplaced {
  uint64_t hash;
  uint32_t listener;
  /* In: what its packet has selected. Out: its backend's. */
  uint32_t slot;
};

/* The slot of an ordinary pool, or of that pool of a split, that the flow's next packets find. */
SLUICE_INLINE uint32_t sluice_unplaced_slot(const struct sluice_tables* tables, const struct sluice_listener* listener,
                                            const struct sluice_flow* flow, uint64_t hash) {
  const struct sluice_settings* settings = SLUICE_AT(tables, sluice_settings, settings, 0);
  const struct sluice_pool* pool = SLUICE_AT(tables, sluice_pool, pools, listener->pool);
  if (SLUICE_MISSING(settings) || SLUICE_MISSING(pool) || pool->size == 0) return SLUICE_NO_BACKEND;
  if (pool->algorithm == SLUICE_SPLIT) {
    const uint32_t of = sluice_split_pool(tables, settings, pool, listener->flags, flow, hash);
    pool = SLUICE_AT(tables, sluice_pool, pools, of);
    if (SLUICE_MISSING(pool) || pool->size == 0) return SLUICE_NO_BACKEND;
  }
  return sluice_select_by_hash(tables, settings, pool, listener->flags, flow, hash);
}

/* The verdict for the packet of such a flow, SLUICE_CONTINUE to go to its slot. */
SLUICE_STAGE int sluice_admit_unplaced(const struct sluice_tables* tables, const struct sluice_selector* selector,
                                       const struct sluice_packet* packet, struct sluice_unplaced* flow) {
  if (SLUICE_MISSING(tables) || SLUICE_MISSING(selector)) return SLUICE_VERDICT_no_table;
  if (SLUICE_MISSING(packet) || SLUICE_MISSING(flow)) return SLUICE_VERDICT_no_table;
  /* By hash already, and whoever is full. */
  if (!sluice_packet_opens(packet)) return SLUICE_CONTINUE;
  const struct sluice_listener* listener = SLUICE_AT(tables, sluice_listener, listeners, flow->listener);
  const struct sluice_access* access = SLUICE_AT(tables, sluice_access, access, flow->listener);
  if (SLUICE_MISSING(listener) || SLUICE_MISSING(access)) return SLUICE_VERDICT_no_table;
  if ((listener->flags & SLUICE_LISTENER_ACCESS) && (access->flags & SLUICE_ACCESS_LIMITED))
    return sluice_refuse(access, packet, SLUICE_VERDICT_replied_listener_full, SLUICE_VERDICT_listener_full);
  flow->slot = sluice_unplaced_slot(tables, listener, &packet->flow, flow->hash);
  if (flow->slot == SLUICE_NO_BACKEND) return SLUICE_VERDICT_no_backend;
  const struct sluice_load* load = sluice_load_of(selector, flow->slot);
  if (SLUICE_MISSING(load)) return SLUICE_VERDICT_no_table;
  const uint32_t limit = SLUICE_LOAD(&load->limit);
  return limit != 0 && !(limit & SLUICE_LIMIT_SOFT) ? SLUICE_VERDICT_backends_full : SLUICE_CONTINUE;
}

#endif /* SLUICE_UNPLACED_H_ */
