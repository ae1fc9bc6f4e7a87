// The path in the kernel on all ports of an engine: one program, with one of larger room put in its place when tables
// outgrow it, so that every port has the same one or none.
//
// Thread-safety: none; the control thread's.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "engine/kernel_interface.h"
#include "engine/xdp/attachment.h"
#include "engine/xdp/kernel_connections.h"
#include "engine/xdp/kernel_path.h"
#include "engine/xdp/kernel_sessions.h"
#include "tables/tables.h"

namespace sluice {

class KernelForwarding {
 public:
  // Its queues are the next partitions after those of the port before it.
  struct Port {
    const KernelInterface* interface = nullptr;
    XdpAttachment* attachment = nullptr;
    uint16_t queues = 1;
    // Of the workers, by queue; none where the kernel alone forwards.
    std::vector<int> sockets;
  };
  // What ports and connections point to outlives this object's use; the ports' attachments go before it does.
  // Without `sessions` the kernel does not translate.
  KernelForwarding(std::vector<Port> ports, KernelConnections* connections, KernelSessions* sessions,
                   std::optional<KernelPath::Workers> workers)
      : ports_(std::move(ports)), connections_(connections), sessions_(sessions), workers_(workers) {}

  // Every packet on every port meets `tables` from here on. The first time the program takes the place of whatever of
  // ours is there. On an error what was there before stays.
  absl::Status Publish(const std::shared_ptr<const Tables>& tables);
  // Returns when every packet that was under way has been through the program.
  void WaitForPackets() const;
  // Whether the ports have the program.
  bool attached() const { return path_ != nullptr; }

  // Adds what the kernel has counted, whichever program it was. The sizes of `sum` are those that are wanted.
  void AddCounters(EngineCounters* sum) const;
  // Of the program that runs, none before there is one; and what those before it have counted, by slot.
  std::vector<LoadedWorker> loaded_workers() const;
  const std::vector<sluice_traffic>& counted_before() const { return counted_before_.backends; }

 private:
  absl::StatusOr<std::unique_ptr<KernelPath>> MakePath(const Tables& tables) const;
  absl::Status Replace(const std::shared_ptr<const Tables>& tables);
  absl::Status AttachAll(int program) const;

  std::vector<Port> ports_;
  KernelConnections* connections_;
  KernelSessions* sessions_;
  std::optional<KernelPath::Workers> workers_;
  std::unique_ptr<KernelPath> path_;
  // By programs that others of ours have replaced.
  EngineCounters counted_before_;
};

}  // namespace sluice
