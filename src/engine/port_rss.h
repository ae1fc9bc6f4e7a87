// What a device says of its RSS.
//
// Thread-safety: plain data.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace sluice {

// How a device spreads packets over its queues, as it says itself: by a Toeplitz hash of addresses, and ports where
// `with_ports` has them (NatOwners::Kind, for whole packets), whose lower bits choose from a table.
struct PortRss {
  std::array<uint8_t, 40> key{};
  std::vector<uint16_t> queue_of_hash;
  uint32_t with_ports = 0;
};

}  // namespace sluice
