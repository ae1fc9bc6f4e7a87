// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Steps 2 to 4 of a packet's journey in the kernel, composed like src/engine/burst.cc composes them for a burst: parse,
// listener, and the backend of the flow.
#pragma once

#include "maps.h"
#include "sluice/access.h"
#include "sluice/dispatch.h"
#include "sluice/follow.h"
#include "sluice/unfinished.h"
#include "sluice/unplaced.h"

// A flow that has not been forwarded has not begun, but a session that was opened has.
enum engine_begins { BEGINS_NOTHING, BEGINS_IF_CARRIED, BEGINS_SESSION };

// A packet and its surroundings; who composes fills those in first.
struct engine_job {
  struct sluice_packet packet;
  uint64_t now;
  uint64_t hash;
  // Whence it comes: three fields of struct sluice_ingress.
  uint16_t ingress;
  // Leaves at once, by the driver that has received it.
  uint16_t direct;
  // Transport checksums may have been left to a device that isn't there.
  uint32_t unfinished;
  struct sluice_tables tables;
  // Partition, and that of the queue's NAT sessions.
  uint32_t own;
  uint32_t session_own;
  uint32_t listener;
  // The backend's, once there is one.
  uint32_t slot;
  // The listener's, SLUICE_NO_POOL without one.
  uint32_t pool;
  // Largest layer-3 packet that would have passed, of a packet that is too big.
  uint32_t mtu;
  // Where a transmitted packet leaves.
  uint32_t egress;
  // Whether the packet begins a flow: enum engine_begins.
  uint32_t begins;
  // From a server back to its client.
  uint32_t reverse;
};
_Static_assert(offsetof(struct engine_job, ingress) % 8 == 0 && offsetof(struct sluice_ingress, port) % 8 == 0 &&
                   offsetof(struct engine_job, unfinished) - offsetof(struct engine_job, ingress) ==
                       offsetof(struct sluice_ingress, unfinished) - offsetof(struct sluice_ingress, port),
               "written as one word (engine.h)");

// Not a verdict: the packet may be of a session.
#define LOOK_FOR_SESSION (SLUICE_VERDICT_COUNT + 1)
// Nor this: the connection table has no place for the flow.
#define NO_PLACE (SLUICE_VERDICT_COUNT + 2)
// Nor these: how far the packet has come that is no common one (common.h). Nothing is known of it; it is parsed; its
// listener, pool and hash are there as well; and so is job->slot.
#define COMMON_NOTHING (SLUICE_VERDICT_COUNT + 1)
#define COMMON_PARSED (SLUICE_VERDICT_COUNT + 2)
#define COMMON_DISPATCHED (SLUICE_VERDICT_COUNT + 3)
#define COMMON_FOLLOWED (SLUICE_VERDICT_COUNT + 4)

// The two buckets of a flow in one partition.
struct places {
  struct sluice_bucket* primary;
  struct sluice_bucket* secondary;
};

static __always_inline struct sluice_bucket* primary_place(uint32_t partition, uint64_t hash) {
  const uint32_t at = partition * sluice_partition_buckets + sluice_primary_bucket(hash, sluice_partition_buckets);
  return bpf_map_lookup_elem(&sluice_buckets_map, &at);
}
static __always_inline struct sluice_bucket* secondary_place(uint32_t partition, uint64_t hash) {
  const uint32_t at = partition * sluice_partition_buckets + sluice_secondary_bucket(hash, sluice_partition_buckets);
  return bpf_map_lookup_elem(&sluice_buckets_map, &at);
}
static __always_inline bool find_places(uint32_t partition, uint64_t hash, struct places* places) {
  places->primary = primary_place(partition, hash);
  places->secondary = secondary_place(partition, hash);
  return places->primary && places->secondary;
}

static __always_inline struct sluice_counters* counters_of(const struct engine_job* job) {
  const uint32_t own = job->own;
  return sluice_counters_at(own);
}

// Flows of the listener and the backend that their clients have ended; -1: one that its client has begun anew.
static __always_inline void count_ends(const struct engine_job* job, uint32_t listener, uint32_t slot, int ends) {
  const uint32_t at = 2 * job->own * sluice_backends_room + slot;
  struct sluice_traffic* traffic = sluice_backend_traffic_at(at);
  if (traffic) traffic->ended += (uint64_t)ends;
  const uint32_t listener_at = 2 * job->own * sluice_listeners_room + listener;
  traffic = sluice_listener_traffic_at(listener_at);
  if (traffic) traffic->ended += (uint64_t)ends;
}

