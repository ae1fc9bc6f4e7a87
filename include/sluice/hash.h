/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Keyed hashes of flows. NH (Black, Halevi, Krawczyk, Krovetz, Rogaway: UMAC, CRYPTO 1999; RFC 4418 section 5.2): the
 * sum of (m[i] + k[i]) * (m[i+1] + k[i+1]) over pairs of 32-bit words. Two different flows agree with probability 2^-32
 * over the key; twice, with the key shifted by two words, 2^-64. Ten multiplications that don't wait for each other,
 * the same for both families, 32 x 32 -> 64 bits only, so BPF has them too. Why not SipHash:
 * docs/decisions/flow-hash.md. */
#ifndef SLUICE_HASH_H_
#define SLUICE_HASH_H_

#include "sluice/parse.h"
#include "sluice/tables.h"
#include "sluice/types.h"

/* Spreads every bit of a 64-bit word over all of them (the finalizer of MurmurHash3, public domain, constants by
 * Appleby). */
SLUICE_INLINE uint64_t sluice_mix(uint64_t x) {
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdull;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ull;
  x ^= x >> 33;
  return x;
}

SLUICE_INLINE uint64_t sluice_nh(const uint32_t* words, uint32_t count, const uint32_t* key) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < count; i += 2) {
    sum += (uint64_t)(uint32_t)(words[i] + key[i]) * (uint32_t)(words[i + 1] + key[i + 1]);
  }
  return sum;
}

SLUICE_INLINE uint64_t sluice_hash_flow(const struct sluice_settings* settings, const struct sluice_flow* flow) {
  const uint32_t* words = flow->source.words;
  uint32_t tail[2];
  tail[0] = flow->ports;
  tail[1] = flow->protocol;
  const uint32_t* key = settings->hash_key;
  const uint64_t one =
      sluice_nh(words, 4, key) + sluice_nh(flow->destination.words, 4, key + 4) + sluice_nh(tail, 2, key + 8);
  const uint64_t two =
      sluice_nh(words, 4, key + 2) + sluice_nh(flow->destination.words, 4, key + 6) + sluice_nh(tail, 2, key + 10);
  return sluice_mix(one ^ (two << 32 | two >> 32));
}

/* Of a key of the index; the index is built by ourselves, so 32 bits with one key do. */
SLUICE_INLINE uint32_t sluice_hash_index(const struct sluice_settings* settings, const struct sluice_address* address,
                                         uint32_t key) {
  const uint32_t* k = settings->hash_key;
  uint64_t h = sluice_nh(address->words, 4, k) + (uint64_t)(key + k[4]) * (uint32_t)(k[5] | 1);
  h ^= h >> 32;
  h *= 0x9e3779b97f4a7c15ull;
  return (uint32_t)(h >> 32);
}

/* What a flow's hash is used for; the uses take independent bits. `buckets` is any number up to 2^32. */
SLUICE_INLINE uint32_t sluice_scale(uint32_t hash, uint32_t size) {
  return (uint32_t)((uint64_t)hash * size >> 32);
}
SLUICE_INLINE uint32_t sluice_primary_bucket(uint64_t hash, uint32_t buckets) {
  return sluice_scale((uint32_t)(hash >> 32), buckets);
}
SLUICE_INLINE uint32_t sluice_secondary_bucket(uint64_t hash, uint32_t buckets) {
  return sluice_scale((uint32_t)(hash * 0x9e3779b97f4a7c15ull >> 32), buckets);
}
SLUICE_INLINE uint32_t sluice_select_hash(uint64_t hash) {
  return (uint32_t)(hash * 0xd6e8feb86659fd93ull >> 32);
}

/* The flow that fragments of one datagram share: its identification in place of the ports it lacks. In IPv4 the
 * protocol is part of what tells datagrams apart (RFC 791 section 3.2); in IPv6 it isn't, and a later fragment does not
 * know it when other extension headers follow the fragment header (RFC 8200 section 4.5). */
SLUICE_INLINE struct sluice_flow sluice_fragment_flow(const struct sluice_packet* packet) {
  struct sluice_flow flow = packet->flow;
  flow.ports = packet->fragment_id;
  flow.protocol = SLUICE_FRAGMENT_FLOW | (packet->flags & SLUICE_PACKET_IPV6 ? 0 : flow.protocol);
  return flow;
}

#endif /* SLUICE_HASH_H_ */
