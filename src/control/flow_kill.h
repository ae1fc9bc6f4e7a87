// Ends flows that the operator has chosen: what has an entry is decided on anew with its next packet; a session is
// over, and its ends are told.
//
// Thread-safety: the control thread's; workers are not held up. Errors say what to ask instead.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "control/controller.h"
#include "control/runtime.pb.h"
#include "engine/flow_reader.h"

namespace sluice {

struct KilledFlows {
  v1::KillFlowsReply reply;
  // For KillAgain.
  std::vector<FlowRecord> flows;
};

// A part of the tables at a time, so that nothing else waits long. `now`: CLOCK_MONOTONIC, ns.
absl::StatusOr<KilledFlows> KillFlows(const Controller& controller, const v1::KillFlowsRequest& request, uint64_t now);

// Some milliseconds later: a worker that had a packet of one in its hands may have written it back.
void KillAgain(const KilledFlows& killed);

}  // namespace sluice
