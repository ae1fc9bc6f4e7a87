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

#ifdef __SSE2__
#  include <emmintrin.h>
#endif

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

SLUICE_INLINE uint64_t sluice_nh_pair(uint32_t a, uint32_t b, const uint32_t* key) {
  return (uint64_t)(uint32_t)(a + key[0]) * (uint32_t)(b + key[1]);
}

#ifdef __SSE2__
/* Two pairs: four words from `words` with four of the key. */
SLUICE_INLINE __m128i sluice_nh_pairs(const uint32_t* words, const uint32_t* key) {
  const __m128i sum = _mm_add_epi32(_mm_loadu_si128((const __m128i*)words), _mm_loadu_si128((const __m128i*)key));
  return _mm_mul_epu32(sum, _mm_srli_epi64(sum, 32));
}
#endif

SLUICE_INLINE uint64_t sluice_hash_flow(const struct sluice_settings* settings, const struct sluice_flow* flow) {
  const uint32_t* key = settings->hash_key;
  const uint64_t last = sluice_nh_pair(flow->ports, flow->protocol, key + 8);
#ifdef __SSE2__
  const __m128i both =
      _mm_add_epi64(sluice_nh_pairs(flow->source.words, key), sluice_nh_pairs(flow->destination.words, key + 4));
  const __m128i sum = _mm_add_epi64(both, _mm_unpackhi_epi64(both, both));
  return sluice_mix((uint64_t)_mm_cvtsi128_si64(sum) + last);
#else
  const uint32_t* from = flow->source.words;
  const uint32_t* to = flow->destination.words;
  return sluice_mix(sluice_nh_pair(from[0], from[1], key) + sluice_nh_pair(from[2], from[3], key + 2) +
                    sluice_nh_pair(to[0], to[1], key + 4) + sluice_nh_pair(to[2], to[3], key + 6) + last);
#endif
}

/* Of a key of the index. Not keyed: the index holds what the operator configured, and probes are bounded. What is
 * shifted down takes neighbours apart that multiplications leave neighbours; only lower halves of products are asked
 * for, as BPF has no others. */
SLUICE_INLINE uint32_t sluice_hash_index(const struct sluice_address* address, uint32_t key) {
  const uint64_t sum = (sluice_load64(address->words) + key) * 0xd6e8feb86659fd93ull +
                       sluice_load64(address->words + 2) * 0x9fb21c651e98df25ull;
  return (uint32_t)((sum ^ sum >> 32) * 0xbf58476d1ce4e5b9ull >> 32);
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
SLUICE_INLINE uint32_t sluice_split_hash(uint64_t hash) {
  return (uint32_t)(hash * 0xff51afd7ed558ccdull >> 32);
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
