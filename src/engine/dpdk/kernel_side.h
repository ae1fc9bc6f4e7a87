// The kernel's side of a port that DPDK owns: a tap interface, through which everything that is not a listener's
// reaches the kernel and comes back (the node's own addresses, SSH, BGP, ARP, ND). It has the port's MAC address, MTU
// and link state.
//
// A thread of its own moves the frames, so a worker makes no system call for them but one to wake it when it sleeps.
//
// Thread-safety: ToKernel from any worker, ReadCounters from any thread; the rest from the control thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "engine/dpdk/tap_interface.h"

struct rte_mbuf;
struct rte_mempool;
struct rte_ring;

namespace sluice {

class KernelSide {
 public:
  struct Options {
    // Of the tap interface; must not exist yet.
    std::string name;
    std::vector<Prefix> addresses;
    Mac mac{};
    uint16_t mtu = 1500;
    bool link_up = true;
    // Frames from the kernel become mbufs of this pool (multi-producer, multi-consumer; a frame fits one mbuf), ...
    rte_mempool* pool = nullptr;
    // ... and are handed over here, from the thread of this object: true when taken.
    std::function<bool(rte_mbuf*)> to_port;
  };

  struct Counters {
    uint64_t to_kernel = 0;
    uint64_t from_kernel = 0;
    // The kernel did not take them: the interface is down, or memory is short.
    uint64_t to_kernel_dropped = 0;
    // The port did not take them, they were too large for it, or there was no mbuf.
    uint64_t from_kernel_dropped = 0;
  };

  // The interface is up, with its addresses, in the network namespace of the calling thread. Errors: those of
  // TapInterface::Create, InvalidArgumentError (address refused, mbufs too small); in words.
  static absl::StatusOr<std::unique_ptr<KernelSide>> Open(const Options& options);
  // The interface goes. Required: no worker calls ToKernel any more; the pools of all packets are still there.
  ~KernelSide();
  KernelSide(const KernelSide&) = delete;
  KernelSide& operator=(const KernelSide&) = delete;

  // Takes the packet, one segment (and frees it when written), or returns false when the queue to the kernel is full.
  bool ToKernel(rte_mbuf* packet);
  // Follows the port. FailedPreconditionError when someone removed the interface.
  absl::Status Update(const Mac& mac, uint16_t mtu, bool link_up);
  int ifindex() const { return tap_->index(); }
  Counters ReadCounters() const;

 private:
  explicit KernelSide(const Options& options);

  absl::Status SetUp();
  absl::Status StartThread();
  void Run();
  void Sleep();
  // Each moves a burst at most; whether there may be more.
  bool MoveToKernel();
  bool MoveFromKernel();
  // kLost: a frame too large for the port, or for which there is no packet.
  enum class Got { kFrame, kLost, kNothing };
  // The kernel's next frame into `packet`, which may be null.
  Got ReadFrame(rte_mbuf* packet);
  void Wake();

  Options options_;
  std::unique_ptr<TapInterface> tap_;
  // To the kernel: any worker in, the thread out.
  rte_ring* queue_ = nullptr;
  int wake_fd_ = -1;
  int epoll_fd_ = -1;
  // The largest frame that the port takes.
  std::atomic<uint32_t> largest_frame_ = 0;
  std::atomic<bool> sleeping_ = false;
  std::atomic<bool> stop_ = false;
  // The interface was removed by someone else.
  std::atomic<bool> gone_ = false;
  // One writer, the thread.
  std::atomic<uint64_t> to_kernel_ = 0;
  std::atomic<uint64_t> from_kernel_ = 0;
  std::atomic<uint64_t> to_kernel_dropped_ = 0;
  std::atomic<uint64_t> from_kernel_dropped_ = 0;
  std::thread thread_;
};

}  // namespace sluice
