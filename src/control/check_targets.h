// From the health checks and agents of a configuration to what a checker carries out.
//
// Reads the files that https checks name. Thread-safety: the control thread.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "config/sluice.pb.h"
#include "health/health_checker.h"

namespace sluice {

// Every backend of every pool that has a health check, in the order of the file. `config` is validated, with its
// defaults. The error names the pool and the file that cannot be used.
absl::StatusOr<std::vector<CheckedBackend>> ReadCheckTargets(const v1::Config& config);

// The same of every backend of every pool that has an agent.
std::vector<CheckedBackend> ReadAgentTargets(const v1::Config& config);

}  // namespace sluice
