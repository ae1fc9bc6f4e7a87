#include "control/listener_loads.h"

#include <vector>

namespace sluice {

absl::flat_hash_map<uint32_t, ListenerLoad> ReadListenerLoads(const Engine& engine, const Tables& tables) {
  absl::flat_hash_map<uint32_t, ListenerLoad> loads;
  for (const LoadTerms& terms : tables.load_terms()) {
    if (terms.listener_max_connections == 0) continue;
    const std::vector<uint32_t>& active =
        terms.translates ? engine.session_occupancy().active_of_slot : engine.occupancy().active_of_slot;
    ListenerLoad& load = loads[terms.listener];
    load.max_connections = terms.listener_max_connections;
    load.active += terms.slot < active.size() ? active[terms.slot] : 0;
  }
  return loads;
}

}  // namespace sluice
