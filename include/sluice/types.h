/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * The words of the packet path: addresses, flows, limits, and the few things of a compiler that differ between C, C++
 * and BPF. Everything in include/sluice is C11 and C++20, compiled natively and for the kernel; it knows bytes, tables
 * and a clock value, and nothing else.
 *
 * Units: lengths in bytes, time in nanoseconds of CLOCK_MONOTONIC (the kernel's bpf_ktime_get_ns), addresses and ports
 * in network byte order unless a name says otherwise. */
#ifndef SLUICE_TYPES_H_
#define SLUICE_TYPES_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __SSE2__
#  include <emmintrin.h>
#endif

#define SLUICE_INLINE static inline __attribute__((always_inline))
/* What few packets need. Natively it stays out of the common case's way; in BPF there are no calls. */
#ifdef __bpf__
#  define SLUICE_RARE SLUICE_INLINE
#else
#  define SLUICE_RARE __attribute__((noinline, cold, unused)) static
#endif
/* What a new flow needs: natively a plain function; in BPF, where a call costs more than what is in it, none. */
#ifdef __bpf__
#  define SLUICE_PLAIN SLUICE_INLINE
#else
#  define SLUICE_PLAIN __attribute__((unused)) static
#endif
/* A function that the verifier looks at once, whatever state its callers are in, so that the cost of such functions
 * adds up instead of multiplying; natively a plain one. Its pointers may be null to the verifier: SLUICE_MISSING
 * (tables.h). */
#ifdef __bpf__
#  define SLUICE_STAGE __attribute__((noinline))
#  define SLUICE_SHARED SLUICE_STAGE
#else
#  define SLUICE_STAGE __attribute__((unused)) static
/* One that is natively part of its callers. */
#  define SLUICE_SHARED SLUICE_INLINE
#endif
#define SLUICE_LIKELY(x) __builtin_expect(!!(x), 1)
#define SLUICE_UNLIKELY(x) __builtin_expect(!!(x), 0)

#ifdef __cplusplus
#  define SLUICE_STATIC_ASSERT(condition, text) static_assert(condition, text)
#else
#  define SLUICE_STATIC_ASSERT(condition, text) _Static_assert(condition, text)
#endif

/* Words to the verifier that the compiler can't see through; natively nothing is emitted. `mask` is 2^n - 1, and
 * `value` is known to be within it.
 *
 * SLUICE_BOUND: the verifier forgets the bounds of a value that went through memory or arithmetic; this tells it again.
 * SLUICE_FORGET: where paths meet that each come with another constant (one, two or no VLAN tags), the verifier would
 * follow each of them to the end, and their number multiplies with every such place. This makes the constants one value
 * that is only known to be within the mask, so that it looks at what follows once. `unknown` is anything that the
 * verifier can't know, such as a byte of the packet.
 * SLUICE_KEEP: the verifier knows something of the very pointer that was compared with the packet's end; the compiler
 * would now and then make the same address once more from its parts. */
#ifdef __bpf__
#  define SLUICE_BOUND(value, mask) sluice_bound((value), (mask))
#  define SLUICE_FORGET(value, mask, unknown) sluice_forget((value), (mask), (unknown))
#  define SLUICE_KEEP(pointer) __asm__ volatile("" : "+r"(pointer))
SLUICE_INLINE uint64_t sluice_bound(uint64_t value, uint64_t mask) {
  __asm__ volatile("%0 &= %1" : "+r"(value) : "i"(mask));
  return value;
}
SLUICE_INLINE uint64_t sluice_forget(uint64_t value, uint64_t mask, uint64_t unknown) {
  __asm__("%0 += %2; %0 -= %2; %0 &= %1" : "+r"(value) : "i"(mask), "r"(unknown));
  return value;
}
#else
#  define SLUICE_BOUND(value, mask) (value)
#  define SLUICE_FORGET(value, mask, unknown) ((void)(unknown), (value))
#  define SLUICE_KEEP(pointer) ((void)0)
#endif

/* Before a loop with few turns. Linux before 6.7 refuses a loop whose last instruction falls into its first one, as
 * clang may well lay it out; unrolled, the program passes everywhere. */
#ifdef __bpf__
#  define SLUICE_UNROLL _Pragma("clang loop unroll(full)")
#else
#  define SLUICE_UNROLL
#endif

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#  error "the path is written for little-endian machines (x86-64, arm64)"
#endif

/* Host to network order and back; constant-folds. */
#define SLUICE_16(x) ((uint16_t)__builtin_bswap16((uint16_t)(x)))
#define SLUICE_32(x) ((uint32_t)__builtin_bswap32((uint32_t)(x)))
#define SLUICE_64(x) ((uint64_t)__builtin_bswap64((uint64_t)(x)))

/* The ports of a flow, both in network order, as one word: a flow is hashed right behind its writing, and a load of
 * both would wait until two stores have left the store buffer. */
#define SLUICE_PORTS_OF(source, destination) ((uint32_t)(uint16_t)(source) | (uint32_t)(uint16_t)(destination) << 16)

/* Limits: all of them, in one place. */
#define SLUICE_BURST 64
/* Room in front of a packet for the largest change of its headers: Ethernet with a VLAN tag, IPv6, UDP, GUE. */
#define SLUICE_HEADROOM 128
/* Room behind it: a neighbour advertisement may be longer than its solicitation. */
#define SLUICE_TAILROOM 32
#define SLUICE_VLAN_TAGS 2
#define SLUICE_EXTENSION_HEADERS 8
#define SLUICE_EXTENSION_BYTES 1024
#define SLUICE_INDEX_PROBES 16
#define SLUICE_PORT_RANGES 128
#define SLUICE_LISTENERS 65535
/* A backend's slot has 20 bits in a connection entry; the last value means none. */
#define SLUICE_BACKENDS ((1 << 20) - 1)
#define SLUICE_PORTS 64
#define SLUICE_POOLS 65535
/* Among which one listener's flows are split. */
#define SLUICE_SPLIT_POOLS 8
/* Where flows are looked for that came by another queue. */
#define SLUICE_MOST_PARTITIONS 1024
/* Lines of four sources each that a partition counts the new flows of: 1 MiB. */
#define SLUICE_SOURCE_LINES (1 << 14)
/* Of one source within a window. */
#define SLUICE_SOURCE_MOST (1u << 21)
#define SLUICE_NO_BACKEND 0xfffffu
/* Selected for a new flow: there are backends, and each has as many flows as it may have. No slot, which has 20 bits.
 */
#define SLUICE_BACKENDS_FULL 0x100000u
#define SLUICE_NO_LISTENER 0xffffffffu
#define SLUICE_NO_POOL 0xffffffffu

/* 16 bytes in network order; IPv4 is mapped into ::ffff:0:0/96 (RFC 4291 section 2.5.5.2). */
struct sluice_address {
  uint32_t words[4];
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_address) == 16, "an address is 16 bytes");

