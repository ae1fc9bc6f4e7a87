// The ports of a dpdk engine with all that belongs to them: packet memory of each worker, queues, kernel's sides.
//
// Thread-safety: the control thread; workers use the ports and kernel's sides that it points to.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/dpdk/afxdp_port.h"
#include "engine/dpdk/dpdk_engine.h"
#include "engine/dpdk/ethdev_port.h"
#include "engine/dpdk/kernel_side.h"
#include "engine/dpdk/worker.h"

namespace sluice {

class PortSet {
 public:
  // `inject` has a frame transmitted on a port (from the kernel's side of it). The EAL runs.
  static absl::StatusOr<std::unique_ptr<PortSet>> Open(const DpdkOptions& options,
                                                       std::function<bool(rte_mbuf*, uint16_t)> inject,
                                                       std::vector<std::string>* notes);
  ~PortSet();

  uint32_t size() const { return static_cast<uint32_t>(ports_.size()); }
  Port& port(uint32_t index) const { return *ports_[index]; }
  KernelSide* kernel(uint32_t index) const { return kernels_[index].get(); }
  uint32_t partitions() const { return partitions_; }
  // All of them, when they are kernel interfaces.
  const std::vector<AfxdpPort*>& afxdp() const { return afxdp_; }

  // What worker `worker` polls, and what it transmits on by port index.
  std::vector<Worker::Queue> ReceiveQueues(uint32_t worker) const;
  std::vector<Worker::Queue> TransmitQueues(uint32_t worker) const;

  // Has the kernel's side of the port follow it, as that is now.
  absl::Status TellKernelSide(uint32_t index);
  // Gives devices up that somebody waits for, and says so. `workers_have_left` waits until no worker uses a port that
  // has ceased; when that takes too long, the next call goes on.
  void GiveBack(const std::function<bool()>& workers_have_left, std::vector<std::string>* warnings);

  // Ends the threads that inject frames.
  void CloseKernelSides() { kernels_.clear(); }

  // For frames that no port received.
  rte_mempool* control_pool() const { return control_pool_; }

 private:
  PortSet() = default;
  absl::Status OpenAfxdp(const DpdkOptions& options);
  absl::Status StartAfxdp(const DpdkOptions& options);
  absl::Status OpenEthdevs(const DpdkOptions& options);
  absl::Status StartEthdevs(const DpdkOptions& options, std::vector<std::string>* notes);
  absl::Status OpenKernelSides(const DpdkOptions& options, const std::function<bool(rte_mbuf*, uint16_t)>& inject);
  // Which worker serves the queue.
  uint32_t WorkerOf(uint32_t queue) const { return queue % workers_; }

  uint32_t workers_ = 1;
  uint32_t partitions_ = 0;
  // Reverse order of use at the end: kernel's sides, ports, memory.
  rte_mempool* control_pool_ = nullptr;
  std::vector<rte_mempool*> worker_pools_;
  std::vector<std::unique_ptr<UmemPool>> umem_pools_;
  std::vector<std::unique_ptr<Port>> ports_;
  // The same objects by their kind.
  std::vector<AfxdpPort*> afxdp_;
  std::vector<EthdevPort*> ethdevs_;
  std::vector<uint16_t> queues_;
  std::vector<std::unique_ptr<KernelSide>> kernels_;
};

}  // namespace sluice
