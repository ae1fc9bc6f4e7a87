/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What an owner does to its sessions: makes them and ends them. The same for a worker in user space and for the kernel
 * on a queue's behalf. What a new flow gets: session_open.h.
 *
 * Each session has one owner, which alone opens and ends it. Others read its records and buckets meanwhile: an entry is
 * written whole and after its record, and taken away before it; the list of free records is first in, first out, so a
 * record is not used again soon.
 *
 * In BPF each SLUICE_STAGE is a function of its own to the verifier. */
#ifndef SLUICE_SESSION_OWNER_H_
#define SLUICE_SESSION_OWNER_H_

#include "sluice/session_owned.h"
#include "sluice/words.h"

/* The bucket of the flow: its primary one, then its secondary one. */
SLUICE_INLINE uint32_t sluice_owned_place(struct sluice_owned* of, uint64_t hash, uint32_t second) {
  const uint32_t buckets = sluice_owned_buckets(of);
  return second ? sluice_secondary_bucket(hash, buckets) : sluice_primary_bucket(hash, buckets);
}

/* The bucket where a flow is looked for first is on its way from here on. Only natively, as BPF can ask for nothing
 * without waiting for it. */
SLUICE_INLINE void sluice_session_fetch_bucket(struct sluice_owned* of, uint64_t hash) {
#ifdef __bpf__
  (void)of;
  (void)hash;
#else
  __builtin_prefetch(sluice_owned_bucket(of, sluice_owned_place(of, hash, 0)), 1);
#endif
}

/* `backend` is the session's. */
SLUICE_INLINE bool sluice_session_is_over_at(const struct sluice_tables* tables, const struct sluice_backend* backend,
                                             const struct sluice_session* session, uint64_t forward, uint64_t reverse,
                                             uint32_t tick) {
  const struct sluice_session_terms* terms = SLUICE_AT(tables, sluice_session_terms, session_terms, session->listener);
  if (SLUICE_MISSING(backend) || SLUICE_MISSING(terms) || !(backend->flags & SLUICE_BACKEND_LIVE)) return true;
  if (SLUICE_LOAD(&session->flags) & SLUICE_SESSION_OVER) return true;
  return sluice_session_expired(session->protocol, forward, reverse, terms, tick);
}
SLUICE_INLINE bool sluice_session_is_over(const struct sluice_tables* tables, const struct sluice_session* session,
                                          uint64_t forward, uint64_t reverse, uint32_t tick) {
  const struct sluice_backend* backend = SLUICE_AT(tables, sluice_backend, backends, session->backend);
  return sluice_session_is_over_at(tables, backend, session, forward, reverse, tick);
}

/* The hash that the entry of this kind has. False when a table could not be read. */
SLUICE_INLINE bool sluice_session_hash(const struct sluice_tables* tables, const struct sluice_session* session,
                                       bool reverse, uint64_t* hash) {
  const struct sluice_settings* settings = SLUICE_AT(tables, sluice_settings, settings, 0);
  const struct sluice_session_terms* terms = SLUICE_AT(tables, sluice_session_terms, session_terms, session->listener);
  const struct sluice_backend* backend = SLUICE_AT(tables, sluice_backend, backends, session->backend);
  const struct sluice_address* source = sluice_session_source(tables, session);
  if (SLUICE_MISSING(settings) || SLUICE_MISSING(terms) || SLUICE_MISSING(backend) || SLUICE_MISSING(source))
    return false;
  const struct sluice_flow flow = reverse ? sluice_session_reverse_flow(session, &backend->destination, source)
                                          : sluice_session_forward_flow(session, &terms->address);
  *hash = sluice_hash_flow(settings, &flow);
  return true;
}

