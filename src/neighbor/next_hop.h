// What the neighbour table finds out about an address: how a frame gets there, or why it does not.
//
// Plain data; copies are free of sharing.
#pragma once

#include <cstdint>
#include <string>

#include "base/address.h"

namespace sluice {

struct NextHop {
  // The interface that the frame leaves by. For a VLAN device it is the interface below, and `vlan` its tag (1..4094).
  int ifindex = 0;
  // 0 is no tag.
  uint16_t vlan = 0;
  Mac source{};
  Mac destination{};
  // Largest layer-3 packet on the way, bytes: the route's MTU (also one that the kernel learned, RFC 1191) or the
  // interface's, the smaller.
  uint16_t mtu = 0;

  bool operator==(const NextHop&) const = default;
};

struct Resolution {
  enum class State {
    // Asked for, and nothing is known yet. `reason` says what is being waited for.
    kResolving,
    // `next_hop` is valid.
    kResolved,
    // `reason` says why and names the interface or gateway: "10.0.1.11 does not answer ARP on eth1". It is tried again
    // by itself; the state stays failed until an answer comes.
    kFailed,
  };
  State state = State::kResolving;
  // A sentence for the operator; empty when resolved.
  std::string reason;
  NextHop next_hop;
  // The name of the interface that the frame leaves by; empty unless resolved.
  std::string interface;

  bool resolved() const { return state == State::kResolved; }
  bool operator==(const Resolution&) const = default;
};

}  // namespace sluice
