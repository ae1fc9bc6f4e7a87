// An Ethernet device of DPDK as a port: a PCI device, or anything that a DPDK device string makes (net_memif, net_ring,
// net_pcap, net_af_packet, ...). RSS on addresses and ports of both families where the device can; one RX and one TX
// queue a worker; single-segment mbufs, so jumbo frames want a pool with large enough buffers (pool_data_room).
//
// Thread-safety: as port.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/dpdk/port.h"

struct rte_mempool;

namespace sluice {

class EthdevPort : public Port {
 public:
  struct Options {
    // One of them: a PCI address that is bound to a DPDK driver, or a device string.
    std::string pci;
    std::string device;
    uint16_t workers = 1;
    uint16_t mtu = 1500;
    // Descriptors a queue.
    uint16_t ring_size = 1024;
  };

  // Finds (PCI) or makes (device string) the device. Errors: no such device, not bound to a DPDK driver (and how to
  // bind it), too few queues, MTU beyond the device's largest, in use by another process.
  static absl::StatusOr<std::unique_ptr<EthdevPort>> Open(const Options& options);
  ~EthdevPort() override;

  // RX queues that have to be served: `workers`, or one where the device has no more; never more than workers.
  virtual uint16_t queues() const = 0;
  // Data room that mbufs of this port need, RTE_PKTMBUF_HEADROOM included.
  virtual uint16_t pool_data_room() const = 0;
  // Mbufs that the device may hold for each queue.
  virtual uint32_t mbufs_per_queue() const = 0;
  // Sentences about what the device can't do (RSS on ports, offloads), for the log.
  virtual const std::vector<std::string>& notes() const = 0;

  // Sets the queues up and starts the device. Once. The pools outlive the port.
  virtual absl::Status Start(absl::Span<rte_mempool* const> pool_of_queue) = 0;
};

}  // namespace sluice