/* Whether both are of one flow as its client sends it, be it another listener's by now. */
SLUICE_INLINE bool sluice_session_is_of_client(const struct sluice_tables* tables, const struct sluice_session* a,
                                               const struct sluice_session* b) {
  const struct sluice_session_terms* to_a = SLUICE_AT(tables, sluice_session_terms, session_terms, a->listener);
  const struct sluice_session_terms* to_b = SLUICE_AT(tables, sluice_session_terms, session_terms, b->listener);
  if (SLUICE_MISSING(to_a) || SLUICE_MISSING(to_b)) return false;
  return sluice_session_same_client(a, &to_a->address, b, &to_b->address);
}

/* The first empty place of a bucket, or SLUICE_BUCKET_ENTRIES. */
SLUICE_INLINE uint32_t sluice_bucket_room(const struct sluice_bucket* bucket) {
  for (uint32_t i = 0; i < SLUICE_BUCKET_ENTRIES; i++) {
    const uint64_t entry = SLUICE_LOAD_ENTRY(&bucket->entries[i]);
    if (sluice_entry_is_empty(entry)) return (uint32_t)SLUICE_FORGET(i, SLUICE_BUCKET_ENTRIES - 1, entry);
  }
  return SLUICE_BUCKET_ENTRIES;
}
SLUICE_INLINE uint32_t sluice_bucket_occupied(const struct sluice_bucket* bucket) {
  uint32_t occupied = 0;
  for (uint32_t i = 0; i < SLUICE_BUCKET_ENTRIES; i++) {
    const uint64_t entry = SLUICE_LOAD_ENTRY(&bucket->entries[i]);
    occupied = (uint32_t)SLUICE_FORGET(occupied + !sluice_entry_is_empty(entry), 0xf, entry);
  }
  return occupied;
}

/* A session's entry goes to its secondary bucket only when its primary one has as many. That is later than for flows of
 * the connection table (SLUICE_PRIMARY_FILL), so that of a full table 6 % are there in place of 15: an entry that finds
 * both buckets full pushes none out, as others have another place to move to. */
#define SLUICE_SESSION_FILL 7

/* Whether the bucket may ever have had so many at a time. While it has not, none of its flows is in its secondary
 * bucket, whose cache line may then stay where it is. Places are taken from the first one on, so one of the last ones
 * would have been; and who empties an entry leaves SLUICE_ENTRY_VACATED. */
SLUICE_INLINE bool sluice_sessions_were_crowded(const struct sluice_bucket* bucket) {
  uint64_t last = 0;
  for (uint32_t i = SLUICE_SESSION_FILL - 1; i < SLUICE_BUCKET_ENTRIES; i++)
    last |= SLUICE_LOAD_ENTRY(&bucket->entries[i]);
  return last != SLUICE_ENTRY_EMPTY;
}

SLUICE_STAGE int sluice_session_remove(struct sluice_owned* of, uint64_t hash, uint64_t entry) {
  if (SLUICE_MISSING(of)) return 0;
  for (uint32_t second = 0; second < 2; second++) {
    struct sluice_bucket* bucket = sluice_owned_bucket(of, sluice_owned_place(of, hash, second));
    if (SLUICE_MISSING(bucket)) return 0;
    for (uint32_t i = 0; i < SLUICE_BUCKET_ENTRIES; i++) {
      if (SLUICE_LOAD_ENTRY(&bucket->entries[i]) != entry) continue;
      SLUICE_STORE_RELEASE(&bucket->entries[i], SLUICE_ENTRY_VACATED);
      return 1;
    }
  }
  return 0;
}

/* Takes away the entry of one side. */
SLUICE_INLINE int sluice_session_hide(struct sluice_owned* of, uint32_t index, enum sluice_session_entry_kind kind) {
  if (SLUICE_MISSING(of)) return 0;
  const struct sluice_session* session = sluice_owned_session(of, index);
  uint64_t hash = 0;
  if (SLUICE_MISSING(session)) return 0;
  if (!sluice_session_hash(sluice_owned_tables(of), session, kind == SLUICE_ENTRY_REVERSE, &hash)) return 0;
  return sluice_session_remove(of, hash, sluice_session_entry(hash, kind, index));
}

