// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The path of the engine in the kernel: one packet from its arrival to its verdict. The program (sluice.bpf.c)
// carries the verdict out; a test brings a packet's surroundings itself.
#pragma once

#include "common.h"
#include "session_emit.h"
#include "session_resolve.h"

// Where the record of an interface is that is not at its first place; SLUICE_INGRESS when it is none of ours.
STAGE uint32_t engine_ingress_behind(uint32_t ifindex) {
  for (uint32_t i = 1; i < SLUICE_INGRESS; i++) {
    const uint32_t at = (ifindex + i) & (SLUICE_INGRESS - 1);
    if (sluice_ingress[at].ifindex == 0) break;
    if (sluice_ingress[at].ifindex == ifindex) return at;
  }
  return SLUICE_INGRESS;
}

// The packet's port and partition. False when the interface is none of ours.
static __always_inline bool engine_arrive(const struct xdp_md* context, struct engine_job* job) {
  const uint32_t ifindex = context->ingress_ifindex;
  const struct sluice_ingress* ingress = &sluice_ingress[ifindex & (SLUICE_INGRESS - 1)];
  SLUICE_KEEP(ingress);
  if (SLUICE_UNLIKELY(ingress->ifindex != ifindex)) {
    const uint32_t at = ingress->ifindex == 0 ? SLUICE_INGRESS : engine_ingress_behind(ifindex);
    if (at >= SLUICE_INGRESS) return false;
    ingress = &sluice_ingress[SLUICE_BOUND(at, SLUICE_INGRESS - 1)];
  }
  // One that came after the start has the first one's.
  const uint32_t queue = context->rx_queue_index < ingress->queues ? context->rx_queue_index : 0;
  sluice_store64(&job->ingress, sluice_load64(&ingress->port));
  job->own = ingress->first_partition + queue;
  job->session_own = ingress->first_session_partition + queue;
  return true;
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
  struct engine_scratch* scratch = engine_begin();
  if (!scratch) return NULL;
  scratch->job.now = engine_now(&scratch->clock);
  scratch->job.tables.half = sluice_half & 1;
  return engine_arrive(context, &scratch->job) ? scratch : NULL;
}

static __always_inline void engine_count(const struct engine_job* job, uint32_t verdict, uint64_t length) {
  const bool carried = verdict <= SLUICE_VERDICT_returned;
  const uint32_t begun = SLUICE_LIKELY(job->begins == BEGINS_NOTHING) ? 0 : carried || job->begins == BEGINS_SESSION;
  count_packet(job, verdict, length);
  const uint32_t half = 2 * job->own + job->reverse;
  // A later fragment has no listener.
  if (job->listener != SLUICE_NO_LISTENER) count_of_listener(job, half, job->listener, begun);
  if (carried) count_of_backend(job, half, job->slot, begun);
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

// Steps 4 and 5 of one that is not; `followed`: step 4 has been done.
static __always_inline uint32_t engine_tunnel(struct xdp_md* context, struct engine_job* job, bool followed) {
  const uint32_t verdict = followed ? SLUICE_CONTINUE : engine_connect(job);
  if (verdict != SLUICE_CONTINUE) return verdict;
  const struct sluice_backend* backend = SLUICE_AT(&job->tables, sluice_backend, backends, job->slot);
  return backend ? engine_forward(context, job, backend) : SLUICE_VERDICT_no_table;
}

// The packet that is no common one, from where common_process has left it.
static __always_inline uint32_t process_any(struct xdp_md* context, struct engine_scratch* scratch, uint32_t progress,
                                            uint64_t length) {
  struct engine_job* job = &scratch->job;
  uint32_t verdict = SLUICE_CONTINUE;
  if (progress < COMMON_DISPATCHED) {
    verdict = engine_look(context, job, progress == COMMON_PARSED);
    if (job->unfinished && (verdict == SLUICE_CONTINUE || verdict == LOOK_FOR_SESSION)) {
      engine_finish_checksum(context, job);
    }
  }
  if (verdict == LOOK_FOR_SESSION && sluice_session_records != 0) {
    verdict = engine_translate(context, scratch);
    if (verdict == SLUICE_CONTINUE) {
      verdict = engine_dispatch(job);
      if (verdict == SLUICE_CONTINUE) verdict = engine_tunnel(context, job, false);
    }
  } else if (verdict == SLUICE_CONTINUE) {
    verdict = engine_tunnel(context, job, progress == COMMON_FOLLOWED);
  }
  const bool reply = verdict >= SLUICE_VERDICT_replied_arp && verdict < SLUICE_VERDICT_pass_not_ip;
  if (reply) verdict = engine_reply(context, job, verdict);
  engine_count(job, verdict, length);
  return verdict;
}

// The verdict of a packet with its surroundings in the job; job->egress is where it leaves if it does.
static __always_inline uint32_t engine_process(struct xdp_md* context, struct engine_scratch* scratch) {
  const uint64_t length = packet_length(context);
  const uint32_t progress = common_process(context, &scratch->job, length);
  if (SLUICE_LIKELY(progress < SLUICE_VERDICT_COUNT)) return progress;
  // Nothing of this is worth a register there.
  SLUICE_KEEP(scratch);
  return process_any(context, scratch, progress, length);
}
