// What is said of a name that is not there, whoever has asked for it: NOT_FOUND, with the names that would be right.
//
// Thread-safety: pure functions.
#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "config/sluice.pb.h"

namespace sluice {

absl::Status NoPool(const v1::Config& config, const std::string& pool);

// `pool` has no such backend; `names` are those that it has.
absl::Status NoBackend(const std::string& pool, const std::string& backend, const std::vector<std::string>& names);

}  // namespace sluice
