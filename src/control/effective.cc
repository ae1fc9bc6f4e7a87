#include "control/effective.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "control/overlay.h"

namespace sluice {
namespace {

// However many start slowly: so often the tables are published for it at most.
constexpr absl::Duration kLeastPause = absl::Seconds(1);

absl::Duration Time(const google::protobuf::Duration& time) {
  return absl::Seconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

absl::flat_hash_set<absl::string_view> NamesOf(const v1::Pool& pool) {
  absl::flat_hash_set<absl::string_view> names;
  for (const v1::Backend& backend : pool.backends()) names.insert(backend.name());
  return names;
}

// Of a pool that has no agents, nothing is said.
const AgentState& AgentOf(const v1::Pool& pool, const v1::Backend& backend, const BackendStates& states) {
  static const AgentState kNothingSaid;
  if (!pool.has_agent()) return kNothingSaid;
  return states.FindAgent(pool.name(), backend.name(), ParseAddress(backend.address()).value_or(Address()));
}

const char* WordsFor(Share::Role role) {
  switch (role) {
    case Share::Role::kReserve:
      return "in reserve, there are enough others";
    case Share::Role::kOtherZone:
      return "not in use, it is of another zone";
    default:
      return "in use, for want of others";
  }
}

}  // namespace

Effective Effective::Next(const v1::Config& wanted, absl::Time now) const {
  Effective next;
  next.wanted_ = &wanted;
  for (int i = 0; i < wanted.pools_size(); i++) {
    const v1::Pool& pool = wanted.pools(i);
    if (!HasRoles(pool) && !pool.has_drain_timeout()) continue;
    const v1::Pool* before = wanted_ == nullptr ? nullptr : FindPool(*wanted_, pool.name());
    if (HasRoles(pool)) next.TakeMemory(*this, before, pool);
    if (pool.has_drain_timeout()) {
      next.TakeLeaving(*this, before, pool, now);
      next.TakeDrains(*this, pool);
    }
    next.shaped_pools_.push_back(i);
  }
  next.dues_.resize(next.shaped_pools_.size());
  if (!next.shaped_pools_.empty()) *next.shaped_ = wanted;
  return next;
}

// A backend that comes to a pool that there was starts slowly.
void Effective::TakeMemory(const Effective& before, const v1::Pool* pool_before, const v1::Pool& pool) {
  absl::flat_hash_map<absl::string_view, absl::string_view> addresses;
  if (pool_before != nullptr) {
    for (const v1::Backend& backend : pool_before->backends()) addresses[backend.name()] = backend.address();
  }
  for (const v1::Backend& backend : pool.backends()) {
    const BackendId id{pool.name(), backend.name()};
    const auto known = before.memory_.find(id);
    const auto address = addresses.find(backend.name());
    const bool stays = address != addresses.end() && address->second == backend.address();
    Memory& memory = memory_[id];
    if (stays && known != before.memory_.end()) {
      memory = known->second;
    } else {
      memory.usable = stays || pool_before == nullptr;
      memory.role.since = absl::Now();
    }
  }
}

void Effective::TakeLeaving(const Effective& before, const v1::Pool* pool_before, const v1::Pool& pool,
                            absl::Time now) {
  if (pool_before == nullptr || pool_before->forwarding() != pool.forwarding()) return;
  const absl::flat_hash_set<absl::string_view> names = NamesOf(pool);
  std::vector<Leaving> leaving;
  const auto earlier = before.leaving_.find(pool.name());
  if (earlier != before.leaving_.end()) {
    for (const Leaving& one : earlier->second) {
      if (!names.contains(one.backend.name())) leaving.push_back(one);
    }
  }
  for (const v1::Backend& backend : pool_before->backends()) {
    if (names.contains(backend.name()) || backend.state() == v1::Backend::DISABLED) continue;
    leaving.push_back({backend, now + Time(pool.drain_timeout()), absl::Now()});
    leaving.back().backend.set_state(v1::Backend::DRAIN);
  }
  if (!leaving.empty()) leaving_[pool.name()] = std::move(leaving);
}

void Effective::TakeDrains(const Effective& before, const v1::Pool& pool) {
  for (const v1::Backend& backend : pool.backends()) {
    const BackendId id{pool.name(), backend.name()};
    const auto since = before.drains_.find(id);
    if (since != before.drains_.end()) drains_.insert(*since);
  }
}

bool Effective::IsDue(absl::Time now) const {
  return now >= due_.end || (now >= refreshed_ + kLeastPause && (now >= due_.step || share_changed_));
}

bool Effective::Refresh(const BackendNames& unhealthy, const BackendStates& states, absl::Time now,
                        InputChange* change) {
  // Whose next hops and shares these are is not known here.
  const bool all = change == nullptr || !change->next_hops.empty() || share_changed_;
  bool left = false;
  due_ = {};
  for (size_t i = 0; i < shaped_pools_.size(); i++) {
    const std::string& name = wanted_->pools(shaped_pools_[i]).name();
    Due& due = dues_[i];
    if (all || now >= std::min(due.step, due.end) || change->pools.contains(name)) {
      due = {};
      left |= RefreshPool(shaped_pools_[i], unhealthy, states, now, &due);
      if (change != nullptr) change->pools.insert(name);
    }
    due_ = {std::min(due_.step, due.step), std::min(due_.end, due.end)};
  }
  share_changed_ = false;
  refreshed_ = now;
  return left;
}

bool Effective::RefreshPool(int position, const BackendNames& unhealthy, const BackendStates& states, absl::Time now,
                            Due* due) {
  const v1::Pool& pool = wanted_->pools(position);
  v1::Pool* const to = shaped_->mutable_pools(position);
  if (HasRoles(pool)) Weigh(pool, Look(pool, unhealthy, states, now, due), to);
  SetStates(pool, states, to);
  if (!pool.has_drain_timeout()) return false;
  EndDrains(pool, now, to, due);
  return EndLeaving(pool, now, to, due);
}

std::vector<Candidate> Effective::Look(const v1::Pool& pool, const BackendNames& unhealthy, const BackendStates& states,
                                       absl::Time now, Due* due) {
  const auto names = unhealthy.find(pool.name());
  std::vector<Candidate> candidates;
  for (const v1::Backend& backend : pool.backends()) {
    const absl::StatusOr<Address> address = ParseAddress(backend.address());
    const bool is_unhealthy = names != unhealthy.end() && names->second.contains(backend.name());
    const AgentState& agent = AgentOf(pool, backend, states);
    const bool usable =
        !is_unhealthy && address.ok() && !states.IsMissing(*address) && agent.order == AgentOrder::kReady;
    const bool takes = usable && backend.state() == v1::Backend::READY && backend.weight() > 0 && agent.percent > 0;
    Memory& memory = memory_[{pool.name(), backend.name()}];
    if (takes && !memory.usable) memory.started = now;
    memory.usable = takes;
    candidates.push_back({usable, StepsOf(pool, memory, now, due), agent.percent});
    memory.role.starts_slowly = takes && candidates.back().steps < kSlowStartSteps;
  }
  return candidates;
}

uint32_t Effective::StepsOf(const v1::Pool& pool, const Memory& memory, absl::Time now, Due* due) {
  if (!pool.has_slow_start() || !memory.usable) return kSlowStartSteps;
  const absl::Duration step = Time(pool.slow_start()) / kSlowStartSteps;
  const int64_t done = memory.started == absl::InfinitePast() ? kSlowStartSteps : (now - memory.started) / step;
  if (done + 1 >= kSlowStartSteps) return kSlowStartSteps;
  due->step = std::min(due->step, memory.started + step * (done + 1));
  return static_cast<uint32_t>(done + 1);
}

void Effective::Weigh(const v1::Pool& pool, const std::vector<Candidate>& candidates, v1::Pool* to) {
  const std::vector<Share> shares = ShareOut(pool, wanted_->engine().zone(), candidates);
  for (int i = 0; i < pool.backends_size(); i++) {
    const Share& share = shares[static_cast<size_t>(i)];
    to->mutable_backends(i)->set_weight(share.weight);
    RoleStatus& role = memory_[{pool.name(), pool.backends(i).name()}].role;
    if (std::exchange(role.role, share.role) == share.role) continue;
    role.since = absl::Now();
    news_.push_back(absl::StrCat("backend ", pool.name(), "/", pool.backends(i).name(), ": ", WordsFor(share.role)));
  }
}

// What the operator wants, unless its agent wants less.
void Effective::SetStates(const v1::Pool& pool, const BackendStates& states, v1::Pool* to) const {
  for (int i = 0; i < pool.backends_size(); i++) {
    const v1::Backend& backend = pool.backends(i);
    const AgentOrder order = AgentOf(pool, backend, states).order;
    v1::Backend::State state = backend.state();
    if (order == AgentOrder::kDisabled) state = v1::Backend::DISABLED;
    if (order == AgentOrder::kDrain && state == v1::Backend::READY) state = v1::Backend::DRAIN;
    to->mutable_backends(i)->set_state(state);
  }
}

// A drained backend's flows have had their time: from here on it is as if it were disabled.
void Effective::EndDrains(const v1::Pool& pool, absl::Time now, v1::Pool* to, Due* due) {
  for (int i = 0; i < pool.backends_size(); i++) {
    const BackendId id{pool.name(), pool.backends(i).name()};
    if (to->backends(i).state() != v1::Backend::DRAIN) {
      drains_.erase(id);
      continue;
    }
    const absl::Time end = drains_.try_emplace(id, now).first->second + Time(pool.drain_timeout());
    if (end > now) {
      due->end = std::min(due->end, end);
    } else {
      to->mutable_backends(i)->set_state(v1::Backend::DISABLED);
    }
  }
}

bool Effective::EndLeaving(const v1::Pool& pool, absl::Time now, v1::Pool* to, Due* due) {
  to->mutable_backends()->DeleteSubrange(pool.backends_size(), to->backends_size() - pool.backends_size());
  const auto at = leaving_.find(pool.name());
  if (at == leaving_.end()) return false;
  const bool left = std::erase_if(at->second, [&](const Leaving& one) {
                      if (one.until > now) return false;
                      news_.push_back(absl::StrCat("backend ", pool.name(), "/", one.backend.name(),
                                                   ": its flows have had their drain_timeout"));
                      return true;
                    }) > 0;
  for (const Leaving& one : at->second) {
    *to->add_backends() = one.backend;
    due->end = std::min(due->end, one.until);
  }
  return left;
}

const v1::Config& Effective::config() const {
  return shaped_pools_.empty() && wanted_ != nullptr ? *wanted_ : *shaped_;
}

Effective::RoleStatus Effective::Role(const std::string& pool, const std::string& backend) const {
  const auto known = memory_.find(BackendId{pool, backend});
  return known == memory_.end() ? RoleStatus() : known->second.role;
}

}  // namespace sluice
