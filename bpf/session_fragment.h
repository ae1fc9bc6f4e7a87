// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Pieces of datagrams in translated flows: the first one says to later ones which session they are of.
#pragma once

#include "session_job.h"

// The first of the two places of a datagram in the owner's table of fragments.
static __always_inline uint32_t fragment_place(uint64_t hash, uint32_t owner) {
  return owner * SLUICE_FRAGMENTS + ((uint32_t)hash & (SLUICE_FRAGMENTS - 1) & ~1u);
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
STAGE int session_remember_fragment(const struct engine_job* job, const struct session_job* session) {
  if (!job || !session) return 0;
  const struct sluice_settings* settings = SLUICE_AT(&job->tables, sluice_settings, settings, 0);
  if (!settings) return 0;
  const uint32_t tick = session->own.tick;
  struct sluice_fragment fragment = {.flow = sluice_fragment_flow(&job->packet)};
  const uint32_t place = fragment_place(sluice_hash_flow(settings, &fragment.flow), job->session_own);
  struct sluice_fragment* first = fragment_at(place);
  struct sluice_fragment* second = fragment_at(place + 1);
  if (!first || !second) return 0;
  fragment.table = session->owner;
  fragment.session = session->found;
  fragment.tick = (uint16_t)tick;
  fragment.reverse = (uint8_t)job->reverse;
  fragment.used = 1;
  const bool older = sluice_age(tick, first->tick) >= sluice_age(tick, second->tick);
  const bool same = is_of_datagram(second, &fragment.flow);
  const bool here = is_of_datagram(first, &fragment.flow) || (!same && (!first->used || (second->used && older)));
  sluice_store_words(here ? first : second, &fragment, sizeof(fragment));
  return 1;
}

// The session that the first fragment of a later one had, by this owner's table.
STAGE int session_find_fragment_in(struct engine_job* job, struct session_job* session, uint32_t owner) {
  if (!job || !session) return 0;
  const struct sluice_settings* settings = SLUICE_AT(&job->tables, sluice_settings, settings, 0);
  if (!settings) return 0;
  const struct sluice_flow flow = sluice_fragment_flow(&job->packet);
  const uint32_t place = fragment_place(sluice_hash_flow(settings, &flow), owner);
  for (uint32_t i = 0; i < 2; i++) {
    const struct sluice_fragment* fragment = fragment_at(place + i);
    if (!fragment || !is_of_datagram(fragment, &flow)) continue;
    if (sluice_age(session->own.tick, fragment->tick) > SLUICE_FRAGMENT_TICKS) continue;
    session->owner = fragment->table;
    session->found = fragment->session;
    job->reverse = fragment->reverse;
    return 1;
  }
  return 0;
}

// The session may be another's by now: then it does not have the addresses of the fragment.
STAGE int session_is_of_fragment(const struct engine_job* job, struct session_job* session) {
  if (!job || !session) return 0;
  const struct sluice_session* live = session_record(session->owner, session->found);
  if (!live) return 0;
  sluice_load_words(&session->session, live, sizeof(*live));
  const struct sluice_session* record = &session->session;
  const struct sluice_backend* backend = SLUICE_AT(&job->tables, sluice_backend, backends, record->backend);
  const struct sluice_session_terms* terms =
      SLUICE_AT(&job->tables, sluice_session_terms, session_terms, record->listener);
  const struct sluice_address* source = sluice_session_source(&job->tables, record);
  if (!backend || !terms || !source || record->protocol == 0 || !(backend->flags & SLUICE_BACKEND_LIVE)) return 0;
  if (record->flags & SLUICE_SESSION_ENDED) return 0;
  const struct sluice_address* near = job->reverse ? &backend->destination : &record->client;
  const struct sluice_address* far = job->reverse ? source : &terms->address;
  return sluice_address_equal(near, &job->packet.flow.source) &&
         sluice_address_equal(far, &job->packet.flow.destination);
}

// FOUND, or the verdict; SLUICE_CONTINUE: its first one has not been translated.
STAGE uint32_t session_find_fragment(struct engine_job* job, struct session_job* session) {
  if (!job || !session) return SLUICE_VERDICT_no_table;
  uint32_t owner = job->session_own;
  for (uint32_t i = 0; i < SLUICE_SESSION_PARTITIONS && i < sluice_session_partitions; i++) {
    if (session_find_fragment_in(job, session, owner))
      return session_is_of_fragment(job, session) ? FOUND : SLUICE_VERDICT_unknown_fragment;
    owner = owner + 1 >= sluice_session_partitions ? 0 : owner + 1;
  }
  return SLUICE_CONTINUE;
}
