// Adding up what the workers have counted.
//
// Thread-safety: any thread while the worker goes on; each number is read whole, the set of them is not one moment's.
#pragma once

#include "engine/burst.h"
#include "engine/engine.h"

namespace sluice {

// Adds a worker's counters to `sum`, whose `listeners` and `backends` have the sizes that are wanted.
void AddCounters(const WorkerCounters& counters, EngineCounters* sum);
void AddCounters(const SessionCounters& counters, EngineCounters* sum);

}  // namespace sluice
