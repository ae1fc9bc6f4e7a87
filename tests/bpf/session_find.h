// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Steps 2 to 4 of session.bpf.c: the packet, its session, and what it changes in it.
#pragma once

#include "session_maps.h"

// The flags of a virtual address, or -1 when it is none.
STAGE int session_virtual(const struct sluice_address* address) {
  const struct sluice_settings* settings = SLUICE_AT(&kTables, sluice_settings, settings, 0);
  uint32_t flags = 0;
  if (!address || !settings || !sluice_virtual_find(&kTables, settings, address, &flags)) return -1;
  return flags & 0xff;
}

static __always_inline bool is_echo(const struct session_job* job) {
  return job->packet.kind == SLUICE_PACKET_ECHO || job->packet.kind == SLUICE_PACKET_ECHO_REPLY;
}

// Steps 2 and 3: parse, listener, hash.
STAGE int session_look(struct xdp_md* context, struct session_job* job) {
  if (!job) return SLUICE_VERDICT_no_table;
  const struct sluice_settings* settings = SLUICE_AT(&kTables, sluice_settings, settings, 0);
  if (!settings) return SLUICE_VERDICT_no_table;
  const enum sluice_verdict verdict = sluice_parse(packet_data(context), packet_end(context), &job->packet);
  if (verdict != SLUICE_CONTINUE) return verdict;
  job->listener = SLUICE_NO_LISTENER;
  if (job->packet.kind == SLUICE_PACKET_FLOW || job->packet.kind == SLUICE_PACKET_ICMP_ERROR || is_echo(job)) {
    if (job->packet.kind != SLUICE_PACKET_ECHO_REPLY)
      job->listener = sluice_listener_of(&kTables, settings, &job->packet.flow);
    job->hash = sluice_hash_flow(settings, &job->packet.flow);
  }
  job->reverse = job->listener == SLUICE_NO_LISTENER;
  return SLUICE_CONTINUE;
}

// What is neither of a flow nor a piece of one: for the listeners' addresses themselves.
static __always_inline uint32_t answer(struct session_job* job) {
  const int flags = session_virtual(&job->packet.flow.destination);
  return flags < 0 ? SLUICE_VERDICT_pass_not_virtual : sluice_dispatch_virtual(&job->packet, (uint32_t)flags);
}

STAGE int session_finish_checksum(struct xdp_md* context, struct session_job* job) {
  if (!job) return 0;
  return sluice_finish_checksum((uint8_t*)packet_data(context), packet_end(context), &job->packet);
}

// Copies the record `index` of all, and tells whether it is the session of the packet's flow.
STAGE int session_take(struct session_job* job, uint32_t index) {
  const struct sluice_session* live = record(index);
  if (!job || !live) return 0;
  copy_words(&job->session, live, sizeof(*live));
  const struct sluice_flow* flow = &job->packet.flow;
  job->found = index;
  if (!job->reverse) return sluice_session_is_forward(&job->session, flow, job->listener);
  const struct sluice_backend* backend = SLUICE_AT(&kTables, sluice_backend, backends, job->session.backend);
  const struct sluice_address* source = sluice_session_source(&kTables, &job->session);
  return backend && source && sluice_session_is_reverse(&job->session, flow, backend, source);
}

// The owner takes the entry away before it uses the record for somebody else: so the entry is read again.
static __always_inline bool find_in_bucket(struct session_job* job, uint32_t owner, uint32_t bucket) {
  const uint32_t place = owner * session_buckets + bucket;
  const struct sluice_bucket* at = bpf_map_lookup_elem(&sluice_buckets_map, &place);
  if (!at) return false;
  for (uint32_t i = 0; i < SLUICE_BUCKET_ENTRIES; i++) {
    const uint64_t entry = SLUICE_LOAD_ENTRY(&at->entries[i]);
    if (!sluice_entry_matches(entry, job->hash)) continue;
    if (!session_take(job, owner * session_records + (uint32_t)entry)) continue;
    if (SLUICE_LOAD_ENTRY(&at->entries[i]) == entry) return true;
  }
  return false;
}

