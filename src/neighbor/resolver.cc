#include "neighbor/resolver.h"

#include <algorithm>
#include <utility>

#include "neighbor/explain.h"

namespace sluice {
namespace {

// The first and the last address of a prefix, in the 16-byte form.
std::pair<Address, Address> Range(const Prefix& prefix) {
  Address first = prefix.address;
  Address last = prefix.address;
  for (int bit = prefix.length + (prefix.address.IsIpv4() ? 96 : 0); bit < 128; ++bit) {
    const auto mask = static_cast<uint8_t>(0x80 >> (bit % 8));
    first.bytes[bit / 8] = static_cast<uint8_t>(first.bytes[bit / 8] & ~mask);
    last.bytes[bit / 8] = static_cast<uint8_t>(last.bytes[bit / 8] | mask);
  }
  return {first, last};
}

bool IsUnicast(const Route& route) {
  return route.kind == Route::Kind::kUnicast;
}

NeighborKey KeyOf(const Address& address, const Route& route) {
  return {route.ifindex, NeighborAddress(address, route)};
}

}  // namespace

void Resolver::Watch(absl::Span<const Address> addresses) {
  const absl::btree_set<Address> wanted(addresses.begin(), addresses.end());
  for (auto it = destinations_.begin(); it != destinations_.end();) {
    if (wanted.contains(it->first)) {
      ++it;
      continue;
    }
    Detach(it->first, it->second);
    changes_.erase(it->first);
    it = destinations_.erase(it);
  }
  for (const Address& address : wanted) {
    const auto [it, added] = destinations_.try_emplace(address);
    if (!added) continue;
    it->second.resolution = Resolve(address, it->second);
    QueueLookup(address, it->second, absl::InfinitePast());
  }
}

Resolution Resolver::Find(const Address& address) const {
  const auto it = destinations_.find(address);
  if (it != destinations_.end()) return it->second.resolution;
  return {Resolution::State::kResolving, FormatAddress(address) + " is not watched", {}};
}

std::vector<Address> Resolver::TakeChanges() {
  std::vector<Address> changes(changes_.begin(), changes_.end());
  changes_.clear();
  return changes;
}

void Resolver::OnLink(const Link& link, absl::Time now) {
  Link& known = links_[link.ifindex];
  if (known == link) return;
  const bool came_up = link.up() && !known.up();
  const bool routes_change = link.enabled != known.enabled || link.carrier != known.carrier;
  known = link;
  if (came_up) {
    // The kernel dropped its entries when the link went down, and other hosts may be behind it now.
    for (auto& [key, neighbor] : neighbors_) {
      if (key.ifindex != link.ifindex) continue;
      neighbor.state = NeighborState();
      Look(key, neighbor, now);
    }
  }
  // Routes that vanish or revive with a link are not notified of.
  if (routes_change) OnRoutesChange(now);
  SettleLink(link.ifindex);
}

void Resolver::OnLinkGone(int ifindex, absl::Time now) {
  if (links_.erase(ifindex) == 0) return;
  OnRoutesChange(now);
  SettleLink(ifindex);
}

void Resolver::OnNeighbor(const NeighborEntry& entry, absl::Time now) {
  const auto it = neighbors_.find(entry.key);
  if (it == neighbors_.end()) return;
  const NeighborState before = it->second.state;
  it->second.state.Report(entry.state, entry.mac, now);
  SettleChange(it->first, it->second, before);
}

void Resolver::OnNeighborGone(const NeighborKey& key, absl::Time now) {
  const auto it = neighbors_.find(key);
  if (it == neighbors_.end()) return;
  const NeighborState before = it->second.state;
  it->second.state.Gone(now);
  SettleChange(it->first, it->second, before);
}

void Resolver::OnRouteChange(const Prefix& prefix, absl::Time now) {
  const auto [first, last] = Range(prefix);
  const auto end = destinations_.upper_bound(last);
  for (auto it = destinations_.lower_bound(first); it != end; ++it) {
    QueueLookup(it->first, it->second, now + kRouteDebounce);
  }
}

void Resolver::OnRoutesChange(absl::Time now) {
  refresh_due_ = std::min(refresh_due_, now + kRouteDebounce);
}

void Resolver::OnOverrun(absl::Time now) {
  resync_due_ = std::min(resync_due_, std::max(now, last_resync_ + kResyncInterval));
}

void Resolver::Run(absl::Time now) {
  if (resync_due_ <= now) Resync(now);
  if (refresh_due_ <= now) {
    refresh_due_ = now + kRouteRefresh;
    for (auto& [address, destination] : destinations_) QueueLookup(address, destination, now);
  }
  if (lookups_due_ <= now) RunLookups(now);
  if (probes_not_before_ <= now) RunProbes(now);
}

absl::Time Resolver::NextDue() const {
  const absl::Time probes_due =
      probes_.empty() ? absl::InfiniteFuture() : std::max(probes_not_before_, probes_.begin()->first);
  return std::min({resync_due_, refresh_due_, lookups_due_, probes_due});
}

void Resolver::Resync(absl::Time now) {
  last_resync_ = now;
  absl::StatusOr<std::vector<Link>> links = kernel_.Links();
  if (!links.ok()) {
    resync_due_ = now + kResyncInterval;
    return;
  }
  resync_due_ = absl::InfiniteFuture();
  absl::flat_hash_set<int> gone;
  for (const auto& [ifindex, link] : links_) gone.insert(ifindex);
  for (const Link& link : *links) {
    gone.erase(link.ifindex);
    OnLink(link, now);
  }
  for (const int ifindex : gone) OnLinkGone(ifindex, now);
  OnRoutesChange(now);
  for (auto& [key, neighbor] : neighbors_) {
    const NeighborState before = neighbor.state;
    Look(key, neighbor, now);
    SettleChange(key, neighbor, before);
  }
}

void Resolver::QueueLookup(const Address& address, Destination& destination, absl::Time at) {
  if (!destination.queued) {
    destination.queued = true;
    lookups_.push_back(address);
  }
  lookups_due_ = std::min(lookups_due_, at);
}

void Resolver::RunLookups(absl::Time now) {
  for (int i = 0; i < kLookupsPerSlice && !lookups_.empty(); ++i) {
    const Address address = lookups_.front();
    lookups_.pop_front();
    const auto it = destinations_.find(address);
    if (it == destinations_.end()) continue;
    Destination& destination = it->second;
    destination.queued = false;
    Route route = kernel_.FindRoute(address);
    // Where it led last, for the words of the failure.
    if (!IsUnicast(route)) route.ifindex = destination.route.ifindex;
    if (!destination.routed || route != destination.route) {
      Detach(address, destination);
      destination.route = route;
      destination.routed = true;
      Attach(address, destination, now);
    }
    Settle(address, destination);
  }
  lookups_due_ = lookups_.empty() ? absl::InfiniteFuture() : now + kSlice;
}

void Resolver::RunProbes(absl::Time now) {
  int budget = kProbesPerSlice;
  while (!probes_.empty() && probes_.begin()->first <= now && budget-- > 0) {
    const NeighborKey key = probes_.begin()->second;
    Neighbor& neighbor = neighbors_.at(key);
    const Link* link = FindLinkOrNull(key.ifindex);
    if (link == nullptr || !link->up() || !link->ethernet) {
      // OnLink starts afresh when it comes up; until then there is nobody to ask.
      Arm(key, neighbor, absl::InfiniteFuture());
      continue;
    }
    const NeighborState before = neighbor.state;
    Act(key, neighbor, now);
    SettleChange(key, neighbor, before);
  }
  if (budget < 0) probes_not_before_ = now + kSlice;
}

void Resolver::Act(const NeighborKey& key, Neighbor& neighbor, absl::Time now) {
  switch (neighbor.state.Next(now)) {
    case NeighborState::Action::kUse: {
      const absl::Status used = kernel_.Use(key);
      if (!used.ok()) neighbor.state.Refused(used, now);
      return;
    }
    case NeighborState::Action::kProbe:
      // An error means that the entry is no longer what we thought.
      if (kernel_.Probe(key).ok()) return;
      break;
    case NeighborState::Action::kLook:
      break;
  }
  Look(key, neighbor, now);
}

void Resolver::Look(const NeighborKey& key, Neighbor& neighbor, absl::Time now) {
  const std::optional<NeighborEntry> entry = kernel_.FindNeighbor(key);
  if (entry.has_value()) {
    neighbor.state.Report(entry->state, entry->mac, now);
  } else {
    neighbor.state.Gone(now);
  }
  Arm(key, neighbor, neighbor.state.due());
}

void Resolver::Arm(const NeighborKey& key, Neighbor& neighbor, absl::Time at) {
  if (at == neighbor.armed) return;
  if (neighbor.armed != absl::InfiniteFuture()) probes_.erase({neighbor.armed, key});
  if (at != absl::InfiniteFuture()) probes_.insert({at, key});
  neighbor.armed = at;
}

void Resolver::Attach(const Address& address, const Destination& destination, absl::Time now) {
  if (!IsUnicast(destination.route)) return;
  const NeighborKey key = KeyOf(address, destination.route);
  const auto [it, added] = neighbors_.try_emplace(key);
  it->second.users.insert(address);
  if (added) Look(key, it->second, now);
}

void Resolver::Detach(const Address& address, const Destination& destination) {
  if (!destination.routed || !IsUnicast(destination.route)) return;
  const auto it = neighbors_.find(KeyOf(address, destination.route));
  if (it == neighbors_.end()) return;
  it->second.users.erase(address);
  if (!it->second.users.empty()) return;
  Arm(it->first, it->second, absl::InfiniteFuture());
  neighbors_.erase(it);
}

void Resolver::SettleChange(const NeighborKey& key, Neighbor& neighbor, const NeighborState& before) {
  Arm(key, neighbor, neighbor.state.due());
  // Most reports are the kernel's own business (stale, probe, reachable again), and a gateway has thousands of users.
  if (neighbor.state.SameAnswer(before)) return;
  for (const Address& address : neighbor.users) Settle(address, destinations_.at(address));
}

void Resolver::SettleLink(int ifindex) {
  for (auto& [address, destination] : destinations_) {
    const Link* link = FindLinkOrNull(destination.route.ifindex);
    if (destination.route.ifindex == ifindex || (link != nullptr && link->parent == ifindex)) {
      Settle(address, destination);
    }
  }
}

void Resolver::Settle(const Address& address, Destination& destination) {
  Resolution resolution = Resolve(address, destination);
  if (resolution == destination.resolution) return;
  destination.resolution = std::move(resolution);
  changes_.insert(address);
}

Resolution Resolver::Resolve(const Address& address, const Destination& destination) const {
  if (!destination.routed) return ExplainNextHop(address, {});
  Evidence evidence{.route = &destination.route, .link = FindLinkOrNull(destination.route.ifindex)};
  evidence.port = evidence.link;
  if (evidence.link != nullptr && evidence.link->vlan != 0) evidence.port = FindLinkOrNull(evidence.link->parent);
  if (IsUnicast(destination.route)) {
    const auto it = neighbors_.find(KeyOf(address, destination.route));
    if (it != neighbors_.end()) evidence.neighbor = &it->second.state;
  }
  return ExplainNextHop(address, evidence);
}

const Link* Resolver::FindLinkOrNull(int ifindex) const {
  const auto it = links_.find(ifindex);
  return it == links_.end() ? nullptr : &it->second;
}

}  // namespace sluice
