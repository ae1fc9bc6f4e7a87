/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * A new flow's backend. A pool is an array of places, each with the slot of a backend, which the builder has filled in
 * proportion to the weights; an algorithm says which places a flow looks at. No division, and no look at more than
 * SLUICE_PLACES_TRIED places. Which algorithm does what, and why: docs/decisions/algorithms.md. Where a listener's
 * flows are split among pools, a flow finds its pool first, in places of their own: docs/decisions/splits.md. */
#ifndef SLUICE_SELECT_H_
#define SLUICE_SELECT_H_

#include "sluice/hash.h"
#include "sluice/tables.h"
#include "sluice/words.h"

/* Places that least_connections and least_time compare; neighbours, so two cache lines at most. */
#define SLUICE_PLACES_TRIED 8u
/* Others that a new flow asks for room whose own backend is full: all of them in most pools. */
#define SLUICE_MEMBERS_TRIED 32u

/* What a worker selects by besides the tables: where it is in its rounds, and the load of backends. */
#ifdef __bpf__
/* The composing program defines arrays with those of all partitions behind each other: sluice_cursors_map,
 * sluice_loads_map, sluice_listener_loads_map, sluice_backend_traffic_map and sluice_listener_traffic_map (two records
 * of each slot and listener, clients' and answers'), and sluice_sources_map, of SLUICE_SOURCE_LINES each. */
struct sluice_selector {
  uint32_t own;
  uint64_t now;
};
SLUICE_INLINE struct sluice_cursor* sluice_cursor_of(const struct sluice_selector* selector, uint32_t pool) {
  const uint32_t at = selector->own * sluice_pools_room + pool;
  return (struct sluice_cursor*)bpf_map_lookup_elem(&sluice_cursors_map, &at);
}
SLUICE_INLINE const struct sluice_load* sluice_load_of(const struct sluice_selector* selector, uint32_t slot) {
  const uint32_t at = selector->own * sluice_backends_room + slot;
  return (const struct sluice_load*)bpf_map_lookup_elem(&sluice_loads_map, &at);
}
SLUICE_INLINE const struct sluice_traffic* sluice_traffic_of(const struct sluice_selector* selector, uint32_t slot) {
  const uint32_t at = 2 * selector->own * sluice_backends_room + slot;
  return (const struct sluice_traffic*)sluice_backend_traffic_at(at);
}
SLUICE_INLINE const struct sluice_listener_load* sluice_listener_load_of(const struct sluice_selector* selector,
                                                                         uint32_t listener) {
  const uint32_t at = selector->own * sluice_listeners_room + listener;
  return (const struct sluice_listener_load*)bpf_map_lookup_elem(&sluice_listener_loads_map, &at);
}
SLUICE_INLINE const struct sluice_traffic* sluice_listener_traffic_of(const struct sluice_selector* selector,
                                                                      uint32_t listener) {
  const uint32_t at = 2 * selector->own * sluice_listeners_room + listener;
  return (const struct sluice_traffic*)sluice_listener_traffic_at(at);
}
SLUICE_INLINE uint32_t sluice_source_partitions(const struct sluice_selector* selector) {
  (void)selector;
  return sluice_partitions;
}
SLUICE_INLINE struct sluice_source_line* sluice_source_line_of(const struct sluice_selector* selector,
                                                               uint32_t partition, uint32_t line) {
  (void)selector;
  const uint32_t at = partition * SLUICE_SOURCE_LINES + line;
  return (struct sluice_source_line*)bpf_map_lookup_elem(&sluice_sources_map, &at);
}
#else
struct sluice_selector {
  /* The partition. */
  uint32_t own;
  /* CLOCK_MONOTONIC, ns. */
  uint64_t now;
  /* By pool; by slot, `traffic` of clients' packets. */
  struct sluice_cursor* cursors;
  const struct sluice_load* loads;
  struct sluice_traffic* traffic;
  /* By partition, of SLUICE_SOURCE_LINES each. */
  struct sluice_source_line* const* sources;
  uint32_t partitions;
  /* By listener, `listener_traffic` of clients' packets. */
  const struct sluice_listener_load* listener_loads;
  struct sluice_traffic* listener_traffic;
};
SLUICE_INLINE uint32_t sluice_source_partitions(const struct sluice_selector* selector) {
  return selector->partitions;
}
SLUICE_INLINE struct sluice_source_line* sluice_source_line_of(const struct sluice_selector* selector,
                                                               uint32_t partition, uint32_t line) {
  return &selector->sources[partition][line];
}
SLUICE_INLINE struct sluice_cursor* sluice_cursor_of(const struct sluice_selector* selector, uint32_t pool) {
  return &selector->cursors[pool];
}
SLUICE_INLINE const struct sluice_load* sluice_load_of(const struct sluice_selector* selector, uint32_t slot) {
  return &selector->loads[slot];
}
SLUICE_INLINE const struct sluice_traffic* sluice_traffic_of(const struct sluice_selector* selector, uint32_t slot) {
  return &selector->traffic[slot];
}
SLUICE_INLINE const struct sluice_listener_load* sluice_listener_load_of(const struct sluice_selector* selector,
                                                                         uint32_t listener) {
  return &selector->listener_loads[listener];
}
SLUICE_INLINE const struct sluice_traffic* sluice_listener_traffic_of(const struct sluice_selector* selector,
                                                                      uint32_t listener) {
  return &selector->listener_traffic[listener];
}
#endif

