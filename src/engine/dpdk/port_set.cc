#include "engine/dpdk/port_set.h"

#include <rte_mbuf.h>

#include <algorithm>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/dpdk/packet_pool.h"

namespace sluice {
namespace {

constexpr uint32_t kControlMbufs = 4095;
// What a worker holds itself: bursts in hand and outboxes.
constexpr uint32_t kWorkerMbufs = 512;
constexpr uint32_t kMbufCache = 256;

}  // namespace

absl::StatusOr<std::unique_ptr<PortSet>> PortSet::Open(const DpdkOptions& options,
                                                       std::function<bool(rte_mbuf*, uint16_t)> inject,
                                                       std::vector<std::string>* notes) {
  auto set = std::unique_ptr<PortSet>(new PortSet());
  set->workers_ = options.workers;
  uint16_t control_room = RTE_MBUF_DEFAULT_BUF_SIZE;
  for (const DpdkOptions::Interface& interface : options.interfaces) {
    control_room = std::max<uint16_t>(control_room, interface.mtu + RTE_PKTMBUF_HEADROOM + 64);
  }
  absl::StatusOr<rte_mempool*> control = CreatePacketPool("control", kControlMbufs, kMbufCache, control_room);
  if (!control.ok()) return control.status();
  set->control_pool_ = *control;
  const bool afxdp = !options.interfaces.empty() && !options.interfaces[0].name.empty();
  absl::Status status = afxdp ? set->OpenAfxdp(options) : set->OpenEthdevs(options);
  if (status.ok()) status = afxdp ? set->StartAfxdp(options) : set->StartEthdevs(options, notes);
  if (status.ok()) status = set->OpenKernelSides(options, inject);
  if (!status.ok()) return status;
  for (const uint16_t queues : set->queues_) set->partitions_ += queues;
  return set;
}

PortSet::~PortSet() {
  kernels_.clear();
  ports_.clear();
  umem_pools_.clear();
  for (rte_mempool* pool : worker_pools_) rte_mempool_free(pool);
  rte_mempool_free(control_pool_);
}

absl::Status PortSet::OpenAfxdp(const DpdkOptions& options) {
  for (const DpdkOptions::Interface& interface : options.interfaces) {
    AfxdpPort::Options port_options;
    port_options.interface = interface.name;
    port_options.workers = static_cast<uint16_t>(options.workers);
    absl::StatusOr<std::unique_ptr<AfxdpPort>> port = AfxdpPort::Open(port_options);
    if (!port.ok()) return port.status();
    queues_.push_back((*port)->queues());
    afxdp_.push_back(port->get());
    ports_.push_back(*std::move(port));
  }
  return absl::OkStatus();
}

absl::Status PortSet::StartAfxdp(const DpdkOptions& options) {
  std::vector<uint32_t> chunks(workers_, kWorkerMbufs);
  uint32_t chunk_size = 0;
  for (const AfxdpPort* port : afxdp_) {
    chunk_size = std::max(chunk_size, port->chunk_size());
    for (uint32_t queue = 0; queue < port->queues(); queue++) chunks[WorkerOf(queue)] += port->chunks_per_queue();
  }
  for (uint32_t worker = 0; worker < workers_; worker++) {
    UmemPool::Options pool_options;
    pool_options.name = absl::StrCat("worker", worker);
    pool_options.chunks = chunks[worker];
    pool_options.chunk_size = chunk_size;
    pool_options.huge_pages = options.huge_pages != HugePages::kOff;
    absl::StatusOr<std::unique_ptr<UmemPool>> pool = UmemPool::Create(pool_options);
    if (!pool.ok()) return pool.status();
    umem_pools_.push_back(*std::move(pool));
  }
  for (AfxdpPort* port : afxdp_) {
    std::vector<UmemPool*> pool_of_queue;
    for (uint32_t queue = 0; queue < port->queues(); queue++) {
      pool_of_queue.push_back(umem_pools_[WorkerOf(queue)].get());
    }
    if (absl::Status status = port->Start(pool_of_queue); !status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status PortSet::OpenEthdevs(const DpdkOptions& options) {
  for (const DpdkOptions::Interface& interface : options.interfaces) {
    EthdevPort::Options port_options;
    port_options.pci = interface.pci;
    port_options.device = interface.device;
    port_options.workers = static_cast<uint16_t>(options.workers);
    port_options.mtu = interface.mtu;
    absl::StatusOr<std::unique_ptr<EthdevPort>> port = EthdevPort::Open(port_options);
    if (!port.ok()) return port.status();
    queues_.push_back((*port)->queues());
    ethdevs_.push_back(port->get());
    ports_.push_back(*std::move(port));
  }
  return absl::OkStatus();
}

absl::Status PortSet::StartEthdevs(const DpdkOptions& options, std::vector<std::string>* notes) {
  std::vector<uint32_t> mbufs(workers_, kWorkerMbufs + 2 * kMbufCache + options.kept_packets);
  uint16_t data_room = RTE_MBUF_DEFAULT_BUF_SIZE;
  for (const EthdevPort* port : ethdevs_) {
    data_room = std::max(data_room, port->pool_data_room());
    // A worker's packets may wait in every port's transmit queue.
    for (uint32_t& count : mbufs) count += port->mbufs_per_queue();
  }
  for (uint32_t worker = 0; worker < workers_; worker++) {
    absl::StatusOr<rte_mempool*> pool =
        CreatePacketPool(absl::StrCat("worker", worker), mbufs[worker], kMbufCache, data_room);
    if (!pool.ok()) return pool.status();
    worker_pools_.push_back(*pool);
  }
  for (EthdevPort* port : ethdevs_) {
    std::vector<rte_mempool*> pool_of_queue;
    for (uint32_t queue = 0; queue < port->queues(); queue++) pool_of_queue.push_back(worker_pools_[WorkerOf(queue)]);
    if (absl::Status status = port->Start(pool_of_queue); !status.ok()) return status;
    notes->insert(notes->end(), port->notes().begin(), port->notes().end());
  }
  return absl::OkStatus();
}

absl::Status PortSet::OpenKernelSides(const DpdkOptions& options,
                                      const std::function<bool(rte_mbuf*, uint16_t)>& inject) {
  kernels_.resize(ports_.size());
  for (uint16_t i = 0; i < ports_.size(); i++) {
    const DpdkOptions::Interface& interface = options.interfaces[i];
    if (interface.tap.empty()) continue;
    const PortInfo info = ports_[i]->info();
    KernelSide::Options kernel_options;
    kernel_options.name = interface.tap;
    kernel_options.addresses = interface.addresses;
    kernel_options.mac = info.mac;
    kernel_options.mtu = info.mtu;
    kernel_options.link_up = info.link_up;
    kernel_options.pool = control_pool_;
    kernel_options.to_port = [inject, i](rte_mbuf* packet) { return inject(packet, i); };
    absl::StatusOr<std::unique_ptr<KernelSide>> kernel = KernelSide::Open(kernel_options);
    if (!kernel.ok()) return kernel.status();
    kernels_[i] = *std::move(kernel);
  }
  return absl::OkStatus();
}

absl::Status PortSet::TellKernelSide(uint32_t index) {
  if (kernels_[index] == nullptr) return absl::OkStatus();
  const PortInfo info = ports_[index]->info();
  return kernels_[index]->Update(info.mac, info.mtu, info.link_up);
}

void PortSet::GiveBack(const std::function<bool()>& workers_have_left, std::vector<std::string>* warnings) {
  for (const std::unique_ptr<Port>& port : ports_) {
    if (!port->wanted_back()) continue;
    port->Cease();
    if (!workers_have_left()) continue;
    port->Release();
    warnings->push_back(absl::StrCat("port ", port->info().name,
                                     ": the device is taken away (unbound or unplugged), so it is given up; to have "
                                     "it back, bind it again and restart sluiced"));
  }
}

std::vector<Worker::Queue> PortSet::ReceiveQueues(uint32_t worker) const {
  std::vector<Worker::Queue> result;
  uint32_t partition = 0;
  for (uint16_t i = 0; i < ports_.size(); i++) {
    for (uint16_t queue = 0; queue < queues_[i]; queue++, partition++) {
      if (WorkerOf(queue) == worker) result.push_back({ports_[i].get(), i, queue, partition, kernels_[i].get()});
    }
  }
  return result;
}

// A kernel interface has as many queues to send on as to receive from; a DPDK device has one a worker.
std::vector<Worker::Queue> PortSet::TransmitQueues(uint32_t worker) const {
  std::vector<Worker::Queue> result;
  for (uint16_t i = 0; i < ports_.size(); i++) {
    result.push_back({ports_[i].get(), i, static_cast<uint16_t>(worker), 0, kernels_[i].get()});
  }
  return result;
}

}  // namespace sluice
