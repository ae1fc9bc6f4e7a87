// Runs golden cases through an engine. Every engine has to give the same verdicts and the same bytes.
//
// Thread-safety: none.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tests/packet/golden_case.h"
#include "tests/packet/tested_engine.h"

namespace sluice::packet_test {

// A new engine without flows.
using GoldenEngineFactory = std::function<absl::StatusOr<std::unique_ptr<TestedEngine>>()>;

enum class GoldenKind {
  // In memory; the clock can be moved.
  kSimulated,
  // Takes hold of a process (DPDK starts once, and its devices do not come and go at will), so every case gets its own,
  // which ends without tidying up. The clock is the machine's: cases that wait are left out.
  kReal,
};

// Registers every case of every file in the folder argv[1] as a test, and runs them. What each packet step was given
// and what left, if anything, goes into the file argv[2] when there is one, a line each: place, verdict, frame in,
// frame out in hex, with tabs between. For a main().
int RunGoldenCases(int argc, char** argv, const std::string& engine, GoldenKind kind,
                   const GoldenEngineFactory& factory);

}  // namespace sluice::packet_test