/* A five-tuple as its client sends it. `protocol` is an IP protocol number; a fragment's flow (see hash.h) has
 * SLUICE_FRAGMENT_FLOW in it and its identification in place of the ports. */
struct sluice_flow {
  struct sluice_address source;
  struct sluice_address destination;
#ifdef __clang__
#  pragma clang diagnostic push
#  pragma clang diagnostic ignored "-Wnested-anon-types"
#endif
  union {
    __extension__ struct {
      uint16_t source_port;
      uint16_t destination_port;
    };
    uint32_t ports;
  };
#ifdef __clang__
#  pragma clang diagnostic pop
#endif
  uint32_t protocol;
};
SLUICE_STATIC_ASSERT(sizeof(struct sluice_flow) == 40, "a flow is ten words, hashed as they lie");

#define SLUICE_FRAGMENT_FLOW 0x100u

/* Loads and stores at any alignment. In BPF the type has to claim that it is aligned: clang would go byte by byte
 * otherwise, and the verifier allows packets and maps to be read at any address. Of the stack it does not: what is read
 * there in words of eight bytes is aligned to them. */
#ifdef __bpf__
#  define SLUICE_ANYWHERE __attribute__((may_alias))
#else
#  define SLUICE_ANYWHERE __attribute__((may_alias, aligned(1)))
#endif
typedef uint16_t SLUICE_ANYWHERE sluice_word16;
typedef uint32_t SLUICE_ANYWHERE sluice_word32;
typedef uint64_t SLUICE_ANYWHERE sluice_word64;

