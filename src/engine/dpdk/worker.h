// A worker of the dpdk engine: one lcore that polls its queues, runs the path over each burst and transmits.
//
// Thread-safety: Run belongs to the lcore; Stop, Inject, Wake and the counters may be used from any thread.
#pragma once

#include <rte_ring.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/burst.h"
#include "engine/dpdk/kernel_side.h"
#include "engine/dpdk/port.h"
#include "engine/loads.h"
#include "sluice/kernel.h"

struct rte_mempool;
struct rte_rcu_qsbr;

namespace sluice {

class Worker : private Outlet {
 public:
  // One receive queue; its flows live in a partition of its own.
  struct Queue {
    Port* port = nullptr;
    uint16_t port_index = 0;
    uint16_t queue = 0;
    uint32_t partition = 0;
    // Where packets go that are not ours; null when the kernel keeps them itself (AF_XDP).
    KernelSide* kernel = nullptr;
    // Where the kernel stands in for a worker that is gone or hangs; else null.
    sluice_owner* owner = nullptr;
  };
  struct Options {
    uint32_t index = 0;
    std::vector<Queue> queues;
    // By port index: the queue that this worker transmits on.
    std::vector<Queue> transmit;
    // The published tables; the worker reads it once a burst and reports to `qsbr` when it has left the old ones.
    const std::atomic<const sluice_tables*>* tables = nullptr;
    rte_rcu_qsbr* qsbr = nullptr;
    // For frames of the path's own making.
    rte_mempool* pool = nullptr;
    // Poll always; else sleep when there has been nothing to do for a while (nap.h).
    bool spin = false;
    // Where queues have owners: returns when what the kernel has given to them so far is in their rings.
    std::function<void()> wait_for_kernel;
  };

  static absl::StatusOr<std::unique_ptr<Worker>> Create(Options options, std::vector<Partition> partitions,
                                                        WorkerSessions sessions);
  ~Worker() override;

  // Until Stop.
  void Run();
  void Stop();

  // Has the packet transmitted on a port. False when the worker is too far behind; the packet stays the caller's.
  bool Inject(rte_mbuf* packet, uint16_t port_index);

  const WorkerCounters& counters() const { return path_.counters(); }
  const SessionCounters& session_counters() const { return path_.session_counters(); }
  LoadedWorker loaded() const { return path_.loaded(); }
  // Packets for the kernel that its queue had no room for.
  uint64_t kernel_full() const { return __atomic_load_n(&kernel_full_, __ATOMIC_RELAXED); }

 private:
  // Packets that wait for the end of the round, for one port.
  struct Outbox {
    std::array<rte_mbuf*, 2 * SLUICE_BURST> packets;
    uint16_t count = 0;
  };

  Worker(Options options, BurstPath path) : options_(std::move(options)), path_(std::move(path)) {}

  Frame* Take() override;
  void Send(Frame* frame) override;

  // One turn over all queues; how many packets there were. Poll does not care whose they are.
  uint32_t Round(const sluice_tables& tables, uint64_t now);
  uint32_t Poll(const sluice_tables& tables, uint64_t now);
  void Hold(const Queue& queue, uint64_t now);
  void TakeBack(const Queue& queue, uint32_t taken);
  void GiveBack();
  void EmptyRings();
  void Process(const sluice_tables& tables, uint64_t now, const Queue& queue, rte_mbuf** packets, uint16_t count);
  void Dispose(const Queue& queue, rte_mbuf* packet, const Frame& frame);
  uint32_t SendInjected();
  void Send(uint16_t port_index, rte_mbuf* packet);
  void Flush(uint16_t port_index);
  void Sleep(uint64_t nap_ns);
  uint64_t Now();
  void Wake();

  Options options_;
  BurstPath path_;
  std::vector<Outbox> outboxes_;
  rte_ring* injected_ = nullptr;
  // Readable when somebody wants the worker awake.
  int wake_ = -1;
  // Every queue's wait handle, or empty when one of them has none, or there are too many.
  std::vector<int> wait_handles_;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> asleep_ = false;
  uint64_t kernel_full_ = 0;
  // What Take has given and Send has not sent.
  rte_mbuf* made_ = nullptr;
  Frame made_frame_;
  uint64_t now_ = 0;
  uint64_t now_cycles_ = 0;
  uint64_t now_valid_cycles_ = 0;
};

}  // namespace sluice
