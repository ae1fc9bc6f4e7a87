// Who carries checks out: sockets in the daemon (socket_prober.h), a test's own elsewhere.
//
// Thread-safety: the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/address.h"
#include "health/check.h"
#include "health/check_result.h"

namespace sluice {

// Where a check goes that takes the way of clients' packets.
struct VirtualTarget {
  Address address;
  // Of whose way of forwarding.
  std::string pool;
  // TTL or hop limit: enough for who has the address, and not for who sends the packet back here.
  uint8_t hops = 1;
};

struct CheckTarget {
  // The backend's own.
  Address address;
  // 0 for icmp.
  uint16_t port = 0;
  std::shared_ptr<const CheckSpec> spec;
  // Asked in place of `address`, on that backend.
  std::optional<VirtualTarget> via = std::nullopt;

  const Address& asked() const { return via.has_value() ? via->address : address; }
};

// A check under way. Destroying it ends it, and its `done` is not called any more.
class Probe {
 public:
  virtual ~Probe() = default;
};

class Prober {
 public:
  virtual ~Prober() = default;
  using Done = std::function<void(CheckResult)>;
  // Begins one check. `done` is called once, after Start has returned, at the spec's timeout at the latest; it may
  // destroy the probe.
  virtual std::unique_ptr<Probe> Start(const CheckTarget& target, Done done) = 0;
};

}  // namespace sluice
