/* SPDX-License-Identifier: Apache-2.0 OR GPL-2.0-only
 *
 * Memory that one worker writes while others read it: each word is read and written whole, and in an order where that
 * matters. Whether the words of a copy belong together is for its reader to find out.
 *
 * In BPF these are volatile accesses, in the order that they are written down: x86 keeps the order of stores and of
 * loads. */
#ifndef SLUICE_WORDS_H_
#define SLUICE_WORDS_H_

#include "sluice/types.h"

/* Eight bytes of whatever record. */
typedef uint64_t __attribute__((may_alias)) sluice_word;

#ifdef __bpf__
#  define SLUICE_LOAD(at) (*(const volatile __typeof__(*(at))*)(at))
#  define SLUICE_STORE(at, value) (*(volatile __typeof__(*(at))*)(at) = (value))
#  define SLUICE_LOAD_ACQUIRE(at) SLUICE_LOAD(at)
#  define SLUICE_STORE_RELEASE(at, value) SLUICE_STORE(at, value)
/* The owner is the only one that sets flags in the kernel. */
#  define SLUICE_SET_FLAG(at, flag) SLUICE_STORE(at, (uint8_t)(SLUICE_LOAD(at) | (flag)))
SLUICE_INLINE void sluice_release_fence(void) {
  __asm__ volatile("" ::: "memory");
}
SLUICE_INLINE void sluice_acquire_fence(void) {
  __asm__ volatile("" ::: "memory");
}
#else
#  define SLUICE_LOAD(at) __atomic_load_n((at), __ATOMIC_RELAXED)
#  define SLUICE_STORE(at, value) __atomic_store_n((at), (value), __ATOMIC_RELAXED)
#  define SLUICE_LOAD_ACQUIRE(at) __atomic_load_n((at), __ATOMIC_ACQUIRE)
#  define SLUICE_STORE_RELEASE(at, value) __atomic_store_n((at), (value), __ATOMIC_RELEASE)
#  define SLUICE_SET_FLAG(at, flag) ((void)__atomic_fetch_or((at), (uint8_t)(flag), __ATOMIC_RELAXED))
/* The thread sanitizer does not follow fences and GCC warns of that. What they stand between is atomic anyway, so it
 * finds no race there. */
#  if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#    pragma GCC diagnostic push
#    pragma GCC diagnostic ignored "-Wtsan"
#  endif
SLUICE_INLINE void sluice_release_fence(void) {
  __atomic_thread_fence(__ATOMIC_RELEASE);
}
SLUICE_INLINE void sluice_acquire_fence(void) {
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
}
SLUICE_INLINE void sluice_full_fence(void) {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
#  if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#    pragma GCC diagnostic pop
#  endif
#endif

/* One writer, so a plain addition; readers must not see half of it. */
#define SLUICE_COUNT(counter) SLUICE_STORE(&(counter), SLUICE_LOAD(&(counter)) + 1)

/* Copies of records that are aligned to eight bytes and as long as some of them. */
SLUICE_INLINE void sluice_store_words(void* to, const void* from, uint32_t bytes) {
  SLUICE_UNROLL
  for (uint32_t i = 0; i < bytes / sizeof(sluice_word); i++)
    SLUICE_STORE((sluice_word*)to + i, ((const sluice_word*)from)[i]);
}
SLUICE_INLINE void sluice_load_words(void* to, const void* from, uint32_t bytes) {
  SLUICE_UNROLL
  for (uint32_t i = 0; i < bytes / sizeof(sluice_word); i++)
    ((sluice_word*)to)[i] = SLUICE_LOAD((const sluice_word*)from + i);
}

#endif /* SLUICE_WORDS_H_ */
