#include "neighbor/link.h"

#include <netlink/errno.h>
#include <netlink/route/link.h>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "neighbor/rtnetlink.h"
#include "neighbor/rtnetlink_parse.h"

namespace sluice {
namespace {

absl::StatusOr<Link> Find(const char* name, int ifindex) {
  absl::StatusOr<Socket> socket = ConnectRtnetlink();
  if (!socket.ok()) return socket.status();
  rtnl_link* link = nullptr;
  const int error = rtnl_link_get_kernel(socket->get(), ifindex, name, &link);
  const absl::Cleanup put = [&link] { rtnl_link_put(link); };
  const std::string what = name != nullptr ? absl::StrCat("\"", name, "\"") : absl::StrCat("with index ", ifindex);
  if (error == -NLE_NODEV || error == -NLE_OBJ_NOTFOUND) {
    return absl::NotFoundError(absl::StrCat("there is no interface ", what, "; `ip link` lists those there are"));
  }
  if (error < 0) {
    return absl::UnavailableError(absl::StrCat("cannot look up interface ", what, ": ", nl_geterror(error)));
  }
  return ToLink(link);
}

}  // namespace

absl::StatusOr<Link> FindLink(std::string_view name) {
  return Find(std::string(name).c_str(), 0);
}

absl::StatusOr<Link> FindLink(int ifindex) {
  return Find(nullptr, ifindex);
}

}  // namespace sluice
