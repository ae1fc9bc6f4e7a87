// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Step 4 of a translated packet's journey in the kernel, composed like src/engine/session_resolve.cc: its session, and
// what it changes in it.
#pragma once

#include "session_job.h"

// The record of this queue's that an entry in the flow's first bucket names, which may be another flow's, and the
// entry's kind; null when there is none.
static __always_inline struct sluice_session* engine_meet(const struct engine_job* job, uint64_t hash, uint32_t* kind) {
  const uint32_t place =
      job->session_own * sluice_session_buckets + sluice_primary_bucket(hash, sluice_session_buckets);
  struct sluice_bucket* bucket = bpf_map_lookup_elem(&sluice_session_buckets_map, &place);
  uint64_t entry;
  if (!bucket || !sluice_bucket_search(bucket, hash, false, &entry)) return NULL;
  *kind = sluice_entry_state(entry);
  return session_record(job->session_own, (uint32_t)entry);
}

// The flags of a virtual address, or -1 when it is none.
STAGE int session_virtual(const struct engine_job* job) {
  if (!job) return -1;
  const struct sluice_settings* settings = SLUICE_AT(&job->tables, sluice_settings, settings, 0);
  uint32_t flags = 0;
  if (!settings || !sluice_virtual_find(&job->tables, settings, &job->packet.flow.destination, &flags)) return -1;
  return flags & 0xff;
}

// A packet for no listener, and nobody's answer.
STAGE uint32_t session_stranger(const struct engine_job* job) {
  if (!job) return SLUICE_VERDICT_no_table;
  const int flags = session_virtual(job);
  if (flags < 0) return SLUICE_VERDICT_pass_not_virtual;
  if (flags & SLUICE_VIRTUAL_NAT) return SLUICE_VERDICT_no_session;
  return job->packet.kind == SLUICE_PACKET_ECHO_REPLY ? job->packet.reason : SLUICE_VERDICT_no_listener;
}

// Copies the record `index` of the owner, and tells whether it is the session of the flow, from the client to
// `listener` or, without one, from the server.
static __always_inline int session_take(struct session_job* session, const struct sluice_flow* flow, uint32_t listener,
                                        uint32_t index) {
  const struct sluice_session* live = session_record(session->owner, index);
  if (!live) return 0;
  sluice_load_words(&session->session, live, sizeof(*live));
  session->found = index;
  if (listener != SLUICE_NO_LISTENER) return sluice_session_is_forward(&session->session, flow, listener);
  const struct sluice_tables* tables = &session->own.tables;
  const struct sluice_backend* backend = SLUICE_AT(tables, sluice_backend, backends, session->session.backend);
  const struct sluice_address* source = sluice_session_source(tables, &session->session);
  return backend && source && sluice_session_is_reverse(&session->session, flow, backend, source);
}

// The session of the flow among those of session->owner. The owner takes the entry away before it uses the record for
// somebody else: so the entry is read again.
STAGE int session_search_in(struct session_job* session, const struct sluice_flow* flow, uint32_t listener,
                            uint64_t hash) {
  if (!session || !flow) return 0;
  for (uint32_t second = 0; second < 2; second++) {
    const uint32_t place = session->owner * sluice_session_buckets + sluice_owned_place(&session->own, hash, second);
    const struct sluice_bucket* at = bpf_map_lookup_elem(&sluice_session_buckets_map, &place);
    if (!at) return 0;
    for (uint32_t i = 0; i < SLUICE_BUCKET_ENTRIES; i++) {
      const uint64_t entry = SLUICE_LOAD_ENTRY(&at->entries[i]);
      if (!sluice_entry_matches(entry, hash)) continue;
      if (!session_take(session, flow, listener, (uint32_t)entry)) continue;
      if (SLUICE_LOAD_ENTRY(&at->entries[i]) == entry) return 1;
    }
    if (!sluice_sessions_were_crowded(at)) return 0;
  }
  return 0;
}

// The same where it is the first one that looks like it, as it almost always is.
static __always_inline int session_find_in(struct session_job* session, const struct sluice_flow* flow,
                                           uint32_t listener, uint64_t hash) {
  SLUICE_UNROLL
  for (uint32_t second = 0; second < 2; second++) {
    const uint32_t place = session->owner * sluice_session_buckets + sluice_owned_place(&session->own, hash, second);
    struct sluice_bucket* bucket = bpf_map_lookup_elem(&sluice_session_buckets_map, &place);
    if (!bucket) return 0;
    uint64_t entry;
    const uint64_t* at = sluice_bucket_search(bucket, hash, false, &entry);
    if (at) {
      const bool found = session_take(session, flow, listener, (uint32_t)entry) && SLUICE_LOAD_ENTRY(at) == entry;
      return found || session_search_in(session, flow, listener, hash);
    }
    if (!sluice_sessions_were_crowded(bucket)) return 0;
  }
  return 0;
}

