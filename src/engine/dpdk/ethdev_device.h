// Finding, or making, the DPDK device behind a port, and giving it back.
//
// Thread-safety: the control thread's. Required: the EAL is initialized, and was told of every PCI address.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace sluice {

class EthdevDevice {
 public:
  // `address` as in "0000:3b:00.0" or "3b:00.0". Errors: NotFoundError (no such device, no driver of DPDK for it),
  // FailedPreconditionError (not bound to a driver for user space, and how to bind it; in use by another process).
  static absl::StatusOr<EthdevDevice> OpenPci(const std::string& address);
  // `text` as in "net_memif0,role=server,id=0": a driver's name and a number, then the driver's own arguments. Or the
  // name alone of a device that this process has made by itself (rte_eth_from_rings) and nobody owns. Errors:
  // InvalidArgumentError (not such a string, no such driver, arguments refused), AlreadyExistsError.
  static absl::StatusOr<EthdevDevice> OpenString(const std::string& text);

  EthdevDevice(EthdevDevice&& other) noexcept
      : name_(std::move(other.name_)), port_id_(std::exchange(other.port_id_, kNone)) {}
  EthdevDevice& operator=(EthdevDevice&&) = delete;
  // Stops and closes it; a device that a string made is gone, a PCI device can be opened again.
  ~EthdevDevice();

  // As configured, for messages.
  const std::string& name() const { return name_; }
  uint16_t port_id() const { return port_id_; }

 private:
  static constexpr uint16_t kNone = UINT16_MAX;

  EthdevDevice(std::string name, uint16_t port_id) : name_(std::move(name)), port_id_(port_id) {}

  std::string name_;
  uint16_t port_id_;
};

}  // namespace sluice
