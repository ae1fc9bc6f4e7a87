// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The whole path for one packet in the kernel, composed like src/engine/burst.cc composes it for a burst: the test
// beside it shows that the verifier takes every path header, and that both compositions do the same to every packet.
//
// Each stage is a global function: the verifier looks at it once, whatever state its callers are in, so that the cost
// of the stages adds up instead of multiplying.

#include "xdp.h"

TABLE(settings, struct sluice_settings, 1);
TABLE(index, struct sluice_index_entry, 256);
TABLE(ranges, struct sluice_port_range, 8);
TABLE(listeners, struct sluice_listener, 128);
TABLE(pools, struct sluice_pool, 16);
TABLE(maglev, uint32_t, 256);
TABLE(backends, struct sluice_backend, 32);
TABLE(ports, struct sluice_port, 2);
TABLE(buckets, struct sluice_bucket, 64);
TABLE(limiter, struct sluice_limiter, 1);

#include "sluice/dispatch.h"
#include "sluice/follow.h"
#include "sluice/reply.h"
#include "sluice/rewrite.h"

// What a packet's surroundings are: given by the test, so that both compositions see the same.
#define MOST_PARTITIONS 16
// Buckets of each partition; they lie behind each other.
const volatile uint32_t path_buckets = 2;
const volatile uint32_t path_partitions = 1;
uint32_t path_own = 0;
uint64_t path_now = 0;
uint32_t path_ingress = 0;

// Out: a sluice_verdict, the port of a transmitted packet, and who gave way to new entries.
uint32_t path_verdict = 0;
uint32_t path_egress = 0;
uint64_t path_inserted_over[8] = {0};

struct path_job {
  struct sluice_packet packet;
  uint64_t hash;
  uint32_t listener;
  uint32_t slot;
  struct sluice_terms terms;
  // Largest layer-3 packet that would have passed, of a packet that is too big.
  uint32_t mtu;
  uint32_t reserved;
};

// The two buckets of a flow in one partition.
struct places {
  struct sluice_bucket* primary;
  struct sluice_bucket* secondary;
};

static __always_inline bool find_places(uint32_t partition, uint64_t hash, struct places* places) {
  const uint32_t first = partition * path_buckets;
  const uint32_t primary = first + sluice_primary_bucket(hash, path_buckets);
  const uint32_t secondary = first + sluice_secondary_bucket(hash, path_buckets);
  places->primary = bpf_map_lookup_elem(&sluice_buckets_map, &primary);
  places->secondary = bpf_map_lookup_elem(&sluice_buckets_map, &secondary);
  return places->primary && places->secondary;
}

// Steps 2 and 3: parse, listener, hash.
STAGE int path_look(struct xdp_md* context, struct path_job* job) {
  if (!job) return SLUICE_VERDICT_no_table;
  const struct sluice_settings* settings = SLUICE_AT(&kTables, sluice_settings, settings, 0);
  if (!settings) return SLUICE_VERDICT_no_table;
  enum sluice_verdict verdict = sluice_parse(packet_data(context), packet_end(context), &job->packet);
  if (verdict != SLUICE_CONTINUE) return verdict;
  verdict = sluice_dispatch(&kTables, settings, &job->packet, &job->listener);
  if (verdict != SLUICE_CONTINUE) return verdict;
  if (!sluice_terms_find(&kTables, job->listener, &job->terms)) return SLUICE_VERDICT_no_table;
  job->hash = sluice_packet_hash(settings, &job->packet);
  return SLUICE_CONTINUE;
}

// The entry goes where one gives way; the flow is in neither of its buckets.
STAGE int path_insert(uint64_t hash, uint64_t entry) {
  const struct sluice_settings* settings = SLUICE_AT(&kTables, sluice_settings, settings, 0);
  struct places own;
  if (!settings || !find_places(path_own, hash, &own)) return SLUICE_VERDICT_no_table;
  const uint32_t victim = sluice_connection_insert(own.primary, own.secondary, entry, settings->longest_idle);
  path_inserted_over[SLUICE_BOUND(victim, 7)]++;
  return SLUICE_CONTINUE;
}

