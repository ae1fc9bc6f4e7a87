// The engine in the kernel under BPF_PROG_TEST_RUN: its own program with its own loader and tables, and beside it a
// reference that keeps its flows in the kernel's LRU hash. A wrapper puts the packet back before each repetition
// (xdp_wrapper.bpf.c), and is run with an empty body to know what it costs.
//
// Needs root. Thread-safety: one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/xdp/kernel_path.h"
#include "engine/xdp/kernel_sessions.h"
#include "xdp_answer.h"
#include "xdp_packet.h"

struct xdp_wrapper_bpf;
struct xdp_reference_bpf;

namespace sluice::bench {

enum class Side { kNothing = 0, kPath = 1, kReference = 2, kFloor = 3 };

class XdpFixture {
 public:
  // Room for the path's connections or sessions and for the reference's flows, of which a session takes two.
  static absl::StatusOr<std::unique_ptr<XdpFixture>> Open(const XdpTraffic& traffic, uint64_t connections,
                                                          uint32_t reference_flows);
  ~XdpFixture();
  XdpFixture(const XdpFixture&) = delete;
  XdpFixture& operator=(const XdpFixture&) = delete;

  // Both sides know flows 0 to `flows` - 1 from here on, and of sessions both ends have been heard.
  absl::Status Establish(uint32_t flows);

  // Runs so many packets through the side: of flows 0 to `flows` - 1, which are established, at random. Returns ns of
  // this thread's own time. Errors: not all had the verdict that they are to have.
  absl::StatusOr<double> RunRandom(Side side, uint32_t packets, uint32_t flows);
  // Of the flows from `first` on, each once; `opening`: TCP's first packets, of clients. Answers are of established
  // flows, all of them in their own order.
  absl::StatusOr<double> RunEach(Side side, uint32_t packets, uint32_t first, bool opening);

  // Whether a packet becomes what it is to become: of flow 0, which is established unless it is `opening`.
  absl::Status Check(Side side, bool opening);

  // Of the path's connections or sessions.
  uint64_t table_bytes() const;
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
  explicit XdpFixture(const XdpTraffic& traffic) : traffic_(traffic) {}
  absl::Status OpenPath(uint64_t connections);
  absl::Status OpenReference(uint32_t flows);
  absl::Status OpenWrapper(uint32_t answers);
  absl::Status OpenSessions(uint64_t sessions);
  absl::Status EstablishSessions(uint32_t flows);
  absl::Status ShareAnswers();
  void WritePacket(bool answer, uint8_t tcp_flags);
  // Of clients, and of servers.
  absl::StatusOr<double> RunClients(Side side, uint32_t packets, uint32_t first, uint8_t tcp_flags);
  absl::StatusOr<double> RunAnswers(Side side, uint32_t packets, uint8_t tcp_flags);
  absl::StatusOr<double> Run(Side side, uint32_t packets);
  // What becomes of a packet of the flow, or of the first answer.
  absl::StatusOr<std::vector<uint8_t>> Become(Side side, bool answer, uint32_t flow, uint8_t tcp_flags);
  uint64_t CountExpected() const;
  int program(Side side) const;

  XdpTraffic traffic_;
  KernelRoom room_;
  std::shared_ptr<const Tables> tables_;
  std::unique_ptr<KernelSessions> sessions_;
  std::vector<wrapper_answer> answers_;
  int connections_ = -1;
  Region connection_memory_;
  std::unique_ptr<KernelPath> path_;
  xdp_reference_bpf* reference_ = nullptr;
  xdp_wrapper_bpf* wrapper_ = nullptr;
  // As the last packet left.
  std::vector<uint8_t> output_;
};

}  // namespace sluice::bench
