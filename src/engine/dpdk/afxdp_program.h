// The XDP program in front of the AF_XDP sockets of one interface (bpf/redirect.bpf.c): loaded, attached, fed.
//
// Restart after a crash: the program outlives the process, and its dead sockets have left the map, so it drops what is
// for a virtual address. The next start knows it by its name and replaces it in one step, its virtual addresses
// included, so that at no moment the kernel sees a packet for one of them. A foreign program is never touched.
//
// Thread-safety: none; the control thread's, in the network namespace of the interface.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/address.h"

struct redirect_bpf;

namespace sluice {

class RedirectProgram {
 public:
  // Most virtual addresses of an interface.
  static constexpr size_t kMaxAddresses = 65'536;

  // Loads it for an interface of at most `queues` RX queues. PermissionDeniedError without the rights to.
  static absl::StatusOr<std::unique_ptr<RedirectProgram>> Load(uint16_t queues);

  // Detaches when attached, and still ours.
  ~RedirectProgram();
  RedirectProgram(const RedirectProgram&) = delete;
  RedirectProgram& operator=(const RedirectProgram&) = delete;

  // In the driver when it can, else in the kernel's generic path. FailedPreconditionError when a foreign program is
  // there. `interface` is for the errors.
  absl::Status Attach(int ifindex, const std::string& interface);
  // True when the driver has no XDP of its own.
  bool generic() const { return generic_; }

  // The socket that gets what arrives on `queue`. It leaves by itself when it is closed.
  absl::Status SetSocket(uint16_t queue, int fd);
  // Replaces the set: new addresses come before old ones go. InvalidArgumentError, and nothing changed, when there
  // are too many.
  absl::Status SetVirtualAddresses(absl::Span<const Address> addresses);

 private:
  explicit RedirectProgram(redirect_bpf* skeleton) : skeleton_(skeleton) {}

  absl::Status AttachFresh(int ifindex, const std::string& interface);
  absl::Status Replace(int ifindex, const std::string& interface, uint32_t program_id, bool generic);
  absl::Status InheritAddresses(int program_fd);
  absl::Status AddAddress(const Address& address);

  redirect_bpf* skeleton_;
  absl::flat_hash_set<Address> addresses_;
  // 0 when not attached.
  int ifindex_ = 0;
  bool generic_ = false;
};

}  // namespace sluice
