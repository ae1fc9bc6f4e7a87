// Flows that are ended before their time, and their ends, which are told a moment later (engine/flow_end.h).
//
// Thread-safety: the control thread's; workers are not held up.
#pragma once

#include <cstdint>
#include <deque>

#include "absl/time/time.h"
#include "engine/engine.h"
#include "engine/flow_reader.h"
#include "sluice/tables.h"

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

  // About a hundred times a second: tells a bounded number of ends whose time has come.
  void Tick(const sluice_tables& tables, absl::Time now);

 private:
  // 16 bytes for a session at most, as each is ended once.
  struct Ended {
    sluice_session* record;
    absl::Time due;
  };

  Engine* engine_;
  std::deque<Ended> ended_;
  absl::Time now_ = absl::InfinitePast();
};

}  // namespace sluice
