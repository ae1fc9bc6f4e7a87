// One call of sluicebench: the balancer's packet rate and the floor's over devices of the same kind, in turns.
//
// Thread-safety: the main thread; once a process, which the EAL takes hold of.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "results.h"

namespace sluice::bench {

// `progress` hears of each step. Errors: fewer than two CPUs; no memory; flows that did not come through when they were
// opened.
absl::StatusOr<Results> MeasureRate(const Settings& settings, const std::function<void(const std::string&)>& progress);

}  // namespace sluice::bench
