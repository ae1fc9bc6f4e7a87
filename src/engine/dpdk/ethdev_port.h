// An Ethernet device of DPDK as a port: a PCI device, or anything that a DPDK device string makes (net_memif, net_ring,
// net_pcap, net_af_packet, ...). RSS on addresses and ports of both families where the device can; one TX queue a
// worker, and an RX queue where there are enough; single-segment mbufs, so jumbo frames want a pool with large buffers.
//
// Two steps, because the workers' memory depends on what the device is found to need:
//   Open    takes the device; queues(), pool_data_room() and mbufs_per_queue() are known from then on.
//   Start   sets its queues up over the workers' pools and starts it.
// Then as port.h says. The destructor stops the device and gives it back; required: no worker uses the port any more.
//
// Thread-safety: as port.h.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/dpdk/ethdev_device.h"
#include "engine/dpdk/port.h"
#include "engine/interface_lock.h"

struct rte_eth_dev_info;
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
    // Descriptors a queue; a device that has fewer gets what it has.
    uint16_t ring_size = 1024;
  };

  // Finds (PCI) or makes (device string) the device. Errors, with what to do: those of EthdevDevice;
  // InvalidArgumentError for an MTU beyond the device's largest; FailedPreconditionError for too few queues and a
  // device in use by another instance.
  static absl::StatusOr<std::unique_ptr<EthdevPort>> Open(const Options& options);
  ~EthdevPort() override;

  // RX queues that have to be served: `workers`, or as many as the device has; never more than workers.
  uint16_t queues() const { return queues_; }
  // Data room that mbufs of this port need, RTE_PKTMBUF_HEADROOM included.
  uint16_t pool_data_room() const { return pool_data_room_; }
  // Mbufs that the device may hold for each queue, to receive into and to send.
  uint32_t mbufs_per_queue() const { return uint32_t{rx_ring_} + tx_ring_; }
  // Sentences about what the device can't do (RSS on ports, multicast), for the log. Complete after Start.
  const std::vector<std::string>& notes() const { return notes_; }

  // `pool_of_queue` has queues() entries: the pool of the worker that serves the queue, of pool_data_room() or more.
  // Once. The pools outlive the port; it also sends mbufs of other pools.
  absl::Status Start(absl::Span<rte_mempool* const> pool_of_queue);

  uint16_t Receive(uint16_t queue, rte_mbuf** packets, uint16_t count) override;
  // Worker w transmits on queue w: there is one for each of `workers`, however many queues() there are.
  uint16_t Transmit(uint16_t queue, rte_mbuf** packets, uint16_t count) override;
  // None: a worker polls.
  int WaitHandle(uint16_t queue) override;
  // Workers get everything.
  absl::Status SetVirtualAddresses(absl::Span<const Address> addresses) override;
  absl::StatusOr<PortRss> ReadRss() override;
  absl::Status SetRssKey(const std::array<uint8_t, 40>& key) override;
  // Of a PCI device: its kernel driver wants to let go of it.
  bool wanted_back() const override { return device_.has_value() && wanted_back_.load(std::memory_order_relaxed); }
  void Cease() override { in_use_.store(false, std::memory_order_relaxed); }
  void Release() override;
  // kernel_ifindex is 0: the device has no kernel interface of its own (kernel_side.h makes one beside it).
  PortInfo info() override;
  PortCounters ReadCounters() override;

 private:
  // Packets in more segments than one that could not be made one. One writer, the queue's worker.
  struct alignas(64) QueueState {
    std::atomic<uint64_t> dropped = 0;
  };

  EthdevPort(const Options& options, std::optional<InterfaceLock> lock, EthdevDevice device);

  void HearOfRemoval();
  absl::Status CheckMtu(const rte_eth_dev_info& info);
  absl::Status ChooseQueues(const rte_eth_dev_info& info);
  absl::Status ChooseRings(const rte_eth_dev_info& info);
  void ChooseRss(const rte_eth_dev_info& info);
  absl::Status CheckPools(absl::Span<rte_mempool* const> pools) const;
  absl::Status Configure();
  absl::Status SetUpQueues(absl::Span<rte_mempool* const> pools);
  void AcceptMulticast();
  uint16_t MakeSingle(uint16_t queue, rte_mbuf** packets, uint16_t count);
  absl::Status Refusal(const char* what, int result) const;

  const Options options_;
  std::optional<InterfaceLock> lock_;
  // The device's, for workers.
  const uint16_t port_id_;
  // Empty once it is released.
  std::optional<EthdevDevice> device_;
  const std::string name_;
  // What DPDK calls the device whose removal it tells of; empty when it tells of none.
  std::string heard_of_;
  // Set by a thread of DPDK's own.
  std::atomic<bool> wanted_back_ = false;
  std::atomic<bool> in_use_ = true;
  // What was known last, of a device that is released.
  PortInfo last_info_;
  PortCounters last_counters_;
  std::string driver_;
  uint16_t queues_ = 0;
  uint16_t pool_data_room_ = 0;
  uint16_t rx_ring_ = 0;
  uint16_t tx_ring_ = 0;
  uint64_t rss_ = 0;
  bool started_ = false;
  std::vector<std::string> notes_;
  std::vector<QueueState> queue_states_;
};

}  // namespace sluice
