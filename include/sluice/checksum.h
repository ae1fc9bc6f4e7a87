/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Internet checksums (RFC 1071), their incremental update (RFC 1624), and nothing that needs a division. Sums are kept
 * in the byte order of memory: one's complement addition does not mind (RFC 1071 section 2(B)). */
#ifndef SLUICE_CHECKSUM_H_
#define SLUICE_CHECKSUM_H_

#include "sluice/types.h"

#ifdef __SSE2__
#  include <emmintrin.h>
#endif

/* A 32-bit sum of 16-bit words, folded to 16 bits. Where words can be rotated, both halves are added to each other: the
 * carry that the lower one has is what the upper one lacks. */
SLUICE_INLINE uint16_t sluice_checksum_fold(uint32_t sum) {
#ifdef __bpf__
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)sum;
#else
  return (uint16_t)((sum + (sum << 16 | sum >> 16)) >> 16);
#endif
}

/* A sum of 32-bit words as one of 16-bit words: 2^32 counts as 1. */
SLUICE_INLINE uint32_t sluice_checksum_narrow(uint64_t sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  return (uint32_t)((sum & 0xffffffff) + (sum >> 32));
}

/* One's complement sum of two words: the carry comes in again at the other end. */
SLUICE_INLINE uint16_t sluice_checksum_sum(uint16_t a, uint16_t b) {
  const uint16_t sum = (uint16_t)(a + b);
  return (uint16_t)(sum + (sum < a));
}

SLUICE_INLINE uint32_t sluice_checksum_word(uint32_t word) {
  return (word & 0xffff) + (word >> 16);
}

/* Whether the checksum of such a sum is right: in one's complement it is zero, so a multiple of 0xffff. Those and no
 * others come out below 2^64 / 0xffff when multiplied with the inverse of 0xffff (Granlund and Montgomery, Division by
 * Invariant Integers using Multiplication, PLDI 1994, section 9). */
SLUICE_INLINE bool sluice_checksum_is_zero(uint64_t sum) {
  return sum * 0xfffefffefffeffffull <= 0x0001000100010001ull;
}

/* Sum of two addresses, in 32-bit words. The prefix of a mapped IPv4 address adds 0xffff, which is nothing in one's
 * complement. */
SLUICE_INLINE uint64_t sluice_checksum_wide(const struct sluice_address* a, const struct sluice_address* b) {
#ifdef __SSE2__
  const __m128i first = _mm_loadu_si128((const __m128i*)a->words);
  const __m128i second = _mm_loadu_si128((const __m128i*)b->words);
  const __m128i even = _mm_set1_epi64x(UINT32_MAX);
  const __m128i sums = _mm_add_epi64(_mm_add_epi64(_mm_and_si128(first, even), _mm_srli_epi64(first, 32)),
                                     _mm_add_epi64(_mm_and_si128(second, even), _mm_srli_epi64(second, 32)));
  return (uint64_t)_mm_cvtsi128_si64(_mm_add_epi64(sums, _mm_unpackhi_epi64(sums, sums)));
#else
  uint64_t sum = 0;
  for (uint32_t i = 0; i < 4; i++) sum += (uint64_t)a->words[i] + b->words[i];
  return sum;
#endif
}
/* The same, in 16-bit words. */
SLUICE_INLINE uint16_t sluice_checksum_addresses(const struct sluice_address* a, const struct sluice_address* b) {
  return sluice_checksum_fold(sluice_checksum_narrow(sluice_checksum_wide(a, b)));
}

/* Sum of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1). `length`: of the transport packet. */
SLUICE_INLINE uint32_t sluice_pseudo_sum(const struct sluice_address* source, const struct sluice_address* destination,
                                         uint32_t protocol, uint32_t length) {
  return (uint32_t)sluice_checksum_addresses(source, destination) + SLUICE_16(protocol) + SLUICE_16(length);
}

/* The checksum after one 16-bit word of what it covers has changed: HC' = ~(~HC + ~m + m'), RFC 1624 equation 3. */
SLUICE_INLINE uint16_t sluice_checksum_update(uint16_t checksum, uint16_t before, uint16_t after) {
  return (uint16_t)~sluice_checksum_fold((uint32_t)(uint16_t)~checksum + (uint16_t)~before + after);
}

/* Sum of [at, at + length), at most `most` bytes of it and never past `end`. The loop has a constant bound, for the
 * verifier; an odd last byte counts as if a zero followed it. */
SLUICE_INLINE uint32_t sluice_checksum_bytes(const uint8_t* at, const uint8_t* end, uint32_t length, uint32_t most) {
  uint32_t sum = 0;
  for (uint32_t i = 0; i < most; i += 2) {
    const uint8_t* word = at + i;
    SLUICE_KEEP(word);
    if (i >= length || word + 1 > end) break;
    if (i + 1 == length || word + 2 > end) {
      sum += *word;
      break;
    }
    sum += sluice_load16(word);
  }
  return sum;
}

/* The same of many bytes, a block at a time.
 *
 * The verifier follows each turn, and from each the way out, so there are few of them. It need not know after how many
 * the loop has ended, nor how much of the packet they have proved to be there: `unknown` is a word of the packet. */
#define SLUICE_CHECKSUM_BLOCK 64u
SLUICE_INLINE uint32_t sluice_checksum_payload(const uint8_t* at, const uint8_t* end, uint32_t length, uint32_t most) {
  uint64_t sum = 0;
  uint64_t unknown = length;
  uint32_t done = 0;
  for (; done + SLUICE_CHECKSUM_BLOCK <= most; done += SLUICE_CHECKSUM_BLOCK) {
    const uint8_t* words = at + SLUICE_FORGET(done, 0x1fff, unknown);
    SLUICE_KEEP(words);
    if (done + SLUICE_CHECKSUM_BLOCK > length || words + SLUICE_CHECKSUM_BLOCK > end) break;
    SLUICE_UNROLL
    for (uint32_t i = 0; i < SLUICE_CHECKSUM_BLOCK; i += 4) sum += sluice_load32(words + i);
    unknown = sluice_load64(words);
  }
  const uint32_t left = (uint32_t)SLUICE_FORGET(length - done, SLUICE_CHECKSUM_BLOCK - 1, unknown);
  const uint8_t* rest = at + SLUICE_FORGET(done, 0x1fff, unknown);
  SLUICE_KEEP(rest);
  return sluice_checksum_narrow(sum + sluice_checksum_bytes(rest, end, left, SLUICE_CHECKSUM_BLOCK));
}

#endif /* SLUICE_CHECKSUM_H_ */