/* The slot in a place of the pool, or SLUICE_NO_BACKEND when it could not be read. */
SLUICE_INLINE uint32_t sluice_place_slot(const struct sluice_tables* tables, const struct sluice_pool* pool,
                                         uint32_t place) {
  const uint32_t at = pool->offset + place;
#ifdef __bpf__
  (void)tables;
  const uint32_t line_at = at >> SLUICE_MAGLEV_LINE_SHIFT;
  const struct sluice_maglev_line* line =
      (const struct sluice_maglev_line*)bpf_map_lookup_elem(&sluice_maglev_map, &line_at);
  return line ? line->slots[at & ((1 << SLUICE_MAGLEV_LINE_SHIFT) - 1)] : SLUICE_NO_BACKEND;
#else
  return tables->maglev[at];
#endif
}

/* The hash that a flow of this hash selects by: of its source alone, or of source and destination, where that is asked
 * for (SLUICE_LISTENER_BY_*). */
SLUICE_INLINE uint64_t sluice_affinity_hash(const struct sluice_settings* settings, const struct sluice_flow* flow,
                                            uint32_t affinity, uint64_t hash) {
  if (SLUICE_LIKELY(!(affinity & SLUICE_LISTENER_BY_SOURCE))) return hash;
  struct sluice_flow part = {.source = flow->source};
  if (affinity & SLUICE_LISTENER_BY_DESTINATION) part.destination = flow->destination;
  return sluice_hash_flow(settings, &part);
}

/* The slot of a member of the pool, where it has limits (sluice_pool); by turns from `place` on. */
SLUICE_INLINE uint32_t sluice_member_slot(const struct sluice_tables* tables, const struct sluice_pool* pool,
                                          uint32_t place) {
  return sluice_place_slot(tables, pool, pool->size + (place < pool->members ? place : place - pool->members));
}

/* What a flow more would cost the backend, and whether that is less: flows by weight. */
struct sluice_candidate {
  uint64_t cost;
  uint32_t weight;
  uint32_t slot;
};

/* Active flows that the worker knows of, at most 2^24 - 1, so that what follows stays within 64 bits: a latency has 20
 * bits and a weight 16. */
SLUICE_INLINE uint32_t sluice_active_flows(const struct sluice_load* load, const struct sluice_traffic* traffic) {
  const int64_t own = (int64_t)(SLUICE_LOAD(&traffic->new_flows) - SLUICE_LOAD(&traffic->ended));
  const int64_t flows = own + SLUICE_LOAD(&load->others);
  if (flows < 0) return 0;
  return flows < 0xffffff ? (uint32_t)flows : 0xffffff;
}

SLUICE_INLINE struct sluice_candidate sluice_candidate_of(const struct sluice_load* load,
                                                          const struct sluice_traffic* traffic, uint32_t slot,
                                                          bool by_time) {
  const uint32_t weight = SLUICE_LOAD(&load->weight) & 0xffff;
  const uint32_t latency = SLUICE_LOAD(&load->latency) & 0xfffff;
  struct sluice_candidate candidate = {sluice_active_flows(load, traffic) + 1u, weight ? weight : 1, slot};
  if (by_time && latency) candidate.cost *= latency;
  return candidate;
}

/* The least loaded of some places: of two at random, or of neighbours from a random one on. Neighbours of a sequence
 * are different backends wherever there are enough of them. */
