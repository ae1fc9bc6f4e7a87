// Where sluicebench's packets come from and go to: one virtual address of each family, clients behind a router, and
// servers that are next hops of the one port there is.
#pragma once

#include <array>
#include <cstdint>

#include "base/address.h"

namespace sluice::bench {

inline constexpr Mac kBalancerMac = {2, 0, 0, 0, 0, 1};
inline constexpr Mac kRouterMac = {2, 0, 0, 0, 0, 0xaa};

// 203.0.113.10 and 2001:db8::10, port 80.
inline constexpr std::array<uint8_t, 4> kVirtualIpv4 = {203, 0, 113, 10};
inline constexpr std::array<uint8_t, 16> kVirtualIpv6 = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10};
// Clients are 11.0.0.0 and 2001:db8:c::b00:0, and up: what is counted is the last four bytes.
inline constexpr uint32_t kFirstClient = 0x0b000000;
inline constexpr std::array<uint8_t, 16> kClientsIpv6 = {0x20, 1, 0xd, 0xb8, 0, 0xc};

}  // namespace sluice::bench
