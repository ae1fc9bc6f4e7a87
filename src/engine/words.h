// Counters and records that one worker writes while others may read them (sluice/words.h), for C++.
//
// Thread-safety: that is what they are for.
#pragma once

#include <cstdint>

#include "sluice/words.h"

namespace sluice {

using Word = sluice_word;

// One writer, so a plain addition; readers must not see half of it.
inline void Add(uint64_t& counter, uint64_t value) {
  SLUICE_STORE(&counter, SLUICE_LOAD(&counter) + value);
}

template <typename Record>
void StoreWords(Record* to, const Record& from) {
  static_assert(sizeof(Record) % sizeof(Word) == 0);
  sluice_store_words(to, &from, sizeof(Record));
}

template <typename Record>
Record LoadWords(const Record* from) {
  static_assert(sizeof(Record) % sizeof(Word) == 0);
  Record record;
  sluice_load_words(&record, from, sizeof(Record));
  return record;
}

}  // namespace sluice
