// The engine in the kernel under BPF_PROG_TEST_RUN: its own program with its own loader and tables, and beside it a
// reference that keeps its flows in the kernel's LRU hash. A wrapper puts the packet back before each repetition
// (xdp_wrapper.bpf.c), and is run with an empty body to know what it costs.
//
// Needs root. Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/xdp/kernel_path.h"

struct xdp_wrapper_bpf;
struct xdp_reference_bpf;

namespace sluice::bench {

enum class Side { kNothing = 0, kPath = 1, kReference = 2 };

// What packets are like.
struct Traffic {
  // As in the configuration: dsr_l2, ipip, gue.
  std::string forwarding = "ipip";
  bool ipv6 = false;
  bool udp = false;
  // To a listener, or to an address that is nobody's.
  bool ours = true;
};

class XdpFixture {
 public:
  // Room for the path's connections and for the reference's flows.
  static absl::StatusOr<std::unique_ptr<XdpFixture>> Open(const Traffic& traffic, uint64_t connections,
                                                          uint32_t reference_flows);
  ~XdpFixture();
  XdpFixture(const XdpFixture&) = delete;
  XdpFixture& operator=(const XdpFixture&) = delete;

  // Runs so many packets through the side: of flows 0 to `flows` - 1, at random. Returns ns of this thread's own time.
  // Errors: not all had the verdict that they are to have.
  absl::StatusOr<double> RunRandom(Side side, uint32_t packets, uint32_t flows);
  // Of the flows from `first` on, each once; `opening`: TCP's first packets.
  absl::StatusOr<double> RunEach(Side side, uint32_t packets, uint32_t first, bool opening);

  // Forgets the path's connections, or half of them.
  void Clear();
  void ClearHalf();
  // Makes the reference forget flows from `first` on.
  absl::Status ForgetReference(uint32_t first, uint32_t count);

  // What the verifier has looked at, and the bytes of machine code, of a side's program.
  struct Size {
    uint32_t verified = 0;
    uint32_t machine_code = 0;
  };
  Size SizeOf(Side side) const;

 private:
  explicit XdpFixture(const Traffic& traffic) : traffic_(traffic) {}
  absl::Status OpenPath(uint64_t connections);
  absl::Status OpenReference(uint32_t flows);
  absl::Status OpenWrapper();
  void WritePacket(bool opening);
  absl::StatusOr<double> Run(Side side, uint32_t packets);
  uint64_t CountExpected() const;
  int program(Side side) const;

  Traffic traffic_;
  KernelRoom room_;
  int connections_ = -1;
  Region connection_memory_;
  std::unique_ptr<KernelPath> path_;
  xdp_reference_bpf* reference_ = nullptr;
  xdp_wrapper_bpf* wrapper_ = nullptr;
};

}  // namespace sluice::bench
