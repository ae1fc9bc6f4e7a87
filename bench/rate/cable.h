// A device of DPDK over two rings in memory (net_ring), and its other end, which belongs to the generator: what a NIC
// and its link are to a worker, without copies. Packets change hands as pointers.
//
//   generator --> to_device ==> device ==> from_device --> generator
//
// Thread-safety: the control thread makes it; each ring has one writer and one reader. The EAL runs.
#pragma once

#include <rte_ring.h>

#include <string>

#include "absl/status/statusor.h"

namespace sluice::bench {

class Cable {
 public:
  // Packets that each of the rings holds at least.
  static constexpr uint32_t kPackets = 2048;

  // The device's name becomes "net_ring_NAME". It and its rings stay until the process ends.
  static absl::StatusOr<Cable> Make(const std::string& name);

  const std::string& device() const { return device_; }
  rte_ring* to_device() const { return to_device_; }
  rte_ring* from_device() const { return from_device_; }

 private:
  std::string device_;
  rte_ring* to_device_ = nullptr;
  rte_ring* from_device_ = nullptr;
};

// One writer, one reader.
absl::StatusOr<rte_ring*> MakeRing(const std::string& name);

}  // namespace sluice::bench
