#include "neighbor/rtnetlink.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <netlink/cache.h>
#include <netlink/errno.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <netlink/socket.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "neighbor/rtnetlink_parse.h"

namespace sluice {
namespace {

using Message = std::unique_ptr<nl_msg, decltype(&nlmsg_free)>;

absl::Status NetlinkError(const char* what, int error) {
  return absl::UnavailableError(absl::StrCat("cannot ", what, " over netlink: ", nl_geterror(error)));
}

template <typename Header>
Message NewMessage(int type, int flags, Header header) {
  Message message(nlmsg_alloc_simple(type, flags), nlmsg_free);
  nlmsg_append(message.get(), &header, sizeof(header), NLMSG_ALIGNTO);
  return message;
}

int Family(const Address& address) {
  return address.IsIpv4() ? AF_INET : AF_INET6;
}

int Length(const Address& address) {
  return address.IsIpv4() ? 4 : 16;
}

void PutAddress(nl_msg* message, int type, const Address& address) {
  nla_put(message, type, Length(address), address.bytes.data() + address.bytes.size() - Length(address));
}

// What came back for one request: a message or an errno.
struct Answer {
  uint32_t sequence = 0;
  std::function<void(nlmsghdr*)> on_message;
  bool done = false;
  int error = 0;
};

int OnSequence(nl_msg* message, void* answer) {
  return nlmsg_hdr(message)->nlmsg_seq == static_cast<Answer*>(answer)->sequence ? NL_OK : NL_SKIP;
}

int OnMessage(nl_msg* message, void* arg) {
  Answer& answer = *static_cast<Answer*>(arg);
  answer.done = true;
  if (answer.on_message) answer.on_message(nlmsg_hdr(message));
  return NL_OK;
}

int OnAck(nl_msg* /*message*/, void* answer) {
  static_cast<Answer*>(answer)->done = true;
  return NL_OK;
}

int OnError(sockaddr_nl* /*from*/, nlmsgerr* error, void* arg) {
  Answer& answer = *static_cast<Answer*>(arg);
  if (error->msg.nlmsg_seq != answer.sequence) return NL_SKIP;
  answer.done = true;
  answer.error = -error->error;
  return NL_STOP;
}

// Sends one request and reads its answer, which the kernel has queued before the sending returns. An errno, or 0.
int Ask(nl_sock* socket, nl_msg* message, std::function<void(nlmsghdr*)> on_message) {
  if (nl_send_auto(socket, message) < 0) return EIO;
  Answer answer{.sequence = nlmsg_hdr(message)->nlmsg_seq, .on_message = std::move(on_message)};
  nl_cb* callbacks = nl_cb_alloc(NL_CB_DEFAULT);
  const absl::Cleanup put = [callbacks] { nl_cb_put(callbacks); };
  nl_cb_set(callbacks, NL_CB_SEQ_CHECK, NL_CB_CUSTOM, OnSequence, &answer);
  nl_cb_set(callbacks, NL_CB_VALID, NL_CB_CUSTOM, OnMessage, &answer);
  nl_cb_set(callbacks, NL_CB_ACK, NL_CB_CUSTOM, OnAck, &answer);
  nl_cb_err(callbacks, NL_CB_CUSTOM, OnError, &answer);
  // An answer to an earlier request that came too late is skipped.
  while (!answer.done) {
    if (nl_recvmsgs(socket, callbacks) < 0 && !answer.done) return EIO;
  }
  return answer.error;
}

absl::StatusOr<Socket> Connect() {
  Socket socket(nl_socket_alloc());
  if (socket == nullptr) return absl::ResourceExhaustedError("no memory for a netlink socket");
  if (const int error = nl_connect(socket.get(), NETLINK_ROUTE); error < 0) return NetlinkError("connect", error);
  return socket;
}

absl::StatusOr<Socket> ConnectForEvents(int buffer) {
  absl::StatusOr<Socket> socket = Connect();
  if (!socket.ok()) return socket;
  nl_socket_disable_seq_check(socket->get());
  const int fd = nl_socket_get_fd(socket->get());
  // The forced form is not bound by net.core.rmem_max but needs CAP_NET_ADMIN; without it a small buffer will do, with
  // more overruns.
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) != 0) {
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
  }
  const int error = nl_socket_add_memberships(socket->get(), RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_ROUTE,
                                              RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                                              RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_NONE);
  if (error < 0) return NetlinkError("subscribe to changes", error);
  // Next-hop objects came with Linux 5.3; an older kernel has nothing to tell.
  nl_socket_add_memberships(socket->get(), RTNLGRP_NEXTHOP, RTNLGRP_NONE);
  if (nl_socket_set_nonblocking(socket->get()) < 0) return absl::InternalError("cannot make a socket non-blocking");
  return socket;
}

}  // namespace

void SocketCloser::operator()(nl_sock* socket) const {
  nl_socket_free(socket);
}

