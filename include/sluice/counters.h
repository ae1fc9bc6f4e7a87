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
  /* Messages that a packet is too big. */
  struct sluice_limiter too_big;
  uint64_t reserved[6];
} __attribute__((aligned(64)));
SLUICE_STATIC_ASSERT(sizeof(struct sluice_counters) == 640, "ten cache lines");
SLUICE_STATIC_ASSERT(SLUICE_VERDICT_COUNT <= SLUICE_COUNTED_VERDICTS, "every verdict has its counter");
SLUICE_STATIC_ASSERT(SLUICE_VICTIM_COUNT <= SLUICE_COUNTED_VICTIMS, "every victim has its counter");

#endif /* SLUICE_COUNTERS_H_ */