// Whether the flow's entry in `bucket` is usable; job->slot is its backend. *at is the entry, usable or not, and stays
// when there is none.
static __always_inline bool follow_in(struct sluice_bucket* bucket, struct path_job* job, uint64_t** at) {
  const uint32_t tick = sluice_tick(path_now);
  uint64_t* found = sluice_bucket_find(bucket, job->hash);
  if (!found) return false;
  *at = found;
  const uint64_t entry = SLUICE_LOAD_ENTRY(found);
  if (!sluice_follow(&kTables, entry, &job->packet, &job->terms, tick)) return false;
  job->slot = sluice_entry_slot(entry);
  return true;
}

// The flow came by another queue before. Reads only.
STAGE int path_follow_elsewhere(struct path_job* job) {
  if (!job) return 0;
  for (uint32_t i = 0; i < MOST_PARTITIONS; i++) {
    struct places other;
    uint64_t* at;
    if (i >= path_partitions) return 0;
    if (i == path_own || !find_places(i, job->hash, &other)) continue;
    if (follow_in(other.primary, job, &at) || follow_in(other.secondary, job, &at)) return 1;
  }
  return 0;
}

// A flow that is new to this partition, and to the others unless it has `moved`. `at` is its unusable entry, if any.
static __always_inline int settle(struct path_job* job, bool moved, uint64_t* at) {
  if (!moved) {
    if (job->packet.kind == SLUICE_PACKET_LATER_FRAGMENT) return SLUICE_VERDICT_unknown_fragment;
    job->slot = sluice_select(&kTables, job->terms.pool, job->hash);
    if (job->slot == SLUICE_NO_BACKEND) return SLUICE_VERDICT_no_backend;
  }
  if (!sluice_makes_entry(&job->packet)) return SLUICE_CONTINUE;
  const uint64_t entry =
      sluice_entry_make(job->hash, job->slot, moved ? SLUICE_STATE_CONFIRMED : SLUICE_STATE_NEW, sluice_tick(path_now));
  if (!at) return path_insert(job->hash, entry);
  // In place of the flow's own unusable entry, so that no flow is in the table twice.
  SLUICE_STORE_ENTRY(at, entry);
  path_inserted_over[SLUICE_VICTIM_EXPIRED]++;
  return SLUICE_CONTINUE;
}

// Step 4: the backend of a flow, from an entry that it has or gets.
STAGE int path_connect(struct path_job* job) {
  if (!job) return SLUICE_VERDICT_no_table;
  const struct sluice_settings* settings = SLUICE_AT(&kTables, sluice_settings, settings, 0);
  struct places own;
  if (!settings || !find_places(path_own, job->hash, &own)) return SLUICE_VERDICT_no_table;
  uint64_t* at = NULL;
  if (follow_in(own.primary, job, &at) || follow_in(own.secondary, job, &at)) {
    sluice_touch(at, SLUICE_LOAD_ENTRY(at), &job->packet, sluice_tick(path_now));
    return SLUICE_CONTINUE;
  }
  if (job->packet.kind == SLUICE_PACKET_FLOW && sluice_source_is_bad(&kTables, settings, &job->packet.flow.source))
    return SLUICE_VERDICT_bad_source;
  const bool moved = !(job->packet.flags & SLUICE_PACKET_SYN) && path_follow_elsewhere(job) == 1;
  return settle(job, moved, at);
}

// The entry that later fragments will find.
STAGE int path_remember_fragment(struct path_job* job) {
  if (!job) return SLUICE_VERDICT_no_table;
  const struct sluice_settings* settings = SLUICE_AT(&kTables, sluice_settings, settings, 0);
  if (!settings) return SLUICE_VERDICT_no_table;
  const struct sluice_flow flow = sluice_fragment_flow(&job->packet);
  const uint64_t hash = sluice_hash_flow(settings, &flow);
  const uint64_t entry = sluice_entry_make(hash, job->slot, SLUICE_STATE_NEW, sluice_tick(path_now));
  struct places own;
  if (!find_places(path_own, hash, &own)) return SLUICE_VERDICT_no_table;
  uint64_t* at = sluice_bucket_find(own.primary, hash);
  if (!at) at = sluice_bucket_find(own.secondary, hash);
  if (!at) return path_insert(hash, entry);
  SLUICE_STORE_ENTRY(at, entry);
  return SLUICE_CONTINUE;
}

