// Flows as the engine has them, and what would become of a packet, in the words of runtime.proto.
//
// Thread-safety: the control thread's; workers are not held up. Errors say what to ask instead.
#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "control/controller.h"
#include "control/runtime.pb.h"

namespace sluice {

// A part of the tables at a time, so that nothing else waits long. `now`: CLOCK_MONOTONIC, ns.
absl::StatusOr<v1::FlowsReply> ViewFlows(const Controller& controller, const v1::FlowsRequest& request, uint64_t now);

absl::StatusOr<v1::Explanation> ExplainFlow(const Controller& controller, const v1::FiveTuple& flow, uint64_t now);

}  // namespace sluice
