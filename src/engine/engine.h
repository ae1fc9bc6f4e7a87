// What moves packets. The controller knows engines by this interface and nothing else; there is no second way to change
// what a packet meets.
//
// Thread-safety: all calls come from the control thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "base/address.h"
#include "engine/session_counters.h"
#include "sluice/connection.h"
#include "sluice/tables.h"
#include "sluice/verdict.h"
#include "tables/tables.h"

struct sluice_session_partition;

namespace sluice {

struct Partition;
using SessionPartition = sluice_session_partition;

// Sums over all workers since Open. Indices are those of Tables.
struct EngineCounters {
  std::array<uint64_t, SLUICE_VERDICT_COUNT> verdicts{};
  // Entries that gave way to a new flow, by what they were.
  std::array<uint64_t, SLUICE_VICTIM_COUNT> inserted_over{};
  uint64_t received = 0;
  uint64_t bytes = 0;
  // Transmit queue full: packets that were forwarded by verdict and did not leave.
  uint64_t transmit_full = 0;
  // By the ports' own counters.
  uint64_t port_receive_dropped = 0;
  uint64_t port_transmit_dropped = 0;
  // Between a port and the kernel's side of it, either way: a queue was full, or the tap took nothing.
  uint64_t kernel_dropped = 0;
  std::vector<sluice_traffic> listeners;
  std::vector<sluice_traffic> backends;
  // The same of answers that came back through us.
  std::vector<sluice_traffic> listener_answers;
  std::vector<sluice_traffic> backend_answers;
  SessionCounters sessions{};
  // Of each worker; with the kernel's, of each partition. What the kernel does in the place of a worker that hangs is
  // no worker's.
  struct Worker {
    uint64_t received = 0;
    uint64_t bytes = 0;
    uint64_t dropped = 0;
  };
  std::vector<Worker> workers;
};

// A port as it stands; what the controller tells the builder.
struct EnginePort {
  std::string name;
  Mac mac{};
  // Layer 3, bytes.
  uint16_t mtu = 0;
  bool link_up = false;
  // The kernel interface whose routes lead through this port, 0 if none.
  int kernel_ifindex = 0;
  // How it runs, for the reader: "af_xdp copy".
  std::string mode;
  bool operator==(const EnginePort&) const = default;
};

// What the engine has to tell since the last Poll.
struct EngineNews {
  // Ports changed (MAC, MTU, link, mode): read ports() again.
  bool ports_changed = false;
  // Sentences for the log: what is worth knowing, and what somebody should look after.
  std::vector<std::string> messages;
  std::vector<std::string> warnings;
};

struct BackendLatency {
  uint32_t slot = 0;
  uint32_t microseconds = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;

  // All workers run `tables`, or the old ones stay and the error says why. Returns when every worker has left the old;
  // of the kernel, when every packet that comes from then on meets the new.
  virtual absl::Status Publish(std::shared_ptr<const Tables> tables) = 0;
  // When every worker had left the old ones, ns of MonotonicNow, where there is more to do until Publish returns; else
  // 0.
  virtual uint64_t switched_at() const { return 0; }

  virtual EngineCounters ReadCounters() = 0;
  virtual std::vector<EnginePort> ports() = 0;

  // Goes on with the sweep of the connection tables and sessions, a bounded slice (about a hundredth of them), and
  // empties expired entries. Called about a hundred times a second.
  virtual void Sweep() = 0;
  // Live entries by backend slot as of the last whole sweep, and how many whole sweeps there have been. A slot retired
  // before sweep n began and not counted in it has no entry left.
  struct Occupancy {
    uint64_t sweeps = 0;
    std::vector<uint32_t> flows_of_slot;
    // Of these, the flows that are not over: a closed one keeps its entry for a while, for late packets.
    std::vector<uint32_t> open_of_slot;
    // Of these, the flows that their clients have not ended: what load is measured by.
    std::vector<uint32_t> active_of_slot;
  };
  virtual const Occupancy& occupancy() const = 0;
  // The same of NAT sessions, whose sweeps are counted by themselves.
  struct SessionOccupancy {
    uint64_t sweeps = 0;
    uint64_t sessions = 0;
    std::vector<uint32_t> of_slot;
    std::vector<uint32_t> open_of_slot;
    std::vector<uint32_t> of_listener;
    // Those of them that are open, and their clients have not ended.
    std::vector<uint32_t> active_of_slot;
  };
  virtual const SessionOccupancy& session_occupancy() const = 0;

  // Where flows are kept; their workers write there meanwhile, so it is for flow_reader.h, which knows how to read it.
  // Valid until Close.
  virtual const std::vector<Partition>& partitions() const = 0;
  virtual const std::vector<SessionPartition>& session_partitions() const = 0;
  // How long backends take to answer, microseconds by slot; for least_time. Slots that are not named keep theirs.
  virtual void SetLatencies(absl::Span<const BackendLatency> latencies) = 0;

  // Announces a virtual address on the ports' links (gratuitous ARP, unsolicited neighbour advertisement).
  virtual void Announce(absl::Span<const Address> addresses) = 0;
  // Sends a whole frame of ours from port `port`. False: there is no room at the moment; try again later. A frame that
  // the port can't send is lost, as on a link.
  virtual bool Send(absl::Span<const uint8_t> frame, uint16_t port) = 0;

  virtual EngineNews Poll() = 0;

  // Orderly stop: workers finish their burst, ports close. Publishing afterwards is an error.
  virtual void Close() = 0;
};

}  // namespace sluice
