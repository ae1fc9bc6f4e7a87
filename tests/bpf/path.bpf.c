// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The engine's path in the kernel (bpf/engine.h) with its surroundings given by a test, so that the composition over a
// burst sees the same: clock, port, partition.

#include "action.h"
#include "bpf/engine.h"

uint32_t path_own = 0;
uint64_t path_now = 0;
uint32_t path_ingress = 0;
uint32_t path_unfinished = 0;

// Out: a sluice_verdict, and the port of a transmitted packet.
uint32_t path_verdict = 0;
uint32_t path_egress = 0;

SEC("xdp")
int path(struct xdp_md* context) {
  struct engine_scratch* scratch = engine_begin();
  if (!scratch) return XDP_ABORTED;
  scratch->job.now = path_now;
  scratch->job.own = path_own;
  scratch->job.session_own = path_own;
  scratch->job.ingress = path_ingress;
  scratch->job.unfinished = path_unfinished;
  path_verdict = engine_process(context, scratch);
  path_egress = scratch->job.egress;
  return action_of(path_verdict);
}

char path_license[] SEC("license") = "GPL";