// Whether the owner has no session: one look for two at buckets.
static __always_inline bool session_has_none(uint32_t owner) {
  const struct sluice_session_owner* state = bpf_map_lookup_elem(&sluice_session_owners_map, &owner);
  return !state || *(const volatile uint32_t*)&state->free_count == sluice_session_records;
}

// Whether the session that was found is neither over nor its backend gone.
static __always_inline int session_lives(const struct session_job* session) {
  const struct sluice_session* record = &session->session;
  return !sluice_session_is_over(&session->own.tables, record, record->forward, record->reverse, session->own.tick);
}

// What the packet makes of the session that it has found; over when its backend is gone too.
enum session_use { SESSION_OVER, SESSION_GOES_ON, SESSION_REPLACED };
static __always_inline int session_use(const struct engine_job* job, const struct session_job* session) {
  const struct sluice_session* record = &session->session;
  const struct sluice_backend* backend = SLUICE_AT(&job->tables, sluice_backend, backends, record->backend);
  if (!backend ||
      sluice_session_is_over_at(&job->tables, backend, record, record->forward, record->reverse, session->own.tick)) {
    return SESSION_OVER;
  }
  if (job->reverse) return SESSION_GOES_ON;
  if (!sluice_backend_serves(&job->tables, backend, job->pool)) return SESSION_OVER;
  const bool opens = job->packet.kind == SLUICE_PACKET_FLOW && (job->packet.flags & SLUICE_PACKET_SYN);
  return opens && sluice_session_is_replaced(record, backend) ? SESSION_REPLACED : SESSION_GOES_ON;
}

// Of one that another owner has: to the verifier a stage of its own.
STAGE int session_use_theirs(const struct engine_job* job, const struct session_job* session) {
  return job && session ? session_use(job, session) : SESSION_OVER;
}

// Who may have the session of an answer that is not ours: the port says it.
static __always_inline uint32_t guess_owner(const struct engine_job* job, const struct session_job* session) {
  if (!job->reverse) return job->session_own;
  const int flags = session_virtual(job);
  if (flags < 0 || !(flags & SLUICE_VIRTUAL_NAT)) return job->session_own;
  return sluice_session_workers + sluice_nat_owner(SLUICE_16(job->packet.flow.destination_port), session->own.owners);
}

static __always_inline uint32_t session_rank(const struct session_job* session) {
  const struct sluice_session* record = &session->session;
  return sluice_session_rank(record->protocol, record->forward, record->reverse);
}

// The session of the flow that another owner has, of the highest rank if that is above `than`.
STAGE uint32_t session_find_elsewhere(struct engine_job* job, struct session_job* session, uint32_t than) {
  if (!job || !session) return NOT_FOUND;
  const bool opens = !job->reverse && (job->packet.flags & SLUICE_PACKET_SYN);
  const uint32_t among = opens ? sluice_session_workers : sluice_session_partitions;
  uint32_t owner = opens ? 0 : guess_owner(job, session);
  uint32_t best = SLUICE_SESSION_PARTITIONS;
  for (uint32_t i = 0; i < SLUICE_SESSION_PARTITIONS && i < among && than != SLUICE_RANK_SETTLED; i++) {
    session->owner = owner;
    if (owner != job->session_own && !session_has_none(owner) &&
        session_search_in(session, &job->packet.flow, job->listener, job->hash) && session_rank(session) > than &&
        session_use_theirs(job, session) == SESSION_GOES_ON) {
      than = session_rank(session);
      best = owner;
    }
    owner = owner + 1 >= sluice_session_partitions ? 0 : owner + 1;
  }
  session->owner = best;
  if (best == SLUICE_SESSION_PARTITIONS || !session_find_in(session, &job->packet.flow, job->listener, job->hash))
    return NOT_FOUND;
  struct sluice_session_owner* own = sluice_owned_state(&session->own);
  if (own && job->reverse) own->counters.answers_elsewhere++;
  return FOUND;
}

// The session of the packet's flow, if it has one that is not over: ours, else another owner's. A new connection that
// another queue has an entry of is new all the same: it has come here for good. But a worker gets its flows back, and
// the flow may have gone on elsewhere before it came back to us, or come here in the midst of it: one of a higher rank
// goes before ours.
static __always_inline uint32_t session_find(struct engine_job* job, struct session_job* session) {
  session->owner = job->session_own;
  uint32_t own = SLUICE_RANK_NONE;
  if (session_find_in(session, &job->packet.flow, job->listener, job->hash)) {
    const int use = session_use(job, session);
    if (use == SESSION_GOES_ON) own = session_rank(session);
    if (own == SLUICE_RANK_SETTLED || (own != SLUICE_RANK_NONE && sluice_session_partitions == 1)) return FOUND;
    if (use == SESSION_REPLACED) sluice_session_replace(&session->own, session->found);
    if (use == SESSION_OVER) sluice_session_close(&session->own, session->found);
  }
  if (sluice_session_partitions == 1) return NOT_FOUND;
  if (session_find_elsewhere(job, session, own) == FOUND) return FOUND;
  session->owner = job->session_own;
  const bool goes_on = own != SLUICE_RANK_NONE;
  return goes_on && session_search_in(session, &job->packet.flow, job->listener, job->hash) ? FOUND : NOT_FOUND;
}