SLUICE_STAGE uint32_t sluice_select_least(const struct sluice_tables* tables, const struct sluice_selector* selector,
                                          uint32_t pool_index, uint64_t hash) {
  if (SLUICE_MISSING(tables) || SLUICE_MISSING(selector)) return SLUICE_NO_BACKEND;
  const struct sluice_pool* pool = SLUICE_AT(tables, sluice_pool, pools, pool_index);
  if (SLUICE_MISSING(pool) || pool->size == 0) return SLUICE_NO_BACKEND;
  const bool random = pool->algorithm == SLUICE_RANDOM;
  const uint32_t places = random ? 2 : SLUICE_PLACES_TRIED;
  const uint32_t step = random ? 1 + sluice_scale((uint32_t)hash, pool->size - 1) : 1;
  uint32_t place = sluice_scale(sluice_select_hash(hash), pool->size);
  struct sluice_candidate best = {0, 0, SLUICE_NO_BACKEND};
  for (uint32_t i = 0; i < SLUICE_PLACES_TRIED && i < places && i < pool->size; i++) {
    const uint32_t slot = sluice_place_slot(tables, pool, place);
    const struct sluice_load* load = sluice_load_of(selector, slot);
    const struct sluice_traffic* traffic = sluice_traffic_of(selector, slot);
    if (SLUICE_MISSING(load) || SLUICE_MISSING(traffic)) return SLUICE_NO_BACKEND;
    const struct sluice_candidate other =
        sluice_candidate_of(load, traffic, slot, pool->algorithm == SLUICE_LEAST_TIME);
    if (best.weight == 0 || other.cost * best.weight < best.cost * other.weight) best = other;
    place += step;
    if (place >= pool->size) place -= pool->size;
  }
  return best.slot;
}

/* The next place of the worker's rounds. Workers begin in different places: all of them at once would meet the same
 * backends. */
SLUICE_STAGE uint32_t sluice_select_next(const struct sluice_tables* tables, const struct sluice_selector* selector,
                                         uint32_t pool_index) {
  if (SLUICE_MISSING(tables) || SLUICE_MISSING(selector)) return SLUICE_NO_BACKEND;
  const struct sluice_pool* pool = SLUICE_AT(tables, sluice_pool, pools, pool_index);
  struct sluice_cursor* cursor = sluice_cursor_of(selector, pool_index);
  if (SLUICE_MISSING(pool) || SLUICE_MISSING(cursor) || pool->size == 0) return SLUICE_NO_BACKEND;
  /* The sequence may be shorter than it was. */
  const uint32_t next = cursor->place < pool->size ? cursor->place : 0;
  cursor->place = next + 1;
  const uint32_t place = next + sluice_scale(selector->own * 0x9e3779b9u, pool->size);
  return sluice_place_slot(tables, pool, place < pool->size ? place : place - pool->size);
}

/* Whether the backend has room for a flow more. One that has not, but whose limit is a soft one, is `otherwise` from
 * here on, if that has more flows by weight. */
SLUICE_STAGE int sluice_has_room(const struct sluice_selector* selector, uint32_t slot,
                                 struct sluice_candidate* otherwise) {
  if (SLUICE_MISSING(selector) || SLUICE_MISSING(otherwise)) return false;
  const struct sluice_load* load = sluice_load_of(selector, slot);
  const struct sluice_traffic* traffic = sluice_traffic_of(selector, slot);
  if (SLUICE_MISSING(load) || SLUICE_MISSING(traffic)) return false;
  const uint32_t limit = SLUICE_LOAD(&load->limit);
  if (limit == 0 || sluice_active_flows(load, traffic) < (limit & SLUICE_LIMIT_MOST)) return true;
  if (!(limit & SLUICE_LIMIT_SOFT)) return false;
  const struct sluice_candidate soft = sluice_candidate_of(load, traffic, slot, false);
  if (otherwise->weight == 0 || soft.cost * otherwise->weight < otherwise->cost * soft.weight) *otherwise = soft;
  return false;
}

/* The backend that was selected, while it has room; else the next one that has, from one by the hash on, so that the
 * flows of a full one spread over all others; else the least loaded of those whose limit is a soft one: more flows have
 * come than the control thread has told of. */
SLUICE_STAGE uint32_t sluice_select_with_room(const struct sluice_tables* tables,
                                              const struct sluice_selector* selector, uint32_t pool_index,
                                              uint32_t selected, uint64_t hash) {
  if (SLUICE_MISSING(tables) || SLUICE_MISSING(selector)) return SLUICE_NO_BACKEND;
  const struct sluice_pool* pool = SLUICE_AT(tables, sluice_pool, pools, pool_index);
  if (SLUICE_MISSING(pool)) return SLUICE_NO_BACKEND;
  struct sluice_candidate otherwise = {0, 0, SLUICE_BACKENDS_FULL};
  if (sluice_has_room(selector, selected, &otherwise)) return selected;
  const uint32_t first = sluice_scale((uint32_t)hash, pool->members);
  for (uint32_t i = 0; i < SLUICE_MEMBERS_TRIED && i < pool->members; i++) {
    const uint32_t slot = sluice_member_slot(tables, pool, first + i);
    if (sluice_has_room(selector, slot, &otherwise)) return slot;
  }
  return otherwise.slot;
}

