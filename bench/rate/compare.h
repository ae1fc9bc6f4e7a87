// How two results of sluicebench compare.
//
// Thread-safety: pure function.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace sluice::bench {

// Of two texts that Json (report.h) has made: which settings differ, and every figure of both with the second one's
// share of the first. Errors: one of them is none of ours.
absl::StatusOr<std::string> Compare(const std::string& before, const std::string& after);

}  // namespace sluice::bench
