#include "neighbor/check_device.h"

#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/route/link/inet6.h>
#include <netlink/route/route.h>
#include <netlink/route/rule.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace sluice {
namespace {

constexpr char kName[] = "sluice-check";
// The mark and the table of number 0; those of other numbers follow. Far from what people choose by hand.
constexpr uint32_t kFirstMark = 0x51ce0000;
constexpr uint32_t kMostNumbers = 256;
// Before the main table (32766), and before what people add there.
constexpr uint32_t kPriority = 511;
// Packets that wait to be read: the SYNs of many checks that are due at once.
constexpr uint32_t kQueue = 4096;

template <typename T, void (*Free)(T*)>
struct Freer {
  void operator()(T* object) const { Free(object); }
};
using Rule = std::unique_ptr<rtnl_rule, Freer<rtnl_rule, rtnl_rule_put>>;
using RouteObject = std::unique_ptr<rtnl_route, Freer<rtnl_route, rtnl_route_put>>;
using LinkObject = std::unique_ptr<rtnl_link, Freer<rtnl_link, rtnl_link_put>>;
using NetlinkAddress = std::unique_ptr<nl_addr, Freer<nl_addr, nl_addr_put>>;

// To the device's own table, or to nowhere.
enum class Leads { kToDevice, kNowhere };

Rule MakeRule(int family, uint32_t mark, Leads leads) {
  Rule rule(rtnl_rule_alloc());
  rtnl_rule_set_family(rule.get(), family);
  rtnl_rule_set_mark(rule.get(), mark);
  rtnl_rule_set_mask(rule.get(), UINT32_MAX);
  rtnl_rule_set_prio(rule.get(), leads == Leads::kToDevice ? kPriority : kPriority + 1);
  rtnl_rule_set_action(rule.get(), leads == Leads::kToDevice ? FR_ACT_TO_TBL : FR_ACT_UNREACHABLE);
  if (leads == Leads::kToDevice) rtnl_rule_set_table(rule.get(), mark);
  return rule;
}

RouteObject MakeRoute(int family, uint32_t table, int ifindex) {
  RouteObject route(rtnl_route_alloc());
  const NetlinkAddress all(nl_addr_build(family, nullptr, 0));
  rtnl_route_set_family(route.get(), static_cast<uint8_t>(family));
  rtnl_route_set_table(route.get(), table);
  rtnl_route_set_dst(route.get(), all.get());
  if (family == AF_INET) rtnl_route_set_scope(route.get(), RT_SCOPE_LINK);
  rtnl_nexthop* hop = rtnl_route_nh_alloc();
  rtnl_route_nh_set_ifindex(hop, ifindex);
  rtnl_route_add_nexthop(route.get(), hop);
  return route;
}

bool IsStale(rtnl_rule* rule) {
  const uint32_t mark = rtnl_rule_get_mark(rule);
  const uint32_t priority = rtnl_rule_get_prio(rule);
  if (mark < kFirstMark || mark >= kFirstMark + kMostNumbers) return false;
  if (priority != kPriority && priority != kPriority + 1) return false;
  return if_nametoindex(absl::StrCat(kName, mark - kFirstMark).c_str()) == 0;
}

// Of one family, before there are any of the caller's.
void RemoveStaleRules(nl_sock* netlink, int family) {
  nl_cache* rules = nullptr;
  if (rtnl_rule_alloc_cache(netlink, family, &rules) < 0) return;
  const absl::Cleanup free = [rules] { nl_cache_free(rules); };
  std::vector<rtnl_rule*> stale;
  for (nl_object* object = nl_cache_get_first(rules); object != nullptr; object = nl_cache_get_next(object)) {
    auto* rule = reinterpret_cast<rtnl_rule*>(object);
    if (IsStale(rule)) stale.push_back(rule);
  }
  for (rtnl_rule* rule : stale) rtnl_rule_delete(netlink, rule, 0);
}

absl::StatusOr<Socket> ConnectForChanges() {
  Socket socket(nl_socket_alloc());
  if (socket == nullptr) return absl::ResourceExhaustedError("no memory for a netlink socket");
  if (const int error = nl_connect(socket.get(), NETLINK_ROUTE); error < 0) {
    return absl::UnavailableError(absl::StrCat("netlink: ", nl_geterror(error)));
  }
  return socket;
}

absl::Status Refused(const std::string& name, const std::string& what, int error) {
  return absl::FailedPreconditionError(absl::StrCat("health_check with via: vip: the kernel refuses ", what, " of ",
                                                    name, " (", nl_geterror(error), ")"));
}

}  // namespace

