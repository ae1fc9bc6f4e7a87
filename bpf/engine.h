// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The path of the engine in the kernel: one packet from its arrival to its verdict. The program (sluice.bpf.c) brings
// the clock and carries the verdict out; so can a test.
#pragma once

#include "connect.h"
#include "emit.h"

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
    // One that came after the start has the first one's.
    job->own = ingress->first_partition + (queue < ingress->queues ? queue : 0);
    return true;
  }
  return false;
}

static __always_inline void add_traffic(struct sluice_traffic* traffic, const struct engine_job* job, bool new_flow) {
  if (!traffic) return;
  traffic->packets++;
  traffic->bytes += job->packet.l3_length;
  traffic->new_flows += new_flow;
}

static __always_inline void engine_count(const struct engine_job* job, uint32_t verdict, uint32_t length) {
  struct sluice_counters* counters = counters_of(job);
  if (!counters) return;
  counters->verdicts[SLUICE_BOUND(verdict, SLUICE_COUNTED_VERDICTS - 1)]++;
  counters->bytes += length;
  const bool forwarded = verdict == SLUICE_VERDICT_forwarded;
  if (job->listener != SLUICE_NO_LISTENER) {
    const uint32_t listener = job->own * sluice_listeners_room + job->listener;
    add_traffic(bpf_map_lookup_elem(&sluice_listener_traffic_map, &listener), job, forwarded && job->new_flow);
  }
  // A later fragment has no listener.
  if (!forwarded) return;
  const uint32_t backend = job->own * sluice_backends_room + job->slot;
  add_traffic(bpf_map_lookup_elem(&sluice_backend_traffic_map, &backend), job, job->new_flow);
}

// The verdict of a packet with its surroundings in the job; job->egress is where it leaves if it does.
static __always_inline uint32_t engine_process(struct xdp_md* context, struct engine_job* job) {
  const uint32_t length = packet_length(context);
  job->listener = SLUICE_NO_LISTENER;
  uint32_t verdict = engine_look(context, job);
  if (verdict == SLUICE_CONTINUE) {
    verdict = engine_connect(job);
    if (verdict == SLUICE_CONTINUE && (job->packet.flags & SLUICE_PACKET_FIRST_FRAGMENT) &&
        job->packet.kind == SLUICE_PACKET_FLOW) {
      verdict = engine_remember_fragment(job);
    }
    if (verdict == SLUICE_CONTINUE) verdict = engine_forward(context, job);
  }
  const bool reply = sluice_verdict_kind(verdict) == SLUICE_KIND_TRANSMIT && verdict != SLUICE_VERDICT_forwarded;
  if (reply) verdict = engine_reply(context, job, verdict);
  engine_count(job, verdict, length);
  return verdict;
}
