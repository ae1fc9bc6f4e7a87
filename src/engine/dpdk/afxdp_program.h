// The XDP program in front of the AF_XDP sockets of one interface (bpf/redirect.bpf.c), from the start until the first
// tables are there: then the engine's own takes its place (stand_in.h), and goes on with the addresses here.
//
// Restart after a crash: the program outlives the process. The next start knows it by its name, takes its virtual
// addresses over and replaces it in one step, so that at no moment the kernel sees a packet for one of them; one that
// forwards by itself stays until it can be relieved. A foreign program is never touched.
//
// Thread-safety: none; the control thread's, in the network namespace of the interface.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "base/address.h"
#include "engine/dpdk/afxdp_set.h"
#include "engine/dpdk/port.h"
#include "engine/xdp/attachment.h"

struct redirect_bpf;

namespace sluice {

class RedirectProgram {
 public:
  // Most virtual addresses, services and addresses of the node itself.
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
  // When Attach has left the place to a program of an earlier instance that forwards by itself: takes its place after
  // all.
  absl::Status Redirect();
  // Where Attach put it, or has seen somebody.
  XdpAttachment& attachment() { return *attachment_; }
  // Maps with the addresses below, by their file descriptors, which stay this object's.
  int virtual_addresses() const;
  int services() const;
  int local_addresses() const;
  // True when the driver has no XDP of its own.
  bool generic() const { return attachment_->generic(); }

  // The socket that gets what arrives on `queue`. It leaves by itself when it is closed.
  absl::Status SetSocket(uint16_t queue, int fd);
  // Replaces the set: new addresses come before old ones go. InvalidArgumentError, and nothing changed, when there
  // are too many.
  absl::Status SetVirtualAddresses(absl::Span<const Address> addresses);
  // What comes from these is the workers' as well, unless it is for the node itself.
  absl::Status SetServices(absl::Span<const Service> services);
  absl::Status SetLocalAddresses(absl::Span<const Address> addresses);

 private:
  // As in bpf/redirect.bpf.c; network order. Protocol and port 0: the server's later fragments.
  struct ServiceKey {
    std::array<uint8_t, 16> address{};
    uint16_t port = 0;
    uint16_t protocol = 0;
    bool operator==(const ServiceKey&) const = default;

    template <typename H>
    friend H AbslHashValue(H h, const ServiceKey& key) {
      return H::combine(std::move(h), key.address, key.port, key.protocol);
    }
  };

  explicit RedirectProgram(redirect_bpf* skeleton) : skeleton_(skeleton) {}

  absl::Status InheritAddresses(int program_fd);

  redirect_bpf* skeleton_;
  AfxdpSet<Address> addresses_;
  AfxdpSet<ServiceKey> services_;
  AfxdpSet<Address> local_addresses_;
  // Goes before the program does.
  std::unique_ptr<XdpAttachment> attachment_;
};

}  // namespace sluice
