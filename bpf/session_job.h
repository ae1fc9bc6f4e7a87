// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// A packet of a translated flow on its way through the stages of session_find.h, session_open.h and session_emit.h.
#pragma once

#include "connect.h"
#include "sluice/session_open.h"
#include "sluice/translate46.h"

// Not verdicts: the flow has a session to go on with; it has none.
#define FOUND (SLUICE_VERDICT_COUNT + 2)
#define NOT_FOUND (SLUICE_VERDICT_COUNT + 3)

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
  // 0: there is no next hop.
  uint16_t mtu;
};
SLUICE_STATIC_ASSERT(offsetof(struct session_exit, source_mac) ==
                         offsetof(struct session_exit, destination_mac) + SLUICE_MAC_BYTES,
                     "written as they lie");

struct session_job {
  // The record that the packet has found; a copy, which its owner does not change. Or the one that it is to get.
  struct sluice_session session;
  struct session_exit exit;
  struct sluice_crossing crossing;
  // Of the record among its owner's, and whose it is.
  uint32_t found;
  uint32_t owner;
  // This queue's own.
  struct sluice_owned own;
};

// This CPU's clock, and in which jiffy it was read. It goes on once a jiffy, as the kernel's does.
struct engine_clock {
  uint64_t jiffy;
  uint64_t now;
};

// All that is known of a packet, one record a CPU: the stages together have 512 bytes of stack.
struct engine_scratch {
  struct engine_job job;
  struct engine_clock clock;
  struct session_job session;
  // Of what is looked for on its behalf.
  struct session_job other;
};
struct {
  __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
  __uint(max_entries, 1);
  __type(key, uint32_t);
  __type(value, struct engine_scratch);
} sluice_scratch SEC(".maps");

// This CPU's, for a packet of which nothing is known yet. The rest of it is of the packet before until it is written,
// which it is before it is read.
static __always_inline struct engine_scratch* engine_begin(void) {
  const uint32_t zero = 0;
  struct engine_scratch* scratch = bpf_map_lookup_elem(&sluice_scratch, &zero);
  if (!scratch) return NULL;
  scratch->job.listener = SLUICE_NO_LISTENER;
  scratch->job.begins = BEGINS_NOTHING;
  scratch->job.reverse = 0;
  return scratch;
}

static __always_inline void session_job_begin(struct session_job* session, const struct engine_job* job) {
  session->own.self = job->session_own;
  session->own.port_owner = job->session_own - sluice_session_workers;
  session->own.owners = sluice_session_partitions - sluice_session_workers;
  session->own.tick = sluice_tick(job->now);
  session->own.ports.first = sluice_nat_ranges.first;
  session->own.ports.second = sluice_nat_ranges.second;
  session->own.ports.first_count = sluice_nat_ranges.first_count;
  session->own.ports.count = sluice_nat_ranges.count;
  session->own.tables = job->tables;
}

static __always_inline struct sluice_session* session_record(uint32_t owner, uint32_t i) {
  const uint32_t at = owner * sluice_session_records + i;
  return bpf_map_lookup_elem(&sluice_sessions_map, &at);
}

static __always_inline bool is_echo(const struct engine_job* job) {
  return job->packet.kind == SLUICE_PACKET_ECHO || job->packet.kind == SLUICE_PACKET_ECHO_REPLY;
}
