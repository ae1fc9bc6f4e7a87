#include "control/agents.h"

#include <spdlog/spdlog.h>

#include "absl/strings/str_cat.h"

namespace sluice {

Agents::Agents(HealthChecker::Options checks)
    : checker_([this, &checks] {
        checks.on_result = [this](const BackendId& id, const CheckResult& result) { Take(id, result); };
        return std::move(checks);
      }()) {}

void Agents::Watch(const std::vector<CheckedBackend>& targets) {
  const absl::flat_hash_map<BackendId, Address> before = std::exchange(addresses_, {});
  for (const CheckedBackend& target : targets) addresses_[target.id] = target.target.address;
  absl::erase_if(states_, [&](const auto& entry) {
    const auto now = addresses_.find(entry.first);
    return now == addresses_.end() || now->second != before.at(entry.first);
  });
  std::erase_if(changes_, [this](const BackendId& id) { return !states_.contains(id); });
  checker_.Watch(targets);
}

std::vector<BackendId> Agents::Tick() {
  checker_.Tick();
  for (const BackendId& id : checker_.TakeChanges()) TellOfReach(id);
  return std::exchange(changes_, {});
}

const AgentState& Agents::Find(const BackendId& id, const Address& address) const {
  static const AgentState kNothingSaid;
  const auto known = states_.find(id);
  return known == states_.end() || addresses_.at(id) != address ? kNothingSaid : known->second;
}

void Agents::Take(const BackendId& id, const CheckResult& result) {
  if (!result.agent.has_value()) return;
  const AgentState::Change change = states_[id].Take(*result.agent, result.at);
  if (change == AgentState::Change::kNone) return;
  spdlog::info("agent of {} {}", NameOf(id), result.reason);
  share_changed_ = true;
  if (change == AgentState::Change::kState) changes_.push_back(id);
}

void Agents::TellOfReach(const BackendId& id) const {
  const RiseFall& check = *checker_.Find(id);
  if (check.state() == HealthState::kHealthy) return spdlog::info("agent of {} answers", NameOf(id));
  spdlog::warn("agent of {} has no answer, so what it said last goes on to count: {}", NameOf(id), check.reason());
}

std::string Agents::NameOf(const BackendId& id) const {
  return absl::StrCat("backend ", id.pool, "/", id.backend, " (", FormatAddress(addresses_.at(id)), ")");
}

}  // namespace sluice
