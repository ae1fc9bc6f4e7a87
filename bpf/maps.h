// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
//
// The memory of the engine in the kernel: the tables of tables.h and the state of the partitions, in arrays that the
// daemon has mapped (src/engine/xdp/kernel_path.h sizes and fills them).
//
// A table's array holds two generations behind each other, `sluice_NAME_room` records each; sluice_half says
// which of them packets read. Maglev tables lie in one arena that both share: an unchanged pool has its table in the
// same place.
#pragma once

#include "frame.h"
#include "sluice/kernel.h"
#include "sluice/nat_port.h"
#include "sluice/session_records.h"

#define ARRAY(name, record)            \
  struct {                             \
    __uint(type, BPF_MAP_TYPE_ARRAY);  \
    __uint(map_flags, BPF_F_MMAPABLE); \
    __uint(max_entries, 1);            \
    __type(key, uint32_t);             \
    __type(value, record);             \
  } sluice_##name##_map SEC(".maps")

// Its record at `at`; null when there are not so many.
#define RECORD_AT(name, record)                                     \
  static __always_inline record* sluice_##name##_at(uint32_t at) {  \
    return (record*)bpf_map_lookup_elem(&sluice_##name##_map, &at); \
  }                                                                 \
  _Static_assert(sizeof(record) > 0, "")

#define TABLE(name, record) \
  ARRAY(name, record);      \
  RECORD_AT(name, record);  \
  const volatile uint32_t sluice_##name##_room = 1

TABLE(index, struct sluice_index_entry);
TABLE(ranges, struct sluice_port_range);
TABLE(listeners, struct sluice_listener);
TABLE(pools, struct sluice_pool);
TABLE(backends, struct sluice_backend);
TABLE(ports, struct sluice_port);
TABLE(session_terms, struct sluice_session_terms);
TABLE(nat_addresses, struct sluice_nat_address);
TABLE(access, struct sluice_access);
TABLE(access_nodes, struct sluice_access_node);
ARRAY(maglev, struct sluice_maglev_line);

// Of the partitions, behind each other: buckets of the connection table, counters, and traffic by listener and by
// backend, `sluice_listeners_room` and `sluice_backends_room` of them each for clients' packets, and as many behind
// those for answers.
ARRAY(buckets, struct sluice_bucket);
ARRAY(counters, struct sluice_counters);
RECORD_AT(counters, struct sluice_counters);
ARRAY(listener_traffic, struct sluice_traffic);
RECORD_AT(listener_traffic, struct sluice_traffic);
ARRAY(backend_traffic, struct sluice_traffic);
RECORD_AT(backend_traffic, struct sluice_traffic);
// Where each is in the rounds of its pools, and what it is told of the load of backends and of listeners:
// `sluice_pools_room`, `sluice_backends_room` and `sluice_listeners_room` each (select.h).
ARRAY(cursors, struct sluice_cursor);
ARRAY(loads, struct sluice_load);
ARRAY(listener_loads, struct sluice_listener_load);
// What sources have opened (source_rate.h): SLUICE_SOURCE_LINES of each partition, or none.
ARRAY(sources, struct sluice_source_line);
const volatile uint32_t sluice_partition_buckets = 2;
const volatile uint32_t sluice_partitions = 1;

// NAT sessions of the partitions, behind each other: `sluice_session_buckets`, `sluice_session_records` and
// SLUICE_FRAGMENTS of each; and what their owners know (session_owner.h).
ARRAY(session_buckets, struct sluice_bucket);
ARRAY(sessions, struct sluice_session);
ARRAY(fragments, struct sluice_fragment);
ARRAY(free, struct sluice_free_line);
ARRAY(session_owners, struct sluice_session_owner);
ARRAY(expired, struct sluice_expired);
// None where the kernel does not translate.
const volatile uint32_t sluice_session_buckets = 0;
const volatile uint32_t sluice_session_records = 0;
const volatile uint32_t sluice_session_partitions = 1;
// Those of workers in user space, which are the first ones.
const volatile uint32_t sluice_session_workers = 0;
const volatile struct sluice_nat_ports sluice_nat_ranges = {0, 0, 0, 0};

// Where packets leave by another port than they came.
struct {
  __uint(type, BPF_MAP_TYPE_DEVMAP);
  __uint(max_entries, SLUICE_PORTS);
  __type(key, uint32_t);
  __type(value, uint32_t);
} sluice_devices SEC(".maps");

// Written by the daemon: what the next daemon goes by, and no packet.
ARRAY(state, struct sluice_kernel_state);
ARRAY(settings, struct sluice_settings);

// Written by the daemon too, and no look-ups: which half packets read, its settings, and the interfaces.
volatile uint32_t sluice_half = 0;
struct sluice_settings sluice_settings[2] = {};
struct sluice_ingress sluice_ingress[SLUICE_INGRESS] = {};
#define sluice_settings_room 1
static __always_inline const struct sluice_settings* sluice_settings_at(uint32_t half) {
  return &sluice_settings[SLUICE_BOUND(half, 1)];
}
