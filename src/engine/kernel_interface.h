// A kernel interface as its driver's ioctls show and set it: what `ip link` prints and `ethtool` changes.
//
// Bound to the network namespace that the calling thread is in at Find, and to the interface's index: it follows a
// rename. Thread-safety: none; the control thread's. Errors name the interface and what to do.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"
#include "engine/port_rss.h"

namespace sluice {

class KernelInterface {
 public:
  // RX queues that packets are spread over now, and the most that the driver can have.
  struct Channels {
    uint16_t count = 1;
    uint16_t maximum = 1;
    // The driver pairs RX and TX queues ("combined"), or counts them apart (veth).
    bool combined = true;
    uint16_t transmit = 1;
  };

  // NotFoundError when there is no such interface.
  static absl::StatusOr<KernelInterface> Find(std::string_view name);

  KernelInterface(KernelInterface&& other) noexcept;
  KernelInterface& operator=(KernelInterface&&) = delete;
  ~KernelInterface();

  const std::string& name() const { return name_; }
  int index() const { return index_; }

  absl::StatusOr<uint32_t> ReadMtu() const;
  absl::StatusOr<Mac> ReadMac() const;
  // Up and with a carrier.
  bool ReadLinkUp() const;

  // "ixgbe", "veth"; empty when it does not tell.
  std::string ReadDriver() const;

  // A driver that does not tell has one.
  absl::StatusOr<Channels> ReadChannels() const;
  // RX and TX alike.
  absl::Status SetChannels(uint16_t count) const;
  // Puts back what ReadChannels said.
  absl::Status SetChannels(const Channels& channels) const;

  // Spread TCP and UDP of both families over the queues by addresses and ports. UnimplementedError when the driver
  // has no such choice.
  absl::Status HashFourTuple() const;
  // How the device spreads packets (ethtool -x, ethtool -n rx-flow-hash). Errors: the driver does not tell, or it is
  // none of what PortRss can say.
  absl::StatusOr<PortRss> ReadRss() const;
  // Leave VLAN tags in the packet: an XDP program does not see a tag that the device took off.
  absl::Status KeepVlanTags() const;

 private:
  KernelInterface(int fd, int index, std::string name) : fd_(fd), index_(index), name_(std::move(name)) {}

  // One SIOCETHTOOL with `command` in and out.
  absl::Status Ethtool(const char* what, void* command) const;

  int fd_;
  int index_;
  std::string name_;
};

}  // namespace sluice
