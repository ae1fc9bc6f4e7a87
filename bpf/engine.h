// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The path of the engine in the kernel: one packet from its arrival to its verdict. The program (sluice.bpf.c)
// carries the verdict out; a test brings a packet's surroundings itself.
#pragma once

#include "connect.h"
#include "emit.h"
#include "session_emit.h"
#include "session_resolve.h"

// The packet's port and partition. False when the interface is none of ours.
static __always_inline bool engine_arrive(const struct xdp_md* context, struct engine_job* job) {
  const uint32_t ifindex = context->ingress_ifindex;
  for (uint32_t i = 0; i < SLUICE_INGRESS; i++) {
    const struct sluice_ingress* ingress = &sluice_ingress[(ifindex + i) & (SLUICE_INGRESS - 1)];
    if (ingress->ifindex == 0) return false;
    if (ingress->ifindex != ifindex) continue;
    const uint32_t queue = context->rx_queue_index;
    job->ingress = ingress->port;
    job->direct = ingress->direct;
    job->unfinished = ingress->unfinished;
    // One that came after the start has the first one's.
    job->own = ingress->first_partition + (queue < ingress->queues ? queue : 0);
    job->session_own = ingress->first_session_partition + (queue < ingress->queues ? queue : 0);
    return true;
  }
  return false;
}

// CLOCK_MONOTONIC as of the last jiffy or, where the kernel has counted that one and not yet gone on with its clock, of
// the one before. Asking for it is two calls into the kernel, and jiffies are a word that the program reads itself.
static __always_inline uint64_t engine_now(struct engine_clock* clock) {
  const uint64_t jiffy = bpf_jiffies64();
  if (clock->jiffy != jiffy) {
    clock->jiffy = jiffy;
    clock->now = bpf_ktime_get_coarse_ns();
  }
  return clock->now;
}

// A packet's record, with its clock, generation, port and partition. Null when there is nothing to do for it.
static __always_inline struct engine_scratch* engine_enter(const struct xdp_md* context) {
  const uint32_t zero = 0;
  const struct sluice_kernel_state* state = bpf_map_lookup_elem(&sluice_state_map, &zero);
  struct engine_scratch* scratch = engine_begin();
  if (!state || !scratch) return NULL;
  scratch->job.now = engine_now(&scratch->clock);
  scratch->job.tables.half = *(const volatile uint32_t*)&state->half;
  return engine_arrive(context, &scratch->job) ? scratch : NULL;
}

static __always_inline void add_traffic(struct sluice_traffic* traffic, const struct engine_job* job, bool begun) {
  if (!traffic) return;
  traffic->packets++;
  traffic->bytes += job->packet.l3_length;
  if (begun) traffic->new_flows++;
}

// The listener's or the backend's record of the packet's direction.
static __always_inline uint32_t traffic_at(const struct engine_job* job, uint32_t room, uint32_t i) {
  return (2 * job->own + (job->reverse & 1)) * room + i;
}

static __always_inline void engine_count(const struct engine_job* job, uint32_t verdict, uint32_t length) {
  struct sluice_counters* counters = counters_of(job);
  if (!counters) return;
  counters->verdicts[SLUICE_BOUND(verdict, SLUICE_COUNTED_VERDICTS - 1)]++;
  counters->bytes += length;
  const bool carried = verdict == SLUICE_VERDICT_forwarded || verdict == SLUICE_VERDICT_returned;
  // A flow that has not been forwarded has not begun, but a session has.
  const bool begun = job->opened || (job->new_flow && carried);
  // A later fragment has no listener.
  if (job->listener != SLUICE_NO_LISTENER) {
    const uint32_t listener = traffic_at(job, sluice_listeners_room, job->listener);
    add_traffic(bpf_map_lookup_elem(&sluice_listener_traffic_map, &listener), job, begun);
  }
  if (!carried) return;
  const uint32_t backend = traffic_at(job, sluice_backends_room, job->slot);
  add_traffic(bpf_map_lookup_elem(&sluice_backend_traffic_map, &backend), job, begun);
}

// Steps 4 and 5 of a packet that may be translated; SLUICE_CONTINUE as find_session.
static __always_inline uint32_t engine_translate(struct xdp_md* context, struct engine_scratch* scratch) {
  struct engine_job* job = &scratch->job;
  struct session_job* session = &scratch->session;
  session_job_begin(session, job);
  end_expired(session);
  uint32_t verdict = find_session(context, scratch);
  if (verdict != FOUND) return verdict;
  // Its numbers are shifted, and that is a worker's work.
  if (session->session.flags & SLUICE_SESSION_TELLS) return SLUICE_VERDICT_worker_gone;
  verdict = session_find_exit(job, session);
  return verdict == SLUICE_CONTINUE ? session_emit(context, job, session) : verdict;
}

// Of sessions that the kernel has opened in a worker's place: they end when their time is over, also while there is a
// worker.
static __always_inline void engine_end_expired(struct engine_scratch* scratch) {
  if (sluice_session_records == 0) return;
  const struct sluice_expired* queue = bpf_map_lookup_elem(&sluice_expired_map, &scratch->job.session_own);
  if (!queue || !sluice_session_any_expired(queue)) return;
  session_job_begin(&scratch->session, &scratch->job);
  session_end_expired(&scratch->session);
}

// Steps 4 and 5 of one that is not.
static __always_inline uint32_t engine_tunnel(struct xdp_md* context, struct engine_job* job) {
  const struct sluice_backend* backend = NULL;
  uint32_t verdict = engine_connect(job, &backend);
  if (verdict == SLUICE_CONTINUE && (job->packet.flags & SLUICE_PACKET_FIRST_FRAGMENT) &&
      job->packet.kind == SLUICE_PACKET_FLOW) {
    verdict = engine_remember_fragment(job);
  }
  if (verdict == SLUICE_CONTINUE) verdict = engine_forward(context, job, backend);
  return verdict;
}

// The verdict of a packet with its surroundings in the job; job->egress is where it leaves if it does.
static __always_inline uint32_t engine_process(struct xdp_md* context, struct engine_scratch* scratch) {
  struct engine_job* job = &scratch->job;
  const uint32_t length = packet_length(context);
  uint32_t verdict = engine_look(context, job);
  if (job->unfinished && (verdict == SLUICE_CONTINUE || verdict == LOOK_FOR_SESSION)) {
    engine_finish_checksum(context, job);
  }
  if (sluice_session_records != 0 && verdict == LOOK_FOR_SESSION) {
    verdict = engine_translate(context, scratch);
    if (verdict == SLUICE_CONTINUE) {
      verdict = engine_dispatch(job);
      if (verdict == SLUICE_CONTINUE) verdict = engine_tunnel(context, job);
    }
  } else if (verdict == SLUICE_CONTINUE) {
    verdict = engine_tunnel(context, job);
  }
  const bool reply = verdict >= SLUICE_VERDICT_replied_arp && verdict < SLUICE_VERDICT_pass_not_ip;
  if (reply) verdict = engine_reply(context, job, verdict);
  engine_count(job, verdict, length);
  return verdict;
}
