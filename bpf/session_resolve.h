// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Step 4 of a translated packet's journey in the kernel, as a whole.
#pragma once

#include "session_fragment.h"
#include "session_open.h"

// Step 4 of a packet that may be translated: its session, also a new one. FOUND, or its verdict; SLUICE_CONTINUE: it is
// nobody's here.
static __always_inline uint32_t find_session(struct xdp_md* context, struct engine_scratch* scratch) {
  struct engine_job* job = &scratch->job;
  struct session_job* session = &scratch->session;
  if (job->packet.kind == SLUICE_PACKET_LATER_FRAGMENT) return session_find_fragment(job, session);
  const bool flow = job->packet.kind == SLUICE_PACKET_FLOW || is_echo(job);
  uint32_t verdict = session_find(job, session);
  if (verdict == FOUND) {
    verdict = flow ? session_note(context, job, session) : SLUICE_CONTINUE;
    if (verdict != SLUICE_CONTINUE) return verdict;
    if (session->session.flags & SLUICE_SESSION_ENDED) return SLUICE_VERDICT_no_session;
  } else {
    if (job->reverse) return session_stranger(job);
    if (!flow) return SLUICE_VERDICT_no_session;
    verdict = session_open(context, job, session, &scratch->other);
    if (verdict != FOUND) return verdict;
  }
  if (flow && (job->packet.flags & SLUICE_PACKET_FIRST_FRAGMENT)) session_remember_fragment(job, session);
  return FOUND;
}
