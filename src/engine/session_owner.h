// What a worker does to the sessions that it owns (sluice/session_owner.h, sluice/session_open.h).
//
// Thread-safety: belongs to the owner's worker. Others read the records and buckets meanwhile (session_path.h).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "engine/nat_owners.h"
#include "engine/session_counters.h"
#include "engine/session_tables.h"
#include "sluice/nat_port.h"
#include "sluice/session_open.h"

namespace sluice {

class SessionOwner {
 public:
  // `self` of `owners`, the same for all of them; ports as the kernel leaves them.
  SessionOwner(const SessionPartition& partition, uint32_t self, std::shared_ptr<const NatOwners> owners,
               const sluice_nat_ports& ports)
      : partition_(partition), self_(self), owners_(std::move(owners)), ports_(ports) {}

  // Of the functions of the same names; Open an index or none.
  std::optional<uint32_t> Open(const sluice_tables& tables, const sluice_session& wanted, uint64_t forward,
                               uint64_t reverse, uint32_t tick);
  // -1: there is no room. An optional index would be written in two stores and read in one load, which waits until all
  // stores before it, those to the new record too, have left the store buffer.
  int Enter(const sluice_tables& tables, sluice_session* wanted, const sluice_flow& forward, uint64_t hash,
            uint32_t tick);
  uint16_t TakePort(const sluice_tables& tables, const sluice_flow& flow, uint32_t tick, bool early);
  sluice_verdict TakeSource(const sluice_tables& tables, sluice_session* wanted, uint64_t hash, uint32_t tick);
  bool KeepsSource(const sluice_tables& tables, const sluice_session& wanted, uint32_t tick);
  bool MakeWay(const sluice_tables& tables, const sluice_session& wanted, const sluice_flow& reverse, uint64_t hash,
               uint32_t tick);
  void Replace(const sluice_tables& tables, uint32_t index);
  void Close(const sluice_tables& tables, uint32_t index);
  void Expire(const sluice_tables& tables, uint32_t index);

  bool AnyExpired() const { return sluice_session_any_expired(partition_.expired); }
  // The next one that the sweep has found to be over, and is; then it is for the caller to end it with Expire. None:
  // for now that was all, or enough for once: `budget` is what is left of a round.
  std::optional<uint32_t> NextExpired(const sluice_tables& tables, uint32_t tick, uint32_t* budget);

  SessionCounters& counters() { return partition_.state->counters; }
  const SessionCounters& counters() const { return partition_.state->counters; }
  uint32_t live() const { return partition_.session_count - partition_.state->free_count; }

 private:
  sluice_owned Owned(const sluice_tables& tables, uint32_t tick);

  SessionPartition partition_;
  uint32_t self_;
  std::shared_ptr<const NatOwners> owners_;
  sluice_nat_ports ports_;
};

}  // namespace sluice
