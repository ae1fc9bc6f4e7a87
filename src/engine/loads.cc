#include "engine/loads.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/container/flat_hash_map.h"

namespace sluice {
namespace {

// A sweep takes a hundred calls.
constexpr uint32_t kMidst = 50;
// Records that one call writes, about; with more, some calls write none.
constexpr size_t kRecordsAtOnce = 65536;
// What the path takes (sluice_candidate).
constexpr uint32_t kMostMicroseconds = 0xfffff;

Loads::Count CountOf(const sluice_traffic& traffic) {
  return {__atomic_load_n(&traffic.new_flows, __ATOMIC_RELAXED), __atomic_load_n(&traffic.ended, __ATOMIC_RELAXED)};
}

void Store(uint32_t* to, uint32_t value) {
  __atomic_store_n(to, value, __ATOMIC_RELAXED);
}

Loads::Count CountOfAll(const std::vector<LoadedWorker>& workers, absl::Span<const sluice_traffic> gone,
                        uint32_t slot) {
  Loads::Count sum = slot < gone.size() ? CountOf(gone[slot]) : Loads::Count{};
  for (const LoadedWorker& worker : workers) {
    if (slot >= worker.slots) continue;
    const Loads::Count one = CountOf(worker.traffic[slot]);
    sum.begun += one.begun;
    sum.ended += one.ended;
  }
  return sum;
}

}  // namespace

// A sweep takes a second, and what it finds of flows that begin or end meanwhile is chance: a thousand that begin at
// one moment are not where it has been already. So it is right when nothing has begun or ended; and the first one, in
// what it finds beside those that are counted. What may be chance counts an eighth, while flows come all the time, and
// what may not has to be found twice.
void Loads::Backend::Take(int64_t swept, const Count& count) {
  const double found = static_cast<double>(swept - counted_in_midst) - missed;
  const double chance = 3 * std::sqrt(static_cast<double>(swept) + 1);
  const double before = std::exchange(doubted, 0);
  const bool quiet = std::exchange(until_swept, count) == count;
  const bool was_quiet = std::exchange(swept_quiet, quiet);
  const int64_t left = swept - std::max(count.active(), counted_in_midst);
  if (std::exchange(unswept, false) && left > 0) {
    missed = static_cast<double>(left);
  } else if (quiet) {
    missed += found;
  } else if (std::abs(found) <= chance) {
    if (!was_quiet) missed += found / 8;
  } else if (before * found > 0) {
    const double both = std::abs(before) < std::abs(found) ? before : found;
    missed += both;
    doubted = found - both;
  } else {
    doubted = found;
  }
}

int64_t Loads::Backend::Active(const Count& count) const {
  return std::max<int64_t>(0, count.active() + std::llround(missed));
}

void Loads::Follow(const std::vector<LoadTerms>& all, const std::vector<ListenerTerms>& listeners,
                   const std::vector<LoadedWorker>& workers, absl::Span<const sluice_traffic> gone) {
  listeners_ = listeners;
  absl::flat_hash_map<uint32_t, Backend> before;
  for (const Backend& backend : backends_) before.emplace(backend.terms.slot, backend);
  backends_.clear();
  for (const LoadTerms& terms : all) {
    const auto known = before.find(terms.slot);
    const bool stays = known != before.end() && known->second.terms.translates == terms.translates;
    Backend& backend = backends_.emplace_back(stays ? known->second : Backend{});
    backend.terms = terms;
    const Count count = CountOfAll(workers, gone, terms.slot);
    if (!stays) backend.counted_in_midst = count.active();
    // Until the first call, what has been counted since it came.
    if (!backend.known) backend.missed = static_cast<double>(-backend.counted_in_midst);
    backend.active = backend.Active(count);
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
    const int64_t others = backend.active - CountOf(worker.traffic[slot]).active();
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

void Loads::SumUp() {
  pools_.clear();
  for (const Backend& backend : backends_) {
    if (backend.terms.pool >= pools_.size()) pools_.resize(backend.terms.pool + 1);
    Pool& pool = pools_[backend.terms.pool];
    pool.active_of_all += backend.active;
    if (!backend.terms.takes_flows) continue;
    pool.active += backend.active;
    pool.weight += backend.terms.weight;
  }
}

void Loads::TellLimits(const std::vector<LoadedWorker>& workers) {
  SumUp();
  for (const Backend& backend : backends_) TellLimit(backend, pools_[backend.terms.pool], workers);
}

void Loads::TellListener(uint32_t listener, const Limit& limit, const std::vector<LoadedWorker>& workers) {
  for (const LoadedWorker& worker : workers) {
    if (listener >= worker.listeners) continue;
    const int64_t others = limit.active - CountOf(worker.listener_traffic[listener]).active();
    const auto told = static_cast<int32_t>(std::clamp<int64_t>(others, INT32_MIN, INT32_MAX));
    const bool limited = limit.max_connections != 0;
    __atomic_store_n(&worker.listener_loads[listener].told,
                     limited ? sluice_listener_told(told, limit.max_connections) : 0, __ATOMIC_RELAXED);
  }
}

// What is told of a listener whose limit is gone would be wrong when it comes back.
void Loads::TellListeners(const std::vector<LoadedWorker>& workers) {
  std::fill(limits_.begin(), limits_.end(), Limit{});
  for (const ListenerTerms& terms : listeners_) {
    if (terms.listener >= limits_.size()) limits_.resize(terms.listener + 1);
    Limit& limit = limits_[terms.listener];
    limit.max_connections = terms.max_connections;
    for (const uint32_t pool : terms.pools) {
      // Of one without backends nothing is known.
      if (pool < pools_.size()) limit.active += pools_[pool].active_of_all;
    }
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
    const Count count = CountOfAll(workers, gone, slot);
    if (!backend.known) {
      backend.missed = static_cast<double>(active[slot] - backend.counted_in_midst);
      backend.unswept = (backend.terms.translates ? sessions.sweeps : connections.sweeps) == 0;
    }
    if (step == Step::kMidst || !backend.known) backend.counted_in_midst = count.active();
    if (step == Step::kEnd) backend.Take(active[slot], count);
    backend.known = true;
    // A worker of the kernel may be a new one.
    TellOf(backend, workers);
    backend.active = backend.Active(count);
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
