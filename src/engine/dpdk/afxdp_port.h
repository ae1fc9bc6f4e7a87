// A kernel interface as a port of the dpdk engine, over AF_XDP: virtual addresses' packets go to the workers, the rest
// stays with the kernel. Why it is not DPDK's own AF_XDP device: docs/decisions/af-xdp-port.md.
//
// Two steps, because the workers' memory depends on what the interface is found to need:
//   Open    takes the interface: lock, queues, XDP program. queues() and chunk_size() are known from then on.
//   Start   opens a socket on every queue over the memory of the worker that serves it.
// Then as port.h says. The destructor takes program and sockets away, unless the program has been told to stay
// (XdpAttachment::Leave); the next Open finds what is there.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/dpdk/afxdp_program.h"
#include "engine/dpdk/afxdp_socket.h"
#include "engine/dpdk/afxdp_umem_pool.h"
#include "engine/dpdk/port.h"
#include "engine/interface_lock.h"
#include "engine/kernel_interface.h"

namespace sluice {

// Largest layer-3 packet that a chunk takes, after the kernel's headroom and a MAC header with two VLAN tags.
constexpr uint32_t LargestAfxdpMtu(uint32_t chunk_size) {
  return chunk_size - AfxdpSocket::kHeadroom - 14 - 2 * 4;
}

class AfxdpPort : public Port {
 public:
  struct Options {
    std::string interface;
    // One RX queue for each, where the interface allows.
    uint16_t workers = 1;
    // Entries of each ring of a queue: a power of two, 64 to 8192.
    uint32_t ring_size = 1024;
  };

  static constexpr uint32_t kLargestMtu = LargestAfxdpMtu(4096);

  // Errors: NotFoundError (no such interface), FailedPreconditionError (in use, a foreign XDP program, MTU too large,
  // too few queues), PermissionDeniedError.
  static absl::StatusOr<std::unique_ptr<AfxdpPort>> Open(const Options& options);
  ~AfxdpPort() override;

  // RX queues that have to be served: `workers`, or more when the interface would not have fewer.
  uint16_t queues() const { return queues_; }
  const std::string& name() const { return options_.interface; }
  const KernelInterface& interface() const { return interface_; }

  // The program that Open has put there, unless one of an earlier instance forwards by itself: that one stays until
  // Redirect, or until another program takes its place.
  RedirectProgram& redirect() { return *program_; }
  XdpAttachment& attachment() { return program_->attachment(); }
  absl::Status Redirect() { return program_->Redirect(); }
  // Smallest chunk that takes the interface's packets: 2048 or 4096.
  uint32_t chunk_size() const { return chunk_size_; }
  // Chunks that a pool needs for each queue of this port that it serves, beyond what the worker itself holds.
  uint32_t chunks_per_queue() const { return AfxdpSocket::ChunksFor(options_.ring_size); }

  // `pool_of_queue` has queues() entries: the pool of the worker that serves the queue, of chunk_size() or larger.
  // Once. The pools outlive the port.
  absl::Status Start(absl::Span<UmemPool* const> pool_of_queue);

  uint16_t Receive(uint16_t queue, rte_mbuf** packets, uint16_t count) override;
  uint16_t Transmit(uint16_t queue, rte_mbuf** packets, uint16_t count) override;
  int WaitHandle(uint16_t queue) override;
  absl::Status SetVirtualAddresses(absl::Span<const Address> addresses) override;
  absl::Status SetServices(absl::Span<const Service> services) override;
  absl::Status SetLocalAddresses(absl::Span<const Address> addresses) override;
  absl::StatusOr<PortRss> ReadRss() override { return interface_.ReadRss(); }
  // The kernel gives all devices of a host one key; it is left as it is.
  absl::Status SetRssKey(const std::array<uint8_t, 40>& key) override;
  PortInfo info() override;
  PortCounters ReadCounters() override;

 private:
  AfxdpPort(const Options& options, KernelInterface interface, InterfaceLock lock)
      : options_(options), lock_(std::move(lock)), interface_(std::move(interface)) {}

  absl::Status CheckMtu();
  absl::Status Named(const absl::Status& status) const;
  absl::Status ChooseQueues();
  absl::Status AttachProgram();
  void TuneDevice();

  const Options options_;
  // Orderly end is the reverse: sockets, program, interface, lock.
  InterfaceLock lock_;
  KernelInterface interface_;
  KernelInterface::Channels channels_at_open_;
  uint16_t queues_ = 0;
  uint32_t chunk_size_ = 0;
  std::unique_ptr<RedirectProgram> program_;
  std::vector<std::unique_ptr<AfxdpSocket>> sockets_;
};

}  // namespace sluice
