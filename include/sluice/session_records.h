/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the owners of NAT sessions have besides sessions and buckets (tables.h). */
#ifndef SLUICE_SESSION_RECORDS_H_
#define SLUICE_SESSION_RECORDS_H_

#include "sluice/counters.h"
#include "sluice/tables.h"

/* What an owner remembers from packet to packet. Zeroed but for the free records, it is one that has done nothing. */
#define SLUICE_PORT_CURSORS 1024
struct sluice_session_owner {
  struct sluice_session_counters counters;
  /* Free records: `free_count` of the ring from `free_head` on. */
  uint32_t free_head;
  uint32_t free_count;
  /* So many always stay free: also in a full table a record rests for a while before it is used again, and whoever has
   * just read it does not write into another session. */
  uint32_t spare;
  /* Where the search for one that may give way goes on. */
  uint32_t hand;
  /* Of the kernel: what is added to it stands between a store and the loads behind it. */
  uint64_t fence;
  uint64_t reserved[4];
  /* How far port searches have come, by server. */
  uint16_t cursors[SLUICE_PORT_CURSORS];
} __attribute__((aligned(64)));
SLUICE_STATIC_ASSERT(sizeof(struct sluice_session_owner) == 128 + 2 * SLUICE_PORT_CURSORS, "whole cache lines");
#define SLUICE_MOST_SPARE 64u

SLUICE_INLINE void sluice_session_owner_begin(struct sluice_session_owner* owner, uint32_t sessions) {
  owner->free_count = sessions;
  owner->spare = sessions / 16 < SLUICE_MOST_SPARE ? sessions / 16 : SLUICE_MOST_SPARE;
}

/* Sessions that the sweep has found to be over, on their way to their owner. `tail` is the sweep's, `head` the owner's.
 */
#define SLUICE_EXPIRED 4096u
struct sluice_expired {
  uint32_t ring[SLUICE_EXPIRED];
  uint32_t head __attribute__((aligned(64)));
  uint32_t tail __attribute__((aligned(64)));
} __attribute__((aligned(64)));

/* How the rings of free records lie in an array of the kernel, whose records are no shorter than eight bytes. */
#define SLUICE_FREE_LINE 16u
struct sluice_free_line {
  uint32_t records[SLUICE_FREE_LINE];
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_free_line) == 64, "one cache line");

#ifndef __bpf__
/* The memory of one owner's sessions. A view. */
struct sluice_session_partition {
  /* Of a partition without sessions: one empty bucket. */
  struct sluice_bucket* buckets;
  uint32_t bucket_count;
  uint32_t session_count;
  struct sluice_session* sessions;
  /* Datagrams under way in fragments. */
  struct sluice_fragment* fragments;
  /* Indices of free sessions, a ring of session_count. */
  uint32_t* free;
  struct sluice_session_owner* state;
  struct sluice_expired* expired;
};
#endif

#endif /* SLUICE_SESSION_RECORDS_H_ */