/* Whether a packet without a flow opens one that counts: not one in the midst of what has begun elsewhere. */
SLUICE_INLINE bool sluice_packet_opens(const struct sluice_packet* packet) {
  return packet->kind == SLUICE_PACKET_FLOW &&
         (packet->flow.protocol != SLUICE_IP_TCP || (packet->flags & SLUICE_PACKET_SYN));
}

/* Whether the packet, whose flow has no entry, is one more of a flow that may be with a backend already. By its hash it
 * goes where it went before, if that was by hash; by turns or by load it would part from its flow for certain. */
SLUICE_INLINE bool sluice_packet_follows(const struct sluice_packet* packet) {
  return (packet->kind == SLUICE_PACKET_FLOW || packet->kind == SLUICE_PACKET_ICMP_ERROR) &&
         !sluice_packet_opens(packet);
}

/* Whether the flow alone says where it goes. */
SLUICE_INLINE bool sluice_selects_by_hash(const struct sluice_pool* pool) {
  return pool->algorithm == SLUICE_MAGLEV || pool->algorithm == SLUICE_SOURCE_HASH;
}

SLUICE_INLINE uint32_t sluice_select_by_hash(const struct sluice_tables* tables, const struct sluice_settings* settings,
                                             const struct sluice_pool* pool, uint32_t listener_flags,
                                             const struct sluice_flow* flow, uint64_t hash) {
  const uint32_t affinity = pool->algorithm == SLUICE_SOURCE_HASH ? SLUICE_LISTENER_BY_SOURCE : listener_flags;
  const uint64_t selects = sluice_affinity_hash(settings, flow, affinity, hash);
  return sluice_place_slot(tables, pool, sluice_scale(sluice_select_hash(selects), pool->size));
}

SLUICE_INLINE uint32_t sluice_select_by_algorithm(const struct sluice_tables* tables,
                                                  const struct sluice_selector* selector, uint32_t listener_flags,
                                                  uint32_t pool_index, const struct sluice_pool* pool,
                                                  const struct sluice_packet* packet, uint64_t hash) {
  const struct sluice_settings* settings = SLUICE_AT(tables, sluice_settings, settings, 0);
  if (SLUICE_MISSING(settings)) return SLUICE_NO_BACKEND;
  if (SLUICE_UNLIKELY(!sluice_selects_by_hash(pool)) && !sluice_packet_follows(packet)) {
    if (pool->algorithm == SLUICE_ROUND_ROBIN) return sluice_select_next(tables, selector, pool_index);
    return sluice_select_least(tables, selector, pool_index, hash);
  }
  return sluice_select_by_hash(tables, settings, pool, listener_flags, &packet->flow, hash);
}

/* What a flow asks a pool for. */
struct sluice_selection {
  uint64_t hash;
  uint32_t pool;
  /* Of its listener. */
  uint32_t flags;
};

/* As sluice_select, in one pool. */
SLUICE_SHARED uint32_t sluice_select_in(const struct sluice_tables* tables, const struct sluice_selector* selector,
                                        const struct sluice_packet* packet, const struct sluice_selection* wanted) {
  if (SLUICE_MISSING(tables) || SLUICE_MISSING(selector)) return SLUICE_NO_BACKEND;
  if (SLUICE_MISSING(packet) || SLUICE_MISSING(wanted)) return SLUICE_NO_BACKEND;
  const struct sluice_pool* pool = SLUICE_AT(tables, sluice_pool, pools, wanted->pool);
  if (SLUICE_MISSING(pool) || pool->size == 0) return SLUICE_NO_BACKEND;
  const uint32_t slot =
      sluice_select_by_algorithm(tables, selector, wanted->flags, wanted->pool, pool, packet, wanted->hash);
  if (SLUICE_LIKELY(pool->members == 0)) return slot;
  if (packet->flow.protocol == SLUICE_IP_TCP && !(packet->flags & SLUICE_PACKET_SYN)) return slot;
  return sluice_select_with_room(tables, selector, wanted->pool, slot, wanted->hash);
}

/* The pool of a split, of one place at least, that a flow falls to. By a hash of its own: by the one that selects in
 * the pool, every pool would know but some of its places. */