SLUICE_STAGE int sluice_session_close(struct sluice_owned* of, uint32_t index) {
  if (SLUICE_MISSING(of)) return 0;
  struct sluice_session* session = sluice_owned_session(of, index);
  struct sluice_session_owner* owner = sluice_owned_state(of);
  if (SLUICE_MISSING(session) || SLUICE_MISSING(owner)) return 0;
  sluice_session_hide(of, index, SLUICE_ENTRY_FORWARD);
  sluice_session_hide(of, index, SLUICE_ENTRY_REVERSE);
  SLUICE_STORE(&session->protocol, (uint8_t)0);
  const uint32_t tail = owner->free_head + owner->free_count;
  const uint32_t sessions = sluice_owned_sessions(of);
  uint32_t* place = sluice_owned_free(of, tail >= sessions ? tail - sessions : tail);
  if (SLUICE_MISSING(place)) return 0;
  *place = index;
  SLUICE_STORE(&owner->free_count, owner->free_count + 1);
  return 1;
}

/* One that is over by time, or whose backend or listener is gone. */
SLUICE_INLINE int sluice_session_expire(struct sluice_owned* of, uint32_t index) {
  if (SLUICE_MISSING(of)) return 0;
  struct sluice_session_owner* owner = sluice_owned_state(of);
  if (SLUICE_MISSING(owner)) return 0;
  SLUICE_COUNT(owner->counters.expired);
  return sluice_session_close(of, index);
}

/* The client opens a new flow in place of this one, whose port stays taken until its time is over. */
SLUICE_STAGE int sluice_session_replace(struct sluice_owned* of, uint32_t index) {
  if (SLUICE_MISSING(of)) return 0;
  struct sluice_session* session = sluice_owned_session(of, index);
  if (SLUICE_MISSING(session)) return 0;
  sluice_session_hide(of, index, SLUICE_ENTRY_FORWARD);
  SLUICE_SET_FLAG(&session->flags, SLUICE_SESSION_REPLACED);
  return 1;
}

/* Who gives way first: the larger. 0: never. */
#define SLUICE_SCORE_HANDSHAKE 1u
#define SLUICE_SCORE_CLOSED 2u
#define SLUICE_SCORE_OVER 3u
#define SLUICE_SCORE_SHIFT 12
/* What every handshake is below or at. */
#define SLUICE_MOST_OF_HANDSHAKES ((SLUICE_SCORE_CLOSED << SLUICE_SCORE_SHIFT) - 1)
SLUICE_STAGE uint32_t sluice_session_score(struct sluice_owned* of, uint32_t index) {
  if (SLUICE_MISSING(of)) return 0;
  const struct sluice_session* session = sluice_owned_session(of, index);
  if (SLUICE_MISSING(session) || session->protocol == 0) return 0;
  const uint64_t forward = SLUICE_LOAD_ENTRY(&session->forward);
  const uint64_t reverse = SLUICE_LOAD_ENTRY(&session->reverse);
  if (sluice_session_is_over(sluice_owned_tables(of), session, forward, reverse, of->tick))
    return SLUICE_SCORE_OVER << SLUICE_SCORE_SHIFT;
  const uint32_t age = sluice_session_age(forward, reverse, of->tick);
  const enum sluice_session_state state = sluice_session_state(session->protocol, forward, reverse);
  if (state == SLUICE_SESSION_CLOSED) return SLUICE_SCORE_CLOSED << SLUICE_SCORE_SHIFT | age;
  return state == SLUICE_SESSION_HANDSHAKE ? SLUICE_SCORE_HANDSHAKE << SLUICE_SCORE_SHIFT | age : 0;
}

