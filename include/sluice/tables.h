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
#define SLUICE_LAYOUT_VERSION 5

/* Listeners whose flows have sessions. */
enum sluice_sessions { SLUICE_SESSIONS_NONE = 0, SLUICE_SESSIONS_SOME = 1, SLUICE_SESSIONS_ALL = 2 };

/* One record a generation. */
struct sluice_settings {
  /* Of NH (hash.h). */
  uint32_t hash_key[10];
  uint32_t generation;
  /* Size of the index, a power of two, minus one. */
  uint32_t index_mask;
  /* Longest idle timeout of all listeners, ticks: an entry older than this is expired whoever owns it. */
  uint16_t longest_idle;
  /* Addresses in the NAT address table, IPv4 first; 0 of both when sources are never translated. */
  uint16_t nat_ipv4;
  uint16_t nat_ipv6;
  /* sluice_sessions: of which listeners; and whether any listener has a range of ports. */
  uint16_t sessions;
  uint16_t ranges;
  uint16_t reserved[3];
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_settings) == 64, "one cache line");

/* The index: open addressing by (address, protocol, port), linear probes, at most SLUICE_INDEX_PROBES (the builder sees
 * to it). Three kinds of keys share it, so that one probe sequence and one cache line serve the common case: listener:
 * protocol and port are exact; ranges: protocol, port 0: listeners of port ranges, `value` their first record in the
 * range table, `count` how many; virtual address (and NAT address): protocol 0, port 0: `value` is SLUICE_VIRTUAL_*.
 * The listener whose pool gets an address's pings: SLUICE_IP_ICMP (of IPv6 too), port 0. Servers whose answers are
 * translated stand under a protocol of their own. `count` of a listener's key is the port's place in the range that the
 * operator wrote (0 for a single port), `pool` what its record says: most packets need no more of that. */
enum sluice_index_kind {
  SLUICE_INDEX_EMPTY = 0,
  SLUICE_INDEX_LISTENER = 1,
  SLUICE_INDEX_RANGES = 2,
  SLUICE_INDEX_VIRTUAL = 3,
  SLUICE_INDEX_SERVER = 4,
};
#define SLUICE_VIRTUAL_ECHO 1
#define SLUICE_VIRTUAL_ANNOUNCE 2
/* A NAT address: answers to translated sources come to it. */
#define SLUICE_VIRTUAL_NAT 4
/* Protocol of a server's key; 255 is reserved (IANA) and no packet's that we translate. */
#define SLUICE_INDEX_SERVER_PROTOCOL 255

struct sluice_index_entry {
  struct sluice_address address;
  /* sluice_index_key; 0 in an empty entry and in no other. */
  uint32_t key;
  uint32_t value;
  uint16_t count;
  uint16_t kind;
  uint32_t pool;
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

/* The listener's flows have sessions (session.h) instead of connection entries: its pool translates. */
#define SLUICE_LISTENER_SESSIONS 1
/* What of a flow its backend is selected by, where that is not all of it. */
#define SLUICE_LISTENER_BY_SOURCE 2
#define SLUICE_LISTENER_BY_DESTINATION 4
/* Not every source's new flows are admitted: whose are says its record in the access table. */
#define SLUICE_LISTENER_ACCESS 8
/* Its pool is a split. */
#define SLUICE_LISTENER_SPLIT 32

struct sluice_listener {
  /* Or a split of several. */
  uint32_t pool;
  /* Ticks (time.h) after which a flow without packets is forgotten. */
  uint16_t idle;
  uint16_t flags;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_listener) == 8, "eight to a cache line");

/* Flags of sluice_access: the lowest address of all is admitted; who is refused is told so; there is a limit of active
 * flows (sluice_listener_load). */
#define SLUICE_ACCESS_LOWEST 1
#define SLUICE_ACCESS_TELLS 2
#define SLUICE_ACCESS_LIMITED 4

/* Who may open flows of a listener (access.h); same index as the listener. Its prefixes are a tree of `levels` levels,
 * 0 for none, whose nodes lie behind each other from `first` of the access nodes. */
struct sluice_access {
  uint32_t first;
  uint16_t levels;
  uint16_t flags;
  /* New flows of one source within a window (source_rate.h); 0 for any number. */
  uint32_t most_flows;
  uint32_t reserved;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_access) == 16, "four to a cache line");

/* An address as a number, host byte order. */
struct sluice_number {
  uint64_t high;
  uint64_t low;
};

/* Where addresses that are admitted and addresses that are not change places: the last one of each stretch, ascending;
 * unused ones are all ones. */
