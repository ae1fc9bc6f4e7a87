// What a worker does to the sessions that it owns: makes them, gives their ports, ends them.
//
// Thread-safety: belongs to the owner's worker. Others read the records and buckets meanwhile (session_path.h): an
// entry is written whole and after its record, and taken away before it; the list of free records is first in, first
// out, so a record is not used again soon.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "absl/types/span.h"
#include "engine/nat_owners.h"
#include "engine/session_counters.h"
#include "engine/session_tables.h"
#include "sluice/nat_port.h"
#include "sluice/session.h"

namespace sluice {

class SessionOwner {
 public:
  // `self` of `owners`, the same for all of them; ports as the kernel leaves them.
  SessionOwner(const SessionPartition& partition, uint32_t self, std::shared_ptr<const NatOwners> owners,
               const sluice_nat_ports& ports)
      : partition_(partition),
        self_(self),
        owners_(std::move(owners)),
        ports_(ports),
        free_count_(partition.session_count),
        spare_(std::min(partition.session_count / 16, kMostSpare)) {}

  // A new session as `wanted` says, found from both sides from here on; its index, or none when there is no room: of
  // those that may give way (expired, closed, still in their handshake) none was found. `forward` and `reverse` are the
  // hashes of its flows.
  std::optional<uint32_t> Open(const sluice_tables& tables, const sluice_session& wanted, uint64_t forward,
                               uint64_t reverse, uint32_t tick);

  // A source port for `flow`, which goes from a NAT address (its source) to a server: one of ours that no session
  // toward this server has. `early`: else the oldest closed session of those looked at gives its port up before its
  // time. Host order; 0: none.
  uint16_t TakePort(const sluice_tables& tables, const sluice_flow& flow, uint32_t tick, bool early);

  // Whether both are of one flow as its client sends it, be it another listener's by now.
  static bool IsSameClient(const sluice_tables& tables, const sluice_session& a, const sluice_session& b);

  // Whether no session of ours has this flow, as its server sends it, in the way of `wanted`. One that is over gives
  // way, and so does one that the same client has replaced, or that was another listener's: without a port of ours
  // there is none to keep.
  bool MakeWay(const sluice_tables& tables, const sluice_session& wanted, const sluice_flow& reverse, uint64_t hash,
               uint32_t tick);

  // The client opens a new flow in place of this one, whose port stays taken until its time is over.
  void Replace(const sluice_tables& tables, uint32_t index);
  void Close(const sluice_tables& tables, uint32_t index);

  // Whether the sweep has found any: one look at a line that is rarely written.
  bool AnyExpired() const {
    return partition_.expired->head.load(std::memory_order_relaxed) !=
           partition_.expired->tail.load(std::memory_order_relaxed);
  }
  // The next one that the sweep has found to be over, and is; then it is for the caller to end it with Expire. None:
  // for now that was all, or enough for once: `budget` is what is left of a round.
  std::optional<uint32_t> NextExpired(const sluice_tables& tables, uint32_t tick, uint32_t* budget);
  void Expire(const sluice_tables& tables, uint32_t index);

  SessionCounters& counters() { return counters_; }
  const SessionCounters& counters() const { return counters_; }
  uint32_t live() const { return partition_.session_count - free_count_; }

 private:
  static constexpr uint32_t kMostSpare = 64;

  sluice_bucket* Primary(uint64_t hash) const;
  sluice_bucket* Secondary(uint64_t hash) const;
  std::optional<uint32_t> TakeRecord(const sluice_tables& tables, uint32_t tick);
  bool Insert(const sluice_tables& tables, uint64_t hash, uint64_t entry, uint32_t tick);
  uint64_t* MakeRoom(const sluice_tables& tables, uint64_t hash);
  void Remove(uint64_t hash, uint64_t entry);
  bool GiveUp(const sluice_tables& tables, absl::Span<const uint32_t> candidates, uint32_t tick);
  const sluice_session* FindReverse(const sluice_tables& tables, const sluice_flow& reverse, uint64_t hash) const;

  SessionPartition partition_;
  uint32_t self_;
  std::shared_ptr<const NatOwners> owners_;
  sluice_nat_ports ports_;
  // Free records: `free_count_` of the ring from `free_head_` on.
  uint32_t free_head_ = 0;
  uint32_t free_count_;
  // So many always stay free: also in a full table a record rests for a while before it is used again, and whoever has
  // just read it does not write into another session.
  uint32_t spare_;
  // Where the search for one that may give way goes on.
  uint32_t hand_ = 0;
  // How far port searches have come, by server.
  std::array<uint16_t, 1024> cursors_{};
  SessionCounters counters_;
};

}  // namespace sluice
