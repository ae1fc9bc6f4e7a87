// A port of the dpdk engine: where workers receive and transmit bursts of mbufs.
//
// Two kinds: an Ethernet device of DPDK (ethdev_port.h: PCI devices and any device string) and a kernel interface over
// AF_XDP (afxdp_port.h; why that is not DPDK's own AF_XDP device: docs/decisions/af-xdp-port.md). The virtual call is
// one for a burst, as inside DPDK itself, never one for a packet.
//
// Thread-safety: Receive and Transmit of one queue belong to the worker that owns it; everything else belongs to the
// control thread and may run beside them.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/address.h"
#include "base/service.h"
#include "engine/port_rss.h"

struct rte_mbuf;

namespace sluice {

struct PortInfo {
  // Interface name, PCI address or device string, as configured.
  std::string name;
  Mac mac{};
  // Largest layer-3 packet, bytes.
  uint16_t mtu = 0;
  uint16_t queues = 0;
  // The kernel interface whose routes and neighbours lead through this port: the interface itself, or the tap; 0 if
  // none.
  int kernel_ifindex = 0;
  bool link_up = false;
  // How packets get to the worker: "af_xdp zero-copy", "af_xdp copy", or the DPDK driver's name. For logs and status.
  std::string mode;
};

// Sums since Open; what the device or the kernel dropped before a worker saw it, or after a worker sent it.
struct PortCounters {
  uint64_t receive_dropped = 0;
  uint64_t transmit_dropped = 0;
};

class Port {
 public:
  virtual ~Port() = default;

  // Up to `count` packets into `packets`, each one segment with room in front for the largest encapsulation. Returns
  // how many.
  virtual uint16_t Receive(uint16_t queue, rte_mbuf** packets, uint16_t count) = 0;
  // Takes the first n packets (and frees them when sent); returns n. The caller keeps the rest.
  virtual uint16_t Transmit(uint16_t queue, rte_mbuf** packets, uint16_t count) = 0;
  // A file descriptor that polls readable when the queue has packets, or -1 when the device has none.
  virtual int WaitHandle(uint16_t queue) = 0;

  // Whether packets may come with a transport checksum that their sender left to its device, and which the device is
  // none of hardware to have finished (sluice/unfinished.h). The same always once the port has started.
  bool unfinished_checksums() const { return unfinished_checksums_; }

  // Virtual addresses whose packets (and ARP, ND) the workers get; everything else stays with the kernel. A device that
  // hands the workers everything ignores it. Replaces the former set; an address in both never loses a packet.
  virtual absl::Status SetVirtualAddresses(absl::Span<const Address> addresses) = 0;
  // Servers whose packets the workers get too, as they answer clients' own addresses; but not what is for the node
  // itself, whose addresses are `SetLocalAddresses`. Both replace the former set. Where the workers get everything,
  // neither says anything.
  virtual absl::Status SetServices(absl::Span<const Service> /*services*/) { return absl::OkStatus(); }
  virtual absl::Status SetLocalAddresses(absl::Span<const Address> /*addresses*/) { return absl::OkStatus(); }

  // Once it has started. Errors say why it is not known, as what follows "because".
  virtual absl::StatusOr<PortRss> ReadRss() = 0;
  // Hashes by this key from now on, as other ports do. Errors: the device does not take one.
  virtual absl::Status SetRssKey(const std::array<uint8_t, 40>& key) = 0;

  // Whether somebody wants the device back (unbound, unplugged) and waits for it. Then, in this order: Cease, after
  // which Receive and Transmit do nothing; a wait until no worker is in either; Release, which gives the device up for
  // good and lets info() say that the link is down.
  virtual bool wanted_back() const { return false; }
  virtual void Cease() {}
  virtual void Release() {}

  // As it is now: MAC, MTU and link state may change while running.
  virtual PortInfo info() = 0;
  virtual PortCounters ReadCounters() = 0;

 protected:
  bool unfinished_checksums_ = false;
};

}  // namespace sluice
