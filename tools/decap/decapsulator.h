// The decapsulating XDP program (bpf/decap.bpf.c) on one interface of a backend.
//
// Thread-safety: none needed; one owner. Needs CAP_BPF and CAP_NET_ADMIN, Linux 5.18 or newer.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/address.h"
#include "decap.h"

namespace sluice {

// Packets by result, summed over the CPUs.
using DecapCounters = std::array<uint64_t, DECAP_RESULT_COUNT>;
// "decapsulated=12 not_tunnel=3 ..."
std::string FormatDecapCounters(const DecapCounters& counters);

// What the kernel has on the interface now, both families; not NotFound when there are none, but an empty list.
absl::StatusOr<std::vector<Address>> InterfaceAddresses(const std::string& interface);

// Of a Decapsulator that runs in another process. NotFound when none runs on the interface.
absl::StatusOr<DecapCounters> ReadRunningDecapCounters(const std::string& interface);

struct DecapOptions {
  std::string interface;
  uint16_t gue_port = DECAP_GUE_PORT;
  // Outer destinations that are ours; 1..DECAP_MAX_ADDRESSES of them.
  std::vector<Address> addresses;
};

// On the interface from Attach until it is destroyed or the process dies, however that happens: the kernel holds it by
// a link that closes with the process, so a killed loader leaves nothing behind.
class Decapsulator {
 public:
  // FailedPrecondition when the interface runs another XDP program, which stays untouched.
  static absl::StatusOr<std::unique_ptr<Decapsulator>> Attach(const DecapOptions& options);
  ~Decapsulator();
  Decapsulator(const Decapsulator&) = delete;
  Decapsulator& operator=(const Decapsulator&) = delete;

  // "native" or "generic".
  const std::string& mode() const { return mode_; }
  // Why it is not native; empty when it is.
  const std::string& native_refusal() const { return native_refusal_; }
  absl::StatusOr<DecapCounters> Counters() const;

 private:
  class Program;
  explicit Decapsulator(std::unique_ptr<Program> program);
  absl::Status AttachLink(int interface_index, const std::string& interface);

  std::unique_ptr<Program> program_;
  int link_ = -1;
  std::string mode_;
  std::string native_refusal_;
};

}  // namespace sluice
