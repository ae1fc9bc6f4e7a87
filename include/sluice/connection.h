/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The connection table: which backend a flow stays with. Entries of eight bytes, buckets of one cache line, two buckets
 * a flow, fixed size, never rehashed. A partition's table has one writer (its worker); the sweep of the control thread
 * empties expired entries by compare-and-swap, and other workers read.
 *
 * An entry has no five-tuple but 30 bits of its hash. Two flows share an entry only when bucket and tag agree (with 30
 * tag bits and 2^20 buckets one pair in 10^15), and then only the same listener's pool is followed: the newer flow
 * joins the older one's backend, which is harmless.
 *
 * Two choices (Azar, Broder, Karlin, Upfal 1994): the primary bucket while it has fewer than five entries, else the
 * emptier one. At 12 bytes a flow (two thirds full) no flow of 4 M was evicted when tried and 15 % lie in their
 * secondary bucket; first fit lost 0.4 %. */
#ifndef SLUICE_CONNECTION_H_
#define SLUICE_CONNECTION_H_

#include "sluice/tables.h"
#include "sluice/time.h"
#include "sluice/types.h"

#ifdef __SSE2__
#  include <emmintrin.h>
#endif

/* tag 30 | state 2 | backend slot 20 | last seen 12. The tag is never 0, so an empty entry is nobody's. */
#define SLUICE_ENTRY_TAG_SHIFT 34
#define SLUICE_ENTRY_STATE_SHIFT 32
#define SLUICE_ENTRY_SLOT_SHIFT 12
#define SLUICE_ENTRY_EMPTY ((uint64_t)0)

enum sluice_connection_state {
  SLUICE_STATE_EMPTY = 0,
  /* Seen one packet, or nothing but SYNs. */
  SLUICE_STATE_NEW = 1,
  SLUICE_STATE_CONFIRMED = 2,
  /* A FIN or RST has passed. */
  SLUICE_STATE_CLOSING = 3,
};

/* How long a closing flow, and a fragment's, is remembered after its last packet. Reassembly gives up after 60 s (RFC
 * 8200 section 4.5); TIME-WAIT is 2 MSL, in practice 60 s. */
#define SLUICE_CLOSING_TICKS 28
#define SLUICE_FRAGMENT_TICKS 28
/* A confirmed flow that was seen so many ticks ago (32 to 34 s) or later keeps its entry, whoever comes: those that say
 * something every 30 s do (docs/decisions/connection-table.md). */
#define SLUICE_KEPT_TICKS 15

#define SLUICE_PRIMARY_FILL 5

/* The sweep and other workers read while the owner writes: an entry is read and written whole. */
#ifdef __bpf__
#  define SLUICE_LOAD_ENTRY(at) (*(const volatile uint64_t*)(at))
#  define SLUICE_STORE_ENTRY(at, value) (*(volatile uint64_t*)(at) = (value))
#else
#  define SLUICE_LOAD_ENTRY(at) __atomic_load_n((at), __ATOMIC_RELAXED)
#  define SLUICE_STORE_ENTRY(at, value) __atomic_store_n((at), (value), __ATOMIC_RELAXED)
#endif

/* A vector load is no data race to the machine (aligned words are read whole), but it is one to the thread sanitizer.
 */
#if defined(__has_feature)
#  if __has_feature(thread_sanitizer)
#    define SLUICE_THREAD_SANITIZER 1
#  endif
#endif
#ifdef __SANITIZE_THREAD__
#  define SLUICE_THREAD_SANITIZER 1
#endif

/* 30 bits of the hash that its buckets don't depend on, and never 0. */
SLUICE_INLINE uint32_t sluice_tag(uint64_t hash) {
  const uint32_t tag = (uint32_t)hash & 0x3fffffff;
  return tag ? tag : 1;
}

SLUICE_INLINE uint64_t sluice_entry_make(uint64_t hash, uint32_t slot, uint32_t state, uint32_t tick) {
  return (uint64_t)sluice_tag(hash) << SLUICE_ENTRY_TAG_SHIFT | (uint64_t)state << SLUICE_ENTRY_STATE_SHIFT |
         (uint64_t)slot << SLUICE_ENTRY_SLOT_SHIFT | tick;
}
/* Whether the entry is the flow's. */
SLUICE_INLINE bool sluice_entry_matches(uint64_t entry, uint64_t hash) {
  return (uint32_t)(entry >> SLUICE_ENTRY_TAG_SHIFT) == sluice_tag(hash);
}
SLUICE_INLINE uint32_t sluice_entry_slot(uint64_t entry) {
  return (uint32_t)(entry >> SLUICE_ENTRY_SLOT_SHIFT) & 0xfffff;
}
SLUICE_INLINE uint32_t sluice_entry_state(uint64_t entry) {
  return (uint32_t)(entry >> SLUICE_ENTRY_STATE_SHIFT) & 3;
}
SLUICE_INLINE uint32_t sluice_entry_seen(uint64_t entry) {
  return (uint32_t)entry & SLUICE_TICK_MASK;
}