#define SLUICE_ACCESS_ENDS 4
struct sluice_access_node {
  struct sluice_number ends[SLUICE_ACCESS_ENDS];
} __attribute__((aligned(64)));
SLUICE_STATIC_ASSERT(sizeof(struct sluice_access_node) == 64, "one cache line");

/* Flows that one source has opened (source_rate.h), as a partition counts them: the source's tag and a window in the
 * upper and the lower half of one word, its flows in that window and in the one before in those of the other. Zeroed
 * memory is nobody's. Written by the partition's worker, read by all of them. */
#define SLUICE_SOURCE_WAYS 4u
struct sluice_source_count {
  uint64_t key;
  uint64_t flows;
};
struct sluice_source_line {
  struct sluice_source_count counts[SLUICE_SOURCE_WAYS];
} __attribute__((aligned(64)));
SLUICE_STATIC_ASSERT(sizeof(struct sluice_source_line) == 64, "one cache line");

/* How a new flow's backend is found in the places of its pool (select.h). The first two read a Maglev table, the others
 * a sequence in which each backend comes in its turns. */
enum sluice_algorithm {
  SLUICE_MAGLEV = 0,
  SLUICE_SOURCE_HASH = 1,
  SLUICE_ROUND_ROBIN = 2,
  SLUICE_RANDOM = 3,
  SLUICE_LEAST_CONNECTIONS = 4,
  SLUICE_LEAST_TIME = 5,
  /* None of a pool: the flows of a listener are split among several pools, whose indices are the places. */
  SLUICE_SPLIT = 6,
};

struct sluice_pool {
  /* The pool's places: `size` backend slots from `offset` of the Maglev arena; size 0 when no backend takes flows. */
  uint32_t offset;
  uint32_t size;
  /* sluice_algorithm. */
  uint16_t algorithm;
  /* Of a split: how many of its members, the first ones, take new flows. */
  uint16_t takers;
  /* Where backends have limits on their flows: how many of them take flows, each once behind the places; else 0. Of a
   * split: all of its pools. */
  uint32_t members;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_pool) == 16, "four to a cache line");
/* Of the arena. */
SLUICE_INLINE uint32_t sluice_pool_places(const struct sluice_pool* pool) {
  return pool->size + pool->members;
}

/* Where a worker is in the rounds of a pool; one record a pool in each partition, written by its worker. */
struct sluice_cursor {
  uint32_t place;
  uint32_t reserved;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_cursor) == 8, "no shorter than a record of the kernel");

/* What the control thread tells one worker of a backend while it runs; one record a slot for each worker, which only
 * reads it. Zeroed memory is a backend of which nothing is known. */
struct sluice_load {
  /* Its active flows beside those that the worker has counted itself (sluice_traffic); less than 0 when the worker has
   * counted flows that have ended elsewhere. */
  int32_t others;
  /* In proportion to other backends of its pool, and how long it takes to answer, microseconds; 0 of both as 1. */
  uint32_t weight;
  uint32_t latency;
  /* Active flows with which it is full, SLUICE_LIMIT_MOST at most; 0: never. SLUICE_LIMIT_SOFT: while all others are
   * full too, it gets more. */
  uint32_t limit;
};
#define SLUICE_LIMIT_MOST 0xffffffu
#define SLUICE_LIMIT_SOFT 0x80000000u
SLUICE_STATIC_ASSERT(sizeof(struct sluice_load) == 16, "four to a cache line");

/* The same of a listener: active flows beside those that the worker has counted itself, as a signed number in the lower
 * half, and in the upper half those with which it is full; 0: never. One word, so that both are of one time. */
struct sluice_listener_load {
  uint64_t told;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_listener_load) == 8, "no shorter than a record of the kernel");
SLUICE_INLINE uint64_t sluice_listener_told(int32_t others, uint32_t limit) {
  return (uint64_t)limit << 32 | (uint32_t)others;
}
SLUICE_INLINE int32_t sluice_told_others(uint64_t told) {
  return (int32_t)(uint32_t)told;
}
SLUICE_INLINE uint32_t sluice_told_limit(uint64_t told) {
  return (uint32_t)(told >> 32);
}

/* What sessions of a listener go by; same index as the listener. A listener that is gone keeps its record without
 * timeouts while it may have sessions, which are found by its address. */
#define SLUICE_TERMS_RESET_ON_IDLE 1
struct sluice_session_terms {
  struct sluice_address address;
  /* Timeouts, ticks: TCP before it is established, established (and UDP), after the first FIN, after both or a RST. */
  uint16_t handshake;
  uint16_t established;
  uint16_t half_closed;
  uint16_t closed;
  uint16_t flags;
  uint16_t reserved;
  /* The listener's, SLUICE_NO_POOL of one that is gone. */
  uint32_t pool;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_session_terms) == 32, "two to a cache line");

