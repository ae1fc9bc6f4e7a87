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

#ifdef __SSE4_1__
#  include <smmintrin.h>
#endif

/* tag 30 | state 2 | backend slot 20 | last seen 12. The tag is never 0, so an empty entry is nobody's. What tag and
 * state say is empty; one that was somebody's is not quite 0 (sluice_bucket_was_crowded). */
#define SLUICE_ENTRY_TAG_SHIFT 34
#define SLUICE_ENTRY_STATE_SHIFT 32
#define SLUICE_ENTRY_SLOT_SHIFT 12
#define SLUICE_ENTRY_EMPTY ((uint64_t)0)
#define SLUICE_ENTRY_VACATED ((uint64_t)1)

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
SLUICE_INLINE bool sluice_entry_is_empty(uint64_t entry) {
  return entry >> SLUICE_ENTRY_STATE_SHIFT == 0;
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

/* What entries of a bucket have the tag: bit i for entry i; and how many are empty, and the last of those. All are
 * compared together, without a branch; with SSE4.1 four at a time. */
struct sluice_vacancy {
  uint32_t empty;
  /* Of no meaning when none is. */
  uint32_t last;
};
#if defined(__SSE4_1__) && !defined(SLUICE_THREAD_SANITIZER)
#  define SLUICE_BUCKET_VECTORS 1
/* Of entries 4 * half to 4 * half + 3: tag and state. */
SLUICE_INLINE __m128i sluice_bucket_upper(const struct sluice_bucket* bucket, int half) {
  const __m128i* entries = (const __m128i*)bucket->entries + 2 * half;
  const __m128 a = _mm_castsi128_ps(_mm_load_si128(entries));
  const __m128 b = _mm_castsi128_ps(_mm_load_si128(entries + 1));
  return _mm_castps_si128(_mm_shuffle_ps(a, b, _MM_SHUFFLE(3, 1, 3, 1)));
}
SLUICE_INLINE uint32_t sluice_bucket_match(const struct sluice_bucket* bucket, uint32_t tag) {
  const __m128i wanted = _mm_set1_epi32((int)tag);
  __m128i equal[2];
  for (int half = 0; half < 2; half++) {
    const __m128i upper = sluice_bucket_upper(bucket, half);
    equal[half] = _mm_cmpeq_epi32(_mm_srli_epi32(upper, SLUICE_ENTRY_TAG_SHIFT - 32), wanted);
  }
  return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(equal[0], equal[1]), _mm_setzero_si128()));
}
SLUICE_INLINE struct sluice_vacancy sluice_bucket_vacancy(const struct sluice_bucket* bucket) {
  const __m128i zero = _mm_setzero_si128();
  __m128i equal[2];
  for (int half = 0; half < 2; half++) equal[half] = _mm_cmpeq_epi32(sluice_bucket_upper(bucket, half), zero);
  const uint32_t empty = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(_mm_packs_epi32(equal[0], equal[1]), zero));
  const struct sluice_vacancy room = {(uint32_t)__builtin_popcount(empty), 31u - (uint32_t)__builtin_clz(empty | 1)};
  return room;
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
SLUICE_INLINE struct sluice_vacancy sluice_bucket_vacancy(const struct sluice_bucket* bucket) {
  struct sluice_vacancy room = {0, 0};
  for (uint32_t i = 0; i < SLUICE_BUCKET_ENTRIES; i++) {
    const uint64_t entry = SLUICE_LOAD_ENTRY(&bucket->entries[i]);
    const bool empty = sluice_entry_is_empty(entry);
    room.empty = (uint32_t)SLUICE_FORGET(room.empty + empty, 0xf, entry);
    room.last = (uint32_t)SLUICE_FORGET(empty ? i : room.last, SLUICE_BUCKET_ENTRIES - 1, entry);
  }
  return room;
}
#endif

/* The entry of the flow in one bucket, or null; what it says is in *found. In BPF it is the sooner found the nearer it
 * is to the end where the search begins: that where places are taken first. */