/* Whether an entry is still worth something, for a flow with this idle timeout (ticks). */
SLUICE_INLINE bool sluice_entry_expired(uint64_t entry, uint32_t tick, uint32_t idle) {
  const uint32_t age = sluice_age(tick, sluice_entry_seen(entry));
  const uint32_t most =
      sluice_entry_state(entry) == SLUICE_STATE_CLOSING && idle > SLUICE_CLOSING_TICKS ? SLUICE_CLOSING_TICKS : idle;
  return age > most;
}

/* Which entries of a bucket have the tag: bit i for entry i. All are compared together, without a branch; with SSE2,
 * which every x86-64 has, four at a time. */
#if defined(__SSE2__) && !defined(SLUICE_THREAD_SANITIZER)
SLUICE_INLINE uint32_t sluice_bucket_match(const struct sluice_bucket* bucket, uint32_t tag) {
  const __m128i* entries = (const __m128i*)bucket->entries;
  const __m128i wanted = _mm_set1_epi32((int)tag);
  __m128i equal[2];
  for (int half = 0; half < 2; half++) {
    const __m128 a = _mm_castsi128_ps(_mm_load_si128(entries + 2 * half));
    const __m128 b = _mm_castsi128_ps(_mm_load_si128(entries + 2 * half + 1));
    /* The upper words of four entries: tag and state. */
    const __m128i upper = _mm_castps_si128(_mm_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)));
    equal[half] = _mm_cmpeq_epi32(_mm_srli_epi32(upper, SLUICE_ENTRY_TAG_SHIFT - 32), wanted);
  }
  return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(equal[0], equal[1]), _mm_setzero_si128()));
}
#else
SLUICE_INLINE uint32_t sluice_bucket_match(const struct sluice_bucket* bucket, uint32_t tag) {
  uint32_t match = 0;
  for (uint32_t i = 0; i < SLUICE_BUCKET_ENTRIES; i++) {
    const uint64_t entry = SLUICE_LOAD_ENTRY(&bucket->entries[i]);
    match |= (uint32_t)((uint32_t)(entry >> SLUICE_ENTRY_TAG_SHIFT) == tag) << i;
  }
  return match;
}
#endif

/* The entry of the flow in one bucket, or null. */
SLUICE_INLINE uint64_t* sluice_bucket_find(struct sluice_bucket* bucket, uint64_t hash) {
#ifdef __bpf__
  /* One by one: to the verifier a mask is 256 different values. */
  for (uint32_t i = 0; i < SLUICE_BUCKET_ENTRIES; i++) {
    const uint64_t entry = SLUICE_LOAD_ENTRY(&bucket->entries[i]);
    if (sluice_entry_matches(entry, hash)) return &bucket->entries[SLUICE_FORGET(i, SLUICE_BUCKET_ENTRIES - 1, entry)];
  }
  return NULL;
#else
  const uint32_t match = sluice_bucket_match(bucket, sluice_tag(hash));
  return match ? &bucket->entries[__builtin_ctz(match)] : NULL;
#endif
}

/* What a packet of the flow makes of its entry: seen now; confirmed by anything but a SYN; closing by FIN or RST. */
SLUICE_INLINE uint64_t sluice_entry_touch(uint64_t entry, uint32_t tick, bool syn, bool close) {
  uint32_t state = sluice_entry_state(entry);
  if (close) {
    state = SLUICE_STATE_CLOSING;
  } else if (!syn && state == SLUICE_STATE_NEW) {
    state = SLUICE_STATE_CONFIRMED;
  }
  const uint64_t changing = (uint64_t)3 << SLUICE_ENTRY_STATE_SHIFT | SLUICE_TICK_MASK;
  return (entry & ~changing) | (uint64_t)state << SLUICE_ENTRY_STATE_SHIFT | tick;
}

/* Who gives way, worst first: the counters of an insertion go by these. SLUICE_VICTIM_NONE: nobody does, and the flow
 * has no entry. */
enum sluice_victim {
  SLUICE_VICTIM_CONFIRMED = 0,
  SLUICE_VICTIM_NEW = 1,
  SLUICE_VICTIM_CLOSING = 2,
  SLUICE_VICTIM_EXPIRED = 3,
  SLUICE_VICTIM_EMPTY = 4,
  SLUICE_VICTIM_NONE = 5,
  SLUICE_VICTIM_COUNT = 6,
};

struct sluice_choice {
  uint64_t* entry;
  /* victim << 12 | age: the larger gives way first. */
  uint32_t score;
  uint32_t occupied;
};

