// Counters and records that one worker writes while others may read them: in words of eight bytes, each of them whole.
//
// Thread-safety: that is what they are for. Whether the words of a copy belong together is for the caller to find out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice {

// Eight bytes of whatever record.
typedef uint64_t __attribute__((may_alias)) Word;  // NOLINT(modernize-use-using): the attribute is lost there.

// One writer, so a plain addition; readers must not see half of it.
inline void Add(uint64_t& counter, uint64_t value) {
  __atomic_store_n(&counter, __atomic_load_n(&counter, __ATOMIC_RELAXED) + value, __ATOMIC_RELAXED);
}

// Both are aligned to eight bytes. Through memory of characters: the compiler must know that it is the record.
template <typename Record>
void StoreWords(Record* to, const Record& from) {
  static_assert(sizeof(Record) % sizeof(uint64_t) == 0);
  auto* target = reinterpret_cast<Word*>(to);
  for (size_t i = 0; i < sizeof(Record) / sizeof(uint64_t); i++) {
    uint64_t word;
    std::memcpy(&word, reinterpret_cast<const char*>(&from) + i * sizeof(word), sizeof(word));
    __atomic_store_n(&target[i], word, __ATOMIC_RELAXED);
  }
}

template <typename Record>
Record LoadWords(const Record* from) {
  static_assert(sizeof(Record) % sizeof(uint64_t) == 0);
  Record record;
  const auto* source = reinterpret_cast<const Word*>(from);
  for (size_t i = 0; i < sizeof(Record) / sizeof(uint64_t); i++) {
    const uint64_t word = __atomic_load_n(&source[i], __ATOMIC_RELAXED);
    std::memcpy(reinterpret_cast<char*>(&record) + i * sizeof(word), &word, sizeof(word));
  }
  return record;
}

// Fences, by a name of their own: the thread sanitizer does not follow them and GCC warns of that. What they stand
// between is atomic anyway, so it finds no race there.
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#  pragma GCC diagnostic push
#  pragma GCC diagnostic ignored "-Wtsan"
#endif
inline void AcquireFence() {
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
}
inline void ReleaseFence() {
  __atomic_thread_fence(__ATOMIC_RELEASE);
}
inline void FullFence() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
}
#if defined(__SANITIZE_THREAD__) && !defined(__clang__)
#  pragma GCC diagnostic pop
#endif

}  // namespace sluice