STAGE int session_find_in(struct session_job* job, uint32_t owner) {
  if (!job) return 0;
  job->owner = owner;
  return find_in_bucket(job, owner, sluice_primary_bucket(job->hash, session_buckets)) ||
         find_in_bucket(job, owner, sluice_secondary_bucket(job->hash, session_buckets));
}

// Whether the packet goes on with the session that it has found; else it is over, or to be replaced.
STAGE int session_goes_on(struct session_job* job) {
  if (!job) return 0;
  const uint32_t tick = sluice_tick(session_now);
  const struct sluice_session* session = &job->session;
  const struct sluice_backend* backend = SLUICE_AT(&kTables, sluice_backend, backends, session->backend);
  const struct sluice_session_terms* terms =
      SLUICE_AT(&kTables, sluice_session_terms, session_terms, session->listener);
  if (!backend || !terms || !(backend->flags & SLUICE_BACKEND_LIVE)) return 0;
  if (!job->reverse) {
    const struct sluice_listener* listener = SLUICE_AT(&kTables, sluice_listener, listeners, job->listener);
    if (!listener || !sluice_backend_serves(backend, listener->pool)) return 0;
  }
  if (sluice_session_expired(session->protocol, session->forward, session->reverse, terms, tick)) return 0;
  const bool opens = !job->reverse && job->packet.kind == SLUICE_PACKET_FLOW && (job->packet.flags & SLUICE_PACKET_SYN);
  return !opens || sluice_session_state(session->protocol, session->forward, session->reverse) != SLUICE_SESSION_CLOSED;
}

// Who may have the session of a packet that is not ours.
STAGE int session_guess(struct session_job* job) {
  if (!job || !job->reverse) return (int)session_self;
  const int flags = session_virtual(&job->packet.flow.destination);
  if (flags < 0 || !(flags & SLUICE_VIRTUAL_NAT)) return (int)session_self;
  return (int)sluice_nat_owner(SLUICE_16(job->packet.flow.destination_port), session_partitions);
}

// A packet of a flow that has no session.
static __always_inline uint32_t stranger(struct session_job* job) {
  if (job->reverse) {
    const int flags = session_virtual(&job->packet.flow.destination);
    if (flags < 0) return SLUICE_VERDICT_pass_not_virtual;
    if (flags & SLUICE_VIRTUAL_NAT) return SLUICE_VERDICT_no_session;
    return job->packet.kind == SLUICE_PACKET_ECHO_REPLY ? job->packet.reason : SLUICE_VERDICT_no_listener;
  }
  const bool opens = job->packet.flow.protocol != SLUICE_IP_TCP || (job->packet.flags & SLUICE_PACKET_SYN);
  if (job->packet.kind == SLUICE_PACKET_ICMP_ERROR || !opens) return SLUICE_VERDICT_no_session;
  return FOR_ITS_OWNER;
}

// The session of a flow: `forwarded` when there is one to go on with, else what becomes of the packet.
STAGE int session_find(struct session_job* job) {
  if (!job) return SLUICE_VERDICT_no_table;
  // One that is over is for the owner to end.
  if (session_find_in(job, session_self)) return session_goes_on(job) ? SLUICE_VERDICT_forwarded : FOR_ITS_OWNER;
  if (!job->reverse && (job->packet.flags & SLUICE_PACKET_SYN)) return stranger(job);
  uint32_t owner = (uint32_t)session_guess(job);
  for (uint32_t i = 0; i < MOST_PARTITIONS && i < session_partitions; i++) {
    if (owner != session_self && session_find_in(job, owner) && session_goes_on(job)) return SLUICE_VERDICT_forwarded;
    owner = owner + 1 >= session_partitions ? 0 : owner + 1;
  }
  return stranger(job);
}

