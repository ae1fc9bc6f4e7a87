#include "control/view.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "base/address.h"
#include "control/listener_loads.h"
#include "control/totals.h"

namespace sluice {
namespace {

// Problems of one kind beyond these are only counted.
constexpr int kProblemsOfAKind = 20;

// They begin no flows.
void SetAnswers(const sluice_traffic& traffic, v1::Traffic* to) {
  to->set_packets(traffic.packets);
  to->set_bytes(traffic.bytes);
}

void SetTraffic(const sluice_traffic& traffic, v1::Traffic* to) {
  SetAnswers(traffic, to);
  to->set_new_flows(traffic.new_flows);
}

void SetDuration(uint64_t nanoseconds, google::protobuf::Duration* duration) {
  constexpr uint64_t kNanosPerSecond = 1'000'000'000;
  duration->set_seconds(static_cast<int64_t>(nanoseconds / kNanosPerSecond));
  duration->set_nanos(static_cast<int32_t>(nanoseconds % kNanosPerSecond));
}

void SetTiming(const Controller::Timing& timing, v1::Timing* to) {
  to->set_count(timing.count);
  SetDuration(timing.sum, to->mutable_sum());
  SetDuration(timing.last, to->mutable_last());
}

uint64_t Sum(const std::vector<uint32_t>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), uint64_t{0});
}

uint32_t At(const std::vector<uint32_t>& numbers, uint32_t index) {
  return index < numbers.size() ? numbers[index] : 0;
}

struct Condition {
  v1::BackendStatus::Condition is = v1::BackendStatus::READY;
  std::string reason;
  absl::Time since;

  // What the operator wants is no problem.
  bool is_problem() const { return is == v1::BackendStatus::NO_NEXT_HOP || is == v1::BackendStatus::UNHEALTHY; }
};

Condition RoleOf(const Controller& controller, const std::string& pool, const v1::Backend& backend,
                 const Address& address, const RiseFall* health) {
  const Effective::RoleStatus role = controller.effective().Role(pool, backend.name());
  if (role.role == Share::Role::kReserve) {
    return {v1::BackendStatus::BACKUP, "a backup, and enough other backends take flows", role.since};
  }
  if (role.role == Share::Role::kOtherZone) {
    return {v1::BackendStatus::OTHER_ZONE, absl::StrCat("of zone ", backend.zone(), ", not this node's"), role.since};
  }
  const BackendStates& states = controller.backend_states();
  const absl::Time since = std::max(states.WantedSince(pool, backend.name()), states.FoundSince(address));
  return {v1::BackendStatus::READY, role.starts_slowly ? "it starts slowly, with a growing share" : "",
          health == nullptr ? since : std::max(since, health->since())};
}

std::string Quoted(const AgentState::Said& said) {
  return absl::StrCat("\"", said.line, "\"");
}

const AgentState& AgentOf(const Controller& controller, const std::string& pool, const v1::Backend& backend) {
  return controller.backend_states().FindAgent(pool, backend.name(),
                                               ParseAddress(backend.address()).value_or(Address()));
}

// What keeps it from new flows by its agent's wish, if anything: READY otherwise.
Condition ByAgent(const AgentState& agent) {
  switch (agent.order) {
    case AgentOrder::kDisabled:
      return {v1::BackendStatus::DISABLED, absl::StrCat("disabled by its agent: ", Quoted(agent.order_said)),
              agent.order_said.since};
    case AgentOrder::kDrain:
      return {v1::BackendStatus::DRAIN, absl::StrCat("drained by its agent: ", Quoted(agent.order_said)),
              agent.order_said.since};
    case AgentOrder::kReady:
      break;
  }
  if (agent.percent > 0) return {};
  return {v1::BackendStatus::NO_WEIGHT, absl::StrCat("no weight by its agent: ", Quoted(agent.percent_said)),
          agent.percent_said.since};
}

