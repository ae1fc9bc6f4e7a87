// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The path of the engine in the kernel with its flows in the kernel's own LRU hash, by their addresses, ports and
// protocol, as XDP balancers have them: what the connection table is measured against. Everything else is the same.

#include "bpf/connect.h"

struct reference_flow {
  uint32_t slot;
  uint32_t tick;
};

// Room is the loader's.
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 1);
  __type(key, struct sluice_flow);
  __type(value, struct reference_flow);
} reference_flows SEC(".maps");

STAGE int reference_connect(struct engine_job* job) {
  if (!job) return SLUICE_VERDICT_no_table;
  const uint32_t tick = sluice_tick(job->now);
  struct reference_flow* flow = bpf_map_lookup_elem(&reference_flows, &job->packet.flow);
  if (flow && sluice_age(tick, flow->tick) <= job->terms.idle) {
    const struct sluice_backend* backend = SLUICE_AT(&job->tables, sluice_backend, backends, flow->slot);
    if (backend && (backend->flags & SLUICE_BACKEND_LIVE) && backend->pool == job->terms.pool) {
      if (flow->tick != tick) flow->tick = tick;
      job->slot = flow->slot;
      return SLUICE_CONTINUE;
    }
  }
  const struct sluice_selector selector = {job->own};
  job->slot = sluice_select(&job->tables, &selector, job->listener, &job->packet.flow, job->hash);
  if (job->slot == SLUICE_NO_BACKEND) return SLUICE_VERDICT_no_backend;
  job->new_flow = 1;
  const struct reference_flow made = {job->slot, tick};
  bpf_map_update_elem(&reference_flows, &job->packet.flow, &made, BPF_ANY);
  return SLUICE_CONTINUE;
}

// The one step that is another one.
#define engine_connect reference_connect
#include "bpf/engine.h"

SEC("xdp")
int reference(struct xdp_md* context) {
  struct engine_scratch* scratch = engine_enter(context);
  if (!scratch) return XDP_PASS;
  switch (sluice_verdict_kind(engine_process(context, scratch))) {
    case SLUICE_KIND_TRANSMIT:
      return XDP_TX;
    case SLUICE_KIND_PASS:
      return XDP_PASS;
    default:
      return XDP_DROP;
  }
}

char reference_license[] SEC("license") = "GPL";
