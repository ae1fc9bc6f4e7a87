/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * How many flows a source has opened lately, of one listener and over all workers. An IPv6 source is its /64, which is
 * what one client has (RFC 4291 section 2.5.1); an IPv4 source is its address.
 *
 * Time goes in windows of about a second. Each partition counts what it admits, in the current window and in the one
 * before, of which the part counts that is less than a window ago; its worker alone writes that. Counts add up: a new
 * flow looks at those of all partitions, so a limit holds for the source whichever queues its flows come by. Two flows
 * that come to two workers at the very same moment may both be the last one.
 *
 * A partition has room for a fixed number of sources. Where there are more, those with the fewest flows are forgotten:
 * a flood from made-up addresses pushes out its own, and not who is at a limit. */
#ifndef SLUICE_SOURCE_RATE_H_
#define SLUICE_SOURCE_RATE_H_

#include "sluice/hash.h"
#include "sluice/select.h"
#include "sluice/tables.h"
#include "sluice/words.h"

/* A window is 2^30 ns, and its 256 parts are 2^22 ns. */
#define SLUICE_WINDOW_SHIFT 30
#define SLUICE_WINDOW_PART_SHIFT 22
#define SLUICE_WINDOW_PARTS 256u

/* Stands in a flow's protocol where the hash is a source's. */
#define SLUICE_SOURCE_FLOW 0x200u

/* Whose flows are counted, and when. */
struct sluice_source {
  uint32_t tag;
  uint32_t line;
  uint32_t window;
  /* So many parts of the window before are less than a window ago. */
  uint32_t left;
};

SLUICE_INLINE struct sluice_source sluice_source_of(const struct sluice_settings* settings, uint32_t listener,
                                                    const struct sluice_address* address, uint64_t now) {
  struct sluice_flow flow = {.source = *address};
  flow.ports = listener;
  flow.protocol = SLUICE_SOURCE_FLOW;
  if (!sluice_address_is_ipv4(address)) flow.source.words[2] = flow.source.words[3] = 0;
  const uint64_t hash = sluice_hash_flow(settings, &flow);
  const uint32_t part = (uint32_t)(now >> SLUICE_WINDOW_PART_SHIFT) & (SLUICE_WINDOW_PARTS - 1);
  const struct sluice_source source = {(uint32_t)hash, sluice_scale((uint32_t)(hash >> 32), SLUICE_SOURCE_LINES),
                                       (uint32_t)(now >> SLUICE_WINDOW_SHIFT), SLUICE_WINDOW_PARTS - part};
  return source;
}

/* What a count says of the source: its flows of the last window's length; 0 when it is another's. Read by other workers
 * as it changes: a key and flows that do not belong together are one window's flows too many or too few. */
SLUICE_INLINE uint32_t sluice_source_flows(const struct sluice_source_count* count,
                                           const struct sluice_source* source) {
  const uint64_t key = SLUICE_LOAD(&count->key);
  const uint64_t flows = SLUICE_LOAD(&count->flows);
  if ((uint32_t)(key >> 32) != source->tag) return 0;
  const uint32_t age = source->window - (uint32_t)key;
  const uint32_t current = (uint32_t)(flows >> 32);
  if (age == 0) return current + (uint32_t)((flows & 0xffffffff) * source->left / SLUICE_WINDOW_PARTS);
  return age == 1 ? (uint32_t)((uint64_t)current * source->left / SLUICE_WINDOW_PARTS) : 0;
}

/* The source's flows that one partition has admitted. */
SLUICE_STAGE uint32_t sluice_source_flows_in(const struct sluice_selector* selector, const struct sluice_source* source,
                                             uint32_t partition) {
  if (SLUICE_MISSING(selector) || SLUICE_MISSING(source)) return 0;
  const struct sluice_source_line* line = sluice_source_line_of(selector, partition, source->line);
  if (SLUICE_MISSING(line)) return 0;
  uint32_t flows = 0;
  for (uint32_t i = 0; i < SLUICE_SOURCE_WAYS; i++)
    flows = (uint32_t)SLUICE_FORGET(flows + sluice_source_flows(&line->counts[i], source), 0xffffffff, source->tag);
  return flows;
}

/* How much a count is worth to whoever looks for a place: less than any other is the source's own. */
SLUICE_INLINE uint32_t sluice_source_rank(const struct sluice_source_count* count, const struct sluice_source* source) {
  const uint64_t key = SLUICE_LOAD(&count->key);
  if ((uint32_t)(key >> 32) == source->tag) return 0;
  if (source->window - (uint32_t)key > 1) return 1;
  const uint32_t flows = (uint32_t)(SLUICE_LOAD(&count->flows) >> 32);
  return 2 + (flows < SLUICE_SOURCE_MOST ? flows : SLUICE_SOURCE_MOST);
}

/* One flow more. */
SLUICE_INLINE void sluice_source_note(struct sluice_source_line* line, const struct sluice_source* source) {
  uint32_t best = 0xffffffff;
  for (uint32_t i = 0; i < SLUICE_SOURCE_WAYS; i++) {
    const uint32_t ranked = sluice_source_rank(&line->counts[i], source) << 2 | i;
    best = (uint32_t)SLUICE_FORGET(ranked < best ? ranked : best, 0xffffffff, source->tag);
  }
  struct sluice_source_count* count = &line->counts[best & (SLUICE_SOURCE_WAYS - 1)];
  const uint64_t key = count->key;
  const uint32_t age = (uint32_t)(key >> 32) == source->tag ? source->window - (uint32_t)key : 2;
  const uint64_t current = count->flows >> 32;
  const uint64_t previous = age == 0 ? count->flows & 0xffffffff : age == 1 ? current : 0;
  SLUICE_STORE(&count->flows, (age == 0 ? current + 1 : 1) << 32 | previous);
  SLUICE_STORE(&count->key, (uint64_t)source->tag << 32 | source->window);
}

/* Whether the source has opened fewer than `most` flows within a window; then this is one more. 0 also when a table
 * could not be read. */
SLUICE_STAGE int sluice_source_take(const struct sluice_tables* tables, const struct sluice_selector* selector,
                                    uint32_t listener, uint32_t most, const struct sluice_address* address) {
  if (SLUICE_MISSING(tables) || SLUICE_MISSING(selector) || SLUICE_MISSING(address)) return 0;
  const struct sluice_settings* settings = SLUICE_AT(tables, sluice_settings, settings, 0);
  if (SLUICE_MISSING(settings)) return 0;
  const struct sluice_source source = sluice_source_of(settings, listener, address, selector->now);
  uint32_t flows = 0;
  for (uint32_t i = 0; i < SLUICE_MOST_PARTITIONS && i < sluice_source_partitions(selector); i++)
    flows += sluice_source_flows_in(selector, &source, i);
  if (flows >= most) return 0;
  struct sluice_source_line* line = sluice_source_line_of(selector, selector->own, source.line);
  if (SLUICE_MISSING(line)) return 0;
  sluice_source_note(line, &source);
  return 1;
}

#endif /* SLUICE_SOURCE_RATE_H_ */
