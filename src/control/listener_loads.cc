#include "control/listener_loads.h"

#include <vector>

namespace sluice {

absl::flat_hash_map<uint32_t, ListenerLoad> ReadListenerLoads(const Engine& engine, const Tables& tables) {
  absl::flat_hash_map<uint32_t, uint64_t> of_pool;
  for (const LoadTerms& terms : tables.load_terms()) {
    const std::vector<uint32_t>& active =
        terms.translates ? engine.session_occupancy().active_of_slot : engine.occupancy().active_of_slot;
    of_pool[terms.pool] += terms.slot < active.size() ? active[terms.slot] : 0;
  }
  absl::flat_hash_map<uint32_t, ListenerLoad> loads;
  for (const ListenerTerms& terms : tables.listener_terms()) {
    ListenerLoad& load = loads[terms.listener];
    load.max_connections = terms.max_connections;
    for (const uint32_t pool : terms.pools) load.active += of_pool[pool];
  }
  return loads;
}

}  // namespace sluice
