// Flows that are ended before their time, and their ends, which are told a moment later (engine/flow_end.h).
//
// Thread-safety: the control thread's; workers are not held up.
#pragma once

#include <cstdint>
#include <deque>

#include "absl/container/btree_map.h"
#include "absl/time/time.h"
#include "engine/engine.h"
#include "engine/flow_reader.h"
#include "sluice/tables.h"
#include "tables/tables.h"

namespace sluice {

class FlowEnder {
 public:
  // What is under way is acknowledged by then: a delayed acknowledgment and a long way.
  static constexpr absl::Duration kGrace = absl::Milliseconds(200);
  // Ends are told within this time after it, or not at all.
  static constexpr absl::Duration kPatience = absl::Seconds(2);

  // `engine` outlives it.
  explicit FlowEnder(Engine* engine) : engine_(engine) {}

  // Whether it was there still.
  bool End(const FlowRecord& flow);

  // Of tables that all workers run: the sessions of backends that have come to be reset there are ended from now on.
  void Follow(const Tables& tables);

  // About a hundred times a second: goes on with those sessions, a bounded part of all, and tells a bounded number of
  // ends whose time has come.
  void Tick(const Tables& tables, absl::Time now);

 private:
  void EndSome(const Tables& tables);
  void TellSome(const sluice_tables& tables);
  void Report(const Tables& tables);

  // 16 bytes for a session at most, as each is ended once.
  struct Ended {
    sluice_session* record;
    absl::Time due;
  };

  Engine* engine_;
  // Slots whose sessions are to end, and of how many that is said when all have been looked at.
  absl::btree_map<uint32_t, uint64_t> resets_;
  // How many sessions are still to be looked at for them, from which on.
  uint64_t left_ = 0;
  uint64_t position_ = 0;
  std::deque<Ended> ended_;
  absl::Time now_ = absl::InfinitePast();
};

}  // namespace sluice
