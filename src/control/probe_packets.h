// Where packets of checks come from that take the way of clients' packets (via: vip): of the kernel in the daemon
// (kernel_probes.h), of a test elsewhere.
//
// Thread-safety: the control thread.
#pragma once

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "base/address.h"
#include "engine/own_packet.h"

namespace sluice {

struct ProbePacket {
  // Whom it is for.
  std::string pool;
  Address backend;
  OwnPacket packet;
};

// Of the virtual addresses that are checked.
struct ProbeFamilies {
  bool ipv4 = false;
  bool ipv6 = false;
  bool any() const { return ipv4 || ipv6; }
};

class ProbePackets {
 public:
  virtual ~ProbePackets() = default;
  // There will be packets of these families, or of none any more. On an error those of before still come.
  virtual absl::Status Want(const ProbeFamilies& families) = 0;
  // None: no packet is there.
  virtual std::optional<ProbePacket> Take() = 0;
};

}  // namespace sluice
