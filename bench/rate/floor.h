// The least that a balancer of this device could do: receive a burst, swap the MAC addresses, transmit.
//
// Thread-safety: Run belongs to an lcore, Stop to any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"

struct rte_mempool;

namespace sluice::bench {

class Floor {
 public:
  // Over a device of DPDK that nobody has started. `pool`: what it would receive into.
  absl::Status Start(const std::string& device, rte_mempool* pool);

  // Until Stop.
  void Run();
  void Stop() { stop_.store(true, std::memory_order_relaxed); }

 private:
  uint16_t port_id_ = 0;
  std::atomic<bool> stop_ = false;
};

}  // namespace sluice::bench
