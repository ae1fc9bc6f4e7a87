#include "control/backend_states.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "control/check_targets.h"

namespace sluice {
namespace {

constexpr absl::Duration kTellAgain = absl::Seconds(10);

// As far as it is followed here.
bool SameBackends(const v1::Pool& one, const v1::Pool& other) {
  return one.name() == other.name() &&
         std::equal(one.backends().begin(), one.backends().end(), other.backends().begin(), other.backends().end(),
                    [](const v1::Backend& a, const v1::Backend& b) {
                      return a.name() == b.name() && a.address() == b.address() && a.state() == b.state();
                    });
}

BackendState StateOf(HealthState state) {
  switch (state) {
    case HealthState::kHealthy:
      return BackendState::kHealthy;
    case HealthState::kUnhealthy:
      return BackendState::kUnhealthy;
    case HealthState::kInitial:
      break;
  }
  return BackendState::kInitial;
}

}  // namespace

const char* BackendStateName(BackendState state) {
  switch (state) {
    case BackendState::kUnchecked:
      return "unchecked";
    case BackendState::kInitial:
      return "initial";
    case BackendState::kHealthy:
      return "healthy";
    case BackendState::kUnhealthy:
      return "unhealthy";
    case BackendState::kNoNextHop:
      break;
  }
  return "no next hop";
}

void BackendStates::Watch(const v1::Config& before, const v1::Config& config,
                          const std::vector<CheckedBackend>& targets) {
  unhealthy_ = UnhealthyOf(config, targets);
  absl::flat_hash_set<absl::string_view> names;
  for (int i = 0; i < config.pools_size(); i++) {
    const v1::Pool& pool = config.pools(i);
    names.insert(pool.name());
    // Most are the same as before, and at the same place.
    if (i >= before.pools_size() || !SameBackends(before.pools(i), pool)) WatchPool(pool);
    pools_[pool.name()].fails_open = pool.when_all_unhealthy() == v1::Pool::FAIL_OPEN;
  }
  absl::erase_if(pools_, [&names](const auto& entry) { return !names.contains(entry.first); });
  ForgetMissing();
  checker_->Watch(targets);
  agents_.Watch(ReadAgentTargets(config));
}

void BackendStates::WatchPool(const v1::Pool& pool) {
  Pool& known = pools_[pool.name()];
  const absl::flat_hash_map<std::string, Backend> before = std::exchange(known.backends, {});
  for (const v1::Backend& backend : pool.backends()) {
    const Address address = ParseAddress(backend.address()).value_or(Address());
    const auto same = before.find(backend.name());
    const bool stays = same != before.end() && same->second.address == address;
    Backend& now = known.backends[backend.name()];
    now = stays ? same->second : Backend{address, absl::Now(), backend.state(), absl::Now()};
    if (std::exchange(now.wanted, backend.state()) != backend.state()) now.wanted_since = absl::Now();
  }
}

// Of addresses that no backend has any more.
void BackendStates::ForgetMissing() {
  if (missing_.empty() && found_.empty()) return;
  absl::flat_hash_set<Address> addresses;
  for (const auto& [name, pool] : pools_) {
    for (const auto& [backend, known] : pool.backends) addresses.insert(known.address);
  }
  const auto is_nobodys = [&addresses](const auto& entry) { return !addresses.contains(entry.first); };
  absl::erase_if(missing_, is_nobodys);
  absl::erase_if(found_, is_nobodys);
}

BackendNames BackendStates::UnhealthyOf(const v1::Config& config, const std::vector<CheckedBackend>& targets) const {
  BackendNames unhealthy;
  for (const CheckedBackend& target : targets) {
    const RiseFall* health = checker_->Find(target.id);
    if (health == nullptr || health->state() != HealthState::kUnhealthy) continue;
    // At another address it is another server.
    const Address& known = pools_.at(target.id.pool).backends.at(target.id.backend).address;
    if (known == target.target.address) unhealthy[target.id.pool].insert(target.id.backend);
  }
  for (const CheckedBackend& asked : ReadAgentTargets(config)) {
    if (agents_.Find(asked.id, asked.target.address).down) unhealthy[asked.id.pool].insert(asked.id.backend);
  }
  return unhealthy;
}

std::vector<std::string> BackendStates::Tick() {
  std::vector<std::string> pools;
  checker_->Tick();
  for (const BackendId& id : checker_->TakeChanges()) {
    Follow(id);
    pools.push_back(id.pool);
  }
  for (const BackendId& id : agents_.Tick()) {
    SetUnhealthy(id);
    pools.push_back(id.pool);
  }
  TellOfChecksNotMade();
  return pools;
}

void BackendStates::SetUnhealthy(const BackendId& id) {
  const RiseFall* health = checker_->Find(id);
  const bool failed = health != nullptr && health->state() == HealthState::kUnhealthy;
  if (failed || agents_.Find(id, pools_.at(id.pool).backends.at(id.backend).address).down) {
    unhealthy_[id.pool].insert(id.backend);
  } else {
    unhealthy_[id.pool].erase(id.backend);
  }
  TellOfPool(id.pool);
}

void BackendStates::Follow(const BackendId& id) {
  const RiseFall& health = *checker_->Find(id);
  const Pool& pool = pools_.at(id.pool);
  const bool again = unhealthy_[id.pool].contains(id.backend);
  const std::string name = absl::StrCat("backend ", id.pool, "/", id.backend, " (",
                                        FormatAddress(pool.backends.at(id.backend).address), ")");
  if (health.state() == HealthState::kUnhealthy) {
    spdlog::warn("{}: unhealthy, so it gets no new flows: {}", name, health.reason());
  } else {
    spdlog::info("{}: healthy{}: {}", name, again ? " again" : "", health.reason());
  }
  SetUnhealthy(id);
}

void BackendStates::TellOfPool(const std::string& name) {
  Pool& pool = pools_.at(name);
  const bool all_unhealthy = unhealthy_[name].size() == pool.backends.size();
  if (all_unhealthy == std::exchange(pool.all_unhealthy, all_unhealthy)) return;
  if (!all_unhealthy) return spdlog::info("pool {}: not all of its backends are unhealthy any more", name);
  spdlog::warn("pool {}: all of its backends are unhealthy; {}", name,
               pool.fails_open ? "they are used as if they were healthy (when_all_unhealthy: fail_open)"
                               : "new flows are dropped (when_all_unhealthy: fail_closed)");
}

void BackendStates::TellOfChecksNotMade() {
  // Also when the clock was set back.
  if (absl::AbsDuration(absl::Now() - told_) < kTellAgain) return;
  const HealthChecker::NotMade not_made = checker_->TakeNotMade();
  if (not_made.count == 0) return;
  told_ = absl::Now();
  spdlog::warn("{} health checks could not be made and say nothing about their backends: {}", not_made.count,
               not_made.reason);
}

void BackendStates::NextHopFound(const Address& address) {
  if (missing_.erase(address) > 0) found_[address] = absl::Now();
}

void BackendStates::NextHopMissing(const Address& address, const std::string& reason) {
  found_.erase(address);
  const auto [at, is_new] = missing_.try_emplace(address, Missing{reason, absl::Now()});
  if (!is_new && at->second.reason == reason) return;
  at->second.reason = reason;
  spdlog::warn("backend {}: no next hop, so it is sent nothing: {}", FormatAddress(address), reason);
}

std::string BackendStates::WhyMissing(const Address& address) const {
  const auto missing = missing_.find(address);
  return missing == missing_.end() ? "" : missing->second.reason;
}

absl::Time BackendStates::WantedSince(const std::string& pool, const std::string& backend) const {
  const auto known = pools_.find(pool);
  if (known == pools_.end()) return absl::Now();
  const auto at = known->second.backends.find(backend);
  return at == known->second.backends.end() ? absl::Now() : at->second.wanted_since;
}

absl::Time BackendStates::MissingSince(const Address& address) const {
  const auto missing = missing_.find(address);
  return missing == missing_.end() ? absl::Now() : missing->second.since;
}

absl::Time BackendStates::FoundSince(const Address& address) const {
  const auto found = found_.find(address);
  return found == found_.end() ? absl::InfinitePast() : found->second;
}

std::optional<BackendStatus> BackendStates::Find(const std::string& pool, const std::string& backend) const {
  const auto known = pools_.find(pool);
  if (known == pools_.end()) return std::nullopt;
  const auto at = known->second.backends.find(backend);
  if (at == known->second.backends.end()) return std::nullopt;
  BackendStatus status{BackendState::kUnchecked, at->second.since, "its pool has no health check", std::nullopt};
  const RiseFall* health = checker_->Find({pool, backend});
  if (health != nullptr) status = {StateOf(health->state()), health->since(), health->reason(), health->last()};
  const auto missing = missing_.find(at->second.address);
  if (missing == missing_.end()) return status;
  status.state = BackendState::kNoNextHop;
  status.since = missing->second.since;
  status.reason = missing->second.reason;
  return status;
}

}  // namespace sluice
