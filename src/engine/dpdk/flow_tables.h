// The connections and NAT sessions of the dpdk engine: over kernel interfaces in arrays that the kernel shares, which
// stands in for workers (stand_in.h); else in memory of its own, in huge pages where there are any.
//
// Thread-safety: none; the control thread's. Workers own their partitions.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/connection_tables.h"
#include "engine/dpdk/dpdk_engine.h"
#include "engine/dpdk/port_set.h"
#include "engine/session_tables.h"
#include "engine/xdp/kernel_connections.h"
#include "engine/xdp/kernel_sessions.h"
#include "sluice/nat_port.h"
#include "tables/tables.h"

namespace sluice {

class FlowTables {
 public:
  // Ports have been opened. `notes` gets sentences for the log.
  static absl::StatusOr<std::unique_ptr<FlowTables>> Take(const DpdkOptions& options, const PortSet& ports,
                                                          std::vector<std::string>* notes);

  // By partition of the ports' queues.
  ConnectionTables& connections() const { return kernel_ != nullptr ? kernel_->tables() : *own_; }
  // The workers', and behind them those of the kernel in their place.
  SessionTables& sessions() const { return kernel_sessions_ != nullptr ? kernel_sessions_->tables() : *own_sessions_; }
  // What workers may take.
  const sluice_nat_ports& nat_ports() const { return nat_ports_; }

  // Null where they are not shared.
  KernelConnections* kernel_connections() const { return kernel_.get(); }
  KernelSessions* kernel_sessions() const { return kernel_sessions_.get(); }

  // Before the first tables: flows of the instance before are gone on with, once it is known whose they are. Whether
  // the partitions are other ones from here on.
  absl::StatusOr<bool> Settle(const Tables& tables);

 private:
  absl::Status TakeConnections(const DpdkOptions& options, const PortSet& ports, std::vector<std::string>* notes);
  absl::Status TakeSessions(const DpdkOptions& options, const PortSet& ports, std::vector<std::string>* notes);

  std::unique_ptr<ConnectionTables> own_;
  std::unique_ptr<KernelConnections> kernel_;
  std::unique_ptr<SessionTables> own_sessions_;
  std::unique_ptr<KernelSessions> kernel_sessions_;
  sluice_nat_ports nat_ports_{};
};

}  // namespace sluice
