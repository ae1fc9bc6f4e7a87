#include "tables/listener_index.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "sluice/hash.h"

namespace sluice {
namespace {

// Ports of one listener on one protocol.
struct Claim {
  Address address;
  uint32_t protocol;
  uint32_t first;
  uint32_t last;
  uint32_t listener;
  // Of `first`, in what the operator wrote, where that matters; else the port itself, so that neighbours join.
  uint32_t offset;

  auto Group() const { return std::tie(address, protocol); }
  auto Order() const { return std::tie(address, protocol, first, last, listener); }
};

std::vector<Claim> ReadClaims(const DesiredState& state, std::span<const uint32_t> indices) {
  std::vector<Claim> claims;
  for (size_t i = 0; i < state.front->listeners.size(); i++) {
    const DesiredListener& listener = state.front->listeners[i];
    const v1::Listener::Protocol protocol = listener.config->protocol();
    for (const v1::PortRange& range : listener.config->ports()) {
      const Claim claim{listener.address, SLUICE_IP_TCP, range.first(),
                        range.last(),     indices[i],    listener.translates ? 0 : range.first()};
      if (protocol != v1::Listener::UDP) claims.push_back(claim);
      if (protocol == v1::Listener::TCP) continue;
      claims.push_back(claim);
      claims.back().protocol = SLUICE_IP_UDP;
    }
  }
  std::sort(claims.begin(), claims.end(), [](const Claim& a, const Claim& b) { return a.Order() < b.Order(); });
  return claims;
}

// "80, 81, 82" and "80-82" are the same to the path.
std::vector<Claim> JoinAdjacent(const std::vector<Claim>& claims) {
  std::vector<Claim> joined;
  for (const Claim& claim : claims) {
    if (!joined.empty() && joined.back().Group() == claim.Group() && joined.back().listener == claim.listener &&
        joined.back().last + 1 == claim.first &&
        joined.back().offset + (claim.first - joined.back().first) == claim.offset) {
      joined.back().last = claim.last;
    } else {
      joined.push_back(claim);
    }
  }
  return joined;
}

// Keys and ranges as they will lie in the tables, before each key has its place.
struct Contents {
  std::vector<sluice_index_entry> keys;
  std::vector<sluice_port_range> ranges;
};

sluice_index_entry Key(const Address& address, uint32_t key, uint32_t value, sluice_index_kind kind) {
  sluice_index_entry entry{};
  std::memcpy(&entry.address, address.bytes.data(), address.bytes.size());
  entry.key = key;
  entry.value = value;
  entry.kind = static_cast<uint16_t>(kind);
  return entry;
}

void AddPorts(const Claim& claim, Contents& contents) {
  for (uint32_t port = claim.first; port <= claim.last; port++) {
    contents.keys.push_back(
        Key(claim.address, sluice_index_key(claim.protocol, SLUICE_16(port)), claim.listener, SLUICE_INDEX_LISTENER));
    // 0 for those that joined: theirs is nobody's business.
    contents.keys.back().count = claim.offset == 0 ? static_cast<uint16_t>(port - claim.first) : 0;
  }
}

void AddRanges(std::span<const Claim* const> ranges, Contents& contents) {
  if (ranges.empty()) return;
  const Claim& any = *ranges.front();
  const auto first = static_cast<uint32_t>(contents.ranges.size());
  contents.keys.push_back(Key(any.address, sluice_index_key(any.protocol, 0), first, SLUICE_INDEX_RANGES));
  contents.keys.back().count = static_cast<uint16_t>(ranges.size());
  for (const Claim* range : ranges) {
    contents.ranges.push_back(
        {static_cast<uint16_t>(range->first), static_cast<uint16_t>(range->last), range->listener});
  }
}

// The claims on one address and protocol. More ranges than the path searches: the shortest ones become ports.
void AddGroup(std::span<const Claim> group, uint32_t expanded, Contents& contents) {
  std::vector<const Claim*> ranges;
  for (const Claim& claim : group) {
    if (claim.last - claim.first < expanded) {
      AddPorts(claim, contents);
    } else {
      ranges.push_back(&claim);
    }
  }
  if (ranges.size() > SLUICE_PORT_RANGES) {
    const auto longer = [](const Claim* a, const Claim* b) { return a->last - a->first > b->last - b->first; };
    std::stable_sort(ranges.begin(), ranges.end(), longer);
    for (size_t i = SLUICE_PORT_RANGES; i < ranges.size(); i++) AddPorts(*ranges[i], contents);
    ranges.resize(SLUICE_PORT_RANGES);
    std::sort(ranges.begin(), ranges.end(), [](const Claim* a, const Claim* b) { return a->first < b->first; });
  }
  AddRanges(ranges, contents);
}

void AddVirtualAddresses(const DesiredState& state, Contents& contents) {
  for (const VirtualAddress& address : state.front->virtual_addresses) {
    const uint32_t flags = (address.echo ? SLUICE_VIRTUAL_ECHO : 0) | (address.announce ? SLUICE_VIRTUAL_ANNOUNCE : 0) |
                           (address.nat ? SLUICE_VIRTUAL_NAT : 0);
    contents.keys.push_back(Key(address.address, sluice_index_key(0, 0), flags, SLUICE_INDEX_VIRTUAL));
  }
}

// The listener whose pool gets the pings of an address: the first that has it.
void AddEcho(const DesiredState& state, std::span<const uint32_t> indices, Contents& contents) {
  std::set<Address> seen;
  for (size_t i = 0; i < state.front->listeners.size(); i++) {
    const DesiredListener& listener = state.front->listeners[i];
    const bool forwards = listener.config->icmp_echo() == v1::Listener::FORWARD && listener.translates;
    if (!forwards || !seen.insert(listener.address).second) continue;
    contents.keys.push_back(
        Key(listener.address, sluice_index_key(SLUICE_IP_ICMP, 0), indices[i], SLUICE_INDEX_LISTENER));
  }
}

// Servers whose answers to clients' own addresses come back through us.
void AddServers(const DesiredState& state, Contents& contents) {
  std::set<Address> servers;
  for (const std::shared_ptr<DesiredPool>& pool : state.pools) {
    if (pool->config->forwarding() != v1::Pool::NAT) continue;
    for (const DesiredBackend& backend : pool->backends) servers.insert(backend.address);
  }
  for (const Address& address : servers) {
    contents.keys.push_back(Key(address, sluice_index_key(SLUICE_INDEX_SERVER_PROTOCOL, 0), 0, SLUICE_INDEX_SERVER));
  }
}

Contents MakeContents(const DesiredState& state, std::span<const uint32_t> indices, std::span<const Claim> claims,
                      uint32_t expanded) {
  Contents contents;
  for (size_t begin = 0, end = 0; begin < claims.size(); begin = end) {
    while (end < claims.size() && claims[end].Group() == claims[begin].Group()) end++;
    AddGroup(claims.subspan(begin, end - begin), expanded, contents);
  }
  AddVirtualAddresses(state, contents);
  AddEcho(state, indices, contents);
  AddServers(state, contents);
  return contents;
}

absl::StatusOr<Contents> ReadContents(const DesiredState& state, std::span<const uint32_t> indices) {
  const std::vector<Claim> claims = JoinAdjacent(ReadClaims(state, indices));
  size_t expanded = 0;
  for (const Claim& claim : claims) {
    const uint32_t ports = claim.last - claim.first + 1;
    if (ports <= kExpandedPorts) expanded += ports;
  }
  // Memory before speed, when there are that many.
  Contents contents = MakeContents(state, indices, claims, expanded <= kMaxIndexKeys / 2 ? kExpandedPorts : 1);
  if (contents.keys.size() <= kMaxIndexKeys) return contents;
  return absl::InvalidArgumentError(absl::StrCat("all listeners together have ", contents.keys.size(),
                                                 " single ports; at most ", kMaxIndexKeys,
                                                 " are possible: write them as ranges, or use fewer"));
}

constexpr uint32_t kNobody = UINT32_MAX;
// Nearly all places are empty while that takes no more than so many, 1 MiB: then nearly all keys are at home, and one
// look tells what is nobody's.
constexpr size_t kSparsePlaces = 32768;
constexpr size_t kLeastPlaces = 256;

uint32_t LeastPlaces(size_t keys) {
  return static_cast<uint32_t>(std::bit_ceil(std::max(2 * keys, std::clamp(8 * keys, kLeastPlaces, kSparsePlaces))));
}

// Which key has which place; nothing when one would be too far from its home for the path. Robin Hood hashing (Celis,
// 1986): who is further from home has the place, so all are about equally far; it is still linear probing to a reader,
// who stops at the first empty place.
std::vector<uint32_t> Place(std::span<const uint32_t> hashes, uint32_t size) {
  const uint32_t mask = size - 1;
  std::vector<uint32_t> places(size, kNobody);
  for (uint32_t i = 0; i < hashes.size(); i++) {
    uint32_t key = i;
    uint32_t distance = 0;
    for (uint32_t at = hashes[i] & mask; places[at] != kNobody; at = (at + 1) & mask) {
      const uint32_t other_distance = (at - hashes[places[at]]) & mask;
      if (other_distance < distance) {
        std::swap(places[at], key);
        distance = other_distance;
      }
      if (++distance >= SLUICE_INDEX_PROBES) return {};
    }
    places[(hashes[key] + distance) & mask] = key;
  }
  return places;
}

}  // namespace

absl::StatusOr<ListenerIndex> BuildListenerIndex(const DesiredState& state, std::span<const uint32_t> indices,
                                                 HugePages pages) {
  const absl::StatusOr<Contents> contents = ReadContents(state, indices);
  if (!contents.ok()) return contents.status();
  std::vector<uint32_t> hashes;
  hashes.reserve(contents->keys.size());
  for (const sluice_index_entry& key : contents->keys) {
    hashes.push_back(sluice_hash_index(&key.address, key.key));
  }
  const uint32_t least = LeastPlaces(hashes.size());
  std::vector<uint32_t> places;
  for (uint32_t size = least; places.empty() && size <= 16 * least; size *= 2) places = Place(hashes, size);
  if (places.empty()) {
    return absl::InternalError(absl::StrCat(hashes.size(), " listener keys find no place in an index of ", 16 * least,
                                            " entries; spread their addresses and ports in another way"));
  }
  absl::StatusOr<Region> entries = Region::Create(places.size() * sizeof(sluice_index_entry), pages);
  if (!entries.ok()) return entries.status();
  absl::StatusOr<Region> ranges = Region::Create(contents->ranges.size() * sizeof(sluice_port_range), pages);
  if (!ranges.ok()) return ranges.status();
  for (size_t i = 0; i < places.size(); i++) {
    if (places[i] != kNobody) entries->As<sluice_index_entry>()[i] = contents->keys[places[i]];
  }
  std::copy(contents->ranges.begin(), contents->ranges.end(), ranges->As<sluice_port_range>());
  return ListenerIndex{*std::move(entries), *std::move(ranges), static_cast<uint32_t>(places.size() - 1)};
}

}  // namespace sluice
