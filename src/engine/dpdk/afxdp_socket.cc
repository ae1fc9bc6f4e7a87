#include "engine/dpdk/afxdp_socket.h"

#include <rte_mempool.h>
#include <rte_prefetch.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"

namespace sluice {
namespace {

// Chunks change hands in batches of this many.
constexpr uint32_t kBatch = 64;
// The kernel sends this many for one call in copy mode (TX_BATCH_SIZE in net/xdp/xsk.c).
constexpr uint32_t kKickBatch = 32;
// How long the kernel may take to let go of a queue whose process has died; a few milliseconds when tried.
constexpr absl::Duration kQueueBusyTimeout = absl::Seconds(5);

absl::Status OpenError(int error, const AfxdpSocket::Options& options, uint64_t bytes) {
  const std::string what = absl::StrCat(options.interface, ": AF_XDP socket on queue ", options.queue);
  switch (error) {
    case EPERM:
    case EACCES:
      return absl::PermissionDeniedError(
          absl::StrCat(what, ": no permission; run as root, or with CAP_NET_RAW and CAP_NET_ADMIN"));
    case ENOBUFS:
      return absl::ResourceExhaustedError(
          absl::StrCat(what, ": the limit of locked memory is too small for ", bytes >> 20,
                       " MiB of packets; raise it (`ulimit -l unlimited`, LimitMEMLOCK=infinity in the systemd unit)"));
    case EBUSY:
      return absl::FailedPreconditionError(
          absl::StrCat(what, ": another program has an AF_XDP socket on this queue; stop that one first"));
    case EAFNOSUPPORT:
      return absl::UnimplementedError(absl::StrCat(what, ": this kernel has no AF_XDP (CONFIG_XDP_SOCKETS)"));
    default:
      return absl::ErrnoToStatus(error, what);
  }
}

// AF_XDP counts its memory as locked unless the process has CAP_IPC_LOCK.
void RaiseLockedMemoryLimit() {
  const rlimit unlimited{RLIM_INFINITY, RLIM_INFINITY};
  setrlimit(RLIMIT_MEMLOCK, &unlimited);
}

}  // namespace

absl::StatusOr<std::unique_ptr<AfxdpSocket>> AfxdpSocket::Open(const Options& options, UmemPool* pool) {
  const absl::StatusOr<uint8_t> user = pool->AddUser();
  if (!user.ok()) return user.status();
  auto socket = std::unique_ptr<AfxdpSocket>(new AfxdpSocket(pool, options.ring_size));
  socket->user_ = *user;
  RaiseLockedMemoryLimit();
  int error = options.generic ? EOPNOTSUPP : socket->BindWaiting(options, XDP_ZEROCOPY);
  socket->zero_copy_ = error == 0;
  if (error != 0 && error != EPERM && error != EBUSY) error = socket->BindWaiting(options, XDP_COPY);
  if (error != 0) return OpenError(error, options, pool->size());
  while (socket->receiving_ + kBatch <= socket->ring_size_) {
    const uint32_t before = socket->receiving_;
    // Past the mempool's cache: what is left in the control thread's would be lost to the worker.
    socket->Refill(/*cache=*/nullptr);
    if (socket->receiving_ == before) {
      return absl::ResourceExhaustedError(
          absl::StrCat(options.interface, ": queue ", options.queue, ": the worker's pool has no packet left for it"));
    }
  }
  return socket;
}

int AfxdpSocket::BindWaiting(const Options& options, uint16_t bind_flags) {
  const absl::Time deadline = absl::Now() + kQueueBusyTimeout;
  int error = Bind(options, bind_flags);
  while (error == EBUSY && absl::Now() < deadline) {
    absl::SleepFor(absl::Milliseconds(5));
    error = Bind(options, bind_flags);
  }
  return error;
}

int AfxdpSocket::Bind(const Options& options, uint16_t bind_flags) {
  const xsk_umem_config umem{.fill_size = ring_size_,
                             .comp_size = ring_size_,
                             .frame_size = pool_->chunk_size(),
                             .frame_headroom = 0,
                             .flags = 0};
  if (const int error = xsk_umem__create(&umem_, pool_->area(), pool_->size(), &fill_, &completion_, &umem);
      error != 0) {
    umem_ = nullptr;
    return -error;
  }
  xsk_socket_config config{.rx_size = ring_size_, .tx_size = ring_size_};
  config.libxdp_flags = XSK_LIBXDP_FLAGS__INHIBIT_PROG_LOAD;
  config.bind_flags = static_cast<uint16_t>(bind_flags | XDP_USE_NEED_WAKEUP);
  const int error = xsk_socket__create(&socket_, options.interface.c_str(), options.queue, umem_, &rx_, &tx_, &config);
  if (error != 0) {
    socket_ = nullptr;
    Delete();
  }
  return -error;
}

void AfxdpSocket::Delete() {
  if (socket_ != nullptr) xsk_socket__delete(socket_);
  if (umem_ != nullptr) xsk_umem__delete(umem_);
  socket_ = nullptr;
  umem_ = nullptr;
}

AfxdpSocket::~AfxdpSocket() {
  Delete();
  pool_->RemoveUser(user_);
}

uint16_t AfxdpSocket::Receive(rte_mbuf** packets, uint16_t count) {
  if (sending_ >= kBatch) Reap();
  if (receiving_ + kBatch <= ring_size_) Refill(rte_mempool_default_cache(pool_->mempool(), rte_lcore_id()));
  uint32_t index = 0;
  const uint32_t received = xsk_ring_cons__peek(&rx_, count, &index);
  if (received == 0) {
    if (xsk_ring_prod__needs_wakeup(&fill_)) recvfrom(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr);
    if (sending_ > 0) RetryKick();
    return 0;
  }
  for (uint32_t i = 0; i < received; ++i) {
    packets[i] = pool_->MbufAt(xsk_ring_cons__rx_desc(&rx_, index + i)->addr);
    rte_prefetch0(packets[i]);
  }
  for (uint32_t i = 0; i < received; ++i) {
    const xdp_desc* descriptor = xsk_ring_cons__rx_desc(&rx_, index + i);
    rte_mbuf* packet = packets[i];
    pool_->Take(descriptor->addr);
    // Whatever the last holder left; a free mbuf has one segment and one reference, and no more than that is sure.
    rte_pktmbuf_reset(packet);
    packet->data_off = pool_->OffsetInChunk(descriptor->addr);
    packet->data_len = static_cast<uint16_t>(descriptor->len);
    packet->pkt_len = descriptor->len;
  }
  xsk_ring_cons__release(&rx_, received);
  receiving_ -= received;
  return static_cast<uint16_t>(received);
}

void AfxdpSocket::Refill(rte_mempool_cache* cache) {
  std::array<rte_mbuf*, kBatch> mbufs;
  void** objects = reinterpret_cast<void**>(mbufs.data());
  if (rte_mempool_generic_get(pool_->mempool(), objects, kBatch, cache) != 0) return;
  uint32_t index = 0;
  if (xsk_ring_prod__reserve(&fill_, kBatch, &index) != kBatch) {
    rte_mempool_generic_put(pool_->mempool(), objects, kBatch, cache);
    return;
  }
  for (uint32_t i = 0; i < kBatch; ++i) {
    const uint64_t address = pool_->AddressOf(mbufs[i]);
    pool_->Give(address, user_);
    *xsk_ring_prod__fill_addr(&fill_, index + i) = address;
  }
  xsk_ring_prod__submit(&fill_, kBatch);
  receiving_ += kBatch;
}

uint16_t AfxdpSocket::Transmit(rte_mbuf** packets, uint16_t count) {
  if (sending_ >= kBatch || sending_ + count > ring_size_) Reap();
  uint16_t taken = 0;
  uint32_t queued = 0;
  for (; taken < count && sending_ < ring_size_; ++taken) {
    rte_mbuf* packet = packets[taken];
    if (xsk_prod_nb_free(&tx_, 1) == 0) break;
    // The kernel skips a descriptor of nothing and never hands its chunk back.
    if (unlikely(packet->pkt_len == 0 || packet->pkt_len > pool_->chunk_size() - RTE_PKTMBUF_HEADROOM)) {
      CountDropped();
      rte_pktmbuf_free(packet);
      continue;
    }
    if (unlikely(!pool_->CanGive(packet))) {
      packet = CopyIntoPool(packet);
      if (packet == nullptr) break;
      rte_pktmbuf_free(packets[taken]);
    }
    uint32_t index = 0;
    xsk_ring_prod__reserve(&tx_, 1, &index);
    const uint64_t chunk = pool_->AddressOf(packet);
    pool_->Give(chunk, user_);
    *xsk_ring_prod__tx_desc(&tx_, index) = xdp_desc{.addr = chunk + packet->data_off, .len = packet->data_len};
    ++sending_;
    ++queued;
  }
  if (queued > 0) xsk_ring_prod__submit(&tx_, queued);
  if (sending_ > 0 && xsk_ring_prod__needs_wakeup(&tx_)) Kick(queued);
  return taken;
}

rte_mbuf* AfxdpSocket::CopyIntoPool(const rte_mbuf* packet) {
  rte_mbuf* copy = rte_pktmbuf_alloc(pool_->mempool());
  if (copy == nullptr) return nullptr;
  const uint32_t length = packet->pkt_len;
  void* to = rte_pktmbuf_append(copy, static_cast<uint16_t>(length));
  const void* from = rte_pktmbuf_read(packet, 0, length, to);
  if (from != to) std::memcpy(to, from, length);
  return copy;
}

void AfxdpSocket::Reap() {
  std::array<void*, kBatch> mbufs;
  uint32_t index = 0;
  while (const uint32_t sent = xsk_ring_cons__peek(&completion_, kBatch, &index)) {
    for (uint32_t i = 0; i < sent; ++i) {
      const uint64_t address = *xsk_ring_cons__comp_addr(&completion_, index + i);
      pool_->Take(address);
      mbufs[i] = pool_->MbufAt(address);
    }
    xsk_ring_cons__release(&completion_, sent);
    // As Give demands, each has one segment and one reference: nothing to look at.
    rte_mempool_put_bulk(pool_->mempool(), mbufs.data(), sent);
    sending_ -= sent;
  }
}

void AfxdpSocket::Kick(uint32_t packets) {
  for (uint32_t calls = packets / kKickBatch + 1; calls > 0; --calls) {
    if (sendto(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0 || errno != EAGAIN) return;
  }
}

// Takes back what is sent, and asks again for what the kernel could not send when it was kicked.
void AfxdpSocket::RetryKick() {
  Reap();
  const bool all_taken = xsk_prod_nb_free(&tx_, tx_.size) == tx_.size;
  if (!all_taken && xsk_ring_prod__needs_wakeup(&tx_)) Kick(sending_);
}

PortCounters AfxdpSocket::ReadCounters() const {
  xdp_statistics statistics{};
  socklen_t size = sizeof(statistics);
  PortCounters counters{.transmit_dropped = transmit_dropped_.load(std::memory_order_relaxed)};
  if (getsockopt(fd(), SOL_XDP, XDP_STATISTICS, &statistics, &size) != 0) return counters;
  counters.receive_dropped = statistics.rx_dropped + statistics.rx_ring_full;
  counters.transmit_dropped += statistics.tx_invalid_descs;
  return counters;
}

}  // namespace sluice