Condition ReadyBy(const AgentState& agent, const Condition& role) {
  if (role.is != v1::BackendStatus::READY) return role;
  Condition ready = role;
  ready.since = std::max({role.since, agent.order_said.since, agent.down_said.since});
  if (agent.percent == 100) return ready;
  absl::StrAppend(&ready.reason, ready.reason.empty() ? "" : "; ", agent.percent,
                  " % of its weight by its agent: ", Quoted(agent.percent_said), " since ",
                  absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", agent.percent_said.since, absl::UTCTimeZone()));
  return ready;
}

Condition ConditionOf(const Controller& controller, const std::string& pool, const v1::Backend& backend) {
  const BackendStates& states = controller.backend_states();
  const AgentState& agent = AgentOf(controller, pool, backend);
  const absl::Time wanted = states.WantedSince(pool, backend.name());
  if (backend.state() == v1::Backend::DISABLED) return {v1::BackendStatus::DISABLED, "disabled", wanted};
  if (backend.state() == v1::Backend::DRAIN) return {v1::BackendStatus::DRAIN, "drained", wanted};
  if (backend.weight() == 0) return {v1::BackendStatus::NO_WEIGHT, "its weight is 0", wanted};
  if (Condition by_agent = ByAgent(agent); by_agent.is != v1::BackendStatus::READY) return by_agent;
  const Address address = ParseAddress(backend.address()).value_or(Address());
  if (!controller.HasNextHop(address)) {
    const std::string reason = states.WhyMissing(address);
    return {v1::BackendStatus::NO_NEXT_HOP,
            reason.empty() ? "its next hop is being looked for" : absl::StrCat("no next hop: ", reason),
            reason.empty() ? wanted : states.MissingSince(address)};
  }
  if (agent.down) {
    return {v1::BackendStatus::UNHEALTHY, absl::StrCat("down by its agent: ", Quoted(agent.down_said)),
            agent.down_said.since};
  }
  const RiseFall* health = states.FindHealth(pool, backend.name());
  if (health == nullptr || health->state() != HealthState::kUnhealthy) {
    return ReadyBy(agent, RoleOf(controller, pool, backend, address, health));
  }
  return {v1::BackendStatus::UNHEALTHY, absl::StrCat("unhealthy: ", health->reason()), health->since()};
}

v1::Health::State StateOf(HealthState state) {
  switch (state) {
    case HealthState::kInitial:
      return v1::Health::INITIAL;
    case HealthState::kHealthy:
      return v1::Health::HEALTHY;
    case HealthState::kUnhealthy:
      return v1::Health::UNHEALTHY;
  }
  return v1::Health::UNCHECKED;
}

v1::CheckReport::Outcome OutcomeOf(CheckResult::Outcome outcome) {
  switch (outcome) {
    case CheckResult::Outcome::kPassed:
      return v1::CheckReport::PASSED;
    case CheckResult::Outcome::kFailed:
      return v1::CheckReport::FAILED;
    case CheckResult::Outcome::kNotMade:
      break;
  }
  return v1::CheckReport::NOT_MADE;
}

void SetTime(absl::Time time, google::protobuf::Timestamp* to) {
  const timespec parts = absl::ToTimespec(time);
  to->set_seconds(parts.tv_sec);
  to->set_nanos(static_cast<int32_t>(parts.tv_nsec));
}

void SetReport(const CheckResult& result, v1::CheckReport* to) {
  to->set_outcome(OutcomeOf(result.outcome));
  to->set_reason(result.reason);
  SetDuration(static_cast<uint64_t>(absl::ToInt64Nanoseconds(result.duration)), to->mutable_duration());
  SetTime(result.at, to->mutable_at());
}

void SetHealth(const RiseFall* health, v1::Health* to) {
  if (health == nullptr) return;
  to->set_state(StateOf(health->state()));
  SetTime(health->since(), to->mutable_since());
  to->set_reason(health->reason());
  if (health->last().has_value()) SetReport(*health->last(), to->mutable_last());
}

v1::Backend::State StateOf(AgentOrder order) {
  switch (order) {
    case AgentOrder::kDrain:
      return v1::Backend::DRAIN;
    case AgentOrder::kDisabled:
      return v1::Backend::DISABLED;
    case AgentOrder::kReady:
      break;
  }
  return v1::Backend::READY;
}

void SetAgent(const AgentState& agent, const RiseFall& check, v1::Agent* to) {
  to->set_percent(agent.percent);
  to->set_state(StateOf(agent.order));
  to->set_down(agent.down);
  const absl::Time never = absl::InfinitePast();
  if (agent.percent_said.since != never) SetTime(agent.percent_said.since, to->mutable_percent_since());
  if (agent.order_said.since != never) SetTime(agent.order_said.since, to->mutable_state_since());
  if (agent.down_said.since != never) SetTime(agent.down_said.since, to->mutable_down_since());
  if (check.last().has_value()) SetReport(*check.last(), to->mutable_last());
}

// Where each name is in the published tables.
class Indices {
 public:
  explicit Indices(const Tables* tables) {
    if (tables == nullptr) return;
    for (uint32_t i = 0; i < tables->listener_count(); i++) listeners_.emplace(tables->listener_names()[i], i);
    for (uint32_t i = 0; i < tables->backend_slots(); i++) {
      const BackendName& name = tables->backend_names()[i];
      if (!name.backend.empty()) backends_.emplace(std::pair(name.pool, name.backend), i);
    }
  }
  // -1 where it has none.
  int64_t OfListener(const std::string& name) const {
    const auto found = listeners_.find(name);
    return found == listeners_.end() ? -1 : int64_t{found->second};
  }
  int64_t OfBackend(const std::string& pool, const std::string& name) const {
    const auto found = backends_.find(std::pair(pool, name));
    return found == backends_.end() ? -1 : int64_t{found->second};
  }

 private:
  absl::flat_hash_map<std::string, uint32_t> listeners_;
  absl::flat_hash_map<std::pair<std::string, std::string>, uint32_t> backends_;
};

class InventoryView {
 public:
  explicit InventoryView(const Controller& controller)
      : controller_(controller), counters_(controller.engine().ReadCounters()), indices_(controller.tables()) {
    if (controller.tables() != nullptr) loads_ = ReadListenerLoads(controller.engine(), *controller.tables());
  }

  void Add(const v1::Listener& listener, v1::ListenerStatus* to) const {
    to->set_name(listener.name());
    to->set_address(listener.address());
    *to->mutable_ports() = listener.ports();
    to->set_protocol(listener.protocol());
    to->set_pool(listener.pool());
    *to->mutable_pools() = listener.pools();
    const int64_t index = indices_.OfListener(listener.name());
    IndexTraffic traffic;
    if (index >= 0) traffic = controller_.traffic().OfListener(counters_, static_cast<uint32_t>(index));
    SetTraffic(traffic.forwarded, to->mutable_traffic());
    SetAnswers(traffic.answers, to->mutable_answers());
    if (!listener.has_max_connections()) return;
    to->set_max_connections(listener.max_connections());
    const auto load = index >= 0 ? loads_.find(static_cast<uint32_t>(index)) : loads_.end();
    to->set_active_flows(load != loads_.end() ? load->second.active : 0);
  }

  void Add(const v1::Pool& pool, v1::PoolStatus* to) const {
    to->set_name(pool.name());
    to->set_forwarding(pool.forwarding());
    to->set_algorithm(pool.algorithm());
    to->mutable_backends()->Reserve(pool.backends_size());
    for (const v1::Backend& backend : pool.backends()) Add(pool, backend, to->add_backends());
    const auto leaving = controller_.effective().leaving().find(pool.name());
    if (leaving == controller_.effective().leaving().end()) return;
    for (const Effective::Leaving& one : leaving->second) {
      v1::BackendStatus* const status = to->add_backends();
      Add(pool, one.backend, status);
      status->set_reason("removed; its flows go on until drain_timeout");
      SetTime(one.since, status->mutable_since());
    }
  }

 private:
  void Add(const v1::Pool& pool, const v1::Backend& backend, v1::BackendStatus* to) const {
    *to = ViewBackend(controller_, pool.name(), backend);
    IndexTraffic traffic;
    const int64_t slot = indices_.OfBackend(pool.name(), backend.name());
    if (slot >= 0) {
      const auto at = static_cast<uint32_t>(slot);
      traffic = controller_.traffic().OfBackend(counters_, at);
      const Engine::Occupancy& connections = controller_.engine().occupancy();
      const Engine::SessionOccupancy& sessions = controller_.engine().session_occupancy();
      const uint64_t open = uint64_t{At(connections.open_of_slot, at)} + At(sessions.open_of_slot, at);
      to->set_active_flows(open);
      to->set_closed_flows(uint64_t{At(connections.flows_of_slot, at)} + At(sessions.of_slot, at) - open);
    }
    SetTraffic(traffic.forwarded, to->mutable_traffic());
    SetAnswers(traffic.answers, to->mutable_answers());
    if (pool.forwarding() != v1::Pool::NAT && pool.forwarding() != v1::Pool::FULL_NAT) return;
    to->set_answered_flows(traffic.answers.answered);
    to->set_failed_flows(traffic.answers.failed);
  }

  const Controller& controller_;
  EngineCounters counters_;
  Indices indices_;
  absl::flat_hash_map<uint32_t, ListenerLoad> loads_;
};

void AddPortProblems(const Controller& controller, v1::Status* status) {
  for (const EnginePort& port : controller.ports()) {
    if (port.link_up) continue;
    status->add_problems(absl::StrCat("port ", port.name, " has no link; look at its cable, or set it up"));
  }
}

bool LeadsTo(const v1::Listener& listener, std::string_view pool) {
  return listener.pool() == pool || std::any_of(listener.pools().begin(), listener.pools().end(),
                                                [pool](const v1::WeightedPool& one) { return one.name() == pool; });
}

// Whether listeners lead to the pool, and all of them to others as well.
bool HasOthersBeside(const v1::Config& config, const v1::Pool& pool) {
  bool any = false;
  for (const v1::Listener& listener : config.listeners()) {
    if (!LeadsTo(listener, pool.name())) continue;
    if (listener.pools_size() < 2) return false;
    any = true;
  }
  return any;
}

// What becomes of new flows of a pool none of whose backends is ready.
const char* WhatBecomes(const v1::Config& config, const v1::Pool& pool, bool any_unhealthy) {
  if (HasOthersBeside(config, pool)) {
    return " has no backend for new flows; they go to the other pools of its listeners, where those have one";
  }
  const bool fails_open = any_unhealthy && pool.when_all_unhealthy() == v1::Pool::FAIL_OPEN;
  return fails_open ? " has no healthy backend; the unhealthy ones are used (when_all_unhealthy: fail_open)"
                    : " has no backend that takes flows; new ones are dropped";
}

void AddPoolProblems(const Controller& controller, v1::Status* status) {
  int backends = 0;
  int pools = 0;
  for (const v1::Pool& pool : controller.config().pools()) {
    bool any_ready = false;
    bool any_unhealthy = false;
    for (const v1::Backend& backend : pool.backends()) {
      const Condition condition = ConditionOf(controller, pool.name(), backend);
      any_ready |= condition.is == v1::BackendStatus::READY;
      any_unhealthy |= condition.is == v1::BackendStatus::UNHEALTHY;
      if (!condition.is_problem() || ++backends > kProblemsOfAKind) continue;
      status->add_problems(absl::StrCat("backend ", pool.name(), "/", backend.name(), ": ", condition.reason));
    }
    if (any_ready || ++pools > kProblemsOfAKind) continue;
    status->add_problems(absl::StrCat("pool ", pool.name(), WhatBecomes(controller.config(), pool, any_unhealthy)));
  }
  const int more = std::max(0, backends - kProblemsOfAKind) + std::max(0, pools - kProblemsOfAKind);
  if (more > 0) status->add_problems(absl::StrCat(more, " more backends and pools"));
}

}  // namespace

