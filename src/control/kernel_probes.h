// Probe packets from the kernel: checks are ordinary sockets with a mark, and what bears it comes to a device of ours.
// The device is there while any pool asks for it.
//
// Thread-safety: the control thread.
#pragma once

#include <array>
#include <functional>
#include <memory>

#include "control/probe_packets.h"
#include "health/marked_sockets.h"
#include "neighbor/check_device.h"

namespace sluice {

class KernelProbes : public ProbePackets {
 public:
  // `sockets` outlive it. `on_device` is told the descriptor to wait for (-1: none any more) before it is closed.
  // Removes what an instance has left that was killed.
  KernelProbes(MarkedSockets* sockets, std::function<void(int fd)> on_device);
  ~KernelProbes() override;

  absl::Status Want(const ProbeFamilies& families) override;
  std::optional<ProbePacket> Take() override;

 private:
  void Drop();

  MarkedSockets* sockets_;
  std::function<void(int)> on_device_;
  std::unique_ptr<CheckDevice> device_;
  std::array<uint8_t, CheckDevice::kMtu> bytes_;
};

}  // namespace sluice
