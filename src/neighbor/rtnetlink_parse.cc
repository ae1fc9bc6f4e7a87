#include "neighbor/rtnetlink_parse.h"

#include <arpa/inet.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/addr.h>
#include <netlink/msg.h>
#include <netlink/route/link.h>
#include <netlink/route/link/vlan.h>
#include <netlink/route/neighbour.h>
#include <netlink/route/nexthop.h>
#include <netlink/route/route.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

bool IsInternet(int family) {
  return family == AF_INET || family == AF_INET6;
}

std::optional<Address> ToAddress(const void* bytes, int length) {
  Address address;
  if (length == 4) {
    address.bytes[10] = address.bytes[11] = 0xff;
  } else if (length != 16) {
    return std::nullopt;
  }
  std::memcpy(address.bytes.data() + address.bytes.size() - length, bytes, length);
  return address;
}

std::optional<Address> ToAddress(const nl_addr* address) {
  if (address == nullptr) return std::nullopt;
  return ToAddress(nl_addr_get_binary_addr(address), static_cast<int>(nl_addr_get_len(address)));
}

std::optional<Mac> ToMac(const nl_addr* address) {
  Mac mac;
  if (address == nullptr || nl_addr_get_len(address) != mac.size()) return std::nullopt;
  std::memcpy(mac.data(), nl_addr_get_binary_addr(address), mac.size());
  return mac;
}

void AddVlan(rtnl_link* from, Link& link) {
  link.vlan = static_cast<uint16_t>(rtnl_link_vlan_get_id(from));
  link.parent = rtnl_link_get_link(from);
  int32_t other_namespace = 0;
  if (rtnl_link_get_link_netnsid(from, &other_namespace) == 0) {
    link.unusable = absl::StrCat("VLAN device ", link.name, " is on an interface of another network namespace");
  } else if (ntohs(static_cast<uint16_t>(rtnl_link_vlan_get_protocol(from))) != ETH_P_8021Q) {
    link.unusable = absl::StrCat("VLAN device ", link.name, " uses 802.1ad tags; only 802.1Q is supported");
  }
}

Route::Kind KindOf(uint8_t type) {
  switch (type) {
    case RTN_UNICAST:
      return Route::Kind::kUnicast;
    case RTN_LOCAL:
      return Route::Kind::kLocal;
    case RTN_BROADCAST:
    case RTN_MULTICAST:
    case RTN_ANYCAST:
      return Route::Kind::kNotUnicast;
    case RTN_BLACKHOLE:
      return Route::Kind::kBlackhole;
    case RTN_UNREACHABLE:
      return Route::Kind::kUnreachable;
    case RTN_PROHIBIT:
      return Route::Kind::kProhibited;
    default:
      return Route::Kind::kError;
  }
}

}  // namespace

Link ToLink(rtnl_link* from) {
  Link link;
  link.ifindex = rtnl_link_get_ifindex(from);
  if (const char* name = rtnl_link_get_name(from)) link.name = name;
  const unsigned int flags = rtnl_link_get_flags(from);
  link.enabled = (flags & IFF_UP) != 0;
  link.carrier = (flags & IFF_LOWER_UP) != 0;
  link.mtu = rtnl_link_get_mtu(from);
  link.ethernet = rtnl_link_get_arptype(from) == ARPHRD_ETHER && (flags & IFF_LOOPBACK) == 0;
  if (link.ethernet) link.mac = ToMac(rtnl_link_get_addr(from)).value_or(Mac{});
  if (rtnl_link_is_vlan(from)) AddVlan(from, link);
  return link;
}

std::optional<Link> ParseLink(nlmsghdr* message) {
  // Bridges announce their ports' comings and goings as links of family AF_BRIDGE; the link itself stays.
  const auto* header = static_cast<const ifinfomsg*>(nlmsg_data(message));
  if (!nlmsg_valid_hdr(message, sizeof(*header)) || header->ifi_family != AF_UNSPEC) return std::nullopt;
  const std::unique_ptr<nl_msg, decltype(&nlmsg_free)> copy(nlmsg_convert(message), nlmsg_free);
  nlmsg_set_proto(copy.get(), NETLINK_ROUTE);
  std::optional<Link> link;
  const auto on_object = [](nl_object* object, void* out) {
    *static_cast<std::optional<Link>*>(out) = ToLink(reinterpret_cast<rtnl_link*>(object));
  };
  nl_msg_parse(copy.get(), on_object, &link);
  return link;
}

