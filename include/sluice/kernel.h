/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the program in the kernel (bpf/) and the daemon that loads it tell each other besides the tables. */
#ifndef SLUICE_KERNEL_H_
#define SLUICE_KERNEL_H_

#include "sluice/types.h"

/* By interface: open addressing from (ifindex & (SLUICE_INGRESS - 1)) on, so mostly one look. An interface's partitions
 * are those of its queues, one after the other. */
#define SLUICE_INGRESS 128
struct sluice_ingress {
  /* 0: nobody's. */
  uint32_t ifindex;
  uint32_t queues;
  uint32_t first_partition;
  /* As first_partition, of NAT sessions. */
  uint32_t first_session_partition;
  uint16_t port;
  /* The port whose packets the driver itself sends (XDP_TX): the same one, or SLUICE_PORTS for none. */
  uint16_t direct;
  /* Packets come with checksums that were left to a device (unfinished.h). */
  uint32_t unfinished;
  uint32_t reserved[2];
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_ingress) == 32, "two to a cache line");
SLUICE_STATIC_ASSERT(SLUICE_INGRESS >= 2 * SLUICE_PORTS, "at most half full, so every search ends");

/* Queues and workers that can own NAT sessions: a packet may have to look for its session at each of them. */
#define SLUICE_SESSION_PARTITIONS 64u

/* Of the connection table (sluice_bucket_was_crowded); and of sessions as well (sluice_sessions_were_crowded). */
#define SLUICE_MARKS_CONNECTIONS 1u
#define SLUICE_MARKS_SESSIONS 2u

/* What state an attached program works on: the next daemon goes on with it when it is of the same form. */
struct sluice_kernel_state {
  /* SLUICE_LAYOUT_VERSION; stays the first word in every version. */
  uint32_t layout;
  uint32_t partitions;
  uint32_t partition_buckets;
  /* The half of the tables that packets read (they go by a variable of the program, which has the same), and the room
   * for backends: whose the slots in the connection table are. */
  uint32_t half;
  uint32_t backends_room;
  /* Of each partition; 0 of both where the kernel does not translate. */
  uint32_t session_records;
  uint32_t session_buckets;
  /* Those of workers in user space come first. */
  uint32_t session_partitions;
  uint32_t session_workers;
  /* SLUICE_MARKS_*: which entries say that they were emptied. Earlier versions had none, or that of connections. */
  uint32_t marks_vacated;
  uint32_t reserved[6];
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_kernel_state) == 64, "one cache line");

/* Whose a partition is where there are workers in user space: the worker's, while it has seen how often the kernel has
 * taken it and its heartbeat is fresh. The kernel takes it from a worker that is gone or hangs, between two packets of
 * the queue; one that wakes up sees that, throws away what waits in its ring, and says so, and with the next packet has
 * it again. Each word has one writer. */
struct sluice_owner {
  /* The worker's: when it was last alive, CLOCK_MONOTONIC, ns; and what it has seen of `taken`. */
  uint64_t heartbeat;
  uint32_t seen;
  uint32_t reserved[13];
  /* The kernel's, in a line of its own. */
  uint32_t taken;
  uint32_t more_reserved[15];
} __attribute__((aligned(64)));
SLUICE_STATIC_ASSERT(sizeof(struct sluice_owner) == 128, "two cache lines, one for each writer");

#endif /* SLUICE_KERNEL_H_ */
