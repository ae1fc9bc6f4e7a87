// What the agents on the servers say (health/agent.h), and what counts of it for each backend. It counts until the
// agent says otherwise, also while it cannot be reached; who is asked no more, or at another address, is as if it had
// said nothing. Every change is one line in the log.
//
// Thread-safety: the control thread.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "base/address.h"
#include "health/agent.h"
#include "health/health_checker.h"

namespace sluice {

class Agents {
 public:
  // `checks`: whose prober and clocks are used.
  explicit Agents(HealthChecker::Options checks);
  // The checker calls back.
  Agents(const Agents&) = delete;
  Agents& operator=(const Agents&) = delete;

  // Asks these from now on (check_targets.h), and no others.
  void Watch(const std::vector<CheckedBackend>& targets);

  // Asks who is due; which backends are to do something else by their agents since the last call.
  std::vector<BackendId> Tick();
  // Whether the weight of any of them is another one since the last call.
  bool TakeShareChange() { return std::exchange(share_changed_, false); }

  // Valid until the next Watch. At another address it is another server, of which nothing is known.
  const AgentState& Find(const BackendId& id, const Address& address) const;
  // Whether its agent answers; null: it is not asked.
  const RiseFall* FindCheck(const BackendId& id) const { return checker_.Find(id); }

 private:
  void Take(const BackendId& id, const CheckResult& result);
  void TellOfReach(const BackendId& id) const;
  std::string NameOf(const BackendId& id) const;

  absl::flat_hash_map<BackendId, Address> addresses_;
  // Of those who have said something.
  absl::flat_hash_map<BackendId, AgentState> states_;
  std::vector<BackendId> changes_;
  bool share_changed_ = false;
  HealthChecker checker_;
};

}  // namespace sluice
