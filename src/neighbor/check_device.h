// The interface that packets of checks come out of which take the way of clients' packets: the kernel routes what bears
// its mark into it, and sluiced reads it there.
//
// A TUN interface sluice-check0 (or the first number that is free) with a routing table of its own, and two rules a
// family: marked packets go by that table, and nowhere when the interface is gone. The interface goes with its
// descriptor, its routes with it. In the network namespace of the thread that called Open. Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "neighbor/rtnetlink.h"

namespace sluice {

class CheckDevice {
 public:
  // Smaller than any way to a backend, with a tunnel's headers too.
  static constexpr uint16_t kMtu = 1280;

  // Up, and without routes. Errors: NotFoundError (the kernel has no TUN), PermissionDeniedError.
  static absl::StatusOr<std::unique_ptr<CheckDevice>> Open();
  // Takes the rules away.
  ~CheckDevice();
  CheckDevice(const CheckDevice&) = delete;
  CheckDevice& operator=(const CheckDevice&) = delete;

  // From now on marked packets of that family come here. Nothing when they do already.
  absl::Status Route(bool ipv4);

  // What an instance has left that was killed: rules whose interface is gone. Without the right to, nothing happens.
  static void RemoveStale();

  const std::string& name() const { return name_; }
  // Bears one IP packet a read; does not block.
  int fd() const { return fd_; }
  // Of its own; never 0.
  uint32_t mark() const;

 private:
  CheckDevice() = default;
  absl::Status Make();
  absl::Status SetUp();

  std::string name_;
  uint32_t number_ = 0;
  int index_ = 0;
  int fd_ = -1;
  bool routed_ipv4_ = false;
  bool routed_ipv6_ = false;
  Socket netlink_;
};

}  // namespace sluice
