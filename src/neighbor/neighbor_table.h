// The next hop of every backend, as this host's kernel would choose it, kept up to date.
//
// For each watched address the table asks the kernel for the route (policy rules, gateways and all), makes it resolve
// the neighbour and follows changes of routes, neighbours and interfaces. It works in the network namespace of the
// thread that opened it, and needs CAP_NET_ADMIN to make the kernel resolve.
//
// Driven by an event loop: when fd() polls readable call Process(), then TakeChanges(). Retries and deadlines wake fd()
// by themselves, there is nothing else to call. No call blocks, and none takes longer than a few milliseconds whatever
// the number of addresses: 10,000 are looked up within about a second. Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/address.h"
#include "neighbor/next_hop.h"

namespace sluice {

class Rtnetlink;
class Resolver;

class NeighborTable {
 public:
  struct Options {
    // Bytes of notifications that the kernel keeps for us; when they overflow, everything is asked again.
    int event_buffer = 4 << 20;
  };
  static absl::StatusOr<std::unique_ptr<NeighborTable>> Open(const Options& options);
  static absl::StatusOr<std::unique_ptr<NeighborTable>> Open() { return Open(Options()); }
  ~NeighborTable();

  // Watches these addresses and no others from now on; what is known about those that stay is kept. Resolution starts
  // with the next Process().
  void Watch(absl::Span<const Address> addresses);

  // Readable when Process() has something to do. Valid as long as the table; only to be polled.
  int fd() const { return epoll_; }
  // Handles notifications and due work. `now` comes from a clock that never jumps (CLOCK_MONOTONIC); it paces retries.
  void Process(absl::Time now);

  // Watched addresses whose resolution changed since the last call, in the order of addresses. An address that has just
  // been watched is among them as soon as more is known than "being looked up".
  std::vector<Address> TakeChanges();
  // Resolving, with a reason, when the address is not watched.
  Resolution Find(const Address& address) const;

  // How often notifications were lost and everything was asked again.
  uint64_t overruns() const { return overruns_; }

 private:
  NeighborTable();
  // Makes fd() readable after `wait`, at once when that is not positive.
  void Wake(absl::Duration wait);

  std::unique_ptr<Rtnetlink> kernel_;
  std::unique_ptr<Resolver> resolver_;
  // The time that notifications are handled at.
  absl::Time now_ = absl::InfinitePast();
  uint64_t overruns_ = 0;
  int epoll_ = -1;
  int timer_ = -1;
};

}  // namespace sluice
