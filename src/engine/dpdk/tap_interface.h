// A tap interface: a network interface of the kernel whose cable ends in a file descriptor, a frame a read or write.
// Gone with its process, however that goes. (Documentation/networking/tuntap.rst of the kernel.)
//
// It takes no offloads: the kernel completes checksums and cuts segments before it hands over a frame.
//
// Bound to the network namespace that the calling thread is in at Create, and to the interface's index: it follows a
// rename. Thread-safety: none, but fd() may be read from and written to beside everything else.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/address.h"

struct nl_sock;

namespace sluice {

class TapInterface {
 public:
  // Down, with a carrier and a MAC address at random. Errors: AlreadyExistsError (the name is taken), NotFoundError
  // (the kernel has no tap), PermissionDeniedError, InvalidArgumentError (not a name of an interface).
  static absl::StatusOr<std::unique_ptr<TapInterface>> Create(const std::string& name);
  ~TapInterface();
  TapInterface(const TapInterface&) = delete;
  TapInterface& operator=(const TapInterface&) = delete;

  int index() const { return index_; }
  // Does not block.
  int fd() const { return fd_; }

  absl::Status SetMac(const Mac& mac);
  absl::Status SetMtu(uint16_t mtu);
  // Whether the cable is plugged in.
  absl::Status SetCarrier(bool carrier);
  absl::Status SetUp();
  absl::Status AddAddress(const Prefix& address);

 private:
  explicit TapInterface(const std::string& name) : name_(name) {}

  absl::Status OpenNetlink();
  absl::Status Make();
  // One change of the link, which `set` writes down.
  template <typename Set>
  absl::Status Change(const std::string& what, const Set& set);

  const std::string name_;
  int index_ = 0;
  int fd_ = -1;
  nl_sock* netlink_ = nullptr;
};

}  // namespace sluice
