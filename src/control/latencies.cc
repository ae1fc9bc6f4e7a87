#include "control/latencies.h"

#include <algorithm>
#include <utility>

namespace sluice {

std::vector<BackendLatency> Latencies::Read(const Tables& tables, const BackendStates& states) {
  const absl::flat_hash_map<uint32_t, Mean> before = std::exchange(means_, {});
  std::vector<BackendLatency> latencies;
  for (const LoadTerms& terms : tables.load_terms()) {
    if (!terms.by_time) continue;
    const BackendName& name = tables.backend_names()[terms.slot];
    const auto known = before.find(terms.slot);
    if (known != before.end()) means_.insert(*known);
    const RiseFall* health = states.FindHealth(name.pool, name.backend);
    const bool passed =
        health != nullptr && health->last().has_value() && health->last()->outcome == CheckResult::Outcome::kPassed;
    if (passed) {
      const CheckResult& last = *health->last();
      Mean& mean = means_.try_emplace(terms.slot, Mean{last.at, last.duration}).first->second;
      if (mean.at != last.at) mean = {last.at, mean.duration + (last.duration - mean.duration) / 4};
    }
    const auto mean = means_.find(terms.slot);
    if (mean == means_.end()) continue;
    const int64_t microseconds = absl::ToInt64Microseconds(mean->second.duration);
    latencies.push_back({terms.slot, static_cast<uint32_t>(std::clamp<int64_t>(microseconds, 1, UINT32_MAX))});
  }
  return latencies;
}

}  // namespace sluice