// Answers go where the client's last packet came from.
static __always_inline void note_way_back(const uint8_t* data, const struct session_job* job,
                                          struct sluice_session* live) {
  uint64_t way = sluice_load64(data + SLUICE_MAC_BYTES) & 0xffffffffffff;
  if (job->packet.l3_offset != SLUICE_ETHERNET_BYTES)
    way |= (uint64_t)(SLUICE_16(sluice_load16(data + SLUICE_ETHERNET_BYTES)) & 0xfff) << 48;
  *(volatile uint64_t*)live->client_mac = way;
  *(volatile uint8_t*)&live->client_egress = (uint8_t)session_ingress;
}

// What a packet says about its session.
STAGE int session_note(struct xdp_md* context, struct session_job* job) {
  if (!job) return SLUICE_VERDICT_no_table;
  struct sluice_session* live = record(job->found);
  if (!live) return SLUICE_VERDICT_no_table;
  const struct sluice_packet* packet = &job->packet;
  if (!job->reverse && packet->l3_offset > SLUICE_ETHERNET_BYTES + SLUICE_VLAN_BYTES)
    return SLUICE_VERDICT_pass_vlan_depth;
  const uint8_t* data = packet_data(context);
  const uint8_t* end = packet_end(context);
  if (data + SLUICE_ETHERNET_BYTES + SLUICE_IPV4_BYTES > end) return SLUICE_VERDICT_truncated_ip;
  const uint64_t own = job->reverse ? job->session.reverse : job->session.forward;
  const uint64_t peer = job->reverse ? job->session.forward : job->session.reverse;
  const uint32_t tick = sluice_tick(session_now);
  uint64_t after = sluice_word_datagram(tick);
  if (job->session.protocol == SLUICE_IP_TCP) {
    uint8_t* l4 = (uint8_t*)data + SLUICE_BOUND(packet->l4_offset, 0xfff);
    if (l4 + SLUICE_TCP_BYTES > end) return SLUICE_VERDICT_truncated_transport;
    const struct sluice_segment segment = sluice_segment_read(l4);
    if (job->reverse && (segment.flags & SLUICE_TCP_SYN)) {
      const uint32_t scale = sluice_syn_scale(l4, end);
      *(volatile uint8_t*)&live->scales = (uint8_t)((job->session.scales & 0xf) | scale << 4);
    }
    const bool believed =
        sluice_segment_in_window(&segment, own, peer, sluice_window_shift(job->session.scales, !job->reverse));
    if ((segment.flags & SLUICE_TCP_RST) && !believed) return SLUICE_VERDICT_reset_out_of_window;
    after = sluice_word_segment(own, &segment, believed, tick);
  }
  if (job->reverse) {
    *(volatile uint64_t*)&live->reverse = after;
    return SLUICE_CONTINUE;
  }
  *(volatile uint64_t*)&live->forward = after;
  note_way_back(data, job, live);
  return SLUICE_CONTINUE;
}

// The first of the two places of a datagram in the owner's table of fragments.
static __always_inline uint32_t fragment_place(uint64_t hash, uint32_t owner) {
  return owner * session_fragments + ((uint32_t)hash & (session_fragments - 1) & ~1u);
}
static __always_inline struct sluice_fragment* fragment_at(uint32_t place) {
  return bpf_map_lookup_elem(&sluice_fragments_map, &place);
}
static __always_inline bool is_of_datagram(const struct sluice_fragment* fragment, const struct sluice_flow* flow) {
  return fragment->used && fragment->flow.ports == flow->ports && fragment->flow.protocol == flow->protocol &&
         sluice_address_equal(&fragment->flow.source, &flow->source) &&
         sluice_address_equal(&fragment->flow.destination, &flow->destination);
}

