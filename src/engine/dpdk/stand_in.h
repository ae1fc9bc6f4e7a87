// The kernel in place of workers: over AF_XDP, the program that gives the workers their packets forwards them itself,
// from the same tables, connections and NAT sessions, when a worker is gone or hangs (docs/decisions/take-over.md).
//
// Thread-safety: none; the control thread's. Owner records are shared with workers and the kernel as kernel.h says.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/region.h"
#include "engine/dpdk/afxdp_port.h"
#include "engine/engine.h"
#include "engine/xdp/kernel_connections.h"
#include "engine/xdp/kernel_forwarding.h"
#include "engine/xdp/kernel_sessions.h"
#include "sluice/kernel.h"
#include "tables/tables.h"

namespace sluice {

class StandIn {
 public:
  // Partitions are those of the ports' queues, one after the other. Ports, started, connections and sessions outlive
  // this object's use, not its end: it has to go after the ports. Without `sessions` translated flows wait for their
  // workers.
  static absl::StatusOr<std::unique_ptr<StandIn>> Create(std::vector<AfxdpPort*> ports, KernelConnections* connections,
                                                         KernelSessions* sessions, uint64_t takeover_after);
  ~StandIn();
  StandIn(const StandIn&) = delete;
  StandIn& operator=(const StandIn&) = delete;

  // For the worker of the partition; valid as long as this object.
  sluice_owner* owner(uint32_t partition) const { return owners_.As<sluice_owner>() + partition; }

  // The kernel stands in by these tables from here on; as KernelForwarding says. Workers run.
  absl::Status Publish(const std::shared_ptr<const Tables>& tables);
  const KernelForwarding& forwarding() const { return *forwarding_; }
  // As KernelForwarding says; any thread, while nobody publishes.
  void WaitForPackets() const { forwarding_->WaitForPackets(); }

  // Sentences about partitions that have changed hands since the last call.
  std::vector<std::string> TakeNews();

 private:
  explicit StandIn(std::vector<AfxdpPort*> ports) : ports_(std::move(ports)) {}
  absl::Status MakeOwners(uint32_t partitions);
  void WaitForWorkers() const;

  std::vector<AfxdpPort*> ports_;
  int owners_array_ = -1;
  Region owners_;
  // By partition, as of the last news.
  std::vector<uint32_t> told_;
  std::unique_ptr<KernelForwarding> forwarding_;
};

}  // namespace sluice
