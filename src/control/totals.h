// What became of packets since the start, by name: for the log, the API and the metrics alike.
//
// Thread-safety: pure function.
#pragma once

#include <vector>

#include "control/runtime.pb.h"
#include "engine/engine.h"

namespace sluice {

// Verdicts in the order of sluice/verdict.h, then what is counted beside them; also those that are 0.
std::vector<v1::Total> ReadTotals(const EngineCounters& counters);

}  // namespace sluice
