// Packet memory of one worker: chunks that the kernel fills and sends from (AF_XDP's UMEM), and mbufs over them.
//
// Every socket of the worker registers the same area as a UMEM of its own, so a packet that came in by one interface
// goes out by another without a copy, and a socket can be replaced without the others. mbuf and chunk are bound for
// ever (pinned external buffers), so a chunk's mbuf is found by an index.
//
// Who has a chunk: the worker (as an mbuf, in the pool or in its hands), or the kernel on behalf of one socket, its
// *user*. It's written down for each chunk, so that a socket which goes takes nothing with it.
//
// Thread-safety: give and take belong to the worker that owns the pool; Create, AddUser and RemoveUser to the control
// thread, RemoveUser while the worker leaves that user's socket alone. The mempool is as DPDK says.
// Required: the EAL is initialized; the pool outlives its sockets and every mbuf.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice {

class UmemPool {
 public:
  struct Options {
    // Unique in the process, 25 characters at most (DPDK's limit of a mempool's name).
    std::string name;
    uint32_t chunks = 0;
    // 2048 or 4096: AfxdpPort::chunk_size().
    uint32_t chunk_size = 2048;
    // 2 MiB pages when there are enough of them, else pages of the normal size.
    bool huge_pages = true;
    int numa_node = SOCKET_ID_ANY;
  };

  // ResourceExhaustedError when memory is short, in words that say of which kind.
  static absl::StatusOr<std::unique_ptr<UmemPool>> Create(const Options& options);
  ~UmemPool();
  UmemPool(const UmemPool&) = delete;
  UmemPool& operator=(const UmemPool&) = delete;

  rte_mempool* mempool() const { return mempool_; }
  void* area() const { return area_; }
  uint64_t size() const { return size_; }
  uint32_t chunks() const { return static_cast<uint32_t>(mbufs_.size()); }
  uint32_t chunk_size() const { return uint32_t{1} << chunk_shift_; }
  bool huge_pages() const { return huge_pages_; }

  // The mbuf over `address`, an offset into the area.
  rte_mbuf* MbufAt(uint64_t address) const { return mbufs_[address >> chunk_shift_]; }
  // Offset of the mbuf's chunk.
  uint64_t AddressOf(const rte_mbuf* mbuf) const {
    return static_cast<uint64_t>(static_cast<const char*>(mbuf->buf_addr) - static_cast<const char*>(area_));
  }
  uint16_t OffsetInChunk(uint64_t address) const { return static_cast<uint16_t>(address & (chunk_size() - 1)); }
  // From this pool, one segment, and nobody else holds it: the kernel may have its chunk.
  bool CanGive(const rte_mbuf* mbuf) const {
    return mbuf->pool == mempool_ && mbuf->nb_segs == 1 && rte_mbuf_refcnt_read(mbuf) == 1;
  }

  void Give(uint64_t address, uint8_t user) { users_[address >> chunk_shift_] = user; }
  void Take(uint64_t address) { users_[address >> chunk_shift_] = kWorker; }

  // A new user of chunks; never kWorker. ResourceExhaustedError after 255.
  absl::StatusOr<uint8_t> AddUser();
  // Puts what the kernel had on behalf of `user` back into the mempool. Required: its socket is closed.
  void RemoveUser(uint8_t user);

 private:
  static constexpr uint8_t kWorker = 0;

  UmemPool() = default;
  absl::Status MapArea(const Options& options);
  absl::Status CreateMempool(const Options& options);

  void* area_ = nullptr;
  uint64_t size_ = 0;
  uint32_t chunk_shift_ = 0;
  bool huge_pages_ = false;
  rte_mempool* mempool_ = nullptr;
  // By chunk.
  std::vector<rte_mbuf*> mbufs_;
  std::vector<uint8_t> users_;
  std::array<bool, 256> user_taken_{true};
};

}  // namespace sluice
