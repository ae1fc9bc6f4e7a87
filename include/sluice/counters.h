/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * What the kernel's workers count: one record a partition, written by whoever forwards for that queue, read by any
 * thread through the memory-mapped array. Each number is read and written whole. */
#ifndef SLUICE_COUNTERS_H_
#define SLUICE_COUNTERS_H_

#include "sluice/connection.h"
#include "sluice/time.h"
#include "sluice/verdict.h"

/* Room for verdicts and victims to come: records keep their size. */
#define SLUICE_COUNTED_VERDICTS 64
#define SLUICE_COUNTED_VICTIMS 8

struct sluice_counters {
  /* By verdict; their sum is what was received. */
  uint64_t verdicts[SLUICE_COUNTED_VERDICTS];
  /* By sluice_victim. */
  uint64_t inserted_over[SLUICE_COUNTED_VICTIMS];
  /* Of whole frames as they came. */
  uint64_t bytes;
  /* ICMP errors of our own (reply.h); about translated packets by themselves. */
  struct sluice_limiter errors;
  struct sluice_limiter translated_errors;
  uint64_t reserved[5];
} __attribute__((aligned(64)));
SLUICE_STATIC_ASSERT(sizeof(struct sluice_counters) == 640, "ten cache lines");
SLUICE_STATIC_ASSERT(SLUICE_VERDICT_COUNT <= SLUICE_COUNTED_VERDICTS, "every verdict has its counter");
SLUICE_STATIC_ASSERT(SLUICE_VICTIM_COUNT <= SLUICE_COUNTED_VICTIMS, "every victim has its counter");

/* What a worker counts of sessions, nearly all of it of those that it owns. */
struct sluice_session_counters {
  uint64_t opened;
  /* Over by timeout, or because backend or listener are gone. */
  uint64_t expired;
  /* RSTs sent to ends of expired sessions. */
  uint64_t resets;
  /* Given up for a new one before their time, by what they were. */
  uint64_t evicted_closed;
  uint64_t evicted_handshake;
  /* Closed sessions whose port was wanted before its quarantine was over. */
  uint64_t ports_taken_early;
  /* Not of its own: servers' packets that it has got, and whose session another worker has. */
  uint64_t answers_elsewhere;
  /* Whoever owns them (client_address.h): servers that have acknowledged the header with their client's address;
   * packets without room for the option, or in pieces. */
  uint64_t proxy_acknowledged;
  uint64_t toa_left_out;
};

#endif /* SLUICE_COUNTERS_H_ */
