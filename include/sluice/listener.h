/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Whom a packet is for: listeners by address, protocol and port; virtual addresses by address. */
#ifndef SLUICE_LISTENER_H_
#define SLUICE_LISTENER_H_

#include "sluice/hash.h"
#include "sluice/tables.h"

SLUICE_INLINE bool sluice_index_matches(const struct sluice_index_entry* entry, const struct sluice_address* address,
                                        uint32_t key) {
  return SLUICE_LIKELY(entry->key == key) && SLUICE_LIKELY(sluice_address_equal(&entry->address, address));
}

/* The entry of (address, key) behind the first place that it may have, which is `start`, and its place; or null. */
SLUICE_INLINE const struct sluice_index_entry* sluice_index_behind(const struct sluice_tables* tables,
                                                                   const struct sluice_settings* settings,
                                                                   const struct sluice_address* address, uint32_t key,
                                                                   uint32_t start, uint32_t* place) {
  for (uint32_t i = 1; i < SLUICE_INDEX_PROBES; i++) {
    *place = (start + i) & settings->index_mask;
    const struct sluice_index_entry* entry = SLUICE_AT(tables, sluice_index_entry, index, *place);
    if (SLUICE_MISSING(entry) || entry->key == 0) return NULL;
    if (sluice_index_matches(entry, address, key)) return entry;
  }
  return NULL;
}

/* Few packets need it: a function of its own, which in BPF can't return a pointer. */
#ifdef __bpf__
SLUICE_STAGE int64_t sluice_index_place(const struct sluice_tables* tables, const struct sluice_address* address,
                                        uint32_t key, uint32_t start) {
  if (SLUICE_MISSING(tables) || SLUICE_MISSING(address)) return -1;
  const struct sluice_settings* settings = SLUICE_AT(tables, sluice_settings, settings, 0);
  uint32_t place = 0;
  if (SLUICE_MISSING(settings)) return -1;
  return sluice_index_behind(tables, settings, address, key, start, &place) ? (int64_t)place : -1;
}
#else
SLUICE_RARE const struct sluice_index_entry* sluice_index_probe(const struct sluice_tables* tables,
                                                                const struct sluice_settings* settings,
                                                                const struct sluice_address* address, uint32_t key,
                                                                uint32_t start) {
  uint32_t place = 0;
  return sluice_index_behind(tables, settings, address, key, start, &place);
}
#endif

/* The entry of (address, key), or null. */
SLUICE_INLINE const struct sluice_index_entry* sluice_index_find(const struct sluice_tables* tables,
                                                                 const struct sluice_settings* settings,
                                                                 const struct sluice_address* address, uint32_t key) {
  const uint32_t start = sluice_hash_index(address, key);
  const struct sluice_index_entry* entry = SLUICE_AT(tables, sluice_index_entry, index, start & settings->index_mask);
  if (SLUICE_MISSING(entry)) return NULL;
  if (sluice_index_matches(entry, address, key)) return entry;
#ifdef __bpf__
  const int64_t place = entry->key == 0 ? -1 : sluice_index_place(tables, address, key, start);
  return place < 0 ? NULL : SLUICE_AT(tables, sluice_index_entry, index, (uint32_t)place);
#else
  return entry->key == 0 ? NULL : sluice_index_probe(tables, settings, address, key, start);
#endif
}

/* Binary search over the sorted ranges of one (address, protocol): the one with `port` (host order), or null. */
SLUICE_INLINE const struct sluice_port_range* sluice_range_of(const struct sluice_tables* tables,
                                                              const struct sluice_index_entry* entry, uint16_t port) {
  uint32_t low = entry->value;
  uint32_t left = entry->count;
  /* 2^7 = SLUICE_PORT_RANGES; one more for the last comparison. */
  for (uint32_t i = 0; i < 8 && left > 0; i++) {
    const uint32_t middle = low + left / 2;
    const struct sluice_port_range* range = SLUICE_AT(tables, sluice_port_range, ranges, middle);
    if (SLUICE_MISSING(range)) return NULL;
    if (port < range->first) {
      left = left / 2;
    } else if (port > range->last) {
      left -= left / 2 + 1;
      low = middle + 1;
    } else {
      return range;
    }
  }
  return NULL;
}

