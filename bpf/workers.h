// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// Workers in user space, over AF_XDP: a partition's packets are theirs while they live (struct sluice_owner).
#pragma once

#include "connect.h"
#include "redirect.h"

// By partition, as the owners.
struct {
  __uint(type, BPF_MAP_TYPE_XSKMAP);
  __uint(max_entries, 1);
  __type(key, uint32_t);
  __type(value, uint32_t);
} sluice_sockets SEC(".maps");

ARRAY(owners, struct sluice_owner);

// After how long without a heartbeat a worker is passed by, ns. 0: there are no workers.
const volatile uint64_t sluice_takeover_after = 0;

STAGE int workers_want(struct xdp_md* context) {
  return is_ours(packet_data(context), packet_end(context));
}

// Whether the packet is for a worker that lives. The socket of a process that is gone has left the map by itself.
static __always_inline bool has_worker(const struct engine_job* job) {
  const uint32_t own = job->own;
  struct sluice_owner* owner = bpf_map_lookup_elem(&sluice_owners_map, &own);
  if (!owner || *(volatile uint32_t*)&owner->seen != owner->taken) return false;
  // The heartbeat's clock is the finer one: it may be ahead.
  const int64_t silence = (int64_t)(job->now - *(volatile uint64_t*)&owner->heartbeat);
  if (silence < (int64_t)sluice_takeover_after && bpf_map_lookup_elem(&sluice_sockets, &own)) return true;
  owner->taken++;
  return false;
}
