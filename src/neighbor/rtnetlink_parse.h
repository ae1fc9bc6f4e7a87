// Messages and objects of rtnetlink -> plain data. Private to the room.
//
// Pure functions; thread-safe. nullopt for messages that are none of our business (bridge ports, proxy entries, other
// address families) or malformed.
#pragma once

#include <linux/netlink.h>

#include <optional>

#include "base/address.h"
#include "neighbor/kernel.h"
#include "neighbor/link.h"

struct rtnl_link;

namespace sluice {

Link ToLink(rtnl_link* link);
std::optional<Link> ParseLink(nlmsghdr* message);
std::optional<NeighborEntry> ParseNeighbor(nlmsghdr* message);
// The answer to RTM_GETROUTE.
std::optional<Route> ParseRoute(nlmsghdr* message);
// What the kernel means by answering RTM_GETROUTE with an error (an errno).
Route RouteFromError(int error);
// The destination of a route notification. Only this: a routing daemon may send hundreds of thousands a second.
std::optional<Prefix> ParseRoutePrefix(nlmsghdr* message);

}  // namespace sluice
