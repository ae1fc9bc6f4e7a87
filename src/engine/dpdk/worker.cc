#include "engine/dpdk/worker.h"

#include <poll.h>
#include <rte_cycles.h>
#include <rte_mbuf.h>
#include <rte_pause.h>
#include <rte_prefetch.h>
#include <rte_rcu_qsbr.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "engine/dpdk/nap.h"
#include "engine/session_tables.h"
#include "engine/words.h"

namespace sluice {
namespace {

constexpr uint32_t kInjectedPackets = 1024;
// Its queues' and its own.
constexpr size_t kMostHandles = 1 + 2 * SLUICE_PORTS;
// The kernel may let a nap be longer by so much. 50 us unless somebody asks.
constexpr unsigned long kTimerSlackNs = 1'000;
// How often a worker says that it lives. Less often while it sleeps.
constexpr uint64_t kHeartbeatNs = 5'000'000;
// The most bursts that are taken from its rings to empty them.
constexpr uint32_t kLastRounds = 256;

// A device that knows that a checksum is not finished says so.
bool IsUnfinished(const rte_mbuf* packet) {
  return (packet->ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_NONE;
}

Frame FrameOf(const rte_mbuf* packet) {
  Frame frame;
  frame.data = rte_pktmbuf_mtod(packet, uint8_t*);
  frame.length = rte_pktmbuf_data_len(packet);
  frame.headroom = rte_pktmbuf_headroom(packet);
  frame.tailroom = rte_pktmbuf_tailroom(packet);
  return frame;
}

void Adopt(rte_mbuf* packet, const Frame& frame) {
  packet->data_off = static_cast<uint16_t>(frame.data - static_cast<uint8_t*>(packet->buf_addr));
  packet->data_len = static_cast<uint16_t>(frame.length);
  packet->pkt_len = frame.length;
}

}  // namespace

absl::StatusOr<std::unique_ptr<Worker>> Worker::Create(Options options, std::vector<Partition> partitions,
                                                       WorkerSessions sessions) {
  absl::StatusOr<BurstPath> path = BurstPath::Create(std::move(partitions), std::move(sessions));
  if (!path.ok()) return path.status();
  auto worker = std::unique_ptr<Worker>(new Worker(std::move(options), *std::move(path)));
  worker->outboxes_.resize(worker->options_.transmit.size());
  const std::string name = absl::StrCat("injected", worker->options_.index);
  worker->injected_ = rte_ring_create(name.c_str(), kInjectedPackets, SOCKET_ID_ANY, RING_F_SC_DEQ);
  worker->wake_ = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (worker->injected_ == nullptr || worker->wake_ < 0) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for worker ", worker->options_.index));
  }
  for (const Queue& queue : worker->options_.queues) {
    const int handle = queue.port->WaitHandle(queue.queue);
    if (handle < 0 || worker->wait_handles_.size() + 1 == kMostHandles) {
      worker->wait_handles_.clear();
      break;
    }
    worker->wait_handles_.push_back(handle);
  }
  return worker;
}

Worker::~Worker() {
  if (injected_ != nullptr) {
    void* packet = nullptr;
    while (rte_ring_dequeue(injected_, &packet) == 0) rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
    rte_ring_free(injected_);
  }
  if (wake_ >= 0) close(wake_);
  rte_pktmbuf_free(made_);
}

void Worker::Run() {
  // Of this thread alone. Without it naps are longer, and that is all.
  prctl(PR_SET_TIMERSLACK, kTimerSlackNs);
  rte_rcu_qsbr_thread_online(options_.qsbr, options_.index);
  uint64_t busy = Now();
  while (!stop_.load(std::memory_order_relaxed)) {
    const sluice_tables* tables = options_.tables->load(std::memory_order_acquire);
    const uint64_t now = Now();
    if (Round(*tables, now) > 0) {
      busy = now;
    } else if (const uint64_t nap = NapNs(now - busy, !wait_handles_.empty()); nap > 0 && !options_.spin) {
      Sleep(nap);
    }
    rte_rcu_qsbr_quiescent(options_.qsbr, options_.index);
  }
  GiveBack();
  rte_rcu_qsbr_thread_offline(options_.qsbr, options_.index);
}

// The kernel has the partitions with the next packet; what waits in the rings still goes its way.
void Worker::GiveBack() {
  bool shared = false;
  for (const Queue& queue : options_.queues) {
    if (queue.owner == nullptr) continue;
    shared = true;
    const uint32_t taken = __atomic_load_n(&queue.owner->taken, __ATOMIC_RELAXED);
    __atomic_store_n(&queue.owner->seen, taken - 1, __ATOMIC_RELEASE);
  }
  if (!shared) return;
  EmptyRings();
  // A packet that has met the worker as the owner may be on its way: the kernel fills rings at the end of its own
  // burst.
  options_.wait_for_kernel();
  EmptyRings();
}

void Worker::EmptyRings() {
  const sluice_tables* tables = options_.tables->load(std::memory_order_acquire);
  for (uint32_t i = 0; i < kLastRounds && Poll(*tables, Now()) > 0; i++) continue;
}

// Says that this worker lives, and sees whether it has been passed by.
void Worker::Hold(const Queue& queue, uint64_t now) {
  sluice_owner* owner = queue.owner;
  if (now - owner->heartbeat > kHeartbeatNs) __atomic_store_n(&owner->heartbeat, now, __ATOMIC_RELEASE);
  const uint32_t taken = __atomic_load_n(&owner->taken, __ATOMIC_ACQUIRE);
  if (SLUICE_UNLIKELY(taken != owner->seen)) TakeBack(queue, taken);
}

// What waits in the ring is from before the kernel took over: flows have gone on since.
void Worker::TakeBack(const Queue& queue, uint32_t taken) {
  std::array<rte_mbuf*, SLUICE_BURST> packets;
  for (uint32_t i = 0; i < kLastRounds; i++) {
    const uint16_t count = queue.port->Receive(queue.queue, packets.data(), SLUICE_BURST);
    if (count == 0) break;
    rte_pktmbuf_free_bulk(packets.data(), count);
  }
  __atomic_store_n(&queue.owner->seen, taken, __ATOMIC_RELEASE);
}

void Worker::Stop() {
  stop_.store(true, std::memory_order_relaxed);
  Wake();
}

bool Worker::Inject(rte_mbuf* packet, uint16_t port_index) {
  packet->port = port_index;
  if (rte_ring_enqueue(injected_, packet) != 0) return false;
  // Pairs with the fence in Sleep: either it sees the packet, or we see it asleep.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (asleep_.load(std::memory_order_relaxed)) Wake();
  return true;
}

void Worker::Wake() {
  const uint64_t one = 1;
  // Fails only when it is readable already.
  [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof(one));
}

// The clock is coarse to the path (ticks of two seconds, limits of milliseconds), so it is read every 50 us at most.
uint64_t Worker::Now() {
  const uint64_t cycles = rte_rdtsc();
  if (cycles - now_cycles_ > now_valid_cycles_) {
    now_ = MonotonicNow();
    now_cycles_ = cycles;
    now_valid_cycles_ = rte_get_tsc_hz() / 20'000;
  }
  return now_;
}

uint32_t Worker::Round(const sluice_tables& tables, uint64_t now) {
  for (const Queue& queue : options_.queues) {
    if (queue.owner != nullptr) Hold(queue, now);
  }
  return Poll(tables, now);
}

uint32_t Worker::Poll(const sluice_tables& tables, uint64_t now) {
  uint32_t total = SendInjected();
  path_.Maintain(tables, now, this);
  std::array<rte_mbuf*, SLUICE_BURST> packets;
  for (const Queue& queue : options_.queues) {
    const uint16_t count = queue.port->Receive(queue.queue, packets.data(), SLUICE_BURST);
    if (count == 0) continue;
    Process(tables, now, queue, packets.data(), count);
    total += count;
  }
  for (uint16_t port = 0; port < outboxes_.size(); port++) {
    if (outboxes_[port].count > 0) Flush(port);
  }
  return total;
}

void Worker::Process(const sluice_tables& tables, uint64_t now, const Queue& queue, rte_mbuf** packets,
                     uint16_t count) {
  std::array<Frame, SLUICE_BURST> frames;
  const uint32_t first = std::min<uint32_t>(count, kFramesAhead);
  for (uint32_t i = 0; i < first; i++) rte_prefetch0(rte_pktmbuf_mtod(packets[i], void*));
  bool unfinished = queue.port->unfinished_checksums();
  for (uint16_t i = 0; i < count; i++) {
    frames[i] = FrameOf(packets[i]);
    unfinished |= IsUnfinished(packets[i]);
  }
  path_.Process(tables, now, queue.port_index, queue.partition, frames.data(), count, unfinished);
  for (uint16_t i = 0; i < count; i++) {
    if (sluice_verdict_kind(frames[i].verdict) == SLUICE_KIND_TRANSMIT) {
      Adopt(packets[i], frames[i]);
      Send(frames[i].egress, packets[i]);
    } else {
      Dispose(queue, packets[i], frames[i]);
    }
  }
}

void Worker::Dispose(const Queue& queue, rte_mbuf* packet, const Frame& frame) {
  const bool pass = sluice_verdict_kind(frame.verdict) == SLUICE_KIND_PASS;
  if (pass && queue.kernel != nullptr) {
    if (queue.kernel->ToKernel(packet)) return;
    Add(kernel_full_, 1);
  }
  rte_pktmbuf_free(packet);
}

uint32_t Worker::SendInjected() {
  // One load of a line that is rarely written.
  if (rte_ring_empty(injected_)) return 0;
  std::array<void*, SLUICE_BURST> packets;
  const uint32_t count = rte_ring_dequeue_burst(injected_, packets.data(), packets.size(), nullptr);
  for (uint32_t i = 0; i < count; i++) {
    auto* packet = static_cast<rte_mbuf*>(packets[i]);
    Send(packet->port, packet);
  }
  return count;
}

Frame* Worker::Take() {
  if (made_ == nullptr) made_ = rte_pktmbuf_alloc(options_.pool);
  if (made_ == nullptr) return nullptr;
  made_frame_ = FrameOf(made_);
  return &made_frame_;
}

void Worker::Send(Frame* frame) {
  Adopt(made_, *frame);
  Send(frame->egress, std::exchange(made_, nullptr));
}

void Worker::Send(uint16_t port_index, rte_mbuf* packet) {
  Outbox& outbox = outboxes_[port_index];
  outbox.packets[outbox.count++] = packet;
  if (outbox.count == outbox.packets.size()) Flush(port_index);
}

void Worker::Flush(uint16_t port_index) {
  Outbox& outbox = outboxes_[port_index];
  const Queue& transmit = options_.transmit[port_index];
  const uint16_t sent = transmit.port->Transmit(transmit.queue, outbox.packets.data(), outbox.count);
  if (sent < outbox.count) {
    // The device's queue is full: its link is slower than what comes in, and waiting would lose packets there instead.
    Add(path_.counters().transmit_full, outbox.count - sent);
    rte_pktmbuf_free_bulk(outbox.packets.data() + sent, outbox.count - sent);
  }
  outbox.count = 0;
}

// Off the quiescent-state protocol, so that nobody waits for a sleeper.
void Worker::Sleep(uint64_t nap_ns) {
  rte_rcu_qsbr_thread_offline(options_.qsbr, options_.index);
  asleep_.store(true, std::memory_order_relaxed);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  if (rte_ring_empty(injected_) && !stop_.load(std::memory_order_relaxed)) {
    std::array<pollfd, kMostHandles> handles;
    handles[0] = {wake_, POLLIN, 0};
    size_t count = 1;
    for (const int handle : wait_handles_) handles[count++] = {handle, POLLIN, 0};
    const timespec patience{0, static_cast<long>(nap_ns)};
    ppoll(handles.data(), count, &patience, nullptr);
  }
  asleep_.store(false, std::memory_order_relaxed);
  uint64_t ignored = 0;
  [[maybe_unused]] const ssize_t got = read(wake_, &ignored, sizeof(ignored));
  now_cycles_ = 0;
  rte_rcu_qsbr_thread_online(options_.qsbr, options_.index);
}

}  // namespace sluice
