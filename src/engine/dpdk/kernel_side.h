// The kernel's side of a port that DPDK owns: a tap interface, through which everything that is not a listener's
// reaches the kernel and comes back (the node's own addresses, SSH, BGP, ARP, ND). It has the port's MAC address, MTU
// and link state.
//
// A thread of its own moves the frames, so a worker makes no system call for them but one to wake it when it sleeps.
//
// Thread-safety: ToKernel from any worker; the rest from the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/address.h"

struct rte_mbuf;
struct rte_mempool;

namespace sluice {

class KernelSide {
 public:
  struct Options {
    // Of the tap interface; must not exist yet.
    std::string name;
    std::vector<Prefix> addresses;
    Mac mac{};
    uint16_t mtu = 1500;
    bool link_up = true;
    // Frames from the kernel become mbufs of this pool (multi-producer), ...
    rte_mempool* pool = nullptr;
    // ... and are handed over here, from the thread of this object: true when taken.
    std::function<bool(rte_mbuf*)> to_port;
  };

  // Errors: no permission, name in use, address refused; in words.
  static absl::StatusOr<std::unique_ptr<KernelSide>> Open(const Options& options);
  virtual ~KernelSide() = default;

  // Takes the packet (and frees it when written), or returns false when the queue to the kernel is full.
  virtual bool ToKernel(rte_mbuf* packet) = 0;
  // Follows the port.
  virtual absl::Status Update(const Mac& mac, uint16_t mtu, bool link_up) = 0;
  virtual int ifindex() const = 0;
};

}  // namespace sluice
