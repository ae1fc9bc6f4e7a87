/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Coarse time for connection entries, and a rate limit without division. The clock is CLOCK_MONOTONIC in nanoseconds,
 * passed in. */
#ifndef SLUICE_TIME_H_
#define SLUICE_TIME_H_

#include "sluice/types.h"

/* One tick is 2^31 ns, about 2.15 s: a shift. Twelve bits of ticks go round in 8,796 s, well above the longest idle
 * timeout. */
#define SLUICE_TICK_SHIFT 31
#define SLUICE_TICK_MASK 0xfff

SLUICE_INLINE uint32_t sluice_tick(uint64_t now) {
  return (uint32_t)(now >> SLUICE_TICK_SHIFT) & SLUICE_TICK_MASK;
}

SLUICE_INLINE uint32_t sluice_age(uint32_t now_tick, uint32_t seen_tick) {
  return (now_tick - seen_tick) & SLUICE_TICK_MASK;
}

/* At most one event in `interval` ns on average, `burst` (at least 1) of them at once: the generic cell rate algorithm
 * (ITU-T I.371). One writer. Zeroed memory is a limiter that has seen nothing. */
struct sluice_limiter {
  uint64_t next;
};

SLUICE_INLINE bool sluice_limiter_take(struct sluice_limiter* limiter, uint64_t now, uint64_t interval,
                                       uint64_t burst) {
  const uint64_t next = limiter->next > now ? limiter->next : now;
  if (next - now > interval * (burst - 1)) return false;
  limiter->next = next + interval;
  return true;
}

#endif /* SLUICE_TIME_H_ */