// Whether the listener's packets are translated.
static __always_inline bool translates(const struct engine_job* job, uint32_t at) {
  const struct sluice_listener* listener = SLUICE_AT(&job->tables, sluice_listener, listeners, at);
  return listener && (listener->flags & SLUICE_LISTENER_SESSIONS);
}
static __always_inline bool has_sessions(const struct engine_job* job) {
  return job->listener != SLUICE_NO_LISTENER && translates(job, job->listener);
}

// Whether the packet may be translated: a flow's, a ping that a listener forwards or the answer to one, a piece of a
// datagram. Then listener and hash are there, of all but pieces.
static __always_inline bool may_have_session(struct engine_job* job, const struct sluice_settings* settings) {
  const uint32_t kind = job->packet.kind;
  if (kind == SLUICE_PACKET_LATER_FRAGMENT) return true;
  if (kind != SLUICE_PACKET_FLOW && kind != SLUICE_PACKET_ICMP_ERROR && kind != SLUICE_PACKET_ECHO &&
      kind != SLUICE_PACKET_ECHO_REPLY) {
    return false;
  }
  if (kind != SLUICE_PACKET_ECHO_REPLY) {
    job->listener = sluice_listener_and_pool(&job->tables, settings, &job->packet.flow, &job->pool);
    const bool known = job->listener != SLUICE_NO_LISTENER;
    if (known && settings->sessions != SLUICE_SESSIONS_ALL && !has_sessions(job)) return false;
    if (!known && kind == SLUICE_PACKET_ECHO) return false;
  }
  job->reverse = job->listener == SLUICE_NO_LISTENER;
  job->hash = sluice_hash_flow(settings, &job->packet.flow);
  return true;
}

// Step 3 without sessions: listener, hash.
static __always_inline uint32_t dispatch(struct engine_job* job, const struct sluice_settings* settings) {
  const enum sluice_verdict verdict = sluice_dispatch(&job->tables, settings, &job->packet, &job->listener, &job->pool);
  if (verdict != SLUICE_CONTINUE) return verdict;
  // Where the kernel has no room for sessions, they are the workers' alone.
  if (settings->sessions && sluice_session_records == 0 && has_sessions(job)) return SLUICE_VERDICT_worker_gone;
  job->hash = sluice_packet_hash(settings, &job->packet);
  return SLUICE_CONTINUE;
}

// Steps 2 and 3: parse, where that has not been done, listener, hash.
static __always_inline uint32_t engine_look(struct xdp_md* context, struct engine_job* job, bool parsed) {
  const struct sluice_settings* settings = SLUICE_AT(&job->tables, sluice_settings, settings, 0);
  if (!parsed) {
    const enum sluice_verdict verdict = sluice_parse_any(packet_data(context), packet_end(context), &job->packet);
    if (verdict != SLUICE_CONTINUE) return verdict;
  }
  if (settings->sessions && sluice_session_records != 0 && may_have_session(job, settings)) return LOOK_FOR_SESSION;
  return dispatch(job, settings);
}

// Step 3 of a piece of a datagram that has not been translated.
STAGE uint32_t engine_dispatch(struct engine_job* job) {
  if (!job) return SLUICE_VERDICT_no_table;
  const struct sluice_settings* settings = SLUICE_AT(&job->tables, sluice_settings, settings, 0);
  return settings ? dispatch(job, settings) : SLUICE_VERDICT_no_table;
}

STAGE int engine_finish_checksum(struct xdp_md* context, struct engine_job* job) {
  if (!job) return 0;
  return sluice_finish_checksum((uint8_t*)packet_data(context), packet_end(context), &job->packet);
}

// The entry goes where one gives way; the flow is in neither of its buckets. NO_PLACE when nobody does.
STAGE int engine_insert(struct engine_job* job, struct sluice_bucket* primary, struct sluice_bucket* secondary,
                        uint64_t entry) {
  if (!job || !primary || !secondary) return SLUICE_VERDICT_no_table;
  const struct sluice_settings* settings = SLUICE_AT(&job->tables, sluice_settings, settings, 0);
  struct sluice_counters* counters = counters_of(job);
  if (!settings || !counters) return SLUICE_VERDICT_no_table;
  const uint32_t victim = sluice_connection_insert(primary, secondary, entry, settings->longest_idle);
  counters->inserted_over[SLUICE_BOUND(victim, SLUICE_COUNTED_VICTIMS - 1)]++;
  return victim == SLUICE_VICTIM_NONE ? NO_PLACE : SLUICE_CONTINUE;
}

