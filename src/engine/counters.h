// Adding up what workers have counted, ours and the kernel's.
//
// Thread-safety: any thread while the worker goes on; each number is read whole, the set of them is not one moment's.
#pragma once

#include "engine/burst.h"
#include "engine/engine.h"
#include "sluice/counters.h"

namespace sluice {

// Adds a worker's counters to `sum`, whose `listeners` and `backends` have the sizes that are wanted; it is the next of
// `workers`.
void AddCounters(const WorkerCounters& counters, EngineCounters* sum);
void AddCounters(const SessionCounters& counters, EngineCounters* sum);
// Of the kernel's worker of one partition, with its traffic by index; the partition's place in `workers` is there.
struct KernelTraffic {
  const sluice_traffic* listeners;
  const sluice_traffic* backends;
};
void AddCounters(const sluice_counters& counters, const KernelTraffic& clients, const KernelTraffic& answers,
                 EngineCounters::Worker* worker, EngineCounters* sum);
// What has been added up before of the kernel's workers, which have counted no more listeners and backends than there
// are in `sum`.
void AddCounters(const EngineCounters& counters, EngineCounters* sum);

}  // namespace sluice
