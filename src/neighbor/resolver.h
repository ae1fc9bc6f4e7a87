// Addresses -> resolutions: joins routes, links and neighbours, and decides what to ask the kernel next and when.
//
// Pure logic over the Kernel interface: the owner feeds it the kernel's notifications and the time, and calls Run() at
// NextDue(). Work comes in slices, so that no call takes longer than about two milliseconds, however many addresses
// there are. Any clock that never jumps will do. Thread-safety: one thread.
#pragma once

#include <deque>
#include <utility>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/time/time.h"
#include "absl/types/span.h"
#include "base/address.h"
#include "neighbor/kernel.h"
#include "neighbor/link.h"
#include "neighbor/neighbor_state.h"
#include "neighbor/next_hop.h"

namespace sluice {

class Resolver {
 public:
  // At most this many route look-ups, and solicitations, in one Run(); Runs that have work are this far apart.
  static constexpr int kLookupsPerSlice = 128;
  static constexpr int kProbesPerSlice = 32;
  static constexpr absl::Duration kSlice = absl::Milliseconds(10);
  // Route changes are collected for so long before the addresses in them are looked up: a routing daemon that loads a
  // full table costs at most one look-up for each address in this time, and no more than the slices allow.
  static constexpr absl::Duration kRouteDebounce = absl::Milliseconds(50);
  // All routes are looked up again after this long, because the kernel changes some in silence (expired path MTUs).
  static constexpr absl::Duration kRouteRefresh = absl::Seconds(60);
  // Overruns are answered with at most one full resynchronisation in this time.
  static constexpr absl::Duration kResyncInterval = absl::Seconds(1);

  explicit Resolver(Kernel* kernel) : kernel_(*kernel) {}

  // From now on these addresses and no others. What is known about those that stay is kept.
  void Watch(absl::Span<const Address> addresses);
  // Resolving, with a reason, when the address is not watched.
  Resolution Find(const Address& address) const;
  // Watched addresses whose resolution has changed since the last call, each once, in order.
  std::vector<Address> TakeChanges();

  // Notifications.
  void OnLink(const Link& link, absl::Time now);
  void OnLinkGone(int ifindex, absl::Time now);
  void OnNeighbor(const NeighborEntry& entry, absl::Time now);
  void OnNeighborGone(const NeighborKey& key, absl::Time now);
  void OnRouteChange(const Prefix& prefix, absl::Time now);
  // Any route may have changed: rules, next-hop objects, removed local addresses.
  void OnRoutesChange(absl::Time now);
  // Notifications were lost: ask for everything again, at the next Run.
  void OnOverrun(absl::Time now);

  // Does what is due, up to one slice.
  void Run(absl::Time now);
  absl::Time NextDue() const;

 private:
  struct Destination {
    Route route;
    // The route has been looked up at least once.
    bool routed = false;
    // Waits in lookups_.
    bool queued = false;
    Resolution resolution;
  };
  struct Neighbor {
    NeighborState state;
    absl::Time armed = absl::InfiniteFuture();
    absl::flat_hash_set<Address> users;
  };
  using Destinations = absl::btree_map<Address, Destination>;

  void Resync(absl::Time now);
  void RunLookups(absl::Time now);
  void RunProbes(absl::Time now);
  void Act(const NeighborKey& key, Neighbor& neighbor, absl::Time now);
  void Look(const NeighborKey& key, Neighbor& neighbor, absl::Time now);
  void Arm(const NeighborKey& key, Neighbor& neighbor, absl::Time at);
  void Attach(const Address& address, const Destination& destination, absl::Time now);
  void Detach(const Address& address, const Destination& destination);
  void QueueLookup(const Address& address, Destination& destination, absl::Time at);
  // Recomputes the resolutions that a neighbour's report, or a link, may have changed.
  void SettleChange(const NeighborKey& key, Neighbor& neighbor, const NeighborState& before);
  void SettleLink(int ifindex);
  void Settle(const Address& address, Destination& destination);
  Resolution Resolve(const Address& address, const Destination& destination) const;
  const Link* FindLinkOrNull(int ifindex) const;

  Kernel& kernel_;
  // Ordered, so that the addresses of a prefix are a range.
  Destinations destinations_;
  absl::flat_hash_map<NeighborKey, Neighbor> neighbors_;
  absl::flat_hash_map<int, Link> links_;
  absl::btree_set<Address> changes_;

  std::deque<Address> lookups_;
  absl::Time lookups_due_ = absl::InfiniteFuture();
  // When all routes are queued again: kRouteRefresh after the last time, or sooner when any may have changed.
  absl::Time refresh_due_ = absl::InfinitePast();
  absl::btree_set<std::pair<absl::Time, NeighborKey>> probes_;
  absl::Time probes_not_before_ = absl::InfinitePast();
  // The first Run asks for everything.
  absl::Time resync_due_ = absl::InfinitePast();
  absl::Time last_resync_ = absl::InfinitePast();
};

}  // namespace sluice