// The verdict for the packet of a flow without a place; it goes to a backend that the next ones find without an entry.
STAGE int engine_go_unplaced(struct engine_job* job) {
  if (!job) return SLUICE_VERDICT_no_table;
  const struct sluice_selector selector = {job->own, job->now};
  struct sluice_unplaced flow = {job->hash, job->listener, job->slot};
  const int verdict = sluice_admit_unplaced(&job->tables, &selector, &job->packet, &flow);
  job->begins = BEGINS_NOTHING;
  job->slot = flow.slot;
  return verdict;
}

// The record that the flow's own entry names, where that is in its first bucket and the packet changes nothing in it,
// as nearly all; *slot is the backend's, of whatever pool. Null when there is more to be done.
static __always_inline const struct sluice_backend* engine_follow(const struct engine_job* job, uint64_t hash,
                                                                  uint32_t* slot) {
  struct sluice_bucket* primary = primary_place(job->own, hash);
  uint64_t entry;
  if (!primary || !sluice_bucket_search(primary, hash, true, &entry)) return NULL;
  if (!sluice_nothing_to_note(entry, &job->packet, sluice_entry_noted(sluice_tick(job->now)))) return NULL;
  *slot = sluice_entry_slot(entry);
  return SLUICE_AT(&job->tables, sluice_backend, backends, *slot);
}

// job->slot by the flow's entry at `at`, and what the packet makes of that. False when it is not usable.
static __always_inline bool follow(struct engine_job* job, uint64_t* at, uint64_t entry) {
  const uint32_t tick = sluice_tick(job->now);
  struct sluice_terms terms;
  if (!sluice_terms_find(&job->tables, job->listener, &terms)) return false;
  const struct sluice_backend* backend = sluice_follow(&job->tables, entry, &job->packet, &terms, tick);
  if (!backend) return false;
  job->slot = sluice_entry_slot(entry);
  if (sluice_touch(at, entry, &job->packet, tick)) count_ends(job, job->listener, job->slot, 1);
  return true;
}

// job->slot by the flow's entry in a bucket of another partition, when that is younger than `least`. Its age, or
// `least`.
static __always_inline uint32_t follow_younger(struct sluice_bucket* bucket, struct engine_job* job, uint32_t least) {
  const uint64_t* found = sluice_bucket_find(bucket, job->hash);
  if (!found) return least;
  const uint64_t entry = SLUICE_LOAD_ENTRY(found);
  const uint32_t tick = sluice_tick(job->now);
  const uint32_t age = sluice_age(tick, sluice_entry_seen(entry));
  struct sluice_terms terms;
  if (age >= least || !sluice_terms_find(&job->tables, job->listener, &terms)) return least;
  if (!sluice_follow(&job->tables, entry, &job->packet, &terms, tick)) return least;
  job->slot = sluice_entry_slot(entry);
  return age;
}

#define UNSEEN 0xffffffffu

STAGE uint32_t engine_follow_in(struct engine_job* job, uint32_t partition, uint32_t least) {
  struct places other;
  if (!job || !find_places(partition, job->hash, &other)) return least;
  least = follow_younger(other.primary, job, least);
  return follow_younger(other.secondary, job, least);
}

// The flow came by another queue before. Reads only. When several have it, the one that has seen it last knows.
STAGE int engine_follow_elsewhere(struct engine_job* job) {
  if (!job) return 0;
  uint32_t least = UNSEEN;
  for (uint32_t i = 0; i < SLUICE_MOST_PARTITIONS && i < sluice_partitions; i++) {
    if (i != job->own) least = engine_follow_in(job, i, least);
  }
  return least != UNSEEN;
}

// A flow that is new to this partition, and to the others unless it has `moved`. `at` is its unusable entry, if any.
static __always_inline int settle(struct engine_job* job, bool moved, struct sluice_bucket* primary, uint64_t* at) {
  if (!moved) {
    if (job->packet.kind == SLUICE_PACKET_LATER_FRAGMENT) return SLUICE_VERDICT_unknown_fragment;
    const struct sluice_selector selector = {job->own, job->now};
    const int admitted = sluice_admit(&job->tables, &selector, job->listener, &job->packet);
    if (admitted != SLUICE_CONTINUE) return admitted;
    job->slot = sluice_select(&job->tables, &selector, job->listener, &job->packet, job->hash);
    const int selected = sluice_selected(job->slot);
    if (selected != SLUICE_CONTINUE) return selected;
  }
  if (!sluice_makes_entry(&job->packet)) return SLUICE_CONTINUE;
  const uint32_t state = moved ? SLUICE_STATE_CONFIRMED : SLUICE_STATE_NEW;
  const uint64_t entry = sluice_entry_make(job->hash, job->slot, state, sluice_tick(job->now));
  job->begins = moved ? BEGINS_NOTHING : BEGINS_IF_CARRIED;
  if (at) {
    // In place of the flow's own unusable entry, so that no flow is in the table twice.
    SLUICE_STORE_ENTRY(at, entry);
  } else if (!sluice_bucket_put_at_once(primary, entry)) {
    const int inserted = engine_insert(job, primary, secondary_place(job->own, job->hash), entry);
    return inserted == NO_PLACE ? engine_go_unplaced(job) : inserted;
  }
  struct sluice_counters* counters = counters_of(job);
  if (counters) counters->inserted_over[at ? SLUICE_VICTIM_EXPIRED : SLUICE_VICTIM_EMPTY]++;
  return SLUICE_CONTINUE;
}

