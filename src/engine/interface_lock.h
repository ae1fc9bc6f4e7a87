// One instance to an interface: a name in the abstract Unix sockets of the network namespace, which the kernel gives
// back when the process is gone, however it went.
#pragma once

#include <string_view>

#include "absl/status/statusor.h"

namespace sluice {

class InterfaceLock {
 public:
  // FailedPreconditionError, with the process that holds it, when the interface is in use by another instance.
  static absl::StatusOr<InterfaceLock> Take(std::string_view interface);

  InterfaceLock(InterfaceLock&& other) noexcept;
  InterfaceLock& operator=(InterfaceLock&&) = delete;
  ~InterfaceLock();

 private:
  explicit InterfaceLock(int fd) : fd_(fd) {}

  int fd_;
};

}  // namespace sluice