v1::BackendStatus ViewBackend(const Controller& controller, const std::string& pool, const v1::Backend& backend) {
  v1::BackendStatus status;
  status.set_name(backend.name());
  status.set_address(backend.address());
  status.set_port(backend.port());
  status.set_weight(backend.weight());
  status.set_wanted(backend.state());
  SetHealth(controller.backend_states().FindHealth(pool, backend.name()), status.mutable_health());
  if (const RiseFall* check = controller.backend_states().FindAgentCheck(pool, backend.name()); check != nullptr) {
    SetAgent(AgentOf(controller, pool, backend), *check, status.mutable_agent());
  }
  Condition condition = ConditionOf(controller, pool, backend);
  status.set_condition(condition.is);
  status.set_reason(std::move(condition.reason));
  SetTime(condition.since, status.mutable_since());
  return status;
}

v1::PortStatus ViewPort(const EnginePort& port) {
  v1::PortStatus status;
  status.set_name(port.name);
  status.set_mode(port.mode);
  status.set_mac(FormatMac(port.mac));
  status.set_mtu(port.mtu);
  status.set_link_up(port.link_up);
  return status;
}

v1::Status ViewStatus(const Controller& controller) {
  v1::Status status;
  for (const EnginePort& port : controller.ports()) *status.add_ports() = ViewPort(port);
  status.set_generation(controller.generation());
  const EngineCounters counters = controller.engine().ReadCounters();
  status.set_packets(counters.received);
  status.set_bytes(counters.bytes);
  for (size_t i = 0; i < counters.workers.size(); i++) {
    v1::WorkerStatus& worker = *status.add_by_worker();
    worker.set_worker(static_cast<uint32_t>(i));
    worker.set_packets(counters.workers[i].received);
    worker.set_bytes(counters.workers[i].bytes);
    worker.set_dropped(counters.workers[i].dropped);
  }
  for (v1::Total& total : ReadTotals(counters)) *status.add_totals() = std::move(total);
  status.set_sessions(controller.engine().session_occupancy().sessions);
  status.set_active_flows(Sum(controller.engine().occupancy().open_of_slot) +
                          Sum(controller.engine().session_occupancy().open_of_slot));
  SetTiming(controller.build_timing(), status.mutable_build());
  SetTiming(controller.publish_timing(), status.mutable_publish());
  AddPortProblems(controller, &status);
  AddPoolProblems(controller, &status);
  if (controller.behind()) {
    status.add_problems("a change of next hops or ports is not published; the log says why, and it is tried again");
  }
  return status;
}

v1::Inventory ViewInventory(const Controller& controller, std::string_view pool) {
  const InventoryView view(controller);
  v1::Inventory inventory;
  inventory.set_generation(controller.generation());
  for (const v1::Listener& listener : controller.config().listeners()) {
    if (pool.empty() || LeadsTo(listener, pool)) view.Add(listener, inventory.add_listeners());
  }
  for (const v1::Pool& each : controller.config().pools()) {
    if (pool.empty() || each.name() == pool) view.Add(each, inventory.add_pools());
  }
  return inventory;
}

}  // namespace sluice