// A flow without an entry in this partition, or whose first one, `at`, is not usable.
STAGE int engine_open(struct engine_job* job, struct sluice_bucket* primary, uint64_t* at) {
  if (!job || !primary) return SLUICE_VERDICT_no_table;
  if (at) {
    struct sluice_bucket* secondary = secondary_place(job->own, job->hash);
    uint64_t entry;
    uint64_t* other = secondary ? sluice_bucket_search(secondary, job->hash, true, &entry) : NULL;
    if (other && follow(job, other, entry)) return SLUICE_CONTINUE;
    if (other) at = other;
  }
  if (job->packet.kind == SLUICE_PACKET_FLOW && sluice_source_is_bad(&job->tables, &job->packet.flow.source)) {
    return SLUICE_VERDICT_bad_source;
  }
  const bool moved = !(job->packet.flags & SLUICE_PACKET_SYN) && engine_follow_elsewhere(job) == 1;
  return settle(job, moved, primary, at);
}

// The entry that later fragments will find.
STAGE int engine_remember_fragment(struct engine_job* job) {
  if (!job) return SLUICE_VERDICT_no_table;
  const struct sluice_settings* settings = SLUICE_AT(&job->tables, sluice_settings, settings, 0);
  if (!settings) return SLUICE_VERDICT_no_table;
  const struct sluice_flow flow = sluice_fragment_flow(&job->packet);
  const uint64_t hash = sluice_hash_flow(settings, &flow);
  const uint64_t entry = sluice_entry_make(hash, job->slot, SLUICE_STATE_NEW, sluice_tick(job->now));
  struct places own;
  if (!find_places(job->own, hash, &own)) return SLUICE_VERDICT_no_table;
  uint64_t* at = sluice_bucket_find(own.primary, hash);
  if (!at) at = sluice_bucket_find(own.secondary, hash);
  if (!at) {
    const int inserted = engine_insert(job, own.primary, own.secondary, entry);
    return inserted == NO_PLACE ? SLUICE_CONTINUE : inserted;
  }
  SLUICE_STORE_ENTRY(at, entry);
  return SLUICE_CONTINUE;
}

// The backend of a flow that has an entry at `at`, or gets one: job->slot.
static __always_inline int connect_at(struct engine_job* job, struct sluice_bucket* primary, uint64_t* at,
                                      uint64_t entry) {
  if (!at && sluice_bucket_was_crowded(primary)) {
    struct sluice_bucket* secondary = secondary_place(job->own, job->hash);
    if (!secondary) return SLUICE_VERDICT_no_table;
    at = sluice_bucket_search(secondary, job->hash, true, &entry);
  }
  if (at && follow(job, at, entry)) return SLUICE_CONTINUE;
  return engine_open(job, primary, at);
}

// Step 4: job->slot, the backend of a flow, from an entry that it has or gets. Most that are new find their first
// bucket with room: then the line of the second one stays where it is.
static __always_inline int engine_connect(struct engine_job* job) {
  struct sluice_bucket* primary = primary_place(job->own, job->hash);
  if (!primary) return SLUICE_VERDICT_no_table;
  uint64_t entry = SLUICE_ENTRY_EMPTY;
  uint64_t* at = sluice_bucket_search(primary, job->hash, true, &entry);
  int verdict = connect_at(job, primary, at, entry);
  if (verdict == SLUICE_CONTINUE && SLUICE_UNLIKELY(job->packet.flags & SLUICE_PACKET_FIRST_FRAGMENT) &&
      job->packet.kind == SLUICE_PACKET_FLOW) {
    verdict = engine_remember_fragment(job);
  }
  return verdict;
}
