// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The engine in the kernel: the packet path as an XDP program on each interface of the balancer. What is for a listener
// leaves rewritten, by the same interface or another one; what is not goes to the kernel untouched. Where there are
// workers in user space they have the listeners' packets, and this program stands in for those that are gone.
//
// Each queue of an interface is a worker, the only writer of its partition: in the driver's own XDP a queue is served
// by one CPU at a time.

#include "engine.h"
#include "workers.h"

static __always_inline int carry_out(const struct engine_job* job, uint32_t verdict) {
  switch (sluice_verdict_kind(verdict)) {
    case SLUICE_KIND_TRANSMIT:
      return job->egress == job->direct ? XDP_TX : bpf_redirect_map(&sluice_devices, job->egress, XDP_DROP);
    case SLUICE_KIND_PASS:
      // What workers want and then have no use for ends with them, and so it does here.
      return sluice_takeover_after == 0 ? XDP_PASS : XDP_DROP;
    default:
      return XDP_DROP;
  }
}

// The name tells our program from a foreign one at start (15 characters are what the kernel keeps).
SEC("xdp")
int sluice_xdp(struct xdp_md* context) {
  struct engine_scratch* scratch = engine_enter(context);
  if (!scratch) return XDP_PASS;
  struct engine_job* job = &scratch->job;
  if (sluice_takeover_after != 0) {
    if (!workers_want(context)) return XDP_PASS;
    if (has_worker(job)) {
      engine_end_expired(scratch);
      return bpf_redirect_map(&sluice_sockets, job->own, XDP_DROP);
    }
  }
  return carry_out(job, engine_process(context, scratch));
}

char sluice_license[] SEC("license") = "GPL";
