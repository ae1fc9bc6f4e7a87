// How long backends take to answer, as their health checks have found: what least_time goes by.
//
// A mean in which the latest check counts a quarter: one slow answer moves it, a slow server keeps it up.
//
// Thread-safety: the control thread's.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "control/backend_states.h"
#include "engine/engine.h"
#include "tables/tables.h"

namespace sluice {

class Latencies {
 public:
  // Of the backends in `tables` whose time counts and that have passed a check. Called more often than they are
  // checked.
  std::vector<BackendLatency> Read(const Tables& tables, const BackendStates& states);

 private:
  struct Mean {
    absl::Time at;
    absl::Duration duration;
  };
  // By slot.
  absl::flat_hash_map<uint32_t, Mean> means_;
};

}  // namespace sluice
