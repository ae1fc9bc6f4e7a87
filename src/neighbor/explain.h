// Route, links and neighbour of one address -> its resolution, with the reason in words.
//
// Pure function; thread-safe.
#pragma once

#include "base/address.h"
#include "neighbor/kernel.h"
#include "neighbor/link.h"
#include "neighbor/neighbor_state.h"
#include "neighbor/next_hop.h"

namespace sluice {

// The pieces are null while they are not known: `link` is the route's interface, `port` the one below when that is a
// VLAN device (else the same), `neighbor` the gateway or the address itself.
struct Evidence {
  const Route* route = nullptr;
  const Link* link = nullptr;
  const Link* port = nullptr;
  const NeighborState* neighbor = nullptr;
};
Resolution ExplainNextHop(const Address& address, const Evidence& evidence);

// Whose MAC address a frame to `address` carries: the gateway's, or its own.
const Address& NeighborAddress(const Address& address, const Route& route);

}  // namespace sluice