// What later fragments go by.
STAGE int session_remember_fragment(struct session_job* job) {
  if (!job) return SLUICE_VERDICT_no_table;
  const struct sluice_settings* settings = SLUICE_AT(&kTables, sluice_settings, settings, 0);
  if (!settings) return SLUICE_VERDICT_no_table;
  const uint32_t tick = sluice_tick(session_now);
  struct sluice_fragment fragment = {.flow = sluice_fragment_flow(&job->packet)};
  const uint32_t place = fragment_place(sluice_hash_flow(settings, &fragment.flow), session_self);
  struct sluice_fragment* first = fragment_at(place);
  struct sluice_fragment* second = fragment_at(place + 1);
  if (!first || !second) return SLUICE_VERDICT_no_table;
  fragment.table = job->owner;
  fragment.session = job->found - job->owner * session_records;
  fragment.tick = (uint16_t)tick;
  fragment.reverse = (uint8_t)job->reverse;
  fragment.used = 1;
  const bool older = sluice_age(tick, first->tick) >= sluice_age(tick, second->tick);
  const bool same = is_of_datagram(second, &fragment.flow);
  const bool here = is_of_datagram(first, &fragment.flow) || (!same && (!first->used || (second->used && older)));
  copy_words(here ? first : second, &fragment, sizeof(fragment));
  return SLUICE_CONTINUE;
}

// The session that the first fragment of a later one had, by this owner's table.
STAGE int session_find_fragment_in(struct session_job* job, uint32_t owner) {
  if (!job) return 0;
  const struct sluice_settings* settings = SLUICE_AT(&kTables, sluice_settings, settings, 0);
  if (!settings) return 0;
  const struct sluice_flow flow = sluice_fragment_flow(&job->packet);
  const uint32_t place = fragment_place(sluice_hash_flow(settings, &flow), owner);
  for (uint32_t i = 0; i < 2; i++) {
    const struct sluice_fragment* fragment = fragment_at(place + i);
    if (!fragment || !is_of_datagram(fragment, &flow)) continue;
    if (sluice_age(sluice_tick(session_now), fragment->tick) > SLUICE_FRAGMENT_TICKS) continue;
    job->owner = fragment->table;
    job->found = fragment->table * session_records + fragment->session;
    job->reverse = fragment->reverse;
    return 1;
  }
  return 0;
}

// The session may be another's by now: then it does not have the addresses of the fragment.
STAGE int session_is_of_fragment(struct session_job* job) {
  if (!job) return 0;
  const struct sluice_session* live = record(job->found);
  if (!live) return 0;
  copy_words(&job->session, live, sizeof(*live));
  const struct sluice_session* session = &job->session;
  const struct sluice_backend* backend = SLUICE_AT(&kTables, sluice_backend, backends, session->backend);
  const struct sluice_session_terms* terms =
      SLUICE_AT(&kTables, sluice_session_terms, session_terms, session->listener);
  const struct sluice_address* source = sluice_session_source(&kTables, session);
  if (!backend || !terms || !source || session->protocol == 0 || !(backend->flags & SLUICE_BACKEND_LIVE)) return 0;
  const struct sluice_address* near = job->reverse ? &backend->destination : &session->client;
  const struct sluice_address* far = job->reverse ? source : &terms->address;
  return sluice_address_equal(near, &job->packet.flow.source) &&
         sluice_address_equal(far, &job->packet.flow.destination);
}

// As session_find.
STAGE int session_find_fragment(struct session_job* job) {
  if (!job) return SLUICE_VERDICT_no_table;
  uint32_t owner = session_self;
  for (uint32_t i = 0; i < MOST_PARTITIONS && i < session_partitions; i++) {
    if (session_find_fragment_in(job, owner))
      return session_is_of_fragment(job) ? SLUICE_VERDICT_forwarded : SLUICE_VERDICT_unknown_fragment;
    owner = owner + 1 >= session_partitions ? 0 : owner + 1;
  }
  return session_virtual(&job->packet.flow.destination) < 0 ? SLUICE_VERDICT_pass_not_virtual
                                                            : SLUICE_VERDICT_unknown_fragment;
}
