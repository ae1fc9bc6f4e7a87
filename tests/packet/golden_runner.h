// Runs golden cases through an engine. Every engine has to give the same verdicts and the same bytes.
//
// Thread-safety: none.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "tables/tables.h"
#include "tests/packet/golden_case.h"

namespace sluice::packet_test {

// An engine as the cases need it.
class GoldenEngine {
 public:
  virtual ~GoldenEngine() = default;

  virtual absl::Status Publish(std::shared_ptr<const Tables> tables) = 0;

  // Why this engine does not serve such tables; empty when it does. Its cases are skipped with that reason.
  virtual std::string Unable(const Tables& /*tables*/) const { return ""; }

  struct Outcome {
    std::string verdict;
    // What left, and by which port; empty when nothing did.
    std::string out;
    uint16_t by = 0;
  };
  // One packet in, by the port; returns when it has its verdict.
  virtual absl::StatusOr<Outcome> Process(const std::string& frame, uint16_t from) = 0;

  // Moves the clock. False where it can't be moved.
  virtual bool Wait(std::chrono::milliseconds time) = 0;
};

// A new engine with GoldenPorts and no flows.
using GoldenEngineFactory = std::function<absl::StatusOr<std::unique_ptr<GoldenEngine>>()>;

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
