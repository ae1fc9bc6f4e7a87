#include "engine/dpdk/kernel_side.h"

#include <pthread.h>
#include <rte_atomic.h>
#include <rte_mbuf.h>
#include <rte_ring.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

// Packets on their way to the kernel: what it may be late by before packets are dropped.
constexpr unsigned kQueueSize = 1024;
constexpr unsigned kBurst = 32;
// Ethernet header and two VLAN tags.
constexpr uint32_t kLinkHeader = 14 + 2 * 4;

void Add(std::atomic<uint64_t>& counter, uint64_t count) {
  counter.store(counter.load(std::memory_order_relaxed) + count, std::memory_order_relaxed);
}

// Signals are for the thread that waits for them.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_{};
};

rte_ring* MakeQueue() {
  const ssize_t size = rte_ring_get_memsize(kQueueSize);
  if (size < 0) return nullptr;
  const auto aligned = (static_cast<size_t>(size) + RTE_CACHE_LINE_SIZE - 1) & ~size_t{RTE_CACHE_LINE_SIZE - 1};
  auto* queue = static_cast<rte_ring*>(std::aligned_alloc(RTE_CACHE_LINE_SIZE, aligned));
  if (queue != nullptr && rte_ring_init(queue, "kernel_side", kQueueSize, RING_F_SC_DEQ) != 0) {
    std::free(queue);
    return nullptr;
  }
  return queue;
}

absl::Status CheckRoom(const rte_mempool* pool, const std::string& name, uint16_t mtu) {
  const uint32_t room = rte_pktmbuf_data_room_size(const_cast<rte_mempool*>(pool));
  if (room >= RTE_PKTMBUF_HEADROOM + mtu + kLinkHeader) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("tap interface ", name, ": packets of ", room, " bytes are too small for an MTU of ", mtu));
}

}  // namespace

absl::StatusOr<std::unique_ptr<KernelSide>> KernelSide::Open(const Options& options) {
  if (absl::Status status = CheckRoom(options.pool, options.name, options.mtu); !status.ok()) return status;
  absl::StatusOr<std::unique_ptr<TapInterface>> tap = TapInterface::Create(options.name);
  if (!tap.ok()) return tap.status();
  auto side = std::unique_ptr<KernelSide>(new KernelSide(options));
  side->tap_ = *std::move(tap);
  if (absl::Status status = side->SetUp(); !status.ok()) return status;
  if (absl::Status status = side->StartThread(); !status.ok()) return status;
  return side;
}

KernelSide::KernelSide(const Options& options) : options_(options), largest_frame_(options.mtu + kLinkHeader) {}

KernelSide::~KernelSide() {
  if (thread_.joinable()) {
    stop_.store(true, std::memory_order_relaxed);
    Wake();
    thread_.join();
  }
  if (queue_ != nullptr) {
    void* packet = nullptr;
    while (rte_ring_dequeue(queue_, &packet) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
    std::free(queue_);
  }
  if (epoll_fd_ >= 0) close(epoll_fd_);
  if (wake_fd_ >= 0) close(wake_fd_);
}

absl::Status KernelSide::SetUp() {
  if (absl::Status status = tap_->SetMac(options_.mac); !status.ok()) return status;
  if (absl::Status status = tap_->SetMtu(options_.mtu); !status.ok()) return status;
  if (absl::Status status = tap_->SetCarrier(options_.link_up); !status.ok()) return status;
  for (const Prefix& address : options_.addresses) {
    if (absl::Status status = tap_->AddAddress(address); !status.ok()) return status;
  }
  return tap_->SetUp();
}

absl::Status KernelSide::StartThread() {
  queue_ = MakeQueue();
  wake_fd_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
  epoll_event wake{.events = EPOLLIN, .data = {.fd = wake_fd_}};
  epoll_event frames{.events = EPOLLIN, .data = {.fd = tap_->fd()}};
  if (queue_ == nullptr || wake_fd_ < 0 || epoll_fd_ < 0 || epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, wake_fd_, &wake) != 0 ||
      epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, tap_->fd(), &frames) != 0) {
    return absl::ResourceExhaustedError(
        absl::StrCat("tap interface ", options_.name, ": no memory or no file descriptors for it; see `ulimit -n`"));
  }
  const SignalsBlocked blocked;
  thread_ = std::thread([this] { Run(); });
  pthread_setname_np(thread_.native_handle(), "kernel-side");
  return absl::OkStatus();
}

bool KernelSide::ToKernel(rte_mbuf* packet) {
  if (rte_ring_enqueue(queue_, packet) != 0) return false;
  // With the one in Sleep: either the thread sees the packet, or this sees that it sleeps.
  rte_smp_mb();
  if (sleeping_.load(std::memory_order_relaxed) && sleeping_.exchange(false)) Wake();
  return true;
}

void KernelSide::Wake() {
  const uint64_t one = 1;
  // Can't fail but by a full counter, which wakes as well.
  [[maybe_unused]] const ssize_t written = write(wake_fd_, &one, sizeof(one));
}