/* An address of ours that stands in a client's place toward servers. */
struct sluice_nat_address {
  struct sluice_address address;
};

enum sluice_forwarding { SLUICE_DSR_L2 = 1, SLUICE_IPIP = 2, SLUICE_GUE = 3, SLUICE_NAT = 4, SLUICE_FULL_NAT = 5 };

/* The slot names a backend; a slot without it is a miss for every entry that names it. */
#define SLUICE_BACKEND_LIVE 1
#define SLUICE_BACKEND_NEXT_HOP 2
/* The tunnel's outer addresses, or the server's own, are IPv6. */
#define SLUICE_BACKEND_OUTER_IPV6 4
/* New TCP sessions tell it the client's address (client_address.h), by a header or by an option. */
#define SLUICE_BACKEND_PROXY 8
#define SLUICE_BACKEND_TOA 16
/* Its health keeps new flows from it, and a SYN that it has not answered yet is as good as new. */
#define SLUICE_BACKEND_UNHEALTHY 32

/* All that a hit needs, one cache line: where the packet goes, and its ready-made headers. */
struct sluice_backend {
  /* Next hop. */
  uint8_t destination_mac[6];
  uint8_t source_mac[6];
  uint16_t port;
  /* Largest layer-3 packet on the way to the next hop, bytes. */
  uint16_t mtu;
  /* Outer addresses of a tunnel; `destination` is the backend's own address in every mode. */
  struct sluice_address source;
  struct sluice_address destination;
  uint32_t pool;
  /* To the next hop; host order, 0 for none. */
  uint16_t vlan;
  uint8_t forwarding;
  uint8_t flags;
  /* Bytes between the Ethernet header and the inner packet. */
  uint8_t outer_length;
  uint8_t reserved;
  /* Longest idle timeout of the listeners that use it, ticks: what the sweep of the connection table goes by. */
  uint16_t idle;
  /* Sum of the words of the outer IPv4 header that do not vary (checksum.h), host order of the 16-bit sum. */
  uint16_t outer_sum;
  /* UDP destination port of GUE; the server's port of NAT, 0 for the listener's. Network order. */
  uint16_t service_port;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_backend) == 64, "one cache line");
SLUICE_STATIC_ASSERT(offsetof(struct sluice_backend, destination_mac) == 0 &&
                         offsetof(struct sluice_backend, source_mac) == SLUICE_MAC_BYTES,
                     "written as they lie");
SLUICE_STATIC_ASSERT(offsetof(struct sluice_backend, source) == 16, "behind the next hop");
SLUICE_STATIC_ASSERT(offsetof(struct sluice_backend, pool) == 48, "behind the addresses");
SLUICE_STATIC_ASSERT(offsetof(struct sluice_backend, vlan) == offsetof(struct sluice_backend, pool) + 4 &&
                         offsetof(struct sluice_backend, forwarding) == offsetof(struct sluice_backend, pool) + 6 &&
                         offsetof(struct sluice_backend, flags) == offsetof(struct sluice_backend, pool) + 7,
                     "compared as one word (rewrite.h)");

/* A port of the engine: what replies are sent from. */
struct sluice_port {
  uint8_t mac[6];
  uint16_t mtu;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_port) == 8, "eight to a cache line");
SLUICE_STATIC_ASSERT(offsetof(struct sluice_port, mac) == 0, "read as one word");

/* Connection table (connection.h): one bucket is one cache line. */
#define SLUICE_BUCKET_SHIFT 3
#define SLUICE_BUCKET_ENTRIES (1 << SLUICE_BUCKET_SHIFT)
struct sluice_bucket {
  uint64_t entries[SLUICE_BUCKET_ENTRIES];
} __attribute__((aligned(64)));
SLUICE_STATIC_ASSERT(sizeof(struct sluice_bucket) == 64, "one cache line");

/* A NAT session: one translated flow, exactly, both directions (session.h). Found from either side through buckets
 * like the connection table's, whose entries name it. Written by the partition's owner, but for `reverse`, which is
 * whoever gets the server's packets. */
#define SLUICE_SESSION_CLIENT_IPV6 1
#define SLUICE_SESSION_SERVER_IPV6 2
/* The client has opened a new flow in its place: it only keeps its port from being used again. */
#define SLUICE_SESSION_REPLACED 4
/* The server is to be told the client's address (client_address.h): by a header in front of the client's bytes, for the
 * life of the session; by an option, until it has had it. */
