// What clients' flows say of backends: what has become of the new flows that they were given, as far as the path has
// seen it (sluice_session_opening), goes to their health, as long as it is of one state: of the last second at most,
// and since it has changed.
//
// Seconds lie behind each other, and are looked at several times while they last: of many flows few have to fail until
// it is known. A server that begins to fail in the midst of one is found at the end of the next at the latest.
//
// Thread-safety: the control thread's.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "control/backend_states.h"
#include "engine/engine.h"
#include "tables/tables.h"

namespace sluice {

class Observer {
 public:
  // Of these, those whose check observes, from now on.
  void Watch(absl::Span<const CheckedBackend> targets);

  // Called more often than it looks; `now` never goes back. Reads counters only while anything is observed.
  void Tick(absl::Time now, const Tables& tables, Engine* engine, BackendStates* states);

 private:
  // Of one backend's second.
  struct Begin {
    uint32_t slot = 0;
    // Since when it has been in its state.
    absl::Time since;
    OpenedFlows flows;
  };

  void FindSlots(const Tables& tables);

  absl::flat_hash_set<BackendId> observed_;
  // Where they are in the tables of that generation.
  std::vector<std::pair<uint32_t, BackendId>> slots_;
  std::optional<uint32_t> found_in_;
  absl::flat_hash_map<BackendId, Begin> begins_;
  absl::Time next_look_ = absl::InfinitePast();
  absl::Time next_second_ = absl::InfinitePast();
};

}  // namespace sluice
