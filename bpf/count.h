// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// What is counted of each packet: by verdict, by listener, and by backend.
#pragma once

#include "connect.h"

static __always_inline void count_packet(const struct engine_job* job, uint32_t verdict, uint64_t length) {
  struct sluice_counters* counters = counters_of(job);
  if (!counters) return;
  if (!__builtin_constant_p(verdict)) verdict = SLUICE_BOUND(verdict, SLUICE_COUNTED_VERDICTS - 1);
  counters->verdicts[verdict]++;
  counters->bytes += length;
}

static __always_inline void add_traffic(struct sluice_traffic* traffic, const struct engine_job* job, uint32_t begun) {
  if (!traffic) return;
  traffic->packets++;
  traffic->bytes += job->packet.l3_length;
  if (SLUICE_UNLIKELY(begun)) traffic->new_flows++;
}
// Those for clients' packets lie in front of those for answers: `half` is 2 * partition, and one more for these.
static __always_inline void count_of_listener(const struct engine_job* job, uint32_t half, uint32_t listener,
                                              uint32_t begun) {
  add_traffic(sluice_listener_traffic_at(half * sluice_listeners_room + listener), job, begun);
}
static __always_inline void count_of_backend(const struct engine_job* job, uint32_t half, uint32_t slot,
                                             uint32_t begun) {
  add_traffic(sluice_backend_traffic_at(half * sluice_backends_room + slot), job, begun);
}

// A common packet with this verdict; `expected` is what nearly all have, so that theirs is a number in the program.
static __always_inline void count_common(const struct engine_job* job, uint32_t verdict, uint32_t expected,
                                         uint64_t length, uint32_t half, uint32_t listener, uint32_t slot) {
  if (SLUICE_UNLIKELY(verdict != expected)) {
    count_packet(job, verdict, length);
    count_of_listener(job, half, listener, 0);
    return;
  }
  count_packet(job, expected, length);
  count_of_listener(job, half, listener, 0);
  count_of_backend(job, half, slot, 0);
}