/* Ends the one of scratch.candidates that is worth least, if its score is above `than`. */
SLUICE_STAGE int sluice_session_give_up(struct sluice_owned* of, uint32_t than) {
  if (SLUICE_MISSING(of)) return 0;
  struct sluice_session_owner* owner = sluice_owned_state(of);
  if (SLUICE_MISSING(owner)) return 0;
  uint32_t best = than;
  uint32_t victim = 0;
  for (uint32_t i = 0; i < SLUICE_CANDIDATES; i++) {
    const uint32_t score = sluice_session_score(of, of->scratch.candidates[i]);
    if (score <= best) continue;
    best = score;
    victim = of->scratch.candidates[i];
  }
  if (best == than) return 0;
  const uint32_t kind = best >> SLUICE_SCORE_SHIFT;
  if (kind == SLUICE_SCORE_HANDSHAKE) SLUICE_COUNT(owner->counters.evicted_handshake);
  if (kind == SLUICE_SCORE_CLOSED) SLUICE_COUNT(owner->counters.evicted_closed);
  if (kind == SLUICE_SCORE_OVER) SLUICE_COUNT(owner->counters.expired);
  return sluice_session_close(of, victim);
}

/* One of the next few gives way, if its score is above `than`. */
SLUICE_INLINE void sluice_session_evict(struct sluice_owned* of, struct sluice_session_owner* owner, uint32_t than) {
  const uint32_t sessions = sluice_owned_sessions(of);
  uint32_t hand = owner->hand;
  SLUICE_UNROLL
  for (uint32_t i = 0; i < SLUICE_CANDIDATES; i++) {
    of->scratch.candidates[i] = hand;
    hand = hand + 1 >= sessions ? 0 : hand + 1;
  }
  owner->hand = hand;
  sluice_session_give_up(of, than);
}

/* The record that the flow after a few more will take is on its way from here on. Only natively, as BPF can ask for
 * nothing without waiting for it. */
#define SLUICE_RECORDS_AHEAD 4
SLUICE_INLINE void sluice_session_fetch_record(struct sluice_owned* of, uint32_t head, uint32_t sessions) {
#ifdef __bpf__
  (void)of;
  (void)head;
  (void)sessions;
#else
  const uint32_t ahead = head + SLUICE_RECORDS_AHEAD;
  if (ahead < sessions) __builtin_prefetch(sluice_owned_session(of, *sluice_owned_free(of, ahead)), 1);
#endif
}

/* A free record; -1: none. Closed sessions give way while a reserve of free records is still there, up to two to a new
 * flow, so that one whose next few are all established does not find the table full. Handshakes give way only when
 * nothing is left but the spare ones. */
SLUICE_STAGE int sluice_session_take(struct sluice_owned* of) {
  if (SLUICE_MISSING(of)) return -1;
  struct sluice_session_owner* owner = sluice_owned_state(of);
  const uint32_t sessions = sluice_owned_sessions(of);
  if (SLUICE_MISSING(owner) || sessions == 0) return -1;
  const uint32_t enough = owner->spare + sessions / SLUICE_RESERVE;
  for (uint32_t i = 0; i < 2 && owner->free_count <= enough; i++) {
    const bool reserved = owner->free_count > owner->spare;
    sluice_session_evict(of, owner, reserved ? SLUICE_MOST_OF_HANDSHAKES : 0);
  }
  if (owner->free_count <= owner->spare) return -1;
  const uint32_t* place = sluice_owned_free(of, owner->free_head);
  if (SLUICE_MISSING(place)) return -1;
  sluice_session_fetch_record(of, owner->free_head, sessions);
  owner->free_head = owner->free_head + 1 >= sessions ? 0 : owner->free_head + 1;
  SLUICE_STORE(&owner->free_count, owner->free_count - 1);
  return (int)*place;
}

