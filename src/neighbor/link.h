// Facts of one network interface of the kernel, in the network namespace of the caller.
//
// Thread-safety: pure functions, each over a netlink socket of its own; they block for as long as the kernel takes to
// answer (microseconds). Errors: NotFound when there is no such interface, else what netlink said, in words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/address.h"

namespace sluice {

struct Link {
  int ifindex = 0;
  std::string name;
  // All zero unless `ethernet`.
  Mac mac{};
  // Largest layer-3 packet, bytes.
  uint32_t mtu = 0;
  // Set up by the administrator (IFF_UP).
  bool enabled = false;
  // The layer below works: cable in, peer up (IFF_LOWER_UP).
  bool carrier = false;
  // Frames have Ethernet headers (ARPHRD_ETHER) and it is not the loopback interface.
  bool ethernet = false;
  // For a VLAN device: its tag and the interface that it is on; otherwise 0.
  uint16_t vlan = 0;
  int parent = 0;
  // A VLAN device that puts frames in a way which the path does not write: 802.1ad, or a parent in another network
  // namespace. In words for the operator; empty when all is well.
  std::string unusable;

  bool up() const { return enabled && carrier; }
  bool operator==(const Link&) const = default;
};

absl::StatusOr<Link> FindLink(std::string_view name);
absl::StatusOr<Link> FindLink(int ifindex);

}  // namespace sluice
