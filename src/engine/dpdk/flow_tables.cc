#include "engine/dpdk/flow_tables.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace sluice {
namespace {

std::vector<XdpAttachment*> PlacesOf(const PortSet& ports) {
  std::vector<XdpAttachment*> places;
  for (AfxdpPort* port : ports.afxdp()) places.push_back(&port->attachment());
  return places;
}

// Generic XDP may run one queue on several CPUs, and each session has one writer.
bool CanTranslate(const PortSet& ports) {
  bool native = !ports.afxdp().empty();
  for (AfxdpPort* port : ports.afxdp()) native = native && !port->attachment().generic();
  return native;
}

}  // namespace

absl::StatusOr<std::unique_ptr<FlowTables>> FlowTables::Take(const DpdkOptions& options, const PortSet& ports,
                                                             std::vector<std::string>* notes) {
  auto tables = std::make_unique<FlowTables>();
  tables->nat_ports_ = sluice_nat_ports_around(options.kernel_first_port, options.kernel_last_port);
  if (absl::Status status = tables->TakeConnections(options, ports, notes); !status.ok()) return status;
  if (absl::Status status = tables->TakeSessions(options, ports, notes); !status.ok()) return status;
  return tables;
}

absl::Status FlowTables::TakeConnections(const DpdkOptions& options, const PortSet& ports,
                                         std::vector<std::string>* notes) {
  if (ports.afxdp().empty()) {
    absl::StatusOr<ConnectionTables> own =
        ConnectionTables::Create(ports.partitions(), options.max_connections, options.huge_pages);
    if (!own.ok()) return own.status();
    own_ = std::make_unique<ConnectionTables>(*std::move(own));
    if (options.huge_pages == HugePages::kPreferred && !own_->huge()) {
      notes->push_back(absl::StrCat("the connection table (", options.max_connections * 12 >> 20,
                                    " MiB) lies in pages of normal size; huge pages make look-ups in it faster"));
    }
    return absl::OkStatus();
  }
  absl::StatusOr<std::unique_ptr<KernelConnections>> shared =
      KernelConnections::Open(ports.partitions(), options.max_connections, PlacesOf(ports), notes);
  if (!shared.ok()) return shared.status();
  kernel_ = *std::move(shared);
  return absl::OkStatus();
}

absl::Status FlowTables::TakeSessions(const DpdkOptions& options, const PortSet& ports,
                                      std::vector<std::string>* notes) {
  if (options.max_sessions > 0 && CanTranslate(ports)) {
    absl::StatusOr<std::unique_ptr<KernelSessions>> shared =
        KernelSessions::Open({options.workers, ports.partitions()}, options.max_sessions, nat_ports_, PlacesOf(ports));
    if (shared.ok()) {
      kernel_sessions_ = *std::move(shared);
      nat_ports_ = kernel_sessions_->worker_ports();
      if (options.port_seed != 0) kernel_sessions_->ScatterPorts(options.port_seed);
      return absl::OkStatus();
    }
    if (!absl::IsFailedPrecondition(shared.status())) return shared.status();
    notes->push_back(
        absl::StrCat("the kernel does not translate in workers' place: ", std::string(shared.status().message())));
  }
  absl::StatusOr<SessionTables> own = SessionTables::Create(options.workers, options.max_sessions, options.huge_pages);
  if (!own.ok()) return own.status();
  own_sessions_ = std::make_unique<SessionTables>(*std::move(own));
  const std::vector<SessionPartition>& partitions = own_sessions_->partitions();
  for (size_t i = 0; options.port_seed != 0 && i < partitions.size(); i++) {
    ScatterPorts(partitions[i], nat_ports_, options.port_seed + i);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> FlowTables::Settle(const Tables& tables) {
  if (kernel_ == nullptr) return false;
  const absl::StatusOr<bool> moved = kernel_->Settle(tables);
  if (!moved.ok() || kernel_sessions_ == nullptr) return moved;
  return kernel_sessions_->Settle(tables) || *moved;
}

}  // namespace sluice
