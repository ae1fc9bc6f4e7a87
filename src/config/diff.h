// What differs between two configurations, as lines for people.
//
// Listeners, pools and backends are told by their names, wherever they stand in their lists:
//   "+ pools[web].backends[web4]: {name: web4, address: "10.0.1.14", weight: 1}"
//   "- listeners[dns]"
//   "~ pools[web].backends[web1].weight: 1 -> 5"
//   "~ listeners[web].access.deny: 5000 -> 5001 elements, +192.0.2.0/24"
// Thread-safety: pure function.
#pragma once

#include <string>
#include <vector>

#include "config/sluice.pb.h"

namespace sluice {

// Both are validated. At most kMaxDiffLines lines; one more says how many others there are.
inline constexpr size_t kMaxDiffLines = 1'000;
// Of longer lists of values only the differences are told, and of those so many of each kind.
inline constexpr size_t kMaxDiffElements = 16;
// Longer lines are cut.
inline constexpr size_t kMaxDiffLineBytes = 4'096;
std::vector<std::string> DiffConfigs(const v1::Config& before, const v1::Config& after);

}  // namespace sluice
