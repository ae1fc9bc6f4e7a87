// What workers know of the load of backends, for algorithms that go by it and for limits (sluice/select.h), and of the
// load of listeners that have a limit (sluice/access.h).
//
// A worker counts at once the flows that it opens and those whose clients it sees end. Flows that end otherwise (idle,
// evicted) are found by the sweep, about once a second, and what other workers have counted is known here alone: so the
// control thread tells each worker, at every call, how many active flows a backend has beside those of the worker's own
// count. What is wrong with that is at most what other workers have done since the last call. A listener's active flows
// are those of the backends that serve it alone.
//
// Thread-safety: the control thread's. Workers' records are read, and written, while they work.
#pragma once

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/engine.h"
#include "sluice/tables.h"
#include "tables/tables.h"

namespace sluice {

// Of one worker, by slot and by listener: what it counts of clients' packets, and what it is told.
struct LoadedWorker {
  const sluice_traffic* traffic = nullptr;
  sluice_load* loads = nullptr;
  // Records of both; it has no flows of other slots.
  uint32_t slots = 0;
  const sluice_traffic* listener_traffic = nullptr;
  sluice_listener_load* listener_loads = nullptr;
  // Of these, likewise.
  uint32_t listeners = 0;
};

class Loads {
 public:
  // Flows, by new_flows and ended.
  struct Count {
    uint64_t begun = 0;
    uint64_t ended = 0;
    int64_t active() const { return static_cast<int64_t>(begun - ended); }
    bool operator==(const Count&) const = default;
  };

  // Of tables that workers are about to get: the weights and limits of their backends and listeners. `gone` are counts
  // of workers that are no more, by slot.
  void Follow(const std::vector<LoadTerms>& backends, const std::vector<ListenerTerms>& listeners,
              const std::vector<LoadedWorker>& workers, absl::Span<const sluice_traffic> gone);
  // About a hundred times a second, behind the sweep: active flows.
  void Tell(const std::vector<LoadedWorker>& workers, absl::Span<const sluice_traffic> gone,
            const Engine::Occupancy& connections, const Engine::SessionOccupancy& sessions);
  // For backends that it knows.
  void SetLatencies(absl::Span<const BackendLatency> latencies, const std::vector<LoadedWorker>& workers);

 private:
  enum class Step { kNone, kMidst, kEnd };
  struct Backend {
    LoadTerms terms;
    // Active flows beside what all workers have counted, as the sweeps have found.
    double missed = 0;
    // In the midst of the sweep that is under way: a flow that begins or ends during it is found and counted, or not,
    // as often too early as too late. Until its first sweep, from when the backend came: its first flows are not those
    // that the last sweep has found.
    int64_t counted_in_midst = 0;
    // As last told.
    int64_t active = 0;
    bool known = false;
    uint32_t latency = 0;
    // No sweep has been over flows that were there before us.
    bool unswept = false;
    // At the end of the last sweep; whether nothing had happened until then since the one before; and what that has
    // found that was not taken.
    Count until_swept;
    bool swept_quiet = true;
    double doubted = 0;
    void Take(int64_t swept, const Count& count);
    // When all workers have counted so many.
    int64_t Active(const Count& count) const;
  };
  // One kind of sweep: of connections, of sessions.
  struct Progress {
    uint64_t sweeps = 0;
    uint32_t calls = 0;
    // Where it is at another call, after so many whole sweeps.
    Step Advance(uint64_t swept);
  };

  struct Pool {
    // Of backends that take flows, and of all.
    int64_t active = 0;
    int64_t active_of_all = 0;
    uint64_t weight = 0;
  };

  // Of a listener.
  struct Limit {
    uint32_t max_connections = 0;
    int64_t active = 0;
  };

  static void TellOf(const Backend& backend, const std::vector<LoadedWorker>& workers);
  static void TellActive(const Backend& backend, const std::vector<LoadedWorker>& workers);
  static void TellLimit(const Backend& backend, const Pool& pool, const std::vector<LoadedWorker>& workers);
  void SumUp();
  void TellLimits(const std::vector<LoadedWorker>& workers);
  static void TellListener(uint32_t listener, const Limit& limit, const std::vector<LoadedWorker>& workers);
  void TellListeners(const std::vector<LoadedWorker>& workers);

  std::vector<Backend> backends_;
  std::vector<ListenerTerms> listeners_;
  // By pool index.
  std::vector<Pool> pools_;
  // By listener; those that are told of one, or have been until now.
  std::vector<Limit> limits_;
  Progress connections_;
  Progress sessions_;
  uint32_t calls_ = 0;
};

}  // namespace sluice
