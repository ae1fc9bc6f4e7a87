// The path, composed over a burst: every stage runs over all packets before the next one starts, so that the cache
// lines which a stage needs are on their way while others are worked on. The one native composition: the dpdk and the
// sim engine and the benchmarks run it.
//
// Thread-safety: a BurstPath belongs to one worker. Its counters may be read by any thread while it works. Partitions
// have one writer, the worker that processes their bursts; others' partitions are only read.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/region.h"
#include "engine/loads.h"
#include "engine/session_counters.h"
#include "sluice/connection.h"
#include "sluice/follow.h"
#include "sluice/nat_port.h"
#include "sluice/parse.h"
#include "sluice/select.h"
#include "sluice/tables.h"
#include "sluice/verdict.h"

struct sluice_session_partition;

namespace sluice {

using SessionPartition = sluice_session_partition;

class NatOwners;
class SessionPath;
struct Job;
// Which of a burst: bit i for job i.
using Jobs = uint64_t;
static_assert(SLUICE_BURST <= 64);

// Who processes a burst has so many frames' first lines on their way when it begins; the path asks for another one's
// with each that it parses. A core waits for no more than some 16 lines at a time, and would stand still for the rest.
inline constexpr uint32_t kFramesAhead = 8;

// A packet in memory, and what becomes of it.
struct Frame {
  // In and out. A transmitted frame may start and end elsewhere than it came, and so may a dropped one; one for the
  // kernel is as it was.
  uint8_t* data = nullptr;
  uint32_t length = 0;
  // In: bytes that may be used before `data` and behind its end.
  uint16_t headroom = 0;
  uint16_t tailroom = 0;
  // Out: a sluice_verdict, and the port of a transmitted frame.
  uint16_t egress = 0;
  uint8_t verdict = SLUICE_CONTINUE;
};

// Where frames of our own making leave. Rarely used, so never mind the call.
class Outlet {
 public:
  virtual ~Outlet() = default;
  // An empty frame with room for SLUICE_RESET_BYTES; null when there is none.
  virtual Frame* Take() = 0;
  // Sends what Take gave by its `egress`.
  virtual void Send(Frame* frame) = 0;
};

// The flow state of one (interface, RX queue). A view.
struct Partition {
  sluice_bucket* buckets = nullptr;
  uint32_t count = 0;
  // SLUICE_SOURCE_LINES; for tables that limit what a source may open.
  sluice_source_line* sources = nullptr;
};

// Buckets that hold `flows` at 12 bytes a flow: two thirds full at capacity (connection.h).
uint32_t BucketsFor(uint64_t flows);

// One writer (the worker); readers see each number whole.
struct WorkerCounters {
  alignas(64) std::array<uint64_t, SLUICE_VERDICT_COUNT> verdicts{};
  std::array<uint64_t, SLUICE_VICTIM_COUNT> inserted_over{};
  uint64_t received = 0;
  uint64_t bytes = 0;
  uint64_t transmit_full = 0;
  // sluice_traffic by listener index and by backend slot, room for all that there can be, and behind that the same for
  // answers; pages are taken when touched.
  Region listeners;
  Region backends;

  sluice_traffic* listener(uint32_t index, bool answers) const {
    return listeners.As<sluice_traffic>() + index + (answers ? SLUICE_LISTENERS + 1 : 0);
  }
  sluice_traffic* backend(uint32_t slot, bool answers) const {
    return backends.As<sluice_traffic>() + slot + (answers ? SLUICE_BACKENDS + 1 : 0);
  }
};

// What a worker selects backends by besides the tables and its counters (sluice/select.h).
struct WorkerSelection {
  // sluice_cursor by partition and in it by pool, the worker's; sluice_load by slot and sluice_listener_load by
  // listener, the control thread's. Pages are taken when touched.
  Region cursors;
  Region loads;
  Region listener_loads;
};

// The sessions that a worker owns, and those of the others; for a path that translates.
struct WorkerSessions {
  // All workers', by index; they outlive the path.
  std::vector<SessionPartition> partitions;
  uint32_t self = 0;
  sluice_nat_ports ports{};
  // Whose a source port is; the same for all workers. Null: they are dealt out.
  std::shared_ptr<const NatOwners> owners = nullptr;
};

class BurstPath {
 public:
  // `partitions`: all of the engine's, by index; they outlive this object.
  static absl::StatusOr<BurstPath> Create(std::vector<Partition> partitions);
  // With sessions: tables whose listeners translate need it.
  static absl::StatusOr<BurstPath> Create(std::vector<Partition> partitions, WorkerSessions sessions);
  BurstPath(BurstPath&& other) noexcept;
  ~BurstPath();