/* Moves an entry to its other bucket, if that has room. It is in both places for a moment, never in none. */
SLUICE_STAGE int sluice_session_move(struct sluice_owned* of, uint32_t at, uint32_t i) {
  if (SLUICE_MISSING(of)) return 0;
  struct sluice_bucket* bucket = sluice_owned_bucket(of, at);
  if (SLUICE_MISSING(bucket)) return 0;
  uint64_t* place = &bucket->entries[SLUICE_BOUND(i, SLUICE_BUCKET_ENTRIES - 1)];
  const uint64_t entry = SLUICE_LOAD_ENTRY(place);
  const struct sluice_session* session = sluice_owned_session(of, (uint32_t)entry);
  if (SLUICE_MISSING(session)) return 0;
  uint64_t hash = 0;
  const bool reverse = sluice_entry_state(entry) == SLUICE_ENTRY_REVERSE;
  if (!sluice_session_hash(sluice_owned_tables(of), session, reverse, &hash)) return 0;
  const bool first = sluice_owned_place(of, hash, 0) == at;
  struct sluice_bucket* other = sluice_owned_bucket(of, sluice_owned_place(of, hash, first));
  if (SLUICE_MISSING(other)) return 0;
  const uint32_t room = sluice_bucket_room(other);
  if (room == SLUICE_BUCKET_ENTRIES) return 0;
  SLUICE_STORE_RELEASE(&other->entries[SLUICE_BOUND(room, SLUICE_BUCKET_ENTRIES - 1)], entry);
  SLUICE_STORE_RELEASE(place, SLUICE_ENTRY_VACATED);
  return 1;
}

/* Both buckets of the flow are full, which is one in 3,000 at capacity: an entry that also has a place elsewhere
 * moves there (Pagh and Rodler, 2001, but never more than one). */
SLUICE_INLINE int sluice_session_make_room(struct sluice_owned* of, uint64_t hash) {
  if (SLUICE_MISSING(of)) return 0;
  for (uint32_t i = 0; i < 2 * SLUICE_BUCKET_ENTRIES; i++) {
    const uint32_t at = sluice_owned_place(of, hash, i >= SLUICE_BUCKET_ENTRIES);
    if (sluice_session_move(of, at, i % SLUICE_BUCKET_ENTRIES)) return 1;
  }
  return 0;
}

/* Nor has any of them another place: somebody in the two buckets gives way, or the new flow does; not `self`, the one
 * that is being made. */
SLUICE_INLINE int sluice_session_push(struct sluice_owned* of, uint64_t hash, uint32_t self) {
  if (SLUICE_MISSING(of)) return 0;
  const struct sluice_bucket* first = sluice_owned_bucket(of, sluice_owned_place(of, hash, 0));
  const struct sluice_bucket* second = sluice_owned_bucket(of, sluice_owned_place(of, hash, 1));
  if (SLUICE_MISSING(first) || SLUICE_MISSING(second)) return 0;
  const uint32_t another = (uint32_t)first->entries[(uint32_t)first->entries[0] == self ? 1 : 0];
  SLUICE_UNROLL
  for (uint32_t i = 0; i < SLUICE_BUCKET_ENTRIES; i++) {
    const uint32_t one = (uint32_t)first->entries[i];
    const uint32_t other = (uint32_t)second->entries[i];
    of->scratch.candidates[i] = one == self ? another : one;
    of->scratch.candidates[SLUICE_BUCKET_ENTRIES + i] = other == self ? another : other;
  }
  return sluice_session_give_up(of, 0);
}

/* The entry into one of the two buckets, where there is room. */
SLUICE_INLINE int sluice_session_put(struct sluice_owned* of, uint64_t hash, uint64_t entry) {
  if (SLUICE_MISSING(of)) return 0;
  struct sluice_bucket* bucket = sluice_owned_bucket(of, sluice_owned_place(of, hash, 0));
  struct sluice_bucket* other = sluice_owned_bucket(of, sluice_owned_place(of, hash, 1));
  if (SLUICE_MISSING(bucket) || SLUICE_MISSING(other)) return 0;
  if (sluice_sessions_were_crowded(bucket)) {
    const uint32_t occupied = sluice_bucket_occupied(bucket);
    if (occupied >= SLUICE_SESSION_FILL && sluice_bucket_occupied(other) < occupied) bucket = other;
  }
  const uint32_t room = sluice_bucket_room(bucket);
  if (room == SLUICE_BUCKET_ENTRIES) return 0;
  SLUICE_STORE_RELEASE(&bucket->entries[SLUICE_BOUND(room, SLUICE_BUCKET_ENTRIES - 1)], entry);
  return 1;
}

