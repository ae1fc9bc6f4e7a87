/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Internet checksums (RFC 1071), their incremental update (RFC 1624), and nothing that needs a division. Sums are kept
 * in the byte order of memory: one's complement addition does not mind (RFC 1071 section 2(B)). */
#ifndef SLUICE_CHECKSUM_H_
#define SLUICE_CHECKSUM_H_

#include "sluice/types.h"

/* A 32-bit sum of 16-bit words, folded to 16 bits. */
SLUICE_INLINE uint16_t sluice_checksum_fold(uint32_t sum) {
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return (uint16_t)sum;
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

SLUICE_INLINE uint32_t sluice_checksum_address(const struct sluice_address* address) {
  return sluice_checksum_word(address->words[0]) + sluice_checksum_word(address->words[1]) +
         sluice_checksum_word(address->words[2]) + sluice_checksum_word(address->words[3]);
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
