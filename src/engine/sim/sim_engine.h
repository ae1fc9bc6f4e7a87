// The sim engine: the same stages over packets in memory, with N virtual workers, RSS as a device does it, and a clock
// that the test moves. For tests of everything above an engine, and for churn over hours of simulated time.
//
// Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/connection_tables.h"
#include "engine/engine.h"
#include "engine/session_tables.h"
#include "engine/sim/rss.h"

namespace sluice {

// How the devices spread what they receive, and whether they tell. Their tables begin with one worker after the other.
struct SimRss {
  RssKey key = kVerificationKey;
  bool with_ports = true;
  // Source ports are then chosen by it.
  bool known = false;
};

struct SimOptions {
  uint32_t workers = 1;
  uint64_t max_connections = 65536;
  // NAT sessions; 0 for none.
  uint64_t max_sessions = 0;
  // The kernel's own ports, which translated clients never get.
  uint16_t kernel_first_port = 32768;
  uint16_t kernel_last_port = 60999;
  std::vector<EnginePort> ports;
  SimRss rss;
  // CLOCK_MONOTONIC of the simulation, ns.
  std::function<uint64_t()> clock;
};

struct SimPacket {
  std::vector<uint8_t> bytes;
  uint16_t port = 0;
};

// What became of a packet: its verdict, and the frame that left if one did.
struct SimResult {
  sluice_verdict verdict = SLUICE_CONTINUE;
  uint32_t worker = 0;
  SimPacket out;
};

class SimEngine : public Engine {
 public:
  static absl::StatusOr<std::unique_ptr<SimEngine>> Open(const SimOptions& options);

  // Runs the packets, in bursts by worker as they come; results in the order of the packets. Needs published tables.
  virtual std::vector<SimResult> Receive(absl::Span<const SimPacket> packets) = 0;

  // Queue that RSS picks for a frame; a test may change the indirection (a queue number for each of 128 hash values).
  virtual void SetRssIndirection(std::vector<uint32_t> worker_of_hash) = 0;

  // Frames that Announce sent, since the last call.
  virtual std::vector<SimPacket> TakeAnnouncements() = 0;
  // RSTs to the ends of expired sessions, and what Send has sent, since the last call. Sweep finds what has expired.
  virtual std::vector<SimPacket> TakeResets() = 0;
};

}  // namespace sluice
