#include "engine/dpdk/tap_interface.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netlink/errno.h>
#include <netlink/netlink.h>
#include <netlink/route/addr.h>
#include <netlink/route/link.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

template <typename T, void (*Free)(T*)>
struct Freer {
  void operator()(T* object) const { Free(object); }
};
using NetlinkAddress = std::unique_ptr<nl_addr, Freer<nl_addr, nl_addr_put>>;
using RouteAddress = std::unique_ptr<rtnl_addr, Freer<rtnl_addr, rtnl_addr_put>>;
using RouteLink = std::unique_ptr<rtnl_link, Freer<rtnl_link, rtnl_link_put>>;

// What the kernel takes for a name of one interface; with % it would make a name up.
absl::Status CheckName(const std::string& name) {
  if (!name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." &&
      name.find_first_of("/:% \t\n") == std::string::npos) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("'", name, "' is not a name for an interface: 1 to ", IFNAMSIZ - 1,
                                                 " characters, without spaces and none of / : %"));
}

absl::Status Taken(const std::string& name) {
  return absl::AlreadyExistsError(absl::StrCat("there is an interface ", name,
                                               " already: of another sluiced, or `ip link del ", name,
                                               "` removes it; or choose another name"));
}

absl::Status NotPermitted(const std::string& name, int error) {
  return absl::PermissionDeniedError(
      absl::StrCat("no permission to make the tap interface ", name, " (", std::strerror(error), "); run as root"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<TapInterface>> TapInterface::Create(const std::string& name) {
  if (absl::Status status = CheckName(name); !status.ok()) return status;
  auto tap = std::unique_ptr<TapInterface>(new TapInterface(name));
  if (absl::Status status = tap->OpenNetlink(); !status.ok()) return status;
  if (absl::Status status = tap->Make(); !status.ok()) return status;
  return tap;
}

TapInterface::~TapInterface() {
  if (netlink_ != nullptr) nl_socket_free(netlink_);
  if (fd_ >= 0) close(fd_);
}

absl::Status TapInterface::OpenNetlink() {
  netlink_ = nl_socket_alloc();
  if (netlink_ == nullptr) return absl::ResourceExhaustedError(absl::StrCat(name_, ": no memory for netlink"));
  if (const int result = nl_connect(netlink_, NETLINK_ROUTE); result < 0) {
    return absl::InternalError(absl::StrCat(name_, ": netlink: ", nl_geterror(result)));
  }
  return absl::OkStatus();
}

absl::Status TapInterface::Make() {
  if (if_nametoindex(name_.c_str()) != 0) return Taken(name_);
  fd_ = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd_ < 0 && (errno == EACCES || errno == EPERM)) return NotPermitted(name_, errno);
  if (fd_ < 0) {
    return absl::NotFoundError(absl::StrCat("no tap interface ", name_, ": /dev/net/tun: ", std::strerror(errno),
                                            "; `modprobe tun` (in a container: give it the device /dev/net/tun)"));
  }
  ifreq request{};
  name_.copy(request.ifr_name, IFNAMSIZ - 1);
  // EXCL: an interface that someone else left to be picked up is not ours.
  request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL);
  if (ioctl(fd_, TUNSETIFF, &request) != 0) {
    if (errno == EPERM || errno == EACCES) return NotPermitted(name_, errno);
    if (errno == EBUSY || errno == EEXIST || if_nametoindex(name_.c_str()) != 0) return Taken(name_);
    return absl::ErrnoToStatus(errno, absl::StrCat("making the tap interface ", name_));
  }
  index_ = static_cast<int>(if_nametoindex(name_.c_str()));
  if (index_ == 0) return absl::InternalError(absl::StrCat("the tap interface ", name_, " went at once"));
  return absl::OkStatus();
}

template <typename Set>
absl::Status TapInterface::Change(const std::string& what, const Set& set) {
  const RouteLink which(rtnl_link_alloc());
  const RouteLink change(rtnl_link_alloc());
  if (which == nullptr || change == nullptr) return absl::ResourceExhaustedError("no memory for netlink");
  rtnl_link_set_ifindex(which.get(), index_);
  set(change.get());
  const int result = rtnl_link_change(netlink_, which.get(), change.get(), 0);
  if (result >= 0) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("tap interface ", name_, ": the kernel refuses ", what, " (", nl_geterror(result), ")"));
}

absl::Status TapInterface::SetMac(const Mac& mac) {
  const NetlinkAddress address(nl_addr_build(AF_LLC, mac.data(), mac.size()));
  if (address == nullptr) return absl::ResourceExhaustedError("no memory for netlink");
  return Change(absl::StrCat("the MAC address ", FormatMac(mac)),
                [&](rtnl_link* link) { rtnl_link_set_addr(link, address.get()); });
}

absl::Status TapInterface::SetMtu(uint16_t mtu) {
  return Change(absl::StrCat("an MTU of ", mtu), [&](rtnl_link* link) { rtnl_link_set_mtu(link, mtu); });
}

absl::Status TapInterface::SetUp() {
  return Change("to be up", [](rtnl_link* link) { rtnl_link_set_flags(link, IFF_UP); });
}

absl::Status TapInterface::SetCarrier(bool carrier) {
  int value = carrier ? 1 : 0;
  if (ioctl(fd_, TUNSETCARRIER, &value) == 0) return absl::OkStatus();
  return absl::ErrnoToStatus(errno, absl::StrCat("tap interface ", name_, ": setting its carrier"));
}

absl::Status TapInterface::AddAddress(const Prefix& address) {
  const bool ipv4 = address.address.IsIpv4();
  const size_t skip = ipv4 ? 12 : 0;
  const NetlinkAddress local(nl_addr_build(ipv4 ? AF_INET : AF_INET6, address.address.bytes.data() + skip,
                                           address.address.bytes.size() - skip));
  const RouteAddress entry(rtnl_addr_alloc());
  if (local == nullptr || entry == nullptr) return absl::ResourceExhaustedError("no memory for netlink");
  nl_addr_set_prefixlen(local.get(), address.length);
  rtnl_addr_set_ifindex(entry.get(), index_);
  rtnl_addr_set_local(entry.get(), local.get());
  const int result = rtnl_addr_add(netlink_, entry.get(), NLM_F_EXCL);
  if (result >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("tap interface ", name_, ": the kernel refuses the address ", FormatAddress(address.address), "/",
                   address.length, " (", nl_geterror(result), ipv4 ? ")" : "; is net.ipv6.conf.*.disable_ipv6 set?)"));
}

}  // namespace sluice
