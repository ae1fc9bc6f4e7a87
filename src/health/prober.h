// Who carries checks out: sockets in the daemon (socket_prober.h), a test's own elsewhere.
//
// Thread-safety: the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/address.h"
#include "health/check.h"
#include "health/check_result.h"

namespace sluice {

struct CheckTarget {
  Address address;
  // 0 for icmp.
  uint16_t port = 0;
  std::shared_ptr<const CheckSpec> spec;
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
