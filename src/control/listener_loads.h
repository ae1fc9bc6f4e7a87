// How many active flows count for listeners that have a limit of them: those of all backends of their pools, as of the
// last sweep. Workers go by the same, and by what they have counted since (engine/loads.h).
//
// Thread-safety: the control thread's.
#pragma once

#include <cstdint>

#include "absl/container/flat_hash_map.h"
#include "engine/engine.h"
#include "tables/tables.h"

namespace sluice {

struct ListenerLoad {
  uint64_t active = 0;
  uint32_t max_connections = 0;
};

// By listener index; those with a limit.
absl::flat_hash_map<uint32_t, ListenerLoad> ReadListenerLoads(const Engine& engine, const Tables& tables);

}  // namespace sluice
