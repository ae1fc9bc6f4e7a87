// The path, composed over a burst: every stage runs over all packets before the next one starts, so that the cache
// lines which a stage needs are on their way while others are worked on. The one native composition: the dpdk and the
// sim engine and the benchmarks run it.
//
// Thread-safety: a BurstPath belongs to one worker. Its counters may be read by any thread while it works. Partitions
// have one writer, the worker that processes their bursts; others' partitions are only read.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/region.h"
#include "sluice/connection.h"
#include "sluice/follow.h"
#include "sluice/parse.h"
#include "sluice/tables.h"
#include "sluice/verdict.h"

namespace sluice {

// A packet in memory, and what becomes of it.
struct Frame {
  // In and out. A transmitted frame may start and end elsewhere than it came; others are as they were.
  uint8_t* data = nullptr;
  uint32_t length = 0;
  // In: bytes that may be used before `data` and behind its end.
  uint16_t headroom = 0;
  uint16_t tailroom = 0;
  // Out: a sluice_verdict, and the port of a transmitted frame.
  uint16_t egress = 0;
  uint8_t verdict = SLUICE_CONTINUE;
};

// The flow state of one (interface, RX queue). A view.
struct Partition {
  sluice_bucket* buckets = nullptr;
  uint32_t count = 0;
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
  // sluice_traffic by listener index and by backend slot, room for all that there can be; pages are taken when touched.
  Region listeners;
  Region backends;
};

class BurstPath {
 public:
  // `partitions`: all of the engine's, by index; they outlive this object.
  static absl::StatusOr<BurstPath> Create(std::vector<Partition> partitions);

  // Gives each of up to SLUICE_BURST frames its verdict. They came from port `ingress`, and their flows live in
  // partition `own`. `now` is CLOCK_MONOTONIC in ns.
  void Process(const sluice_tables& tables, uint64_t now, uint16_t ingress, uint32_t own, Frame* frames,
               uint32_t count);

  WorkerCounters& counters() { return counters_; }
  const WorkerCounters& counters() const { return counters_; }

 private:
  struct Job;
  struct Counted;
  struct Sums;
  struct Burst;
  explicit BurstPath(std::vector<Partition> partitions) : partitions_(std::move(partitions)) {}

  bool Pass(const Burst& burst, Job& job, Sums& sums);
  void Settle(const Burst& burst, Job& job, Sums& sums);
  bool FindBackend(const Burst& burst, Job& job);
  bool FollowOwn(const Burst& burst, Job& job);
  bool FollowElsewhere(const Burst& burst, Job& job);
  void SelectBackend(const Burst& burst, Job& job);
  void Insert(const Burst& burst, Job& job, uint32_t state);
  void InsertFragment(const Burst& burst, const Job& job);
  sluice_verdict Forward(const Burst& burst, const Job& job, Frame& frame, const sluice_backend* backend);
  sluice_verdict TooBig(const Burst& burst, const Job& job, const sluice_backend* backend);
  sluice_verdict Reply(const Burst& burst, const Job& job, sluice_verdict reply, uint32_t mtu);
  void Count(const Counted& counted, sluice_verdict verdict, uint32_t slot, bool new_flow, Sums& sums);
  void Flush(const Sums& sums);

  std::vector<Partition> partitions_;
  sluice_limiter too_big_{};
  WorkerCounters counters_;
};

}  // namespace sluice
