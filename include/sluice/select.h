/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Pool and flow to backend: Maglev (NSDI 2016 section 3.4), one look-up in the pool's table, no division. */
#ifndef SLUICE_SELECT_H_
#define SLUICE_SELECT_H_

#include "sluice/hash.h"
#include "sluice/tables.h"

/* The slot of the backend that a new flow of this hash goes to, or SLUICE_NO_BACKEND. */
SLUICE_INLINE uint32_t sluice_select(const struct sluice_tables* tables, uint32_t pool_index, uint64_t hash) {
  const struct sluice_pool* pool = SLUICE_AT(tables, sluice_pool, pools, pool_index);
  if (SLUICE_MISSING(pool) || pool->size == 0) return SLUICE_NO_BACKEND;
#ifdef __bpf__
  const uint32_t at = pool->offset + sluice_scale(sluice_select_hash(hash), pool->size);
  const uint32_t line_at = at >> SLUICE_MAGLEV_LINE_SHIFT;
  const struct sluice_maglev_line* line =
      (const struct sluice_maglev_line*)bpf_map_lookup_elem(&sluice_maglev_map, &line_at);
  return line ? line->slots[at & ((1 << SLUICE_MAGLEV_LINE_SHIFT) - 1)] : SLUICE_NO_BACKEND;
#else
  return tables->maglev[pool->offset + sluice_scale(sluice_select_hash(hash), pool->size)];
#endif
}

#endif /* SLUICE_SELECT_H_ */
