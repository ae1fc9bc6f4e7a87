// The generator as a process of its own, for whoever is at the other end of a net_memif cable: the balancer of another
// sluicebench, or another program to compare it with.
//
// Thread-safety: one thread.
#pragma once

#include <functional>
#include <string>

#include "absl/status/statusor.h"
#include "traffic.h"

namespace sluice::bench {

struct GenerateOptions {
  // Of the socket.
  std::string path;
  TrafficOptions traffic;
  // Flows begin with what servers answer, as translated ones want (Generator::OpenFlows).
  bool handshake = false;
};

struct Generated {
  uint64_t sent = 0;
  // When flows were established, the mean of packets that were on their way, of at most 1,023: few when the generator
  // was the slower one.
  double on_their_way = 0;
  // By moments (moments.h).
  double undisturbed_mpps = 0;
};

// Waits for a client, opens all flows (`opened` hears of it), and sends as fast as packets come back, until the client
// goes. Errors: there is no client; packets that open flows do not come back.
absl::StatusOr<Generated> Generate(const GenerateOptions& options,
                                   const std::function<void(const std::string&)>& progress,
                                   const std::function<void()>& opened);

}  // namespace sluice::bench
