// A kernel interface as a port of the xdp engine: its queues, its place for the program, and frames of our own to send.
//
// Thread-safety: none; the control thread's, in the network namespace of the interface.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/engine.h"
#include "engine/interface_lock.h"
#include "engine/kernel_interface.h"
#include "engine/xdp/attachment.h"

namespace sluice {

class XdpPort {
 public:
  // Takes the interface and makes its queues share the packets by addresses and ports. Errors: no such interface, in
  // use by another instance, a foreign program is there.
  static absl::StatusOr<std::unique_ptr<XdpPort>> Open(const std::string& interface);
  ~XdpPort();
  XdpPort(const XdpPort&) = delete;
  XdpPort& operator=(const XdpPort&) = delete;

  XdpAttachment& attachment() { return attachment_; }
  const KernelInterface& interface() const { return interface_; }
  // Queues that packets come by, as of now.
  uint16_t ReadQueues() const;
  EnginePort Describe() const;

  // As if the kernel had sent it.
  absl::Status Send(const std::vector<uint8_t>& frame);

 private:
  XdpPort(KernelInterface interface, InterfaceLock lock)
      : interface_(std::move(interface)), lock_(std::move(lock)), attachment_(interface_.index(), interface_.name()) {}
  void TuneDevice() const;

  KernelInterface interface_;
  InterfaceLock lock_;
  XdpAttachment attachment_;
  // -1 until the first frame is sent.
  int socket_ = -1;
};

}  // namespace sluice
