// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The program that feeds the AF_XDP ports of the dpdk engine until the first tables are published, and where the kernel
// can't stand in for workers (sluice.bpf.c): packets for a virtual address go to the worker of their RX queue,
// everything else stays with the kernel. A queue without a socket drops: the kernel never holds a virtual address and
// would answer in its own name.

#include "redirect.h"

// By RX queue; sized to the interface by the loader.
struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u32);
} xsks_map SEC(".maps");

// The name tells our program from a foreign one at start (15 characters are what the kernel keeps).
SEC("xdp")
int sluice_redirect(struct xdp_md* context) {
  if (!is_ours(packet_data(context), packet_end(context))) return XDP_PASS;
  return bpf_redirect_map(&xsks_map, context->rx_queue_index, XDP_DROP);
}

char redirect_license[] SEC("license") = "GPL";
