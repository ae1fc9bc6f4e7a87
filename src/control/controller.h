// The controller: owns the desired state and publishes. A configuration, a neighbour's new MAC, a port's new MTU and a
// backend's health are all events to it; every change goes validate -> build -> publish -> acknowledged by all workers.
//
// Thread-safety: one thread, which calls Tick about a hundred times a second. Nothing here blocks but Publish, for as
// long as workers need to leave the old tables (microseconds; two seconds at most when one hangs).
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "config/sluice.pb.h"
#include "control/backend_states.h"
#include "control/effective.h"
#include "control/flow_ender.h"
#include "control/latencies.h"
#include "control/next_hop_source.h"
#include "control/observer.h"
#include "control/probe_forwarder.h"
#include "control/probe_packets.h"
#include "control/traffic.h"
#include "engine/engine.h"
#include "tables/builder.h"

namespace sluice {

class Controller {
 public:
  struct Options {
    // All three outlive the controller.
    Engine* engine = nullptr;
    NextHopSource* next_hops = nullptr;
    HealthChecker* health = nullptr;
    std::array<uint8_t, 32> hash_key{};
    // A clock that never goes back.
    std::function<absl::Time()> clock = &SteadyTime;
    // Outlives the controller. Null: nobody takes the packets of checks with via: vip, so they are not made.
    ProbePackets* probes = nullptr;
  };

  explicit Controller(const Options& options);

  // Makes `config` (validated, config/validate.h) the desired state and returns the generation that every worker runs.
  // On an error nothing has changed. What only a restart can change (engine: all of it but tunnel_source) is refused
  // with the names of the fields.
  absl::StatusOr<uint32_t> Apply(std::shared_ptr<const v1::Config> config);
  absl::StatusOr<uint32_t> Apply(const v1::Config& config) { return Apply(std::make_shared<const v1::Config>(config)); }

  // Looks for the next hops of its backends already, before it is applied: an instance before us may still be
  // forwarding, and should not be relieved by one that does not know the way yet. Tick and settled go on from here.
  void Prepare(const v1::Config& config) { WatchBackends(config); }

  // Timed work: the sweep of connection tables, slots that become free, changes of ports, next hops and health.
  void Tick();

  // There are probe packets: sends a bounded number of them on. Call it again while there are any.
  void ForwardProbes();

  // Whether every backend's next hop is known, or known to be missing; what start-up waits for, for a while.
  bool settled() const;
  uint32_t generation() const { return generation_; }
  // How each backend of the configuration is.
  const BackendStates& backend_states() const { return states_; }
  // What the tables are built from, and what the roles of backends make of them.
  const Effective& effective() const { return effective_; }

  // Why Apply would refuse `config`, as far as it can be told without doing it: only a restart can change what it
  // changes, or a file of its health checks can't be used.
  absl::Status Check(const v1::Config& config) const;

  // For who tells what runs (view.h). The tables are null before the first Apply.
  const v1::Config& config() const { return *config_; }
  const Tables* tables() const { return tables_.get(); }
  const std::vector<EnginePort>& ports() const { return ports_; }
  const Traffic& traffic() const { return traffic_; }
  Engine& engine() const { return *options_.engine; }
  // For flows that are to end before their time.
  FlowEnder& flow_ender() const { return *flow_ender_; }
  bool HasNextHop(const Address& address) const { return next_hops_.contains(address); }
  // The last change of next hops or ports could not be published; it is tried again every second.
  bool behind() const { return retry_; }

  // What has been spent on it, nanoseconds.
  struct Timing {
    uint64_t count = 0;
    uint64_t sum = 0;
    uint64_t last = 0;
    void Add(uint64_t duration);
  };
  const Timing& build_timing() const { return build_timing_; }
  const Timing& publish_timing() const { return publish_timing_; }
  // When every worker had the tables, ns of MonotonicNow.
  uint64_t switched_at() const { return switched_at_; }

 private:
  // A backend's slot or a listener's index, and how many sweeps there had been of each kind.
  struct RetiredSlot {
    uint64_t sweeps_when_retired = 0;
    uint64_t session_sweeps_when_retired = 0;
  };
  using Retired = absl::btree_map<uint32_t, RetiredSlot>;

  absl::Status CheckFixed(const v1::Config& config) const;
  absl::StatusOr<std::shared_ptr<const Tables>> Build(const v1::Config& config, const BackendNames& unhealthy,
                                                      const InputChange* change);
  absl::Status Publish(std::shared_ptr<const Tables> tables);
  void AnnounceNew(const Tables& tables);
  void FollowNextHops();
  void FollowPorts();
  void FollowRetired(const std::vector<uint32_t>& slots, Retired* retired) const;
  void ReleaseSlots();
  void TellRoles();
  void TellLatencies();
  void ReportRefusals();
  void Rebuild();
  void Learn(const Address& address);
  void NextHopChanged(const Address& address);
  void WatchBackends(const v1::Config& config);
  std::vector<PortDescription> DescribePorts() const;
  absl::Status WantProbes(const ProbeFamilies& families);
  static absl::Time SteadyTime();

  Options options_;
  Builder builder_;
  std::shared_ptr<const Tables> tables_;
  Traffic traffic_;
  Timing build_timing_;
  Timing publish_timing_;
  uint64_t switched_at_ = 0;
  std::shared_ptr<const v1::Config> config_ = std::make_shared<const v1::Config>();
  Effective effective_;
  std::vector<EnginePort> ports_;
  absl::flat_hash_map<Address, BackendNextHop> next_hops_;
  BackendStates states_;
  Latencies latencies_;
  Observer observer_;
  std::unique_ptr<FlowEnder> flow_ender_;
  ProbeForwarder probe_forwarder_;
  ProbeFamilies probed_;
  // Since they were told.
  uint32_t ticks_ = 0;
  std::vector<Address> watched_;
  std::vector<VirtualAddress> announced_;
  Retired retired_;
  Retired retired_listeners_;
  uint64_t sweeps_seen_ = 0;
  uint64_t session_sweeps_seen_ = 0;
  // Flows refused for want of ports and of sessions, as last said.
  uint64_t ports_refused_ = 0;
  uint64_t sessions_refused_ = 0;
  uint32_t generation_ = 0;
  // Of next hops and states of backends, since the last build that succeeded.
  InputChange change_;
  // These, ports or shares have changed since the last build.
  bool stale_ = false;
  // They could not be published.
  bool retry_ = false;
};

}  // namespace sluice