SLUICE_INLINE uint32_t sluice_range_find(const struct sluice_tables* tables, const struct sluice_index_entry* entry,
                                         uint16_t port) {
  const struct sluice_port_range* range = sluice_range_of(tables, entry, port);
  return range ? range->listener : SLUICE_NO_LISTENER;
}

/* The pool (or split) of the listener by its record, which keys of single ports have themselves. False without one. */
SLUICE_INLINE bool sluice_listener_pool(const struct sluice_tables* tables, uint32_t listener, uint32_t* pool) {
  if (listener == SLUICE_NO_LISTENER) return false;
  const struct sluice_listener* record = SLUICE_AT(tables, sluice_listener, listeners, listener);
  if (SLUICE_MISSING(record)) return false;
  *pool = record->pool;
  return true;
}

/* The flags (SLUICE_VIRTUAL_*) of a virtual address in *flags, or false when the address is none. */
SLUICE_INLINE bool sluice_virtual_find(const struct sluice_tables* tables, const struct sluice_settings* settings,
                                       const struct sluice_address* address, uint32_t* flags) {
  const struct sluice_index_entry* entry = sluice_index_find(tables, settings, address, sluice_index_key(0, 0));
  if (!entry) return false;
  *flags = entry->value;
  return true;
}

/* Of a flow without a listener of its own port; as sluice_listener_find. */
SLUICE_RARE enum sluice_verdict sluice_listener_find_range(const struct sluice_tables* tables,
                                                           const struct sluice_settings* settings,
                                                           const struct sluice_flow* flow, uint32_t* listener,
                                                           uint32_t* pool) {
  const struct sluice_index_entry* entry =
      settings->ranges ? sluice_index_find(tables, settings, &flow->destination, sluice_index_key(flow->protocol, 0))
                       : NULL;
  *listener = entry ? sluice_range_find(tables, entry, SLUICE_16(flow->destination_port)) : SLUICE_NO_LISTENER;
  if (sluice_listener_pool(tables, *listener, pool)) return SLUICE_CONTINUE;
  uint32_t flags = 0;
  return sluice_virtual_find(tables, settings, &flow->destination, &flags) ? SLUICE_VERDICT_no_listener
                                                                           : SLUICE_VERDICT_pass_not_virtual;
}

/* The key of a flow's listener, when that has one port. */
SLUICE_INLINE uint32_t sluice_listener_key(const struct sluice_flow* flow) {
  return (flow->ports & 0xffff0000) + sluice_index_key(flow->protocol, 0);
}

/* The listener of a flow, or SLUICE_NO_LISTENER: where a flow without one may be something else. Its pool (or split) in
 * *pool. */
SLUICE_INLINE uint32_t sluice_listener_and_pool(const struct sluice_tables* tables,
                                                const struct sluice_settings* settings, const struct sluice_flow* flow,
                                                uint32_t* pool) {
  const uint32_t key = sluice_listener_key(flow);
  const struct sluice_index_entry* entry = sluice_index_find(tables, settings, &flow->destination, key);
  *pool = SLUICE_NO_POOL;
  if (SLUICE_LIKELY(entry != NULL)) {
    *pool = entry->pool;
    return entry->value;
  }
  if (SLUICE_LIKELY(!settings->ranges)) return SLUICE_NO_LISTENER;
  entry = sluice_index_find(tables, settings, &flow->destination, sluice_index_key(flow->protocol, 0));
  const uint32_t listener =
      entry ? sluice_range_find(tables, entry, SLUICE_16(flow->destination_port)) : SLUICE_NO_LISTENER;
  return sluice_listener_pool(tables, listener, pool) ? listener : SLUICE_NO_LISTENER;
}
SLUICE_INLINE uint32_t sluice_listener_of(const struct sluice_tables* tables, const struct sluice_settings* settings,
                                          const struct sluice_flow* flow) {
  uint32_t pool;
  return sluice_listener_and_pool(tables, settings, flow, &pool);
}

