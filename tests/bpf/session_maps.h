// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// What the stages of session.bpf.c share: the tables, a packet's surroundings, and what is known of the packet.
#pragma once

#include "xdp.h"

TABLE(settings, struct sluice_settings, 1);
TABLE(index, struct sluice_index_entry, 256);
TABLE(ranges, struct sluice_port_range, 16);
TABLE(listeners, struct sluice_listener, 64);
TABLE(session_terms, struct sluice_session_terms, 64);
TABLE(pools, struct sluice_pool, 16);
TABLE(maglev, struct sluice_maglev_line, 4);
TABLE(nat_addresses, struct sluice_nat_address, 8);
TABLE(backends, struct sluice_backend, 32);
TABLE(ports, struct sluice_port, 2);
// Of each partition.
TABLE(limiter, struct sluice_limiter, 4);
// Partitions behind each other.
TABLE(buckets, struct sluice_bucket, 512);
TABLE(sessions, struct sluice_session, 1024);
TABLE(fragments, struct sluice_fragment, 8192);

#include "sluice/dispatch.h"
#include "sluice/follow.h"
#include "sluice/nat_port.h"
#include "sluice/reply.h"
#include "sluice/reset.h"
#include "sluice/rewrite.h"
#include "sluice/session.h"
#include "sluice/translate.h"
#include "sluice/translate46.h"
#include "sluice/unfinished.h"

#define MOST_PARTITIONS 4
// Not a verdict: the session's owner has to see the packet.
#define FOR_ITS_OWNER (SLUICE_VERDICT_COUNT + 1)
// Of each partition.
const volatile uint32_t session_buckets = 1;
const volatile uint32_t session_records = 1;
const volatile uint32_t session_fragments = 2;
const volatile uint32_t session_partitions = 1;

// What a packet's surroundings are: given by the test, so that both compositions see the same.
uint32_t session_self = 0;
uint64_t session_now = 0;
uint32_t session_ingress = 0;
uint32_t session_unfinished = 0;

// Out: a sluice_verdict, and the port of a transmitted packet.
uint32_t session_verdict = 0;
uint32_t session_egress = 0;

// Where a packet goes and what it says there: struct sluice_endpoints with the addresses themselves.
struct session_exit {
  struct sluice_address source;
  struct sluice_address destination;
  uint32_t ports;
  uint16_t delta;
  uint16_t keeps_source;
  uint8_t destination_mac[SLUICE_MAC_BYTES];
  uint8_t source_mac[SLUICE_MAC_BYTES];
  uint16_t vlan;
  uint16_t port;
  // 0: there is no next hop.
  uint16_t mtu;
  uint16_t reserved;
};

struct session_job {
  // The record that the packet has found; a copy, which its owner does not change.
  struct sluice_session session;
  struct sluice_packet packet;
  struct session_exit exit;
  struct sluice_crossing crossing;
  uint64_t hash;
  uint32_t listener;
  uint32_t reverse;
  // Of the record, and whose it is.
  uint32_t found;
  uint32_t owner;
  // Largest layer-3 packet that would have passed, of a packet that is too big.
  uint32_t mtu;
  uint32_t reserved;
};

struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, uint32_t);
  __type(value, struct session_job);
} session_job_map SEC(".maps");

static __always_inline struct sluice_session* record(uint32_t index) {
  return bpf_map_lookup_elem(&sluice_sessions_map, &index);
}

// A record of eight-byte words, each read or written whole.
static __always_inline void copy_words(void* to, const void* from, uint32_t bytes) {
  SLUICE_UNROLL
  for (uint32_t i = 0; i < bytes / 8; i++) ((volatile uint64_t*)to)[i] = ((const volatile uint64_t*)from)[i];
}