SLUICE_INLINE uint16_t sluice_load16(const void* at) {
  return *(const sluice_word16*)at;
}
SLUICE_INLINE uint32_t sluice_load32(const void* at) {
  return *(const sluice_word32*)at;
}
SLUICE_INLINE uint64_t sluice_load64(const void* at) {
  return *(const sluice_word64*)at;
}
SLUICE_INLINE void sluice_store16(void* at, uint16_t value) {
  *(sluice_word16*)at = value;
}
SLUICE_INLINE void sluice_store32(void* at, uint32_t value) {
  *(sluice_word32*)at = value;
}
SLUICE_INLINE void sluice_store64(void* at, uint64_t value) {
  *(sluice_word64*)at = value;
}

SLUICE_INLINE bool sluice_address_equal(const struct sluice_address* a, const struct sluice_address* b) {
  return ((sluice_load64(a->words) ^ sluice_load64(b->words)) |
          (sluice_load64(a->words + 2) ^ sluice_load64(b->words + 2))) == 0;
}

/* Whether two addresses are two others; one answer for both. */
SLUICE_INLINE bool sluice_addresses_equal(const struct sluice_address* a, const struct sluice_address* b,
                                          const struct sluice_address* c, const struct sluice_address* d) {
#ifdef __SSE2__
  const __m128i first =
      _mm_cmpeq_epi32(_mm_loadu_si128((const __m128i*)a->words), _mm_loadu_si128((const __m128i*)b->words));
  const __m128i second =
      _mm_cmpeq_epi32(_mm_loadu_si128((const __m128i*)c->words), _mm_loadu_si128((const __m128i*)d->words));
  return _mm_movemask_epi8(_mm_and_si128(first, second)) == 0xffff;
#else
  return sluice_address_equal(a, b) && sluice_address_equal(c, d);
#endif
}

SLUICE_INLINE bool sluice_address_is_ipv4(const struct sluice_address* a) {
  return sluice_load64(a->words) == 0 && a->words[2] == SLUICE_32(0xffff);
}

/* Written whole where a flow is hashed right after it has been parsed (hash.h reads 16 bytes): a load that is wider
 * than the stores it depends on waits until they have left the store buffer. */
SLUICE_INLINE struct sluice_address sluice_ipv4(uint32_t address) {
#ifdef __SSE2__
  const __m128i prefix = _mm_set_epi32(0, (int)SLUICE_32(0xffff), 0, 0);
  struct sluice_address mapped;
  _mm_storeu_si128((__m128i*)mapped.words, _mm_or_si128(prefix, _mm_slli_si128(_mm_cvtsi32_si128((int)address), 12)));
#elif defined(__bpf__)
  struct sluice_address mapped;
  sluice_store64(mapped.words, 0);
  sluice_store64(mapped.words + 2, (uint64_t)address << 32 | SLUICE_32(0xffff));
#else
  struct sluice_address mapped = {{0, 0, SLUICE_32(0xffff), address}};
#endif
  return mapped;
}

/* Copies an address to or from anywhere. */
SLUICE_INLINE void sluice_write_address(void* at, const void* address) {
#ifdef __bpf__
  sluice_store64(at, sluice_load64(address));
  sluice_store64((uint8_t*)at + 8, sluice_load64((const uint8_t*)address + 8));
#else
  __builtin_memcpy(at, address, sizeof(struct sluice_address));
#endif
}

/* Header field values that several files need. */
#define SLUICE_ETHERTYPE_IPV4 0x0800
#define SLUICE_ETHERTYPE_ARP 0x0806
#define SLUICE_ETHERTYPE_VLAN 0x8100
#define SLUICE_ETHERTYPE_QINQ 0x88a8
#define SLUICE_ETHERTYPE_IPV6 0x86dd
#define SLUICE_IP_ICMP 1
#define SLUICE_IP_IPV4 4
#define SLUICE_IP_TCP 6
#define SLUICE_IP_UDP 17
#define SLUICE_IP_IPV6 41
#define SLUICE_IP_ICMPV6 58
#define SLUICE_TCP_FIN 0x01
#define SLUICE_TCP_SYN 0x02
#define SLUICE_TCP_RST 0x04
#define SLUICE_TCP_ACK 0x10
#define SLUICE_MAC_BYTES 6
#define SLUICE_ETHERNET_BYTES 14
#define SLUICE_VLAN_BYTES 4
#define SLUICE_IPV4_BYTES 20
#define SLUICE_IPV6_BYTES 40
#define SLUICE_UDP_BYTES 8
#define SLUICE_TCP_BYTES 20
#define SLUICE_ICMP_BYTES 8
#define SLUICE_ARP_BYTES 28

#endif /* SLUICE_TYPES_H_ */
