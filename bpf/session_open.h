// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// New sessions of the kernel's, and the end of those that are over.
#pragma once

#include "session_find.h"

// Whether another queue has a session with the same answers, which are in the scratch. One of the same flow, which has
// moved here, is no obstacle: its answers are translated alike.
STAGE int session_is_taken(const struct engine_job* job, struct session_job* session, struct session_job* other) {
  if (!job || !session || !other) return 0;
  session_job_begin(other, job);
  struct sluice_session_owner* own = sluice_owned_state(&session->own);
  if (!own) return 0;
  const struct sluice_flow* answer = &session->own.scratch.answer;
  const uint64_t hash = session->own.scratch.answer_hash;
  // Ours is entered before we look at theirs.
  __sync_fetch_and_add(&own->fence, 1);
  for (uint32_t i = 0; i < SLUICE_SESSION_PARTITIONS && i < sluice_session_partitions; i++) {
    other->owner = i;
    if (i == job->session_own || session_has_none(i)) continue;
    if (!session_search_in(other, answer, SLUICE_NO_LISTENER, hash)) continue;
    if (sluice_session_is_of_client(&job->tables, &other->session, &session->session)) continue;
    if (session_lives(other)) return 1;
  }
  return 0;
}

// What the session of the packet's flow is to be; SLUICE_CONTINUE, or why it gets none.
STAGE uint32_t session_begin(struct xdp_md* context, struct engine_job* job, struct session_job* session) {
  if (!job || !session) return SLUICE_VERDICT_no_table;
  struct sluice_session* wanted = &session->session;
  __builtin_memset(wanted, 0, sizeof(*wanted));
  const struct sluice_selector selector = {job->own, job->now};
  const uint32_t verdict =
      sluice_session_begin(&job->tables, &selector, &job->packet, job->listener, job->hash, wanted);
  if (verdict != SLUICE_CONTINUE) return verdict;
  if (wanted->flags & SLUICE_SESSION_TELLS) return SLUICE_VERDICT_worker_gone;
  const bool whole = sluice_session_note_first(wanted, (uint8_t*)packet_data(context), packet_end(context),
                                               &job->packet, job->ingress, session->own.tick);
  return whole ? SLUICE_CONTINUE : SLUICE_VERDICT_truncated_transport;
}

// Another queue has entered one at the same moment: both see that, and neither keeps its source. As
// sluice_session_enter.
STAGE int session_enter_again(struct engine_job* job, struct session_job* session, uint32_t index, uint32_t* verdict) {
  if (!job || !session || !verdict) return -1;
  sluice_session_close(&session->own, index);
  *verdict = (uint32_t)sluice_session_take_source(&session->own, &session->session, job->hash);
  if (*verdict != SLUICE_CONTINUE) return -1;
  *verdict = SLUICE_VERDICT_sessions_full;
  return sluice_session_enter(&session->own, &session->session, &job->packet.flow, job->hash);
}

// As SessionPath::Open: FOUND, with the session that the packet's flow has from here on, or why it has none.
static __always_inline uint32_t session_open(struct xdp_md* context, struct engine_job* job,
                                             struct session_job* session, struct session_job* other) {
  struct sluice_session* wanted = &session->session;
  uint32_t verdict = session_begin(context, job, session);
  if (verdict != SLUICE_CONTINUE) return verdict;
  // With others there may be one of theirs in its way.
  const bool shared = sluice_session_partitions != 1;
  const bool keeps =
      sluice_session_keeps_source(&session->own, wanted) && !(shared && session_is_taken(job, session, other));
  if (!keeps) {
    verdict = (uint32_t)sluice_session_take_source(&session->own, wanted, job->hash);
    if (verdict != SLUICE_CONTINUE) return verdict;
  }
  verdict = SLUICE_VERDICT_sessions_full;
  int index = sluice_session_enter(&session->own, wanted, &job->packet.flow, job->hash);
  if (index >= 0 && keeps && shared && session_is_taken(job, session, other))
    index = session_enter_again(job, session, (uint32_t)index, &verdict);
  if (index < 0) return verdict;
  session->found = (uint32_t)index;
  session->owner = job->session_own;
  job->begins = BEGINS_SESSION;
  return FOUND;
}

// A session that the sweep has found to be over, if there is one: there is no time between packets, so each packet that
// may have a session ends one.
STAGE int session_end_expired(struct session_job* session) {
  if (!session) return 0;
  const int index = sluice_session_next_expired(&session->own);
  return index >= 0 ? sluice_session_expire(&session->own, (uint32_t)index) : 0;
}
static __always_inline void end_expired(struct session_job* session) {
  const struct sluice_expired* queue = sluice_owned_expired(&session->own);
  if (queue && sluice_session_any_expired(queue)) session_end_expired(session);
}