// Whether the client of a packet that is too big is told.
static __always_inline int too_big(struct path_job* job, const struct sluice_backend* backend) {
  const uint32_t zero = 0;
  struct sluice_limiter* limiter = bpf_map_lookup_elem(&sluice_limiter_map, &zero);
  if (!limiter) return SLUICE_VERDICT_no_table;
  if (!sluice_tells_too_big(&job->packet) ||
      !sluice_limiter_take(limiter, path_now, SLUICE_TOO_BIG_INTERVAL, SLUICE_TOO_BIG_BURST))
    return SLUICE_VERDICT_too_big;
  job->mtu = backend->mtu - backend->outer_length;
  return SLUICE_VERDICT_replied_too_big;
}

// Step 5: to the backend. A replied_too_big is still to be written.
STAGE int path_forward(struct xdp_md* context, struct path_job* job) {
  if (!job) return SLUICE_VERDICT_no_table;
  const struct sluice_backend* backend = SLUICE_AT(&kTables, sluice_backend, backends, job->slot);
  if (!backend) return SLUICE_VERDICT_no_table;
  if (!(backend->flags & SLUICE_BACKEND_NEXT_HOP)) return SLUICE_VERDICT_no_next_hop;
  if (sluice_exceeds_mtu(&job->packet, backend)) return too_big(job, backend);
  const uint8_t* l3 = packet_data(context) + SLUICE_BOUND(job->packet.l3_offset, 0x1f);
  if (l3 + SLUICE_IPV4_BYTES > packet_end(context)) return SLUICE_VERDICT_truncated_ip;
  if (sluice_ttl_expires(l3, &job->packet, backend)) return SLUICE_VERDICT_ttl_expired;
  const uint32_t length = packet_length(context);
  if (!resize(context, sluice_rewrite_growth(&job->packet, backend),
              sluice_rewrite_length(length, &job->packet, backend)))
    return SLUICE_VERDICT_no_headroom;
  if (!sluice_rewrite((uint8_t*)packet_data(context), packet_end(context), &job->packet, backend, job->hash))
    return SLUICE_VERDICT_truncated_ip;
  path_egress = backend->port;
  return SLUICE_VERDICT_forwarded;
}

// An answer of our own, sent back where the packet came from.
STAGE int path_reply(struct xdp_md* context, struct path_job* job, uint32_t reply) {
  if (!job) return SLUICE_VERDICT_no_table;
  const struct sluice_port* port = SLUICE_AT(&kTables, sluice_port, ports, path_ingress);
  if (!port) return SLUICE_VERDICT_no_table;
  const uint32_t length = packet_length(context);
  if (!resize(context, sluice_reply_growth(&job->packet, reply), sluice_reply_length(length, &job->packet, reply)))
    return SLUICE_VERDICT_no_headroom;
  if (!sluice_reply_write((uint8_t*)packet_data(context), packet_end(context), &job->packet, reply, port, job->mtu))
    return SLUICE_VERDICT_truncated_ip;
  path_egress = path_ingress;
  return reply;
}

SEC("xdp")
int path(struct xdp_md* context) {
  struct path_job job = {0};
  uint32_t verdict = path_look(context, &job);
  if (verdict == SLUICE_CONTINUE) {
    verdict = path_connect(&job);
    if (verdict == SLUICE_CONTINUE && (job.packet.flags & SLUICE_PACKET_FIRST_FRAGMENT) &&
        job.packet.kind == SLUICE_PACKET_FLOW)
      verdict = path_remember_fragment(&job);
    if (verdict == SLUICE_CONTINUE) verdict = path_forward(context, &job);
  }
  const enum sluice_verdict_kind kind = sluice_verdict_kind(verdict);
  if (kind == SLUICE_KIND_TRANSMIT && verdict != SLUICE_VERDICT_forwarded) verdict = path_reply(context, &job, verdict);
  path_verdict = verdict;
  return action_of(verdict);
}

char path_license[] SEC("license") = "GPL";
