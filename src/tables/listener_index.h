// The index that the path finds listeners and virtual addresses by (sluice/listener.h).
//
// Thread-safety: pure function.
#pragma once

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "base/region.h"
#include "tables/desired.h"

namespace sluice {

// Up to so many ports in a row have an entry each: one look-up. Longer ranges take a second one, and a binary search.
inline constexpr uint32_t kExpandedPorts = 16;
// 512 MB of index at the usual load: more than the lists of a valid configuration (config/bounds.h) can name.
inline constexpr size_t kMaxIndexKeys = size_t{1} << 23;

struct ListenerIndex {
  // sluice_index_entry[mask + 1]. At most half full, and no entry is further from where its search begins than the path
  // looks (SLUICE_INDEX_PROBES).
  Region entries;
  // sluice_port_range[].
  Region ranges;
  uint32_t mask = 0;
};

// `indices`: each listener's in the listener table. Adjacent ranges of one listener count as one;
// where there are more ranges than the path searches (SLUICE_PORT_RANGES), the shortest have an entry for each port.
// Errors: more than kMaxIndexKeys single ports, keys that all fall on the same place, no memory.
absl::StatusOr<ListenerIndex> BuildListenerIndex(const DesiredState& state, std::span<const uint32_t> indices,
                                                 HugePages pages);

}  // namespace sluice