SLUICE_STAGE int sluice_session_insert(struct sluice_owned* of, uint64_t hash, uint64_t entry) {
  if (SLUICE_MISSING(of)) return 0;
  if (sluice_session_put(of, hash, entry)) return 1;
  if (!sluice_session_make_room(of, hash) && !sluice_session_push(of, hash, (uint32_t)entry)) return 0;
  return sluice_session_put(of, hash, entry);
}

/* A new session as `wanted` says, found from both sides from here on; its index, or -1 when there is no room: of those
 * that may give way (expired, closed, still in their handshake) none was found. The hashes are those of its flows. */
SLUICE_INLINE int sluice_session_open(struct sluice_owned* of, const struct sluice_session* wanted, uint64_t forward,
                                      uint64_t reverse) {
  if (SLUICE_MISSING(of) || SLUICE_MISSING(wanted)) return -1;
  const int index = sluice_session_take(of);
  if (index < 0) return -1;
  struct sluice_session* session = sluice_owned_session(of, (uint32_t)index);
  struct sluice_session_owner* owner = sluice_owned_state(of);
  if (SLUICE_MISSING(session) || SLUICE_MISSING(owner)) return -1;
  /* Whoever reads the new record does not find the entry again that named the old one. */
  sluice_release_fence();
  sluice_store_words(session, wanted, sizeof(*wanted));
  const uint64_t answers = sluice_session_entry(reverse, SLUICE_ENTRY_REVERSE, (uint32_t)index);
  const uint64_t entry = sluice_session_entry(forward, SLUICE_ENTRY_FORWARD, (uint32_t)index);
  if (!sluice_session_insert(of, reverse, answers) || !sluice_session_insert(of, forward, entry)) {
    sluice_session_close(of, (uint32_t)index);
    return -1;
  }
  SLUICE_COUNT(owner->counters.opened);
  return index;
}

/* Whether the sweep has found any: one look at a line that is rarely written. */
SLUICE_INLINE bool sluice_session_any_expired(const struct sluice_expired* queue) {
  return SLUICE_LOAD(&queue->head) != SLUICE_LOAD(&queue->tail);
}
/* Takes the next one that the sweep has found: its index when it is over, for the caller to end it; -2 when it is not,
 * or is gone already; -1 when that was all for now. */
SLUICE_STAGE int sluice_session_next_expired(struct sluice_owned* of) {
  if (SLUICE_MISSING(of)) return -1;
  struct sluice_expired* queue = sluice_owned_expired(of);
  if (SLUICE_MISSING(queue)) return -1;
  const uint32_t head = SLUICE_LOAD(&queue->head);
  if (head == SLUICE_LOAD_ACQUIRE(&queue->tail)) return -1;
  const uint32_t index = queue->ring[head & (SLUICE_EXPIRED - 1)];
  SLUICE_STORE_RELEASE(&queue->head, head + 1);
  const struct sluice_session* session = sluice_owned_session(of, index);
  if (SLUICE_MISSING(session)) return -2;
  const uint64_t forward = SLUICE_LOAD_ENTRY(&session->forward);
  const uint64_t reverse = SLUICE_LOAD_ENTRY(&session->reverse);
  const bool over =
      session->protocol != 0 && sluice_session_is_over(sluice_owned_tables(of), session, forward, reverse, of->tick);
  return over ? (int)index : -2;
}

#endif /* SLUICE_SESSION_OWNER_H_ */
