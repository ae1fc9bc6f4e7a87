// The Kernel over netlink (rtnetlink(7)), by libnl: one socket for questions, one for notifications.
//
// Both live in the network namespace of the thread that called Open. Thread-safety: one thread.
#pragma once

#include <linux/netlink.h>

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "neighbor/kernel.h"
#include "neighbor/link.h"

struct nl_sock;

namespace sluice {

struct SocketCloser {
  void operator()(nl_sock* socket) const;
};
using Socket = std::unique_ptr<nl_sock, SocketCloser>;

// A socket for questions: each is answered before the next is asked.
absl::StatusOr<Socket> ConnectRtnetlink();

class Rtnetlink : public Kernel {
 public:
  // Where notifications go; all are called from ReadEvents.
  struct Events {
    std::function<void(const Link&)> link;
    std::function<void(int ifindex)> link_gone;
    std::function<void(const NeighborEntry&)> neighbor;
    std::function<void(const NeighborKey&)> neighbor_gone;
    std::function<void(const Prefix&)> route;
    std::function<void()> routes;
  };
  // `event_buffer`: bytes that the kernel keeps of unread notifications.
  static absl::StatusOr<std::unique_ptr<Rtnetlink>> Open(Events events, int event_buffer);

  absl::StatusOr<std::vector<Link>> Links() override;
  Route FindRoute(const Address& destination) override;
  std::optional<NeighborEntry> FindNeighbor(const NeighborKey& key) override;
  absl::Status Use(const NeighborKey& key) override;
  absl::Status Probe(const NeighborKey& key) override;

  // Readable when there are notifications.
  int event_fd() const;
  // Reads what is there, at most `most` notifications. False when the kernel had to throw some away (ENOBUFS).
  bool ReadEvents(int most);

 private:
  explicit Rtnetlink(Events events) : events_(std::move(events)) {}
  absl::Status Solicit(const NeighborKey& key, uint16_t state, uint8_t flags, int netlink_flags);
  void OnEvent(nlmsghdr* message);

  Events events_;
  Socket questions_;
  Socket notifications_;
};

}  // namespace sluice