SLUICE_INLINE uint32_t sluice_split_pool(const struct sluice_tables* tables, const struct sluice_settings* settings,
                                         const struct sluice_pool* split, uint32_t listener_flags,
                                         const struct sluice_flow* flow, uint64_t hash) {
  const uint64_t selects = sluice_affinity_hash(settings, flow, listener_flags, hash);
  return sluice_place_slot(tables, split, sluice_scale(sluice_split_hash(selects), split->size));
}

/* As sluice_select_in, of a split: while all backends of the flow's pool are full, in the first of the others that has
 * room. */
SLUICE_STAGE uint32_t sluice_select_split(const struct sluice_tables* tables, const struct sluice_selector* selector,
                                          const struct sluice_packet* packet, const struct sluice_selection* wanted) {
  if (SLUICE_MISSING(tables) || SLUICE_MISSING(selector)) return SLUICE_NO_BACKEND;
  if (SLUICE_MISSING(packet) || SLUICE_MISSING(wanted)) return SLUICE_NO_BACKEND;
  const struct sluice_settings* settings = SLUICE_AT(tables, sluice_settings, settings, 0);
  const struct sluice_pool* split = SLUICE_AT(tables, sluice_pool, pools, wanted->pool);
  if (SLUICE_MISSING(settings) || SLUICE_MISSING(split) || split->size == 0) return SLUICE_NO_BACKEND;
  struct sluice_selection in = *wanted;
  in.pool = sluice_split_pool(tables, settings, split, wanted->flags, &packet->flow, wanted->hash);
  uint32_t slot = sluice_select_in(tables, selector, packet, &in);
  for (uint32_t i = 0; slot == SLUICE_BACKENDS_FULL && i < SLUICE_SPLIT_POOLS && i < split->takers; i++) {
    in.pool = sluice_place_slot(tables, split, split->size + i);
    slot = sluice_select_in(tables, selector, packet, &in);
  }
  return slot;
}

/* The slot of the backend that a flow gets which this packet makes new here; SLUICE_NO_BACKEND, or
 * SLUICE_BACKENDS_FULL. A packet from the midst of a connection goes where the algorithm says, whoever is full: it is
 * none more. */
SLUICE_INLINE uint32_t sluice_select(const struct sluice_tables* tables, const struct sluice_selector* selector,
                                     uint32_t listener_index, const struct sluice_packet* packet, uint64_t hash) {
  const struct sluice_listener* listener = SLUICE_AT(tables, sluice_listener, listeners, listener_index);
  if (SLUICE_MISSING(listener)) return SLUICE_NO_BACKEND;
  const struct sluice_pool* pool = SLUICE_AT(tables, sluice_pool, pools, listener->pool);
  if (SLUICE_MISSING(pool)) return SLUICE_NO_BACKEND;
  /* Nearly all pools, without a call. */
  if (SLUICE_LIKELY(sluice_selects_by_hash(pool) && pool->members == 0 && pool->size != 0)) {
    const struct sluice_settings* settings = SLUICE_AT(tables, sluice_settings, settings, 0);
    if (SLUICE_MISSING(settings)) return SLUICE_NO_BACKEND;
    return sluice_select_by_hash(tables, settings, pool, listener->flags, &packet->flow, hash);
  }
  const struct sluice_selection wanted = {hash, listener->pool, listener->flags};
  if (SLUICE_UNLIKELY(pool->algorithm == SLUICE_SPLIT)) return sluice_select_split(tables, selector, packet, &wanted);
  return sluice_select_in(tables, selector, packet, &wanted);
}

/* Whether `pool` is one of those that the flows of a listener are split among, whose pool is `split`; an ordinary one
 * is none. */
SLUICE_STAGE int sluice_split_has(const struct sluice_tables* tables, uint32_t split, uint32_t pool) {
  if (SLUICE_MISSING(tables) || split == SLUICE_NO_POOL) return 0;
  const struct sluice_pool* record = SLUICE_AT(tables, sluice_pool, pools, split);
  if (SLUICE_MISSING(record) || record->algorithm != SLUICE_SPLIT) return 0;
  for (uint32_t i = 0; i < SLUICE_SPLIT_POOLS && i < record->members; i++) {
    if (sluice_place_slot(tables, record, record->size + i) == pool) return 1;
  }
  return 0;
}

/* The verdict for a packet whose flow has got this from sluice_select, or SLUICE_CONTINUE. */
SLUICE_INLINE int sluice_selected(uint32_t slot) {
  if (slot == SLUICE_NO_BACKEND) return SLUICE_VERDICT_no_backend;
  return slot == SLUICE_BACKENDS_FULL ? SLUICE_VERDICT_backends_full : SLUICE_CONTINUE;
}

#endif /* SLUICE_SELECT_H_ */