absl::Status KernelSide::Update(const Mac& mac, uint16_t mtu, bool link_up) {
  if (gone_.load(std::memory_order_relaxed)) {
    return absl::FailedPreconditionError(
        absl::StrCat("the tap interface ", options_.name,
                     " was removed by someone: the kernel has no part in its port any more; restart to have it back"));
  }
  if (mtu != options_.mtu) {
    if (absl::Status status = CheckRoom(options_.pool, options_.name, mtu); !status.ok()) return status;
    if (absl::Status status = tap_->SetMtu(mtu); !status.ok()) return status;
    options_.mtu = mtu;
    largest_frame_.store(mtu + kLinkHeader, std::memory_order_relaxed);
  }
  if (mac != options_.mac) {
    if (absl::Status status = tap_->SetMac(mac); !status.ok()) return status;
    options_.mac = mac;
  }
  if (link_up != options_.link_up) {
    if (absl::Status status = tap_->SetCarrier(link_up); !status.ok()) return status;
    options_.link_up = link_up;
  }
  return absl::OkStatus();
}

KernelSide::Counters KernelSide::ReadCounters() const {
  return {.to_kernel = to_kernel_.load(std::memory_order_relaxed),
          .from_kernel = from_kernel_.load(std::memory_order_relaxed),
          .to_kernel_dropped = to_kernel_dropped_.load(std::memory_order_relaxed),
          .from_kernel_dropped = from_kernel_dropped_.load(std::memory_order_relaxed)};
}

void KernelSide::Run() {
  while (!stop_.load(std::memory_order_relaxed)) {
    const bool more_to = MoveToKernel();
    const bool more_from = MoveFromKernel();
    if (!more_to && !more_from) Sleep();
  }
}

void KernelSide::Sleep() {
  sleeping_.store(true, std::memory_order_relaxed);
  rte_smp_mb();
  if (rte_ring_empty(queue_) != 0 && !stop_.load(std::memory_order_relaxed)) {
    std::array<epoll_event, 2> events;
    const int count = epoll_wait(epoll_fd_, events.data(), events.size(), -1);
    for (int i = 0; i < count; i++) {
      uint64_t wakes = 0;
      if (events[i].data.fd == wake_fd_) {
        [[maybe_unused]] const ssize_t got = read(wake_fd_, &wakes, sizeof(wakes));
      } else if ((events[i].events & EPOLLIN) == 0) {
        // An error without frames: the interface is gone, and would be ready for ever.
        epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, tap_->fd(), nullptr);
        gone_.store(true, std::memory_order_relaxed);
      }
    }
  }
  sleeping_.store(false, std::memory_order_relaxed);
}

bool KernelSide::MoveToKernel() {
  std::array<rte_mbuf*, kBurst> packets;
  const unsigned count =
      rte_ring_dequeue_burst(queue_, reinterpret_cast<void**>(packets.data()), packets.size(), nullptr);
  uint64_t written = 0;
  for (unsigned i = 0; i < count; i++) {
    const rte_mbuf* packet = packets[i];
    if (write(tap_->fd(), rte_pktmbuf_mtod(packet, const void*), packet->data_len) == packet->data_len) written++;
  }
  if (count == 0) return false;
  rte_pktmbuf_free_bulk(packets.data(), count);
  Add(to_kernel_, written);
  Add(to_kernel_dropped_, count - written);
  return count == packets.size();
}

KernelSide::Got KernelSide::ReadFrame(rte_mbuf* packet) {
  const uint32_t largest = packet != nullptr ? largest_frame_.load(std::memory_order_relaxed) : 0;
  // The kernel cuts a frame that does not fit; one byte more than the largest tells.
  char more = 0;
  const std::array<iovec, 2> parts = {
      iovec{.iov_base = packet != nullptr ? rte_pktmbuf_mtod(packet, void*) : nullptr, .iov_len = largest},
      iovec{.iov_base = &more, .iov_len = 1}};
  const ssize_t got = readv(tap_->fd(), parts.data(), parts.size());
  if (got <= 0) return Got::kNothing;
  if (got > static_cast<ssize_t>(largest)) return Got::kLost;
  packet->data_len = static_cast<uint16_t>(got);
  packet->pkt_len = static_cast<uint32_t>(got);
  return Got::kFrame;
}

bool KernelSide::MoveFromKernel() {
  rte_mbuf* packet = nullptr;
  uint64_t moved = 0;
  uint64_t dropped = 0;
  Got got = Got::kNothing;
  for (unsigned i = 0; i < kBurst; i++) {
    if (packet == nullptr) packet = rte_pktmbuf_alloc(options_.pool);
    got = ReadFrame(packet);
    if (got == Got::kNothing) break;
    if (got == Got::kFrame && options_.to_port(packet)) {
      packet = nullptr;
      moved++;
    } else {
      dropped++;
    }
  }
  rte_pktmbuf_free(packet);
  Add(from_kernel_, moved);
  Add(from_kernel_dropped_, dropped);
  return got != Got::kNothing;
}

}  // namespace sluice
