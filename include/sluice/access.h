/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Whose new flows a listener admits. Asked only when a flow is about to be connected: packets of one that is there pay
 * nothing for it, and go on when the answer has changed.
 *
 * All prefixes of a listener, allowed and denied, come to stretches of addresses that are admitted and stretches that
 * are not, in turns (src/tables/access_index.h). Where they end is a sorted array, and how many ends lie below a source
 * says which kind of stretch it is in. The array is searched as a tree of one cache line a node, each with four ends
 * and five children, so that 100,000 prefixes of either family are eight lines deep and a million ten; nothing branches
 * but the loop. Why not a trie or hashes by length: docs/decisions/admission.md. */
#ifndef SLUICE_ACCESS_H_
#define SLUICE_ACCESS_H_

#include "sluice/parse.h"
#include "sluice/source_rate.h"
#include "sluice/tables.h"

/* 4 * 5^9 ends: more than the lists of a valid configuration can make. */
#define SLUICE_ACCESS_LEVELS 10
#define SLUICE_ACCESS_CHILDREN (SLUICE_ACCESS_ENDS + 1)

SLUICE_INLINE struct sluice_number sluice_number_of(const struct sluice_address* address) {
  const struct sluice_number number = {SLUICE_64(sluice_load64(address->words)),
                                       SLUICE_64(sluice_load64(address->words + 2))};
  return number;
}

/* What a - b - borrow borrows: 1 or 0. */
SLUICE_INLINE uint64_t sluice_borrow(uint64_t a, uint64_t b, uint64_t borrow) {
  return ((~a & b) | (~(a ^ b) & (a - b - borrow))) >> 63;
}

/* 1 when a is less than b, else 0. Without a comparison, which is a branch in BPF, and of each the verifier would
 * follow both ways. */
SLUICE_INLINE uint32_t sluice_number_below(const struct sluice_number* a, const struct sluice_number* b) {
  return (uint32_t)sluice_borrow(a->high, b->high, sluice_borrow(a->low, b->low, 0));
}

/* Whether the prefixes of `listener` admit the source: 1, or 0, also when a table could not be read. Children of node i
 * are 5 i + 1 to 5 i + 5; the last level's nodes are the array, those above hold what leads there. */
SLUICE_STAGE int sluice_access_admits(const struct sluice_tables* tables, uint32_t listener,
                                      const struct sluice_address* source) {
  if (SLUICE_MISSING(tables) || SLUICE_MISSING(source)) return 0;
  const struct sluice_access* access = SLUICE_AT(tables, sluice_access, access, listener);
  if (SLUICE_MISSING(access)) return 0;
  const struct sluice_number number = sluice_number_of(source);
  uint32_t at = 0;
  uint32_t below = 0;
  for (uint32_t level = 0; level < SLUICE_ACCESS_LEVELS && level < access->levels; level++) {
    const struct sluice_access_node* node = SLUICE_AT(tables, sluice_access_node, access_nodes, access->first + at);
    if (SLUICE_MISSING(node)) return 0;
    below = 0;
    SLUICE_UNROLL
    for (uint32_t i = 0; i < SLUICE_ACCESS_ENDS; i++) below += sluice_number_below(&node->ends[i], &number);
    at = at * SLUICE_ACCESS_CHILDREN + 1 + below;
  }
  return (int)((below ^ access->flags) & SLUICE_ACCESS_LOWEST);
}

/* What becomes of a new flow's packet that is refused: the client is told, or it is not. Nobody is told of a packet
 * that ends a flow, nor of one that only belongs to it (RFC 1122 section 3.2.2 for ICMP errors). */
SLUICE_INLINE int sluice_refuse(const struct sluice_access* access, const struct sluice_packet* packet,
                                enum sluice_verdict told, enum sluice_verdict silent) {
  const bool tells = (access->flags & SLUICE_ACCESS_TELLS) && packet->kind == SLUICE_PACKET_FLOW &&
                     !(packet->flags & SLUICE_PACKET_CLOSE);
  return (int)(tells ? told : silent);
}

/* Whether the listener has as many active flows as it may have: those that the worker has been told of, and what it has
 * opened and seen end itself. */
SLUICE_INLINE bool sluice_listener_is_full(const struct sluice_selector* selector, uint32_t listener) {
  const struct sluice_listener_load* load = sluice_listener_load_of(selector, listener);
  const struct sluice_traffic* traffic = sluice_listener_traffic_of(selector, listener);
  if (SLUICE_MISSING(load) || SLUICE_MISSING(traffic)) return false;
  const uint64_t told = SLUICE_LOAD(&load->told);
  const int64_t own = (int64_t)(SLUICE_LOAD(&traffic->new_flows) - SLUICE_LOAD(&traffic->ended));
  return sluice_told_limit(told) != 0 && own + sluice_told_others(told) >= (int64_t)sluice_told_limit(told);
}

/* Of a listener that does not admit everybody: as sluice_admit. */
SLUICE_STAGE int sluice_admit_source(const struct sluice_tables* tables, const struct sluice_selector* selector,
                                     uint32_t listener, const struct sluice_packet* packet) {
  if (SLUICE_MISSING(tables) || SLUICE_MISSING(selector) || SLUICE_MISSING(packet)) return SLUICE_VERDICT_no_table;
  const struct sluice_access* access = SLUICE_AT(tables, sluice_access, access, listener);
  if (SLUICE_MISSING(access)) return SLUICE_VERDICT_no_table;
  if (!sluice_access_admits(tables, listener, &packet->flow.source))
    return sluice_refuse(access, packet, SLUICE_VERDICT_replied_source_denied, SLUICE_VERDICT_source_denied);
  if (!sluice_packet_opens(packet)) return SLUICE_CONTINUE;
  if ((access->flags & SLUICE_ACCESS_LIMITED) && sluice_listener_is_full(selector, listener))
    return sluice_refuse(access, packet, SLUICE_VERDICT_replied_listener_full, SLUICE_VERDICT_listener_full);
  if (access->most_flows == 0) return SLUICE_CONTINUE;
  if (sluice_source_take(tables, selector, listener, access->most_flows, &packet->flow.source)) return SLUICE_CONTINUE;
  return sluice_refuse(access, packet, SLUICE_VERDICT_replied_source_over_rate, SLUICE_VERDICT_source_over_rate);
}

/* Whether a packet of `listener` that has no flow yet may open one: SLUICE_CONTINUE, and its source has opened one
 * more; or its verdict. */
SLUICE_INLINE int sluice_admit(const struct sluice_tables* tables, const struct sluice_selector* selector,
                               uint32_t listener, const struct sluice_packet* packet) {
  const struct sluice_listener* record = SLUICE_AT(tables, sluice_listener, listeners, listener);
  if (SLUICE_MISSING(record)) return SLUICE_VERDICT_no_table;
  if (SLUICE_LIKELY(!(record->flags & SLUICE_LISTENER_ACCESS))) return SLUICE_CONTINUE;
  return sluice_admit_source(tables, selector, listener, packet);
}

#endif /* SLUICE_ACCESS_H_ */