// Answers go where the client's last packet came from.
static __always_inline void note_way_back(const uint8_t* data, const struct engine_job* job,
                                          struct sluice_session* live) {
  SLUICE_STORE(sluice_session_way_back(live), sluice_way_back(data, &job->packet));
  SLUICE_STORE(&live->client_egress, (uint8_t)job->ingress);
}

// What a segment has said of its flow's server, whose answers are counted in that record.
STAGE int count_opening(uint32_t at, bool reverse, uint64_t before, uint64_t after, uint64_t peer) {
  const enum sluice_opening opening = sluice_session_opening(reverse, before, after, peer);
  if (opening == SLUICE_OPENING_NO_NEWS) return 0;
  struct sluice_traffic* answers = sluice_backend_traffic_at(at);
  if (!answers) return 0;
  answers->answered += opening == SLUICE_OPENING_ANSWERED;
  answers->failed += opening == SLUICE_OPENING_FAILED;
  return 0;
}

// The window scale that a SYN offers.
STAGE uint32_t session_scale(struct xdp_md* context, const struct engine_job* job) {
  if (!job) return SLUICE_NO_SCALE;
  uint8_t* l4 = (uint8_t*)packet_data(context) + SLUICE_BOUND(job->packet.l4_offset, 0xfff);
  return l4 + SLUICE_TCP_BYTES > packet_end(context) ? SLUICE_NO_SCALE : sluice_syn_scale(l4, packet_end(context));
}

// What a packet says about its session, whose record is `live`.
static __always_inline uint32_t note_packet(struct xdp_md* context, const struct engine_job* job,
                                            const struct session_job* session, struct sluice_session* live) {
  const struct sluice_packet* packet = &job->packet;
  const struct sluice_session* record = &session->session;
  if (!job->reverse && packet->l3_offset > SLUICE_ETHERNET_BYTES + SLUICE_VLAN_BYTES)
    return SLUICE_VERDICT_pass_vlan_depth;
  const uint8_t* data = packet_data(context);
  const uint8_t* end = packet_end(context);
  if (data + SLUICE_ETHERNET_BYTES + SLUICE_IPV4_BYTES > end) return SLUICE_VERDICT_truncated_ip;
  const uint64_t own = job->reverse ? record->reverse : record->forward;
  const uint64_t peer = job->reverse ? record->forward : record->reverse;
  const uint32_t tick = session->own.tick;
  uint64_t after = sluice_word_datagram(tick);
  if (record->protocol == SLUICE_IP_TCP) {
    uint8_t* l4 = (uint8_t*)data + SLUICE_BOUND(packet->l4_offset, 0xfff);
    if (l4 + SLUICE_TCP_BYTES > end) return SLUICE_VERDICT_truncated_transport;
    const struct sluice_segment segment = sluice_segment_read(l4);
    if (job->reverse && (segment.flags & SLUICE_TCP_SYN)) {
      const uint32_t scale = session_scale(context, job);
      SLUICE_STORE(&live->scales, (uint8_t)((record->scales & 0xf) | scale << 4));
    }
    const bool believed =
        sluice_segment_in_window(&segment, own, peer, sluice_window_shift(record->scales, !job->reverse));
    if ((segment.flags & SLUICE_TCP_RST) && !believed) return SLUICE_VERDICT_reset_out_of_window;
    after = sluice_word_segment(own, &segment, believed, tick);
    if (segment.flags & (SLUICE_TCP_SYN | SLUICE_TCP_RST)) {
      const uint32_t answers = (2 * job->own + 1) * sluice_backends_room + record->backend;
      count_opening(answers, job->reverse, own, after, peer);
    }
  }
  if (job->reverse) {
    SLUICE_STORE(&live->reverse, after);
    return SLUICE_CONTINUE;
  }
  SLUICE_STORE(&live->forward, after);
  const int ends = record->protocol == SLUICE_IP_TCP ? sluice_word_ends(own, after) : 0;
  if (ends != 0) count_ends(job, record->listener, record->backend, ends);
  note_way_back(data, job, live);
  return SLUICE_CONTINUE;
}

static __always_inline uint32_t session_note(struct xdp_md* context, const struct engine_job* job,
                                             const struct session_job* session) {
  struct sluice_session* live = session_record(session->owner, session->found);
  return live ? note_packet(context, job, session, live) : SLUICE_VERDICT_no_table;
}
