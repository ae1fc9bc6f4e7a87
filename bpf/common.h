// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The common packet, in fewer steps: one in the midst of a flow that has its entry in its first bucket, which stays as
// it is, and whose backend wants nothing but a tunnel's header or other MAC addresses; one in the midst of a session
// (session_common.h); and one that is for nobody here. As soon as it turns out to be something else it goes on as any
// packet (engine.h), and nothing has been changed but a checksum that was left to a device.
#pragma once

#include "emit.h"
#include "session_common.h"

// One that no listener's key fits: pass_not_virtual when its address is nobody's here.
static __always_inline uint32_t common_stranger(const struct engine_job* job, const struct sluice_settings* settings,
                                                uint64_t length) {
  uint32_t flags;
  if (settings->ranges) return COMMON_PARSED;
  if (sluice_virtual_find(&job->tables, settings, &job->packet.flow.destination, &flags)) return COMMON_PARSED;
  count_packet(job, SLUICE_VERDICT_pass_not_virtual, length);
  return SLUICE_VERDICT_pass_not_virtual;
}

// Step 5, from the backend's record alone: SLUICE_VERDICT_forwarded. SLUICE_CONTINUE when it takes more.
static __always_inline uint32_t common_forward(struct xdp_md* context, struct engine_job* job,
                                               const struct sluice_backend* backend, uint64_t hash, uint64_t length,
                                               uint64_t pool) {
  const uint64_t terms = sluice_load64(&backend->pool);
  if (SLUICE_LIKELY(terms == (pool | SLUICE_PLAIN_IPIP)))
    return forward_ipip(context, job, backend, hash, length, false);
  if (SLUICE_LIKELY(terms == (pool | SLUICE_PLAIN_IPIP_IPV6)))
    return forward_ipip(context, job, backend, hash, length, true);
  if (SLUICE_LIKELY(terms == (pool | SLUICE_PLAIN_DSR_L2))) return forward_dsr(context, job, backend);
  return SLUICE_CONTINUE;
}

// The verdict of a common packet, which is counted; or how far it has come (COMMON_*).
static __always_inline uint32_t common_process(struct xdp_md* context, struct engine_job* job, uint64_t length) {
  const struct sluice_settings* settings = SLUICE_AT(&job->tables, sluice_settings, settings, 0);
  SLUICE_KEEP(settings);
  if (!sluice_parse_common(packet_data(context), packet_end(context), &job->packet)) return COMMON_NOTHING;
  const struct sluice_flow* flow = &job->packet.flow;
  const uint32_t sessions = settings->sessions;
  const struct sluice_index_entry* entry = NULL;
  if (SLUICE_LIKELY(sessions != SLUICE_SESSIONS_ALL))
    entry = sluice_index_find(&job->tables, settings, &flow->destination, sluice_listener_key(flow));
  if (sessions != 0 && (!entry || translates(job, entry->value)))
    return common_translate(context, job, settings, length);
  if (SLUICE_UNLIKELY(!entry)) return common_stranger(job, settings, length);
  if (SLUICE_UNLIKELY(job->unfinished)) engine_finish_checksum(context, job);
  const uint32_t listener = entry->value;
  const uint32_t pool = entry->pool;
  const uint64_t hash = sluice_hash_flow(settings, flow);
  uint32_t slot;
  const struct sluice_backend* backend = engine_follow(job, hash, &slot);
  if (SLUICE_LIKELY(backend != NULL)) {
    const uint32_t verdict = common_forward(context, job, backend, hash, length, pool);
    if (verdict != SLUICE_CONTINUE) {
      count_common(job, verdict, SLUICE_VERDICT_forwarded, length, 2 * job->own, listener, slot);
      return verdict;
    }
  }
  job->listener = listener;
  job->pool = pool;
  job->hash = hash;
  if (!backend || !sluice_backend_is_of(backend, pool)) return COMMON_DISPATCHED;
  job->slot = slot;
  return COMMON_FOLLOWED;
}
