// Sessions for the benchmarks of the path: as many as asked for, all established, and both sides' packets of them.
//
// Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/session_tables.h"
#include "path_fixture.h"

namespace sluice::bench {

// A path that has room for `flows` IPv4 TCP sessions (`tables` translate); all of them are opened, by a SYN, its answer
// and an ACK each, when `established`.
class NatPath {
 public:
  NatPath(Tables& tables, uint64_t flows, bool established = true);

  // Puts a burst of flows drawn at random into the frames: clients' or servers'.
  void NextForward() { clients_.Next(); }
  void NextReverse();
  // The SYNs of the flows first, first + 1, ... in turn.
  void FillSyns(uint64_t first);
  void ProcessForward() { Process(clients_.frames()); }
  void ProcessReverse() { Process(answer_frames_); }
  Packets& clients() { return clients_; }
  const SessionPartition& sessions() const { return sessions_.partitions()[0]; }
  // How many packets had this verdict so far.
  uint64_t Count(sluice_verdict verdict) const { return path_.counters().verdicts[verdict]; }
  // Of everything that a session needs.
  double bytes_per_session() const { return static_cast<double>(sessions_.bytes()) / static_cast<double>(flows_); }

 private:
  // What a server sees of a flow, network order.
  struct Seen {
    uint32_t source;
    uint32_t destination;
    uint32_t ports;
  };

  void Process(Frame* frames) { path_.Process(tables_.view(), now_, 0, 0, frames, SLUICE_BURST); }
  void Open(uint64_t first);
  void WriteAnswer(uint32_t i, uint64_t flow, uint8_t tcp_flags);

  Tables& tables_;
  uint64_t flows_;
  uint64_t random_ = 0x9e3779b97f4a7c15ull;
  uint64_t now_ = uint64_t{1000} << SLUICE_TICK_SHIFT;
  Packets clients_;
  std::vector<Seen> seen_;
  Region memory_ = MustCreate(size_t{512} * SLUICE_BURST);
  Frame answer_frames_[SLUICE_BURST];
  SessionTables sessions_;
  Region buckets_ = MustCreate(sizeof(sluice_bucket) * 2);
  BurstPath path_;
};

}  // namespace sluice::bench
