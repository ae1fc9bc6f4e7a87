// The questions that the resolver asks the kernel, and the kernel's answers as plain data.
//
// An interface so that the resolver is tested without a kernel; the real one is rtnetlink.h. Every call is answered at
// once (netlink requests are served inside the sending system call), in the order of 10 microseconds.
// Thread-safety: belongs to the thread of the resolver.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "neighbor/link.h"

namespace sluice {

// What the kernel does with a packet to some address (rtnetlink(7), RTM_GETROUTE).
struct Route {
  enum class Kind {
    kUnicast,
    // No route at all (ENETUNREACH).
    kNone,
    // Routes that refuse: `ip route add blackhole|unreachable|prohibit`.
    kBlackhole,
    kUnreachable,
    kProhibited,
    // An address of this host.
    kLocal,
    // Broadcast, multicast or anycast.
    kNotUnicast,
    // The kernel gave an error that is none of the above: `error` (errno).
    kError,
  };
  Kind kind = Kind::kNone;
  int error = 0;
  int ifindex = 0;
  // Absent when the address is on the link. May be IPv6 for an IPv4 destination (RFC 5549).
  std::optional<Address> gateway;
  // 0 when the route has none.
  uint32_t mtu = 0;

  bool operator==(const Route&) const = default;
};

struct NeighborKey {
  int ifindex = 0;
  Address address;

  auto operator<=>(const NeighborKey&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const NeighborKey& key) {
    return H::combine(std::move(h), key.ifindex, key.address);
  }
};

// A neighbour entry: `state` is one of NUD_* of <linux/neighbour.h>.
struct NeighborEntry {
  NeighborKey key;
  uint16_t state = 0;
  std::optional<Mac> mac;
};

class Kernel {
 public:
  virtual ~Kernel() = default;

  virtual absl::StatusOr<std::vector<Link>> Links() = 0;
  virtual Route FindRoute(const Address& destination) = 0;
  // nullopt when there is no such entry.
  virtual std::optional<NeighborEntry> FindNeighbor(const NeighborKey& key) = 0;
  // Makes the kernel resolve the entry, which it creates when it is not there, as if there were a packet to send
  // (NTF_USE). ResourceExhausted when the kernel's table is full. Never call it for a permanent entry: it would end its
  // permanence (Linux 5.16 and later).
  virtual absl::Status Use(const NeighborKey& key) = 0;
  // Makes the kernel verify an entry that has a MAC, by unicast and at once (NUD_PROBE). An error when it has none.
  virtual absl::Status Probe(const NeighborKey& key) = 0;
};

}  // namespace sluice
