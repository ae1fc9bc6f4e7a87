// Counters of packets and bytes (sluice_traffic), which one worker adds to while others may read them.
//
// Thread-safety: one writer for each record; readers see each number whole.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/words.h"
#include "sluice/connection.h"
#include "sluice/tables.h"

namespace sluice {

// Packets and bytes as sluice_traffic begins, added in one step.
using Volume = uint64_t __attribute__((vector_size(16), may_alias));
static_assert(offsetof(sluice_traffic, packets) == 0 && offsetof(sluice_traffic, bytes) == 8 &&
              sizeof(sluice_traffic) % sizeof(Volume) == 0);

// As in connection.h: to the machine it is two aligned words, each written whole; to the thread sanitizer a race.
inline void Add(sluice_traffic& traffic, Volume volume, uint64_t new_flows = 0) {
#ifdef SLUICE_THREAD_SANITIZER
  Add(traffic.packets, volume[0]);
  Add(traffic.bytes, volume[1]);
#else
  *reinterpret_cast<Volume*>(&traffic) += volume;
#endif
  if (SLUICE_UNLIKELY(new_flows > 0)) Add(traffic.new_flows, new_flows);
}

}  // namespace sluice
