/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Where the sessions of one owner are, and how its work reaches them: pointers natively, arrays in the kernel.
 *
 * In BPF the composing program defines the arrays. */
#ifndef SLUICE_SESSION_OWNED_H_
#define SLUICE_SESSION_OWNED_H_

#include "sluice/nat_port.h"
#include "sluice/session.h"
#include "sluice/session_records.h"

/* What one new flow may look at: ports, and records that might give way. */
#define SLUICE_PORTS_TRIED 128u
#define SLUICE_CANDIDATES 16u
/* Of all records, the part that closed sessions keep free for new flows. */
#define SLUICE_RESERVE 16u
/* NAT addresses that a new flow tries before it is refused. */
#define SLUICE_ADDRESSES_TRIED 8u

/* What an owner's work needs room for; the stack of a program in the kernel is short. */
struct sluice_owner_scratch {
  uint32_t candidates[SLUICE_CANDIDATES];
  /* A flow toward a server that wants a port; and its answers, or those that are looked for, with their hash. */
  struct sluice_flow toward;
  struct sluice_flow answer;
  uint64_t answer_hash;
  /* The oldest closed session that a search for a port has met: it may give its port up early. -1: none. */
  int32_t oldest;
  uint32_t oldest_age;
};

/* One owner's sessions, and what it goes by for one packet. */
#ifdef __bpf__
/* Keys are copied to the stack: kernels before 6.6 take no others from a function of its own. */
/* The composing program defines arrays with those of all owners behind each other, sluice_session_buckets_map,
 * sluice_sessions_map, sluice_free_map, sluice_session_owners_map, sluice_expired_map, and how many buckets and
 * sessions each owner has, sluice_session_buckets and sluice_session_records. */
struct sluice_owned {
  uint32_t self;
  /* Among those that ports are dealt out to, `owners` of them. */
  uint32_t port_owner;
  uint32_t owners;
  uint32_t tick;
  struct sluice_nat_ports ports;
  struct sluice_tables tables;
  struct sluice_owner_scratch scratch;
};
#  define SLUICE_OWNED_RECORD(type, map, each, i) \
    ((type*)bpf_map_lookup_elem(&sluice_##map##_map, &(uint32_t){of->self * (each) + (i)}))
/* The verifier gives up on longer ways through a program. */
#  define SLUICE_MOST_PORTS_PASSED 256u

SLUICE_INLINE const struct sluice_tables* sluice_owned_tables(struct sluice_owned* of) {
  return &of->tables;
}
SLUICE_INLINE uint32_t sluice_owned_buckets(struct sluice_owned* of) {
  (void)of;
  return sluice_session_buckets;
}
SLUICE_INLINE uint32_t sluice_owned_sessions(struct sluice_owned* of) {
  (void)of;
  return sluice_session_records;
}
SLUICE_INLINE struct sluice_bucket* sluice_owned_bucket(struct sluice_owned* of, uint32_t i) {
  return SLUICE_OWNED_RECORD(struct sluice_bucket, session_buckets, sluice_session_buckets, i);
}
SLUICE_INLINE struct sluice_session* sluice_owned_session(struct sluice_owned* of, uint32_t i) {
  return SLUICE_OWNED_RECORD(struct sluice_session, sessions, sluice_session_records, i);
}
SLUICE_INLINE uint32_t* sluice_owned_free(struct sluice_owned* of, uint32_t i) {
  const uint32_t at = of->self * sluice_session_records + i;
  const uint32_t line_at = at / SLUICE_FREE_LINE;
  struct sluice_free_line* line = bpf_map_lookup_elem(&sluice_free_map, &line_at);
  return line ? &line->records[at % SLUICE_FREE_LINE] : NULL;
}
SLUICE_INLINE struct sluice_session_owner* sluice_owned_state(struct sluice_owned* of) {
  const uint32_t self = of->self;
  return bpf_map_lookup_elem(&sluice_session_owners_map, &self);
}
SLUICE_INLINE struct sluice_expired* sluice_owned_expired(struct sluice_owned* of) {
  const uint32_t self = of->self;
  return bpf_map_lookup_elem(&sluice_expired_map, &self);
}
/* A search for a port toward the server of this answer begins. */
SLUICE_INLINE void sluice_owned_aim(struct sluice_owned* of, const struct sluice_flow* answer) {
  (void)of;
  (void)answer;
}
SLUICE_INLINE bool sluice_owned_port(struct sluice_owned* of, uint16_t port) {
  return sluice_nat_owner(port, of->owners) == of->port_owner;
}
#else
struct sluice_owned {
  uint32_t self;
  uint32_t owners;
  uint32_t tick;
  struct sluice_nat_ports ports;
  const struct sluice_tables* tables;
  const struct sluice_session_partition* partition;
  struct sluice_nat_rss rss;
  /* The same toward the server that a port is looked for. */
  struct sluice_port_owners toward;
  struct sluice_owner_scratch scratch;
};
#  define SLUICE_MOST_PORTS_PASSED 65536u

SLUICE_INLINE const struct sluice_tables* sluice_owned_tables(struct sluice_owned* of) {
  return of->tables;
}
SLUICE_INLINE uint32_t sluice_owned_buckets(struct sluice_owned* of) {
  return of->partition->bucket_count;
}
SLUICE_INLINE uint32_t sluice_owned_sessions(struct sluice_owned* of) {
  return of->partition->session_count;
}
SLUICE_INLINE struct sluice_bucket* sluice_owned_bucket(struct sluice_owned* of, uint32_t i) {
  return &of->partition->buckets[i];
}
SLUICE_INLINE struct sluice_session* sluice_owned_session(struct sluice_owned* of, uint32_t i) {
  return &of->partition->sessions[i];
}
SLUICE_INLINE uint32_t* sluice_owned_free(struct sluice_owned* of, uint32_t i) {
  return &of->partition->free[i];
}
SLUICE_INLINE struct sluice_session_owner* sluice_owned_state(struct sluice_owned* of) {
  return of->partition->state;
}
SLUICE_INLINE struct sluice_expired* sluice_owned_expired(struct sluice_owned* of) {
  return of->partition->expired;
}
SLUICE_INLINE void sluice_owned_aim(struct sluice_owned* of, const struct sluice_flow* answer) {
  of->toward = sluice_port_owners_toward(&of->rss, answer);
}
SLUICE_INLINE bool sluice_owned_port(struct sluice_owned* of, uint16_t port) {
  return sluice_port_owner(&of->toward, of->owners, port) == of->self;
}
#endif

#endif /* SLUICE_SESSION_OWNED_H_ */
