// Traffic by listener and backend as the engine counts it by index, less what an index had counted for others before.
//
// Thread-safety: the control thread's.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/engine.h"

namespace sluice {

struct IndexTraffic {
  sluice_traffic forwarded{};
  sluice_traffic answers{};
};

class Traffic {
 public:
  // Indices have these owners from now on.
  void Follow(const Tables& tables, Engine* engine);

  IndexTraffic OfListener(const EngineCounters& counters, uint32_t index) const;
  IndexTraffic OfBackend(const EngineCounters& counters, uint32_t slot) const;

 private:
  // Of one index. An owner that is gone and comes back at the same index goes on where it was.
  struct Owner {
    std::string name;
    IndexTraffic before;
  };

  std::vector<Owner> listeners_;
  std::vector<Owner> backends_;
};

}  // namespace sluice
