#include "neighbor/explain.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

Resolution Failed(std::string reason) {
  return {Resolution::State::kFailed, std::move(reason), {}};
}

Resolution Resolving(std::string reason) {
  return {Resolution::State::kResolving, std::move(reason), {}};
}

std::string LinkName(const Link* link, int ifindex) {
  return link != nullptr ? link->name : absl::StrCat("the interface with index ", ifindex);
}

Resolution RouteFailed(const Address& address, const Evidence& evidence) {
  const std::string to = FormatAddress(address);
  switch (evidence.route->kind) {
    case Route::Kind::kBlackhole:
      return Failed(absl::StrCat("the route to ", to, " is a blackhole"));
    case Route::Kind::kUnreachable:
      return Failed(absl::StrCat("the route to ", to, " says unreachable"));
    case Route::Kind::kProhibited:
      return Failed(absl::StrCat("the route to ", to, " says prohibited"));
    case Route::Kind::kLocal:
      return Failed(absl::StrCat(to, " is an address of this host; a backend has to be another one"));
    case Route::Kind::kNotUnicast:
      return Failed(absl::StrCat(to, " is a broadcast, multicast or anycast address"));
    case Route::Kind::kError:
      return Failed(absl::StrCat("the kernel cannot look up a route to ", to, ": ", strerror(evidence.route->error)));
    case Route::Kind::kNone:
    case Route::Kind::kUnicast:
      break;
  }
  // The kernel removes the routes of an interface that goes down; then `link` is where the last route led.
  if (evidence.link != nullptr && !evidence.link->enabled) {
    return Failed(absl::StrCat("no route to ", to, ": interface ", evidence.link->name, ", where it led, is down"));
  }
  return Failed(absl::StrCat("no route to ", to));
}

// Empty when frames can leave through the link.
std::string LinkTrouble(const Address& address, const Evidence& evidence) {
  for (const Link* link : {evidence.link, evidence.port}) {
    if (!link->enabled) return absl::StrCat("interface ", link->name, " is down");
    if (!link->carrier) return absl::StrCat("interface ", link->name, " has no carrier");
    if (!link->ethernet) {
      return absl::StrCat("the route to ", FormatAddress(address), " leads through ", link->name,
                          ", which is not an Ethernet interface");
    }
    if (!link->unusable.empty()) return link->unusable;
  }
  if (evidence.port != evidence.link && evidence.port->vlan != 0) {
    return absl::StrCat(evidence.link->name, " is a VLAN inside a VLAN; at most one tag is supported");
  }
  return "";
}

Resolution NeighborPending(const Address& address, const Evidence& evidence) {
  const Address& neighbor = NeighborAddress(address, *evidence.route);
  std::string who = FormatAddress(neighbor);
  if (neighbor != address) who = absl::StrCat("gateway ", who, " of ", FormatAddress(address));
  const char* protocol = neighbor.IsIpv4() ? "ARP" : "neighbour solicitations";
  if (evidence.neighbor == nullptr || !evidence.neighbor->failed()) {
    return Resolving(absl::StrCat("waiting for ", who, " to answer ", protocol, " on ", evidence.link->name));
  }
  if (!evidence.neighbor->refusal().empty()) {
    return Failed(absl::StrCat("the kernel does not resolve ", who, " on ", evidence.link->name, ": ",
                               evidence.neighbor->refusal()));
  }
  return Failed(absl::StrCat(who, " does not answer ", protocol, " on ", evidence.link->name));
}

}  // namespace

const Address& NeighborAddress(const Address& address, const Route& route) {
  return route.gateway.has_value() ? *route.gateway : address;
}

Resolution ExplainNextHop(const Address& address, const Evidence& evidence) {
  if (evidence.route == nullptr) {
    return Resolving(absl::StrCat("the route to ", FormatAddress(address), " is being looked up"));
  }
  const Route& route = *evidence.route;
  if (route.kind != Route::Kind::kUnicast) return RouteFailed(address, evidence);
  if (evidence.link == nullptr || evidence.port == nullptr) {
    const int missing = evidence.link == nullptr ? route.ifindex : evidence.link->parent;
    return Failed(absl::StrCat("the route to ", FormatAddress(address), " leads through ", LinkName(nullptr, missing),
                               ", which is gone"));
  }
  std::string trouble = LinkTrouble(address, evidence);
  if (!trouble.empty()) return Failed(std::move(trouble));
  if (evidence.neighbor == nullptr || !evidence.neighbor->resolved()) return NeighborPending(address, evidence);

  Resolution resolution;
  resolution.state = Resolution::State::kResolved;
  uint32_t mtu = std::min(evidence.link->mtu, evidence.port->mtu);
  if (route.mtu != 0) mtu = std::min(mtu, route.mtu);
  resolution.next_hop = {.ifindex = evidence.port->ifindex,
                         .vlan = evidence.link->vlan,
                         .source = evidence.link->mac,
                         .destination = evidence.neighbor->mac(),
                         .mtu = static_cast<uint16_t>(std::min<uint32_t>(mtu, std::numeric_limits<uint16_t>::max()))};
  resolution.interface = evidence.port->name;
  return resolution;
}

}  // namespace sluice
