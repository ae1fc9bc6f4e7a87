// The xdp engine: the packet path as an XDP program on kernel interfaces. No thread of ours touches a packet.
//
// The program and its connection table outlive the process when they are to: the next instance goes on with them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/engine.h"

namespace sluice {

struct XdpOptions {
  std::vector<std::string> interfaces;
  // Over all partitions, 12 bytes each.
  uint64_t max_connections = 1 << 20;
  // NAT sessions over all partitions, 96 bytes each; 0 for none.
  uint64_t max_sessions = 0;
  // The ports that the kernel takes for its own connections (ip_local_port_range), which translated clients never get.
  uint16_t kernel_first_port = 32768;
  uint16_t kernel_last_port = 60999;
  // Where translated clients' ports begin (ScatterPorts); 0: at their first place.
  uint64_t port_seed = 0;
  // Close leaves the programs where they are, forwarding by what was published last.
  bool leave = false;
};

// Takes the interfaces and the memory for connections; the program is loaded and attached when the first tables are
// published. `notes` gets sentences for the log. Errors name the interface and what to do; nothing is left open.
absl::StatusOr<std::unique_ptr<Engine>> OpenXdpEngine(const XdpOptions& options, std::vector<std::string>* notes);

// Takes off what an instance that has ended has left on the interface. False when there was nothing of ours. Errors: it
// is in use by an instance that runs, a foreign program is there.
absl::StatusOr<bool> RemoveXdp(const std::string& interface);

}  // namespace sluice
