// The memory of all workers' NAT sessions, taken once at start, and the sweep that tells their owners what is over.
//
// A session is one record of a cache line, found from either side by an entry in a bucket (sluice/session.h): 88 bytes
// a session, and 4 for the list of free ones.
//
// Thread-safety: Sweep and the occupancy belong to the control thread, and run beside the owners: the sweep reads, and
// hands what has expired to the owner over a queue with one writer and one reader.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "base/region.h"
#include "engine/engine.h"
#include "sluice/nat_port.h"
#include "sluice/session_records.h"

namespace sluice {

using SessionPartition = sluice_session_partition;
using ExpiredSessions = sluice_expired;

// Before the first session: its owner's searches for a source port among `ports` begin elsewhere for each seed. Servers
// still hold the connections of an instance whose sessions are lost, and would take new ones by the same ports for
// those.
void ScatterPorts(const SessionPartition& partition, const sluice_nat_ports& ports, uint64_t seed);

class SessionTables {
 public:
  // `max_sessions` over all workers; 0 for none. Errors: no memory, no huge pages when they are required.
  static absl::StatusOr<SessionTables> Create(uint32_t workers, uint64_t max_sessions, HugePages pages);

  // Over memory that is there already and outlives this object; all partitions are of one shape.
  static SessionTables In(std::vector<SessionPartition> partitions);
  // Buckets for so many sessions of a partition.
  static uint32_t BucketsForSessions(uint32_t sessions);

  const std::vector<SessionPartition>& partitions() const { return partitions_; }

  // Goes over the next hundredth of all sessions at `now` (CLOCK_MONOTONIC, ns): hands on those that are over by their
  // listener's timeouts or whose backend is gone, and counts the rest.
  void Sweep(const sluice_tables& tables, uint64_t now);
  const Engine::SessionOccupancy& occupancy() const { return occupancy_; }
  bool huge() const { return memory_.huge(); }
  // Taken for sessions and all that belongs to them.
  size_t bytes() const { return memory_.size(); }

 private:
  void MakeOccupancy();
  void SweepSession(const SessionPartition& partition, uint32_t index, const sluice_tables& tables, uint32_t tick);

  Region memory_;
  std::vector<std::unique_ptr<sluice_session_owner>> states_;
  std::vector<std::unique_ptr<ExpiredSessions>> queues_;
  std::vector<SessionPartition> partitions_;
  uint64_t total_ = 0;
  uint64_t position_ = 0;
  Engine::SessionOccupancy counting_;
  Engine::SessionOccupancy occupancy_;
};

}  // namespace sluice