/* The listener of a flow in *listener and its pool (or split) in *pool (SLUICE_CONTINUE), or the verdict for a flow
 * that has none. */
SLUICE_INLINE enum sluice_verdict sluice_listener_find(const struct sluice_tables* tables,
                                                       const struct sluice_settings* settings,
                                                       const struct sluice_flow* flow, uint32_t* listener,
                                                       uint32_t* pool) {
  const uint32_t key = sluice_listener_key(flow);
  const struct sluice_index_entry* entry = sluice_index_find(tables, settings, &flow->destination, key);
  if (SLUICE_UNLIKELY(entry == NULL)) {
    /* Not *pool, which would then have to be in memory. */
    uint32_t of_range = SLUICE_NO_POOL;
    const enum sluice_verdict verdict = sluice_listener_find_range(tables, settings, flow, listener, &of_range);
    *pool = of_range;
    return verdict;
  }
  *listener = entry->value;
  *pool = entry->pool;
  return SLUICE_CONTINUE;
}

/* How far the flow's port is from the first one of the range that the operator wrote for its listener. */
SLUICE_INLINE uint16_t sluice_port_offset(const struct sluice_tables* tables, const struct sluice_settings* settings,
                                          const struct sluice_flow* flow) {
  const struct sluice_index_entry* entry =
      sluice_index_find(tables, settings, &flow->destination, sluice_index_key(flow->protocol, flow->destination_port));
  if (entry) return entry->count;
  entry = sluice_index_find(tables, settings, &flow->destination, sluice_index_key(flow->protocol, 0));
  const struct sluice_port_range* range =
      entry ? sluice_range_of(tables, entry, SLUICE_16(flow->destination_port)) : NULL;
  return range ? (uint16_t)(SLUICE_16(flow->destination_port) - range->first) : 0;
}

/* The server's port for a flow, network order: the same (of an echo, which has none, 0), or the backend's own and as
 * far from it as the flow's port is from the first of its range. */
SLUICE_INLINE uint16_t sluice_service_port(const struct sluice_tables* tables, const struct sluice_settings* settings,
                                           const struct sluice_flow* flow, const struct sluice_backend* backend) {
  if (backend->service_port == 0 || flow->protocol == SLUICE_IP_ICMP) return flow->destination_port;
  return SLUICE_16(SLUICE_16(backend->service_port) + sluice_port_offset(tables, settings, flow));
}

/* Addresses that no client can have: unspecified, loopback, multicast, broadcast (RFC 1122 section 3.2.1.3, RFC 4291
 * section 2.7), and virtual addresses themselves. Asked for new flows only. */
SLUICE_PLAIN bool sluice_source_is_bad(const struct sluice_tables* tables, const struct sluice_address* source) {
  const struct sluice_settings* settings = SLUICE_AT(tables, sluice_settings, settings, 0);
  if (SLUICE_MISSING(settings)) return true;
  uint32_t flags = 0;
  if (sluice_address_is_ipv4(source)) {
    const uint8_t first = (uint8_t)source->words[3];
    if (first == 0 || first == 127 || first >= 224) return true;
  } else {
    const bool low = (source->words[0] | source->words[1] | source->words[2]) == 0;
    if ((source->words[0] & 0xff) == 0xff) return true;
    if (low && (source->words[3] == 0 || source->words[3] == SLUICE_32(1))) return true;
  }
  return sluice_virtual_find(tables, settings, source, &flags);
}

#endif /* SLUICE_LISTENER_H_ */