#define SLUICE_SESSION_PROXY 8
#define SLUICE_SESSION_TOA 16
#define SLUICE_SESSION_TELLS (SLUICE_SESSION_PROXY | SLUICE_SESSION_TOA)
/* It has acknowledged the header. */
#define SLUICE_SESSION_TOLD 32
/* It was ended from outside of the path: its packets are noted, so that its ends can be told, and go nowhere. */
#define SLUICE_SESSION_ENDED 64
/* They have been told: it is over, whatever its words say. */
#define SLUICE_SESSION_OVER 128
#define SLUICE_NO_NAT_ADDRESS 0xffffu
struct sluice_session {
  struct sluice_address client;
  /* As in the client's packets: its own port, then the virtual one. */
  uint32_t ports;
  uint16_t listener;
  /* What the checksum of the IPv4 header gains by other addresses, from client to server; the other way it loses it. */
  uint16_t address_delta;
  /* Slot. */
  uint32_t backend;
  /* As in packets to the server: source and destination port. */
  uint16_t source_port;
  uint16_t server_port;
  /* Where the client's packets come from, and so its answers go: next hop, VLAN tag (host order), port of the engine.
   */
  uint8_t client_mac[6];
  uint16_t client_vlan;
  /* In the NAT address table; SLUICE_NO_NAT_ADDRESS when the client's address stays. */
  uint16_t nat_address;
  /* 0: nobody's. */
  uint8_t protocol;
  /* Changed by the owner and by whoever gets the server's packets, so atomically. */
  uint8_t flags;
  uint8_t client_egress;
  /* Window scales of TCP: the client's, and << 4 the server's. */
  uint8_t scales;
  /* What the transport checksum gains from client to server; the other way it loses that. */
  uint16_t delta;
  /* What each side was seen to send last (session.h). */
  uint64_t forward;
  uint64_t reverse;
} __attribute__((aligned(64)));
SLUICE_STATIC_ASSERT(sizeof(struct sluice_session) == 64, "one cache line");
SLUICE_STATIC_ASSERT(offsetof(struct sluice_session, client_mac) == 32 &&
                         offsetof(struct sluice_session, forward) == 48,
                     "read by other workers in words of eight bytes");

/* What the later fragments of a datagram go by: its first one's session and direction. Exact. Each owner has so many
 * places, a power of two. */
#define SLUICE_FRAGMENTS 2048u
struct sluice_fragment {
  /* sluice_fragment_flow of the datagram (hash.h). */
  struct sluice_flow flow;
  uint32_t table;
  uint32_t session;
  uint16_t tick;
  uint8_t reverse;
  uint8_t used;
  uint32_t reserved[3];
} __attribute__((aligned(64)));
SLUICE_STATIC_ASSERT(sizeof(struct sluice_fragment) == 64, "one cache line");

/* Counters of one listener or one backend in one worker; of clients' packets, and in a record of its own of answers
 * that came back through us. */
struct sluice_traffic {
  uint64_t packets;
  /* Layer-3 bytes as the sender sent them. */
  uint64_t bytes;
  union {
    uint64_t new_flows;
    /* In the record of a backend's answers: new flows of TCP that it has agreed to (sluice_session_opening). */
    uint64_t answered;
  };
  union {
    /* Flows that their clients have ended, by FIN or RST. */
    uint64_t ended;
    /* In the record of a backend's answers: new flows of TCP that it has refused, or not answered. */
    uint64_t failed;
  };
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_traffic) == 32, "two to a cache line");

/* How Maglev tables lie in an array of the kernel, whose records are no shorter than eight bytes. */
#define SLUICE_MAGLEV_LINE_SHIFT 4
struct sluice_maglev_line {
  uint32_t slots[1 << SLUICE_MAGLEV_LINE_SHIFT];
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_maglev_line) == 64, "one cache line");

#ifdef __bpf__
/* The composing program has two generations of each table behind each other, and says how many records one has,
 * sluice_settings_room, sluice_index_room, ..., and where record i of both is: sluice_settings_at(i), ... */
struct sluice_tables {
  /* Which of the two: 0 or 1. */
  uint32_t half;
};
#  define SLUICE_AT(tables, type, table, i) \
    ((const struct type*)sluice_##table##_at((tables)->half * sluice_##table##_room + (i)))
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
  const struct sluice_session_terms* session_terms;
  const struct sluice_nat_address* nat_addresses;
  const struct sluice_access* access;
  const struct sluice_access_node* access_nodes;
};
#  define SLUICE_AT(tables, type, table, i) (&(tables)->table[i])
#  define SLUICE_MISSING(record) false
#endif

#endif /* SLUICE_TABLES_H_ */