SLUICE_INLINE uint64_t* sluice_bucket_search(struct sluice_bucket* bucket, uint64_t hash, bool from_last,
                                             uint64_t* found) {
#ifdef __bpf__
  /* One by one: to the verifier a mask is 256 different values. */
  for (uint32_t turn = 0; turn < SLUICE_BUCKET_ENTRIES; turn++) {
    const uint32_t i = from_last ? SLUICE_BUCKET_ENTRIES - 1 - turn : turn;
    const uint64_t entry = SLUICE_LOAD_ENTRY(&bucket->entries[i]);
    if (!sluice_entry_matches(entry, hash)) continue;
    *found = entry;
    return &bucket->entries[SLUICE_FORGET(i, SLUICE_BUCKET_ENTRIES - 1, entry)];
  }
  return NULL;
#else
  (void)from_last;
  const uint32_t match = sluice_bucket_match(bucket, sluice_tag(hash));
  if (match == 0) return NULL;
  uint64_t* at = &bucket->entries[__builtin_ctz(match)];
  *found = SLUICE_LOAD_ENTRY(at);
  return at;
#endif
}
/* Of the connection table. */
SLUICE_INLINE uint64_t* sluice_bucket_find(struct sluice_bucket* bucket, uint64_t hash) {
  uint64_t entry;
  return sluice_bucket_search(bucket, hash, true, &entry);
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

/* victim << 12 | age: the larger gives way first. */
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

/* Who gives way first in a full bucket: the entry, and its score. Of those with the same score the first. */
struct sluice_victim_entry {
  struct sluice_bucket* bucket;
  uint32_t index;
  uint32_t score;
};
#ifdef SLUICE_BUCKET_VECTORS
/* Entries ordered as by sluice_entry_score, but the smallest gives way first: rank << 12 | 4095 - age. The state and 1
 * in two bits are 0 for closing flows, 2 for new and 3 for confirmed ones; the rank of who has not expired is 4 more.
 * None is empty (1) but one that the sweep has emptied since. */
#  define SLUICE_RANK_ALIVE 4
/* enum sluice_victim by rank, four bits each. */
#  define SLUICE_VICTIM_OF_RANK                                                              \
    (SLUICE_VICTIM_EXPIRED | SLUICE_VICTIM_CLOSING << 4 * 4 | SLUICE_VICTIM_EMPTY << 4 * 5 | \
     SLUICE_VICTIM_NEW << 4 * 6 | SLUICE_VICTIM_CONFIRMED << 4 * 7)
/* Of entries 4 * half to 4 * half + 3, in 32 bits: by state and age alone. */
SLUICE_INLINE __m128i sluice_bucket_ranks(const struct sluice_bucket* bucket, int half, uint32_t tick) {
  const __m128i* entries = (const __m128i*)bucket->entries + 2 * half;
  const __m128i seen_and_state = _mm_set1_epi64x((int64_t)3 << SLUICE_ENTRY_STATE_SHIFT | SLUICE_TICK_MASK);
  const __m128i pairs = _mm_packs_epi32(_mm_and_si128(_mm_load_si128(entries), seen_and_state),
                                        _mm_and_si128(_mm_load_si128(entries + 1), seen_and_state));
  const __m128i sums = _mm_add_epi16(pairs, _mm_set1_epi32((int)(1 << 16 | (SLUICE_TICK_MASK & ~tick))));
  return _mm_madd_epi16(_mm_and_si128(sums, _mm_set1_epi32(3 << 16 | SLUICE_TICK_MASK)),
                        _mm_set1_epi32(1 << (16 + 12) | 1));
}
SLUICE_INLINE __m128i sluice_bucket_scores(const struct sluice_bucket* bucket, uint32_t tick, uint32_t longest_idle) {
  const uint32_t most = longest_idle < SLUICE_TICK_MASK ? longest_idle : SLUICE_TICK_MASK;
  const __m128i ranks = _mm_packs_epi32(sluice_bucket_ranks(bucket, 0, tick), sluice_bucket_ranks(bucket, 1, tick));
  const __m128i youth = _mm_and_si128(ranks, _mm_set1_epi16(SLUICE_TICK_MASK));
  const __m128i expired = _mm_or_si128(_mm_cmplt_epi16(youth, _mm_set1_epi16((short)(SLUICE_TICK_MASK - most))),
                                       _mm_cmplt_epi16(ranks, _mm_set1_epi16(SLUICE_TICK_MASK - SLUICE_CLOSING_TICKS)));
  return _mm_blendv_epi8(_mm_or_si128(ranks, _mm_set1_epi16(SLUICE_RANK_ALIVE << 12)), youth, expired);
}
SLUICE_INLINE struct sluice_victim_entry sluice_bucket_victim(struct sluice_bucket* bucket, uint32_t tick,
                                                              uint32_t longest_idle) {
  const __m128i scores = sluice_bucket_scores(bucket, tick, longest_idle);
  /* The smallest of eight, and above its 16 bits where it is. */
  const uint32_t first = (uint32_t)_mm_cvtsi128_si32(_mm_minpos_epu16(scores));
  const uint32_t victim = (uint32_t)SLUICE_VICTIM_OF_RANK >> (first >> 12 & 7) * 4 & 0xf;
  const struct sluice_victim_entry entry = {bucket, first >> 16, victim << 12 | (~first & SLUICE_TICK_MASK)};
  return entry;
}
#else
SLUICE_INLINE struct sluice_victim_entry sluice_bucket_victim(struct sluice_bucket* bucket, uint32_t tick,
                                                              uint32_t longest_idle) {
  /* A score, and below it (SLUICE_BUCKET_SHIFT bits) how far from the last one it is. */
  uint32_t best = 0;
  for (uint32_t i = 0; i < SLUICE_BUCKET_ENTRIES; i++) {
    const uint64_t entry = SLUICE_LOAD_ENTRY(&bucket->entries[i]);
    const uint32_t score = (uint32_t)SLUICE_FORGET(sluice_entry_score(entry, tick, longest_idle), 0x7fff, entry);
    const uint32_t ranked = score << SLUICE_BUCKET_SHIFT | (SLUICE_BUCKET_ENTRIES - 1 - i);
    best = (uint32_t)SLUICE_FORGET(ranked > best ? ranked : best, 0x3ffff, entry);
  }
  const struct sluice_victim_entry first = {bucket, (SLUICE_BUCKET_ENTRIES - 1) & ~best, best >> SLUICE_BUCKET_SHIFT};
  return first;
}
#endif
/* In two of them: the primary's, unless all there are confirmed flows and the secondary's is worth less. */
SLUICE_INLINE struct sluice_victim_entry sluice_victim_find(struct sluice_bucket* primary,
                                                            struct sluice_bucket* secondary, uint32_t tick,
                                                            uint32_t longest_idle) {
  const struct sluice_victim_entry first = sluice_bucket_victim(primary, tick, longest_idle);
  if (SLUICE_LIKELY(first.score >> 12 != SLUICE_VICTIM_CONFIRMED)) return first;
  const struct sluice_victim_entry other = sluice_bucket_victim(secondary, tick, longest_idle);
  return other.score > first.score ? other : first;
}

/* Whether the bucket may ever have had SLUICE_PRIMARY_FILL entries at a time. While it has not, none of its flows is in
 * its secondary bucket, whose cache line may then stay where it is. Places are taken from the last one on, so one of
 * the first half would have been; and who empties an entry leaves SLUICE_ENTRY_VACATED. */
SLUICE_STATIC_ASSERT(SLUICE_PRIMARY_FILL > SLUICE_BUCKET_ENTRIES / 2, "not all of them are in the second half");
SLUICE_INLINE bool sluice_bucket_was_crowded(const struct sluice_bucket* bucket) {
  uint64_t half = 0;
  for (uint32_t i = 0; i < SLUICE_BUCKET_ENTRIES / 2; i++) half |= SLUICE_LOAD_ENTRY(&bucket->entries[i]);
  return half != SLUICE_ENTRY_EMPTY;
}

/* Puts the flow where sluice_connection_insert would, into a primary bucket that was never crowded, as most are:
 * without vectors that is sooner seen than counted. False says nothing of the rest. */
SLUICE_INLINE bool sluice_bucket_put_at_once(struct sluice_bucket* bucket, uint64_t entry) {
  if (sluice_bucket_was_crowded(bucket)) return false;
  uint32_t last = SLUICE_BUCKET_ENTRIES - 1;
  for (; last >= SLUICE_BUCKET_ENTRIES / 2; last--) {
    if (sluice_entry_is_empty(SLUICE_LOAD_ENTRY(&bucket->entries[last]))) break;
  }
  SLUICE_STORE_ENTRY(&bucket->entries[last], entry);
  return true;
}

/* In place of who gives way first in the two full buckets. */
SLUICE_INLINE enum sluice_victim sluice_connection_push_out(struct sluice_bucket* primary,
                                                            struct sluice_bucket* secondary, uint64_t entry,
                                                            uint32_t longest_idle) {
  const struct sluice_victim_entry first =
      sluice_victim_find(primary, secondary, sluice_entry_seen(entry), longest_idle);
  /* What scores so low is a confirmed flow of that age. */
  if (first.score <= SLUICE_KEPT_TICKS && sluice_entry_state(entry) == SLUICE_STATE_NEW) return SLUICE_VICTIM_NONE;
  SLUICE_STORE_ENTRY(&first.bucket->entries[first.index], entry);
  return (enum sluice_victim)(first.score >> 12);
}

/* Puts the flow into the one bucket or the other and tells who gave way. The flow is in neither. Most flows of a table
 * with room go to the last empty place of a primary bucket that has fewer than SLUICE_PRIMARY_FILL entries. A new one
 * finds no place where all that there is are confirmed flows that were seen lately. */
SLUICE_INLINE enum sluice_victim sluice_connection_insert(struct sluice_bucket* primary,
                                                          struct sluice_bucket* secondary, uint64_t entry,
                                                          uint32_t longest_idle) {
  struct sluice_bucket* bucket = primary;
  struct sluice_vacancy room = sluice_bucket_vacancy(primary);
  if (SLUICE_UNLIKELY(room.empty <= SLUICE_BUCKET_ENTRIES - SLUICE_PRIMARY_FILL)) {
    const struct sluice_vacancy other = sluice_bucket_vacancy(secondary);
    if (other.empty > room.empty) {
      bucket = secondary;
      room = other;
    }
    if (room.empty == 0) return sluice_connection_push_out(primary, secondary, entry, longest_idle);
  }
  SLUICE_STORE_ENTRY(&bucket->entries[room.last & (SLUICE_BUCKET_ENTRIES - 1)], entry);
  return SLUICE_VICTIM_EMPTY;
}

/* Empties the entry if it is still the expired one that the sweep has seen. Any thread. */
SLUICE_INLINE bool sluice_entry_clear(uint64_t* at, uint64_t seen) {
#ifdef __bpf__
  return __sync_val_compare_and_swap(at, seen, SLUICE_ENTRY_VACATED) == seen;
#else
  return __atomic_compare_exchange_n(at, &seen, SLUICE_ENTRY_VACATED, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
#endif
}

#endif /* SLUICE_CONNECTION_H_ */