std::optional<NeighborEntry> ParseNeighbor(nlmsghdr* message) {
  const auto* header = static_cast<const ndmsg*>(nlmsg_data(message));
  if (!nlmsg_valid_hdr(message, sizeof(*header)) || !IsInternet(header->ndm_family)) return std::nullopt;
  if ((header->ndm_flags & NTF_PROXY) != 0) return std::nullopt;
  rtnl_neigh* parsed = nullptr;
  if (rtnl_neigh_parse(message, &parsed) < 0) return std::nullopt;
  const std::unique_ptr<rtnl_neigh, decltype(&rtnl_neigh_put)> neighbor(parsed, rtnl_neigh_put);
  const std::optional<Address> address = ToAddress(rtnl_neigh_get_dst(parsed));
  if (!address.has_value()) return std::nullopt;
  return NeighborEntry{
      .key = {header->ndm_ifindex, *address}, .state = header->ndm_state, .mac = ToMac(rtnl_neigh_get_lladdr(parsed))};
}

std::optional<Route> ParseRoute(nlmsghdr* message) {
  rtnl_route* parsed = nullptr;
  if (rtnl_route_parse(message, &parsed) < 0) return std::nullopt;
  const std::unique_ptr<rtnl_route, decltype(&rtnl_route_put)> owner(parsed, rtnl_route_put);
  Route route{.kind = KindOf(rtnl_route_get_type(parsed))};
  if (route.kind == Route::Kind::kError) route.error = EPROTONOSUPPORT;
  if (route.kind != Route::Kind::kUnicast) return route;
  rtnl_nexthop* hop = rtnl_route_nexthop_n(parsed, 0);
  if (hop == nullptr) return std::nullopt;
  route.ifindex = rtnl_route_nh_get_ifindex(hop);
  route.gateway = ToAddress(rtnl_route_nh_get_gateway(hop));
  if (!route.gateway.has_value()) route.gateway = ToAddress(rtnl_route_nh_get_via(hop));
  uint32_t mtu = 0;
  if (rtnl_route_get_metric(parsed, RTAX_MTU, &mtu) == 0) route.mtu = mtu;
  return route;
}

Route RouteFromError(int error) {
  switch (error) {
    case ENETUNREACH:
    case ESRCH:
      return {.kind = Route::Kind::kNone};
    case EHOSTUNREACH:
      return {.kind = Route::Kind::kUnreachable};
    case EACCES:
      return {.kind = Route::Kind::kProhibited};
    // What the routing tables of both families keep for a blackhole (fib_props, ip6_route_info_create).
    case EINVAL:
      return {.kind = Route::Kind::kBlackhole};
    default:
      return {.kind = Route::Kind::kError, .error = error};
  }
}

std::optional<Prefix> ParseRoutePrefix(nlmsghdr* message) {
  const auto* header = static_cast<const rtmsg*>(nlmsg_data(message));
  if (!nlmsg_valid_hdr(message, sizeof(*header)) || !IsInternet(header->rtm_family)) return std::nullopt;
  // Of the kernel's cache, not of a table.
  if ((header->rtm_flags & RTM_F_CLONED) != 0) return std::nullopt;
  const int length = header->rtm_family == AF_INET ? 4 : 16;
  Prefix prefix;
  const Address any;
  prefix.address = *ToAddress(any.bytes.data(), length);
  prefix.length = std::min<int>(header->rtm_dst_len, 8 * length);
  // A default route has no destination attribute.
  if (const nlattr* attribute = nlmsg_find_attr(message, sizeof(*header), RTA_DST)) {
    if (nla_len(attribute) != length) return std::nullopt;
    prefix.address = *ToAddress(nla_data(attribute), length);
  }
  return prefix;
}

}  // namespace sluice
