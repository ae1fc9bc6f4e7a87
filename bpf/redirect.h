// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// What of an interface's packets is for workers in user space, and what stays with the kernel.
//
// What a packet is for is what the path's own parser says: its destination, and for ARP requests and neighbour
// solicitations the address that they ask for; and where answers come back through us, its source. A packet whose IP
// header can't be trusted goes to the worker as well: the kernel would drop it too, and the worker counts it under its
// reason, as behind any other port.
#pragma once

#include "frame.h"
#include "sluice/parse.h"

// Sets of keys: the value says nothing. Sized by the loader.
#define SET(name, record)                 \
  struct {                                \
    __uint(type, BPF_MAP_TYPE_HASH);      \
    __uint(max_entries, 1);               \
    __uint(map_flags, BPF_F_NO_PREALLOC); \
    __type(key, record);                  \
    __type(value, __u8);                  \
  } name SEC(".maps")

// Virtual addresses.
SET(vips, struct sluice_address);

// Where servers answer clients' own addresses through us: address, port and protocol that they answer from (as in the
// loader). Port 0: replies to echo requests; port and protocol 0: later fragments of one of them.
struct service_key {
  struct sluice_address address;
  __u16 port;
  __u16 protocol;
};
SET(services, struct service_key);

// The node's own addresses: what a server sends to one of them is for the kernel.
SET(locals, struct sluice_address);

SLUICE_INLINE bool is_answer(const struct sluice_packet* packet) {
  struct service_key key = {.address = packet->flow.source};
  if (packet->kind == SLUICE_PACKET_FLOW || packet->kind == SLUICE_PACKET_ICMP_ERROR ||
      packet->kind == SLUICE_PACKET_ECHO_REPLY) {
    key.port = packet->flow.source_port;
    key.protocol = packet->flow.protocol;
  } else if (packet->kind != SLUICE_PACKET_LATER_FRAGMENT) {
    return false;
  }
  if (!bpf_map_lookup_elem(&services, &key)) return false;
  return bpf_map_lookup_elem(&locals, &packet->flow.destination) == NULL;
}

SLUICE_INLINE bool is_ours(const uint8_t* data, const uint8_t* end) {
  struct sluice_packet packet;
  const enum sluice_verdict verdict = sluice_parse(data, end, &packet);
  if (verdict != SLUICE_CONTINUE) return sluice_verdict_kind(verdict) == SLUICE_KIND_DROP;
  return bpf_map_lookup_elem(&vips, &packet.flow.destination) != NULL || is_answer(&packet);
}
