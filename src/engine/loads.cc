#include "engine/loads.h"

#include <algorithm>
#include <cmath>

#include "absl/container/flat_hash_map.h"

namespace sluice {
namespace {

// A sweep takes a hundred calls.
constexpr uint32_t kMidst = 50;
// Records that one call writes, about; with more, some calls write none.
constexpr size_t kRecordsAtOnce = 65536;
// What the path takes (sluice_candidate).
constexpr uint32_t kMostMicroseconds = 0xfffff;

int64_t Counted(const sluice_traffic& traffic) {
  const uint64_t begun = __atomic_load_n(&traffic.new_flows, __ATOMIC_RELAXED);
  return static_cast<int64_t>(begun - __atomic_load_n(&traffic.ended, __ATOMIC_RELAXED));
}

void Store(uint32_t* to, uint32_t value) {
  __atomic_store_n(to, value, __ATOMIC_RELAXED);
}

int64_t CountedByAll(const std::vector<LoadedWorker>& workers, absl::Span<const sluice_traffic> gone, uint32_t slot) {
  int64_t sum = slot < gone.size() ? Counted(gone[slot]) : 0;
  for (const LoadedWorker& worker : workers) {
    if (slot < worker.slots) sum += Counted(worker.traffic[slot]);
  }
  return sum;
}

}  // namespace

// A sweep takes a second, and who is found in it of flows that are shorter is chance: what may be chance counts an
// eighth.
void Loads::Backend::Take(int64_t swept) {
  const double found = static_cast<double>(swept - counted_in_midst) - missed;
  const double chance = 3 * std::sqrt(static_cast<double>(swept) + 1);
  missed += std::abs(found) > chance ? found : found / 8;
}

int64_t Loads::Backend::Active(int64_t counted) const {
  return std::max<int64_t>(0, counted + std::llround(missed));
}

void Loads::Follow(const std::vector<LoadTerms>& all, const std::vector<LoadedWorker>& workers,
                   absl::Span<const sluice_traffic> gone) {
  absl::flat_hash_map<uint32_t, Backend> before;
  for (const Backend& backend : backends_) before.emplace(backend.terms.slot, backend);
  backends_.clear();
  for (const LoadTerms& terms : all) {
    const auto known = before.find(terms.slot);
    const bool stays = known != before.end() && known->second.terms.translates == terms.translates;
    Backend& backend = backends_.emplace_back(stays ? known->second : Backend{});
    backend.terms = terms;
    const int64_t counted = CountedByAll(workers, gone, terms.slot);
    if (!stays) backend.counted_in_midst = counted;
    // Until the first call, what has been counted since it came.
    backend.active = backend.known ? backend.Active(counted) : std::max<int64_t>(0, counted - backend.counted_in_midst);
    TellOf(backend, workers);
  }
  TellLimits(workers);
  TellListeners(workers);
}

// What does not change by itself.
void Loads::TellOf(const Backend& backend, const std::vector<LoadedWorker>& workers) {
  for (const LoadedWorker& worker : workers) {
    if (backend.terms.slot >= worker.slots) continue;
    Store(&worker.loads[backend.terms.slot].weight, backend.terms.weight);
    Store(&worker.loads[backend.terms.slot].latency, backend.latency);
  }
}

void Loads::TellActive(const Backend& backend, const std::vector<LoadedWorker>& workers) {
  const uint32_t slot = backend.terms.slot;
  for (const LoadedWorker& worker : workers) {
    if (slot >= worker.slots) continue;
    const int64_t others = backend.active - Counted(worker.traffic[slot]);
    const auto told = static_cast<int32_t>(std::clamp<int64_t>(others, INT32_MIN, INT32_MAX));
    __atomic_store_n(&worker.loads[slot].others, told, __ATOMIC_RELAXED);
  }
}

// The bound of its share goes with what its pool has, and gives way; max_connections does neither. With the one flow
// more that asks, shares of a pool without flows are not 0.
void Loads::TellLimit(const Backend& backend, const Pool& pool, const std::vector<LoadedWorker>& workers) {
  const LoadTerms& terms = backend.terms;
  uint64_t limit = terms.max_connections;
  if (terms.hash_balance_factor != 0) {
    const uint64_t share = static_cast<uint64_t>(pool.active + 1) * terms.weight * terms.hash_balance_factor;
    const uint64_t whole = std::max<uint64_t>(pool.weight, 1) * 100;
    const uint64_t bound = std::min<uint64_t>((share + whole - 1) / whole, SLUICE_LIMIT_MOST);
    const bool is_full = limit != 0 && backend.active >= static_cast<int64_t>(limit);
    if (!is_full && (limit == 0 || bound < limit)) limit = bound | SLUICE_LIMIT_SOFT;
  }
  for (const LoadedWorker& worker : workers) {
    if (terms.slot < worker.slots) Store(&worker.loads[terms.slot].limit, static_cast<uint32_t>(limit));
  }
}

void Loads::TellLimits(const std::vector<LoadedWorker>& workers) {
  pools_.clear();
  for (const Backend& backend : backends_) {
    if (backend.terms.pool >= pools_.size()) pools_.resize(backend.terms.pool + 1);
    if (!backend.terms.takes_flows) continue;
    pools_[backend.terms.pool].active += backend.active;
    pools_[backend.terms.pool].weight += backend.terms.weight;
  }
  for (const Backend& backend : backends_) TellLimit(backend, pools_[backend.terms.pool], workers);
}

void Loads::TellListener(uint32_t listener, const Limit& limit, const std::vector<LoadedWorker>& workers) {
  for (const LoadedWorker& worker : workers) {
    if (listener >= worker.listeners) continue;
    const int64_t others = limit.active - Counted(worker.listener_traffic[listener]);
    const auto told = static_cast<int32_t>(std::clamp<int64_t>(others, INT32_MIN, INT32_MAX));
    const bool limited = limit.max_connections != 0;
    __atomic_store_n(&worker.listener_loads[listener].told,
                     limited ? sluice_listener_told(told, limit.max_connections) : 0, __ATOMIC_RELAXED);
  }
}

// What is told of a listener whose limit is gone would be wrong when it comes back.
void Loads::TellListeners(const std::vector<LoadedWorker>& workers) {
  std::fill(limits_.begin(), limits_.end(), Limit{});
  for (const Backend& backend : backends_) {
    if (backend.terms.listener_max_connections == 0) continue;
    if (backend.terms.listener >= limits_.size()) limits_.resize(backend.terms.listener + 1);
    limits_[backend.terms.listener].max_connections = backend.terms.listener_max_connections;
    limits_[backend.terms.listener].active += backend.active;
  }
  for (uint32_t i = 0; i < limits_.size(); i++) TellListener(i, limits_[i], workers);
}

Loads::Step Loads::Progress::Advance(uint64_t swept) {
  calls++;
  if (swept == sweeps) return calls == kMidst ? Step::kMidst : Step::kNone;
  // Not the end of a sweep that was under way when all began.
  const bool whole = sweeps != 0 || calls >= kMidst;
  sweeps = swept;
  calls = 0;
  return whole ? Step::kEnd : Step::kNone;
}

void Loads::Tell(const std::vector<LoadedWorker>& workers, absl::Span<const sluice_traffic> gone,
                 const Engine::Occupancy& connections, const Engine::SessionOccupancy& sessions) {
  const Step of_connections = connections_.Advance(connections.sweeps);
  const Step of_sessions = sessions_.Advance(sessions.sweeps);
  const size_t rest = 1 + backends_.size() * workers.size() / kRecordsAtOnce;
  const bool due = calls_++ % rest == 0;
  for (Backend& backend : backends_) {
    const uint32_t slot = backend.terms.slot;
    const Step step = backend.terms.translates ? of_sessions : of_connections;
    if (!due && step == Step::kNone && backend.known) continue;
    const std::vector<uint32_t>& active =
        backend.terms.translates ? sessions.active_of_slot : connections.active_of_slot;
    const int64_t counted = CountedByAll(workers, gone, slot);
    if (!backend.known) backend.missed = static_cast<double>(active[slot] - backend.counted_in_midst);
    if (step == Step::kMidst || !backend.known) backend.counted_in_midst = counted;
    if (step == Step::kEnd) backend.Take(active[slot]);
    backend.known = true;
    // A worker of the kernel may be a new one.
    TellOf(backend, workers);
    backend.active = backend.Active(counted);
    TellActive(backend, workers);
  }
  if (!due) return;
  TellLimits(workers);
  TellListeners(workers);
}

void Loads::SetLatencies(absl::Span<const BackendLatency> latencies, const std::vector<LoadedWorker>& workers) {
  absl::flat_hash_map<uint32_t, uint32_t> by_slot;
  for (const BackendLatency& latency : latencies) by_slot.emplace(latency.slot, latency.microseconds);
  for (Backend& backend : backends_) {
    const auto known = by_slot.find(backend.terms.slot);
    if (known == by_slot.end()) continue;
    backend.latency = std::clamp<uint32_t>(known->second, 1, kMostMicroseconds);
    TellOf(backend, workers);
  }
}

}  // namespace sluice