uint32_t CheckDevice::mark() const {
  return kFirstMark + number_;
}

absl::StatusOr<std::unique_ptr<CheckDevice>> CheckDevice::Open() {
  RemoveStale();
  std::unique_ptr<CheckDevice> device(new CheckDevice);
  absl::StatusOr<Socket> netlink = ConnectForChanges();
  if (!netlink.ok()) return netlink.status();
  device->netlink_ = *std::move(netlink);
  if (absl::Status status = device->Make(); !status.ok()) return status;
  if (absl::Status status = device->SetUp(); !status.ok()) return status;
  return device;
}

CheckDevice::~CheckDevice() {
  for (const auto& [family, routed] : {std::pair(AF_INET, routed_ipv4_), std::pair(AF_INET6, routed_ipv6_)}) {
    if (!routed) continue;
    for (const Leads leads : {Leads::kToDevice, Leads::kNowhere}) {
      rtnl_rule_delete(netlink_.get(), MakeRule(family, mark(), leads).get(), 0);
    }
  }
  if (fd_ >= 0) close(fd_);
}

absl::Status CheckDevice::Make() {
  fd_ = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  ifreq request{};
  absl::StrCat(kName, "%d").copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = static_cast<short>(IFF_TUN | IFF_NO_PI);
  if (fd_ >= 0 && ioctl(fd_, TUNSETIFF, &request) == 0) {
    name_ = request.ifr_name;
    index_ = static_cast<int>(if_nametoindex(name_.c_str()));
    const bool numbered = absl::SimpleAtoi(absl::StripPrefix(name_, kName), &number_) && number_ < kMostNumbers;
    if (numbered && index_ != 0) return absl::OkStatus();
    return absl::ResourceExhaustedError(absl::StrCat("health_check with via: vip: no number is left for ", kName));
  }
  const std::string problem = absl::StrCat("health_check with via: vip needs the interface ", kName, ": ",
                                           fd_ < 0 ? "/dev/net/tun: " : "", std::strerror(errno));
  if (errno == EACCES || errno == EPERM) return absl::PermissionDeniedError(absl::StrCat(problem, "; run as root"));
  return absl::NotFoundError(
      absl::StrCat(problem, "; `modprobe tun` (in a container: give it the device /dev/net/tun)"));
}

absl::Status CheckDevice::SetUp() {
  const LinkObject which(rtnl_link_alloc());
  rtnl_link_set_ifindex(which.get(), index_);
  const LinkObject silent(rtnl_link_alloc());
  rtnl_link_inet6_set_addr_gen_mode(silent.get(), IN6_ADDR_GEN_MODE_NONE);
  // It needs no address of its own. A kernel without IPv6 knows of none.
  static_cast<void>(rtnl_link_change(netlink_.get(), which.get(), silent.get(), 0));
  const LinkObject change(rtnl_link_alloc());
  rtnl_link_set_mtu(change.get(), kMtu);
  rtnl_link_set_txqlen(change.get(), kQueue);
  rtnl_link_set_flags(change.get(), IFF_UP);
  const int result = rtnl_link_change(netlink_.get(), which.get(), change.get(), 0);
  return result < 0 ? Refused(name_, "to set up the interface", result) : absl::OkStatus();
}

absl::Status CheckDevice::Route(bool ipv4) {
  bool& routed = ipv4 ? routed_ipv4_ : routed_ipv6_;
  if (routed) return absl::OkStatus();
  const int family = ipv4 ? AF_INET : AF_INET6;
  const char* disabled = ipv4 ? "" : "; is net.ipv6.conf.*.disable_ipv6 set?";
  const RouteObject route = MakeRoute(family, mark(), index_);
  if (const int result = rtnl_route_add(netlink_.get(), route.get(), NLM_F_EXCL); result < 0) {
    return Refused(name_, absl::StrCat("the route", disabled), result);
  }
  routed = true;
  // The one that leads nowhere first: no marked packet ever goes by another table.
  for (const Leads leads : {Leads::kNowhere, Leads::kToDevice}) {
    const int result = rtnl_rule_add(netlink_.get(), MakeRule(family, mark(), leads).get(), NLM_F_EXCL);
    if (result < 0) return Refused(name_, "a rule", result);
  }
  return absl::OkStatus();
}

void CheckDevice::RemoveStale() {
  const absl::StatusOr<Socket> netlink = ConnectForChanges();
  if (!netlink.ok()) return;
  for (const int family : {AF_INET, AF_INET6}) RemoveStaleRules(netlink->get(), family);
}

}  // namespace sluice
