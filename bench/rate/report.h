// What sluicebench says of its results: lines for people, JSON for machines.
//
// Thread-safety: pure functions.
#pragma once

#include <string>

#include "results.h"

namespace sluice::bench {

std::string Text(const Settings& settings, const Results& results);

// One object; every rate as `NAME` (median), `NAME_min` and `NAME_max`.
std::string Json(const Settings& settings, const Results& results);

}  // namespace sluice::bench