SLUICE_INLINE uint32_t sluice_entry_score(uint64_t entry, uint32_t tick, uint32_t longest_idle) {
  const uint32_t state = sluice_entry_state(entry);
  const uint32_t age = sluice_age(tick, sluice_entry_seen(entry));
  uint32_t victim = SLUICE_VICTIM_CONFIRMED;
  if (state == SLUICE_STATE_NEW) victim = SLUICE_VICTIM_NEW;
  if (state == SLUICE_STATE_CLOSING) victim = SLUICE_VICTIM_CLOSING;
  if (sluice_entry_expired(entry, tick, longest_idle)) victim = SLUICE_VICTIM_EXPIRED;
  if (state == SLUICE_STATE_EMPTY) victim = SLUICE_VICTIM_EMPTY;
  return victim << 12 | age;
}

SLUICE_INLINE struct sluice_choice sluice_bucket_choose(struct sluice_bucket* bucket, uint32_t tick,
                                                        uint32_t longest_idle) {
  /* The index below the score: the largest of both is found without a branch. */
  uint32_t best = 0;
  uint32_t occupied = 0;
  for (uint32_t i = 0; i < SLUICE_BUCKET_ENTRIES; i++) {
    const uint64_t entry = SLUICE_LOAD_ENTRY(&bucket->entries[i]);
    const uint32_t score = (uint32_t)SLUICE_FORGET(sluice_entry_score(entry, tick, longest_idle), 0x7fff, entry);
    const uint32_t ranked = score << SLUICE_BUCKET_SHIFT | i;
    occupied = (uint32_t)SLUICE_FORGET(occupied + (score < (uint32_t)SLUICE_VICTIM_EXPIRED << 12), 0xf, entry);
    best = (uint32_t)SLUICE_FORGET(ranked > best ? ranked : best, 0x3ffff, entry);
  }
  const struct sluice_choice choice = {&bucket->entries[best & (SLUICE_BUCKET_ENTRIES - 1)],
                                       best >> SLUICE_BUCKET_SHIFT, occupied};
  return choice;
}

/* Most buckets of a table with room: fewer than SLUICE_PRIMARY_FILL entries, and an empty place, of which the last one
 * would be chosen. Places are taken from the last one on, so the first ones tell. */
SLUICE_INLINE bool sluice_bucket_put_early(struct sluice_bucket* bucket, uint64_t entry) {
  uint64_t first = 0;
  for (uint32_t i = 0; i <= SLUICE_BUCKET_ENTRIES - SLUICE_PRIMARY_FILL; i++) {
    first |= SLUICE_LOAD_ENTRY(&bucket->entries[i]);
  }
  if (first != SLUICE_ENTRY_EMPTY) return false;
  uint32_t last = SLUICE_BUCKET_ENTRIES - 1;
  for (; last > SLUICE_BUCKET_ENTRIES - SLUICE_PRIMARY_FILL; last--) {
    if (SLUICE_LOAD_ENTRY(&bucket->entries[last]) == SLUICE_ENTRY_EMPTY) break;
  }
  SLUICE_STORE_ENTRY(&bucket->entries[last], entry);
  return true;
}

/* Puts the flow into the one bucket or the other and tells who gave way. The flow is in neither. A new one finds no
 * place where all that there is are confirmed flows that were seen lately. */
SLUICE_INLINE enum sluice_victim sluice_connection_insert(struct sluice_bucket* primary,
                                                          struct sluice_bucket* secondary, uint64_t entry,
                                                          uint32_t longest_idle) {
  if (sluice_bucket_put_early(primary, entry)) return SLUICE_VICTIM_EMPTY;
  const uint32_t tick = sluice_entry_seen(entry);
  struct sluice_choice choice = sluice_bucket_choose(primary, tick, longest_idle);
  if (choice.occupied >= SLUICE_PRIMARY_FILL) {
    const struct sluice_choice other = sluice_bucket_choose(secondary, tick, longest_idle);
    const bool both_full = choice.occupied == SLUICE_BUCKET_ENTRIES && other.occupied == SLUICE_BUCKET_ENTRIES;
    if (both_full ? other.score > choice.score : other.occupied < choice.occupied) choice = other;
  }
  /* What scores so low is a confirmed flow of that age. */
  if (choice.score <= SLUICE_KEPT_TICKS && sluice_entry_state(entry) == SLUICE_STATE_NEW) return SLUICE_VICTIM_NONE;
  SLUICE_STORE_ENTRY(choice.entry, entry);
  return (enum sluice_victim)(choice.score >> 12);
}

/* Empties the entry if it is still the expired one that the sweep has seen. Any thread. */
SLUICE_INLINE bool sluice_entry_clear(uint64_t* at, uint64_t seen) {
#ifdef __bpf__
  return __sync_val_compare_and_swap(at, seen, SLUICE_ENTRY_EMPTY) == seen;
#else
  return __atomic_compare_exchange_n(at, &seen, SLUICE_ENTRY_EMPTY, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
#endif
}

#endif /* SLUICE_CONNECTION_H_ */
