// The dpdk engine: poll-mode workers over ports that are kernel interfaces (AF_XDP) or DPDK devices.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/region.h"
#include "engine/engine.h"

namespace sluice {

struct DpdkOptions {
  struct Interface {
    // One of the three.
    std::string name;
    std::string pci;
    std::string device;
    // The kernel's side of a pci or device port; none when `tap` is empty.
    std::string tap;
    std::vector<Prefix> addresses;
    uint16_t mtu = 1500;
  };
  std::vector<Interface> interfaces;
  uint32_t workers = 1;
  uint64_t max_connections = 1 << 20;
  // NAT sessions over all workers; 0 for none.
  uint64_t max_sessions = 0;
  // The ports that the kernel takes for its own connections (ip_local_port_range), which translated clients never get.
  uint16_t kernel_first_port = 32768;
  uint16_t kernel_last_port = 60999;
  // Where translated clients' ports begin (ScatterPorts); 0: at their first place.
  uint64_t port_seed = 0;
  // Packets of each worker's that devices keep for themselves besides those in their queues: net_pcap with
  // infinite_rx=1, those of its file.
  uint32_t kept_packets = 0;
  HugePages huge_pages = HugePages::kPreferred;
  // Workers poll always instead of sleeping when there is nothing to do.
  bool spin = false;
  // Over kernel interfaces: the kernel forwards in the place of a worker that has given no sign of life for so long,
  // ns.
  uint64_t takeover_after = 200'000'000;
  // Over kernel interfaces: it goes on doing so when the engine is closed.
  bool leave = false;
};

// Opens ports, takes all memory, and starts the workers when the first tables are published. `notes` gets sentences for
// the log. Errors name the port and what to do; nothing is left open.
absl::StatusOr<std::unique_ptr<Engine>> OpenDpdkEngine(const DpdkOptions& options, std::vector<std::string>* notes);

}  // namespace sluice