  // Gives each of up to SLUICE_BURST frames its verdict. They came from port `ingress`, and their flows live in
  // partition `own`. `now` is CLOCK_MONOTONIC in ns. `unfinished`: their transport checksums may have been left to a
  // device that isn't there (sluice/unfinished.h).
  void Process(const sluice_tables& tables, uint64_t now, uint16_t ingress, uint32_t own, Frame* frames, uint32_t count,
               bool unfinished = false);

  // Between bursts, also when there is nothing to receive: ends sessions that are over, and tells both ends so where
  // the listener wants it.
  void Maintain(const sluice_tables& tables, uint64_t now, Outlet* outlet);

  WorkerCounters& counters() { return counters_; }
  const WorkerCounters& counters() const { return counters_; }
  const SessionCounters& session_counters() const;
  // For the control thread (loads.h).
  LoadedWorker loaded() const {
    return {counters_.backend(0, false),
            selection_.loads.As<sluice_load>(),
            SLUICE_BACKENDS,
            counters_.listener(0, false),
            selection_.listener_loads.As<sluice_listener_load>(),
            SLUICE_LISTENERS};
  }

 private:
  struct Sums;
  struct Totals;
  struct Burst;
  explicit BurstPath(std::vector<Partition> partitions);

  static uint64_t LookForAll(const Burst& burst, Frame* frames, Job* jobs, uint32_t count, bool unfinished);
  void ProcessMixed(const Burst& burst, Frame* frames, uint32_t count, bool unfinished);
  uint64_t Finish(const Burst& burst, Job* jobs, uint32_t count);
  uint64_t FinishMixed(const Burst& burst, Job* jobs, uint32_t count);
  uint32_t LookForBoth(const Burst& burst, Frame* frames, Job* jobs, uint32_t count, bool unfinished, Totals* totals);
  static bool IsOtherFlow(const Burst& burst, const sluice_packet& packet);
  void CountBurst(uint32_t count, uint64_t bytes, uint64_t not_forwarded);

  bool Pass(const Burst& burst, Job& job, Sums& sums);
  uint64_t SettleAll(const Burst& burst, Job* jobs, Jobs unsettled);
  void Settle(const Burst& burst, Job& job, Sums& sums);
  bool FindBackend(const Burst& burst, Job& job, Sums& sums);
  bool FollowOwn(const Burst& burst, Job& job, const Sums& sums);
  bool FollowElsewhere(const Burst& burst, Job& job);
  void SelectBackend(const Burst& burst, Job& job);
  bool Insert(const Burst& burst, Job& job, uint32_t state);
  static bool GoUnplaced(const Burst& burst, Job& job);
  void InsertFragment(const Burst& burst, const Job& job, Sums& sums);
  sluice_verdict Forward(const Burst& burst, const Job& job, Frame& frame, const sluice_backend* backend);
  sluice_verdict TooBig(const Burst& burst, const Job& job, const sluice_backend* backend);
  void Count(uint32_t length, sluice_verdict verdict, uint32_t slot, bool new_flow, Sums& sums);
  void Begin(uint32_t listener, Sums& sums);
  void Flush(const Sums& sums);
  sluice_selector Selector(uint32_t own, uint64_t now) const;

  std::vector<Partition> partitions_;
  // Theirs.
  std::vector<sluice_source_line*> sources_;
  sluice_limiter errors_{};
  WorkerCounters counters_;
  WorkerSelection selection_;
  // Null without sessions.
  std::unique_ptr<SessionPath> sessions_;
};

}  // namespace sluice