absl::StatusOr<Socket> ConnectRtnetlink() {
  absl::StatusOr<Socket> socket = Connect();
  if (!socket.ok()) return socket;
  nl_socket_disable_auto_ack(socket->get());
  // Should an answer ever be lost, the question counts as unanswered; the control thread must not hang.
  const timeval patience{.tv_sec = 1, .tv_usec = 0};
  setsockopt(nl_socket_get_fd(socket->get()), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
  return socket;
}

absl::StatusOr<std::unique_ptr<Rtnetlink>> Rtnetlink::Open(Events events, int event_buffer) {
  std::unique_ptr<Rtnetlink> kernel(new Rtnetlink(std::move(events)));
  absl::StatusOr<Socket> questions = ConnectRtnetlink();
  if (!questions.ok()) return questions.status();
  kernel->questions_ = *std::move(questions);
  absl::StatusOr<Socket> notifications = ConnectForEvents(event_buffer);
  if (!notifications.ok()) return notifications.status();
  kernel->notifications_ = *std::move(notifications);
  const auto on_event = [](nl_msg* message, void* self) -> int {
    static_cast<Rtnetlink*>(self)->OnEvent(nlmsg_hdr(message));
    return NL_OK;
  };
  nl_socket_modify_cb(kernel->notifications_.get(), NL_CB_VALID, NL_CB_CUSTOM, on_event, kernel.get());
  return kernel;
}

absl::StatusOr<std::vector<Link>> Rtnetlink::Links() {
  nl_cache* cache = nullptr;
  if (const int error = rtnl_link_alloc_cache(questions_.get(), AF_UNSPEC, &cache); error < 0) {
    return NetlinkError("list interfaces", error);
  }
  const absl::Cleanup free = [cache] { nl_cache_free(cache); };
  std::vector<Link> links;
  for (nl_object* object = nl_cache_get_first(cache); object != nullptr; object = nl_cache_get_next(object)) {
    links.push_back(ToLink(reinterpret_cast<rtnl_link*>(object)));
  }
  return links;
}

Route Rtnetlink::FindRoute(const Address& destination) {
  const Message message = NewMessage(RTM_GETROUTE, 0,
                                     rtmsg{.rtm_family = static_cast<unsigned char>(Family(destination)),
                                           .rtm_dst_len = static_cast<unsigned char>(8 * Length(destination))});
  PutAddress(message.get(), RTA_DST, destination);
  Route route{.kind = Route::Kind::kError, .error = EPROTO};
  const int error =
      Ask(questions_.get(), message.get(), [&route](nlmsghdr* answer) { route = ParseRoute(answer).value_or(route); });
  return error == 0 ? route : RouteFromError(error);
}

std::optional<NeighborEntry> Rtnetlink::FindNeighbor(const NeighborKey& key) {
  const Message message =
      NewMessage(RTM_GETNEIGH, 0,
                 ndmsg{.ndm_family = static_cast<unsigned char>(Family(key.address)), .ndm_ifindex = key.ifindex});
  PutAddress(message.get(), NDA_DST, key.address);
  std::optional<NeighborEntry> entry;
  const int error = Ask(questions_.get(), message.get(), [&entry](nlmsghdr* answer) { entry = ParseNeighbor(answer); });
  return error == 0 ? entry : std::nullopt;
}

absl::Status Rtnetlink::Use(const NeighborKey& key) {
  return Solicit(key, NUD_NONE, NTF_USE, NLM_F_CREATE);
}

absl::Status Rtnetlink::Probe(const NeighborKey& key) {
  return Solicit(key, NUD_PROBE, 0, NLM_F_REPLACE);
}

absl::Status Rtnetlink::Solicit(const NeighborKey& key, uint16_t state, uint8_t flags, int netlink_flags) {
  const Message message = NewMessage(RTM_NEWNEIGH, netlink_flags | NLM_F_ACK,
                                     ndmsg{.ndm_family = static_cast<unsigned char>(Family(key.address)),
                                           .ndm_ifindex = key.ifindex,
                                           .ndm_state = state,
                                           .ndm_flags = flags});
  PutAddress(message.get(), NDA_DST, key.address);
  const int error = Ask(questions_.get(), message.get(), nullptr);
  switch (error) {
    case 0:
      return absl::OkStatus();
    case ENOBUFS:
    case ENOMEM:
      return absl::ResourceExhaustedError(absl::StrCat("its neighbour table is full; raise net.",
                                                       key.address.IsIpv4() ? "ipv4" : "ipv6",
                                                       ".neigh.default.gc_thresh3 (and gc_thresh2) above the "
                                                       "number of hosts on the links"));
    case EPERM:
      return absl::PermissionDeniedError("no permission; run as root or with CAP_NET_ADMIN");
    default:
      return absl::UnavailableError(strerror(error));
  }
}

int Rtnetlink::event_fd() const {
  return nl_socket_get_fd(notifications_.get());
}

bool Rtnetlink::ReadEvents(int most) {
  bool complete = true;
  for (int i = 0; i < most; ++i) {
    const int error = nl_recvmsgs_default(notifications_.get());
    if (error == -NLE_AGAIN) break;
    // libnl's name for ENOBUFS. Reading goes on: the rest of the queue is still good.
    if (error == -NLE_NOMEM) complete = false;
  }
  return complete;
}

void Rtnetlink::OnEvent(nlmsghdr* message) {
  switch (message->nlmsg_type) {
    case RTM_NEWLINK:
      if (const auto link = ParseLink(message)) events_.link(*link);
      return;
    case RTM_DELLINK:
      if (const auto link = ParseLink(message)) events_.link_gone(link->ifindex);
      return;
    case RTM_NEWNEIGH:
      if (const auto entry = ParseNeighbor(message)) events_.neighbor(*entry);
      return;
    case RTM_DELNEIGH:
      if (const auto entry = ParseNeighbor(message)) events_.neighbor_gone(entry->key);
      return;
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      if (const auto prefix = ParseRoutePrefix(message)) events_.route(*prefix);
      return;
    // A new address only adds routes, of which the kernel notifies; with an old one, routes go in silence.
    case RTM_DELADDR:
    case RTM_NEWRULE:
    case RTM_DELRULE:
    case RTM_NEWNEXTHOP:
    case RTM_DELNEXTHOP:
      events_.routes();
      return;
    default:
      return;
  }
}

}  // namespace sluice
