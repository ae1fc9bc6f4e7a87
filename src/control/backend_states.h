// How each backend is: what its health checks, its agent and its next hop make of it, since when and why. Every change
// is one line in the log.
//
// Thread-safety: the control thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "base/address.h"
#include "config/sluice.pb.h"
#include "control/agents.h"
#include "health/health_checker.h"
#include "tables/builder.h"

namespace sluice {

enum class BackendState {
  // Its pool has no health check.
  kUnchecked,
  // Not checked yet; it takes flows.
  kInitial,
  kHealthy,
  kUnhealthy,
  // No packet can reach it, whatever its checks say.
  kNoNextHop,
};

// "unchecked", "initial", "healthy", "unhealthy", "no next hop".
const char* BackendStateName(BackendState state);

struct BackendStatus {
  BackendState state = BackendState::kUnchecked;
  // By the wall clock.
  absl::Time since;
  // In words.
  std::string reason;
  // Of its health check, when there was one.
  std::optional<CheckResult> last;
};

class BackendStates {
 public:
  // `checker` outlives the states; agents are asked by its prober and its clocks.
  explicit BackendStates(HealthChecker* checker) : checker_(checker), agents_(checker->options()) {}

  // Which of `targets` are unhealthy, and which backends of `config` are down by their agents, as far as that is known:
  // for tables that are built before they are watched.
  BackendNames UnhealthyOf(const v1::Config& config, const std::vector<CheckedBackend>& targets) const;

  // The backends of `config`, and their agents, from now on; `targets` are read from it (check_targets.h). What is
  // known of those that stay stays. `before` is the configuration of the last call, at first an empty one.
  void Watch(const v1::Config& before, const v1::Config& config, const std::vector<CheckedBackend>& targets);

  // Starts checks that are due, and takes what has come of others; names of pools whose backends' states have changed.
  std::vector<std::string> Tick();
  // What has become of new flows of a backend in one window (observer.h); what it makes of the backend comes with the
  // next Tick.
  void Observe(const BackendId& id, const OpenedFlows& flows) { checker_->Observe(id, flows); }
  // Whether an agent has changed a weight since the last call.
  bool TakeShareChange() { return agents_.TakeShareChange(); }

  // What is known of the next hop of a backend's address. A missing one is said once for each reason.
  void NextHopFound(const Address& address);
  void NextHopMissing(const Address& address, const std::string& reason);
  bool IsMissing(const Address& address) const { return missing_.contains(address); }
  // Empty where it is not missing.
  std::string WhyMissing(const Address& address) const;

  // Null: its pool has no health check, or there is no such backend. Valid until the next Watch.
  const RiseFall* FindHealth(const std::string& pool, const std::string& backend) const {
    return checker_->Find({pool, backend});
  }
  // What counts of what its agent has said: nothing, where it has none.
  const AgentState& FindAgent(const std::string& pool, const std::string& backend, const Address& address) const {
    return agents_.Find({pool, backend}, address);
  }
  // Whether its agent answers; null: it has none. Valid until the next Watch.
  const RiseFall* FindAgentCheck(const std::string& pool, const std::string& backend) const {
    return agents_.FindCheck({pool, backend});
  }
  // None: there is no such backend.
  std::optional<BackendStatus> Find(const std::string& pool, const std::string& backend) const;
  // Since when the operator wants of it what it shall do now, and since when it has no next hop; by the wall clock.
  absl::Time WantedSince(const std::string& pool, const std::string& backend) const;
  absl::Time MissingSince(const Address& address) const;
  // Since when it has one again; the infinite past where none was missing.
  absl::Time FoundSince(const Address& address) const;
  // For the builder.
  const BackendNames& unhealthy() const { return unhealthy_; }

 private:
  struct Missing {
    std::string reason;
    absl::Time since;
  };
  struct Backend {
    Address address;
    // Since when it is watched, and since when the operator wants of it what it shall do now.
    absl::Time since;
    v1::Backend::State wanted = v1::Backend::READY;
    absl::Time wanted_since;
  };
  struct Pool {
    absl::flat_hash_map<std::string, Backend> backends;
    bool fails_open = true;
    // As last said.
    bool all_unhealthy = false;
  };

  void WatchPool(const v1::Pool& pool);
  void ForgetMissing();
  void Follow(const BackendId& id);
  void SetUnhealthy(const BackendId& id);
  void TellOfPool(const std::string& name);
  void TellOfChecksNotMade();

  HealthChecker* checker_;
  Agents agents_;
  absl::flat_hash_map<std::string, Pool> pools_;
  absl::flat_hash_map<Address, Missing> missing_;
  // Of those that were missing, since when they are not.
  absl::flat_hash_map<Address, absl::Time> found_;
  BackendNames unhealthy_;
  // When checks that could not be made were last said.
  absl::Time told_;
};

}  // namespace sluice
