/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Every record that the path reads or writes. A table is a flat array of one of these, the same bytes in huge pages and
 * in a memory-mapped BPF array; there are no pointers in them, and none is longer than a cache line. Tables are
 * immutable for the path while a generation is published; connection buckets and counters have one writer each.
 *
 * SLUICE_AT reads a record: pointer arithmetic natively, in BPF an array-map look-up (which the verifier wants checked:
 * the result may be SLUICE_MISSING there, and callers give the verdict no_table). */
#ifndef SLUICE_TABLES_H_
#define SLUICE_TABLES_H_

#include "sluice/types.h"

/* Raised whenever a record changes; state of another layout is not adopted. */
#define SLUICE_LAYOUT_VERSION 1

/* One record a generation. */
struct sluice_settings {
  /* Of NH (hash.h). */
  uint32_t hash_key[10];
  uint32_t generation;
  /* Size of the index, a power of two, minus one. */
  uint32_t index_mask;
  /* Longest idle timeout of all listeners, ticks: an entry older than this is expired whoever owns it. */
  uint16_t longest_idle;
  uint16_t reserved[7];
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_settings) == 64, "one cache line");

/* The index: open addressing by (address, protocol, port), linear probes, at most SLUICE_INDEX_PROBES (the builder sees
 * to it). Three kinds of keys share it, so that one probe sequence and one cache line serve the common case: listener:
 * protocol and port are exact; ranges: protocol, port 0: listeners of port ranges, `value` their first record in the
 * range table, `count` how many; virtual address: protocol 0, port 0: `value` is SLUICE_VIRTUAL_*. */
enum sluice_index_kind {
  SLUICE_INDEX_EMPTY = 0,
  SLUICE_INDEX_LISTENER = 1,
  SLUICE_INDEX_RANGES = 2,
  SLUICE_INDEX_VIRTUAL = 3,
};
#define SLUICE_VIRTUAL_ECHO 1
#define SLUICE_VIRTUAL_ANNOUNCE 2

struct sluice_index_entry {
  struct sluice_address address;
  /* sluice_index_key; 0 in an empty entry and in no other. */
  uint32_t key;
  uint32_t value;
  uint16_t count;
  uint16_t kind;
  uint32_t reserved;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_index_entry) == 32, "two to a cache line");
SLUICE_STATIC_ASSERT(offsetof(struct sluice_index_entry, key) == 16, "behind the address");

/* port << 16 | used | protocol, the port in network order as it lies in a packet. */
#define SLUICE_INDEX_USED 0x8000u
SLUICE_INLINE uint32_t sluice_index_key(uint32_t protocol, uint16_t port) {
  return (uint32_t)port << 16 | SLUICE_INDEX_USED | protocol;
}

/* Ports in host order, sorted and disjoint within one (address, protocol). */
struct sluice_port_range {
  uint16_t first;
  uint16_t last;
  uint32_t listener;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_port_range) == 8, "eight to a cache line");

struct sluice_listener {
  uint32_t pool;
  /* Ticks (time.h) after which a flow without packets is forgotten. */
  uint16_t idle;
  uint16_t reserved;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_listener) == 8, "eight to a cache line");

struct sluice_pool {
  /* The pool's Maglev table: `size` backend slots from `offset` of the Maglev arena; size 0 when no backend takes
   * flows. */
  uint32_t offset;
  uint32_t size;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_pool) == 8, "eight to a cache line");

enum sluice_forwarding { SLUICE_DSR_L2 = 1, SLUICE_IPIP = 2, SLUICE_GUE = 3 };

/* The slot names a backend; a slot without it is a miss for every entry that names it. */
#define SLUICE_BACKEND_LIVE 1
#define SLUICE_BACKEND_NEXT_HOP 2
#define SLUICE_BACKEND_OUTER_IPV6 4

/* All that a hit needs, one cache line: where the packet goes, and its ready-made headers. */
struct sluice_backend {
  /* Next hop. `vlan` is in host order, 0 for none. */
  uint8_t destination_mac[6];
  uint8_t source_mac[6];
  uint16_t vlan;
  uint16_t port;
  /* Outer addresses of a tunnel; `destination` is the backend's own address in every mode. */
  struct sluice_address source;
  struct sluice_address destination;
  uint32_t pool;
  /* Largest layer-3 packet on the way to the next hop, bytes. */
  uint16_t mtu;
  /* Bytes between the Ethernet header and the inner packet. */
  uint8_t outer_length;
  uint8_t forwarding;
  uint8_t flags;
  uint8_t reserved;
  /* Longest idle timeout of the listeners that use it, ticks: what the sweep of the connection table goes by. */
  uint16_t idle;
  /* Sum of the words of the outer IPv4 header that do not vary (checksum.h), host order of the 16-bit sum. */
  uint16_t outer_sum;
  /* UDP destination port of GUE, network order. */
  uint16_t gue_port;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_backend) == 64, "one cache line");
SLUICE_STATIC_ASSERT(offsetof(struct sluice_backend, source) == 16, "behind the next hop");
SLUICE_STATIC_ASSERT(offsetof(struct sluice_backend, pool) == 48, "behind the addresses");
SLUICE_STATIC_ASSERT(offsetof(struct sluice_backend, forwarding) == offsetof(struct sluice_backend, outer_length) + 1 &&
                         offsetof(struct sluice_backend, flags) == offsetof(struct sluice_backend, outer_length) + 2,
                     "compared as one word (rewrite.h)");

/* A port of the engine: what replies are sent from. */
struct sluice_port {
  uint8_t mac[6];
  uint16_t mtu;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_port) == 8, "eight to a cache line");

/* Connection table (connection.h): one bucket is one cache line. */
#define SLUICE_BUCKET_SHIFT 3
#define SLUICE_BUCKET_ENTRIES (1 << SLUICE_BUCKET_SHIFT)
struct sluice_bucket {
  uint64_t entries[SLUICE_BUCKET_ENTRIES];
} __attribute__((aligned(64)));
SLUICE_STATIC_ASSERT(sizeof(struct sluice_bucket) == 64, "one cache line");

/* Counters of one listener or one backend in one worker. */
struct sluice_traffic {
  uint64_t packets;
  /* Layer-3 bytes as the client sent them. */
  uint64_t bytes;
  uint64_t new_flows;
  uint64_t reserved;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_traffic) == 32, "two to a cache line");

#ifdef __bpf__
/* The composing program defines one BPF array map for each table: sluice_settings_map, sluice_index_map, ... */
struct sluice_tables {
  uint32_t unused;
};
#  define SLUICE_AT(tables, type, table, i) \
    ((void)(tables), (const struct type*)bpf_map_lookup_elem(&sluice_##table##_map, &(uint32_t){(i)}))
#  define SLUICE_MISSING(record) (!(record))
#else
/* A view of one published generation; it owns nothing. */
struct sluice_tables {
  const struct sluice_settings* settings;
  const struct sluice_index_entry* index;
  const struct sluice_port_range* ranges;
  const struct sluice_listener* listeners;
  const struct sluice_pool* pools;
  const uint32_t* maglev;
  const struct sluice_backend* backends;
  const struct sluice_port* ports;
};
#  define SLUICE_AT(tables, type, table, i) (&(tables)->table[i])
#  define SLUICE_MISSING(record) false
#endif

#endif /* SLUICE_TABLES_H_ */
