// The memory of all partitions' connection tables, taken once at start, and the sweep that goes over it.
//
// Thread-safety: Sweep and occupancy belong to the control thread and run beside the workers that own the partitions:
// the sweep only ever empties an expired entry, by compare-and-swap.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "base/region.h"
#include "engine/burst.h"
#include "engine/engine.h"

namespace sluice {

class ConnectionTables {
 public:
  // `max_connections` flows over all partitions, 12 bytes each. Errors: no memory, no huge pages when they are
  // required.
  static absl::StatusOr<ConnectionTables> Create(uint32_t partitions, uint64_t max_connections, HugePages pages);

  // In memory that has them already: `each` buckets for each of the partitions, behind each other. Errors: no memory
  // for what sources have opened.
  static absl::StatusOr<ConnectionTables> In(Region memory, uint32_t partitions, uint32_t each);

  const std::vector<Partition>& partitions() const { return partitions_; }
  bool huge() const { return region_.huge(); }

  // Goes over the next hundredth of all buckets at `now` (CLOCK_MONOTONIC, ns): empties what is expired by the idle
  // timeout of its backend's listeners, and what names a backend that is gone; counts the rest. A flow
  // is over when it was closed (as far as clients' packets tell) and then had no packet for two to four seconds: after
  // the client's FIN its server may still have much to say, which the client acknowledges.
  void Sweep(const sluice_tables& tables, uint64_t now);
  const Engine::Occupancy& occupancy() const { return occupancy_; }

 private:
  void SweepBucket(sluice_bucket& bucket, const sluice_tables& tables, uint32_t tick);

  Region region_;
  // Of each partition, SLUICE_SOURCE_LINES behind each other; pages are taken when touched.
  Region sources_;
  std::vector<Partition> partitions_;
  uint64_t buckets_ = 0;
  uint64_t position_ = 0;
  // Of the sweep that is under way.
  Engine::Occupancy counting_;
  Engine::Occupancy occupancy_;
};

}  // namespace sluice
