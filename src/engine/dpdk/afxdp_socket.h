// One AF_XDP socket: the four rings between a worker and one RX and TX queue of an interface.
// (Documentation/networking/af_xdp.rst of the kernel.)
//
// Thread-safety: Receive and Transmit belong to the worker; Open, Close (the destructor) and ReadCounters to the
// control thread, ReadCounters beside the worker, the others not.
#pragma once

#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <xdp/xsk.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/dpdk/afxdp_umem_pool.h"
#include "engine/dpdk/port.h"

namespace sluice {

class AfxdpSocket {
 public:
  // Room in front of a received packet: the kernel's own headroom (XDP_PACKET_HEADROOM), which it leaves in the chunk.
  static constexpr uint32_t kHeadroom = 256;

  struct Options {
    std::string interface;
    uint16_t queue = 0;
    // Entries of each ring, a power of two.
    uint32_t ring_size = 1024;
    // A driver without XDP of its own has no zero-copy either.
    bool generic = false;
  };

  // Most chunks that a socket has at a time: a ring of them to receive into and a ring to send.
  static constexpr uint32_t ChunksFor(uint32_t ring_size) { return 2 * ring_size; }

  // Zero-copy when the driver can, else copying. Waits for the socket of a dead process to leave the queue.
  static absl::StatusOr<std::unique_ptr<AfxdpSocket>> Open(const Options& options, UmemPool* pool);
  // Everything that the kernel had goes back to the pool.
  ~AfxdpSocket();
  AfxdpSocket(const AfxdpSocket&) = delete;
  AfxdpSocket& operator=(const AfxdpSocket&) = delete;

  // As Port::Receive and Port::Transmit.
  uint16_t Receive(rte_mbuf** packets, uint16_t count);
  uint16_t Transmit(rte_mbuf** packets, uint16_t count);

  int fd() const { return xsk_socket__fd(socket_); }
  bool zero_copy() const { return zero_copy_; }
  PortCounters ReadCounters() const;

 private:
  AfxdpSocket(UmemPool* pool, uint32_t ring_size) : pool_(pool), ring_size_(ring_size) {}

  // 0, or the errno of what failed; `bind_flags` of sockaddr_xdp.
  int Bind(const Options& options, uint16_t bind_flags);
  int BindWaiting(const Options& options, uint16_t bind_flags);
  void Delete();

  // Gives the kernel chunks to receive into.
  void Refill(rte_mempool_cache* cache);
  // Takes back what has been sent.
  void Reap();
  void Kick(uint32_t packets);
  void RetryKick();
  rte_mbuf* CopyIntoPool(const rte_mbuf* packet);
  void CountDropped() {
    transmit_dropped_.store(transmit_dropped_.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  }

  UmemPool* pool_;
  const uint32_t ring_size_;
  uint8_t user_ = 0;
  // Chunks that the kernel has to receive into, and to send.
  uint32_t receiving_ = 0;
  uint32_t sending_ = 0;

  xsk_ring_cons rx_{};
  xsk_ring_prod tx_{};
  xsk_ring_prod fill_{};
  xsk_ring_cons completion_{};
  xsk_umem* umem_ = nullptr;
  xsk_socket* socket_ = nullptr;
  bool zero_copy_ = false;
  std::atomic<uint64_t> transmit_dropped_ = 0;
};

}  // namespace sluice
