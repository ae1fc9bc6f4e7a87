// An engine as tests drive it: tables in, frames in by a port, what leaves by the ports out, and counters. Every engine
// has two ports, those of TestedPorts, each with one queue, and one worker.
//
// Thread-safety: none.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/engine.h"
#include "tables/builder.h"
#include "tables/tables.h"

namespace sluice::packet_test {

inline constexpr uint16_t kTestedPorts = 2;
// 02:00:00:00:00:01 and :02, MTU 1500 and 9000.
std::vector<PortDescription> TestedPorts();

class TestedEngine {
 public:
  virtual ~TestedEngine() = default;

  virtual absl::Status Publish(std::shared_ptr<const Tables> tables) = 0;

  // Why this engine does not serve such tables; empty when it does.
  virtual std::string Unable(const Tables& /*tables*/) const { return ""; }

  // What left by each port, in that order.
  using Sent = std::array<std::vector<std::string>, kTestedPorts>;
  // Up to kBurst frames in by a port, one behind the other; returns when each has its verdict and has left, if it does.
  static constexpr size_t kBurst = 256;
  virtual absl::StatusOr<Sent> Process(absl::Span<const std::string> frames, uint16_t from) = 0;

  // By the tables published last.
  virtual EngineCounters ReadCounters() = 0;

  // Live entries by backend slot, of the first `slots`, from one end of the tables to the other.
  struct Flows {
    std::vector<uint32_t> connections;
    std::vector<uint32_t> sessions;
  };
  virtual Flows CountFlows(uint32_t slots) = 0;

  // Moves the clock. False where it can't be moved.
  virtual bool Wait(std::chrono::milliseconds /*time*/) { return false; }
};

// What became of one packet.
struct Outcome {
  std::string verdict;
  // What left, and by which port; empty when nothing did.
  std::string out;
  uint16_t by = 0;
};
// Its verdict is the one whose counter has gone up.
absl::StatusOr<Outcome> ProcessOne(TestedEngine& engine, const std::string& frame, uint16_t from);

struct TestedOptions {
  uint64_t max_connections = 65536;
  uint64_t max_sessions = 4096;
};

// In memory, with a clock that Wait moves, or the one that is given.
absl::StatusOr<std::unique_ptr<TestedEngine>> OpenTestedSim(const TestedOptions& options,
                                                            std::function<uint64_t()> clock = nullptr);

// Takes hold of the process: DPDK starts once, and its devices do not come and go at will (the two ends of a memif
// cable are torn down by two threads that do not know of each other). Never destroyed: whoever has it ends by _exit.
absl::StatusOr<std::unique_ptr<TestedEngine>> OpenTestedDpdk(const TestedOptions& options);

// Needs root. A network namespace of this process's own, with the interfaces that OpenTestedXdp takes for its ports.
absl::Status MakeTestedXdpInterfaces();
absl::StatusOr<std::unique_ptr<TestedEngine>> OpenTestedXdp(const TestedOptions& options);

// Of an engine that is behind engine.h: a whole sweep of its tables.
TestedEngine::Flows CountFlowsOf(Engine& engine, uint32_t slots);

}  // namespace sluice::packet_test
