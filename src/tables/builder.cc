#include "tables/builder.h"

#include <algorithm>
#include <numeric>
#include <string>
#include <tuple>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "tables/access_index.h"
#include "tables/desired.h"
#include "tables/hash_key.h"
#include "tables/listener_index.h"
#include "tables/maglev_set.h"
#include "tables/sequence.h"
#include "tables/stable_index.h"
#include "tables/tables_writer.h"

namespace sluice {
namespace {

// What makes a backend the one that flows are with. Its weight is not in it.
struct BackendKey {
  std::string pool;
  std::string backend;
  Address address;
  v1::Pool::Forwarding forwarding = v1::Pool::FORWARDING_UNSPECIFIED;
  bool operator==(const BackendKey&) const = default;

  template <typename H>
  friend H AbslHashValue(H h, const BackendKey& key) {
    return H::combine(std::move(h), key.pool, key.backend, key.address, static_cast<int>(key.forwarding));
  }
};

// What makes a listener the one that sessions are of.
struct ListenerKey {
  std::string name;
  Address address;
  bool operator==(const ListenerKey&) const = default;

  template <typename H>
  friend H AbslHashValue(H h, const ListenerKey& key) {
    return H::combine(std::move(h), key.name, key.address);
  }
};

struct Keys {
  std::vector<ListenerKey> listeners;
  std::vector<std::string> pools;
  std::vector<BackendKey> backends;
};

Keys ReadKeys(const DesiredState& state) {
  Keys keys;
  keys.backends.reserve(state.backends.size());
  for (const DesiredListener& listener : state.listeners) {
    keys.listeners.push_back({listener.config->name(), listener.address});
  }
  for (const DesiredPool& pool : state.pools) keys.pools.push_back(pool.config->name());
  for (const DesiredSplit& split : state.splits) keys.pools.push_back(split.key);
  for (const DesiredBackend& backend : state.backends) {
    const v1::Pool& pool = *state.pools[backend.pool].config;
    keys.backends.push_back({pool.name(), backend.config->name(), backend.address, pool.forwarding()});
  }
  return keys;
}

// Tables come and go with generations, so also who requires huge pages (for the packets and the connections, which are
// taken at start) gets a generation when they run out.
HugePages PagesOf(const v1::Engine& engine) {
  return engine.huge_pages() == v1::Engine::OFF ? HugePages::kOff : HugePages::kPreferred;
}

// Of as many places as there are turns.
void MakeSequence(MaglevDemand& demand) {
  std::vector<uint32_t> weights;
  for (const MaglevMember& member : demand.members) weights.push_back(member.weight);
  demand.turns = SequenceTurns(weights, demand.size);
  demand.size = std::accumulate(demand.turns.begin(), demand.turns.end(), uint32_t{0});
}

// Prime: shares of a split are right to a fortieth of a percent, in 16 KiB.
constexpr uint32_t kSplitPlaces = 4099;

MaglevDemand DemandOf(const DesiredState& state, const DesiredSplit& split, const IndexPlan& pools) {
  MaglevDemand demand;
  demand.lists_members = true;
  for (const DesiredSplit::Part& part : split.parts) {
    MaglevMember& member = demand.members.emplace_back();
    member.slot = pools.indices[part.pool];
    member.weight = part.weight;
    demand.keys.push_back(state.pools[part.pool].config->name());
    if (part.weight > 0) demand.size = kSplitPlaces;
  }
  return demand;
}

// By pool index.
struct Demands {
  std::vector<MaglevDemand> demands;
  std::vector<std::string> names;
};

Demands ReadDemands(const DesiredState& state, const IndexPlan& pools, const IndexPlan& backends) {
  Demands result{std::vector<MaglevDemand>(pools.size), std::vector<std::string>(pools.size)};
  for (size_t i = 0; i < state.pools.size(); i++) {
    const DesiredPool& pool = state.pools[i];
    MaglevDemand& demand = result.demands[pools.indices[i]];
    result.names[pools.indices[i]] = pool.config->name();
    demand.size = pool.config->maglev_table_size();
    for (uint32_t j = pool.first_backend; j < pool.last_backend; j++) {
      const DesiredBackend& backend = state.backends[j];
      if (!backend.TakesFlows()) continue;
      demand.members.push_back({backends.indices[j], backend.config->weight(), backend.address,
                                static_cast<uint16_t>(backend.config->port())});
    }
    std::sort(demand.members.begin(), demand.members.end());
    demand.lists_members = HasLimits(*pool.config);
    if (!demand.members.empty() && IsSequence(AlgorithmOf(*pool.config))) MakeSequence(demand);
  }
  for (size_t i = 0; i < state.splits.size(); i++) {
    const uint32_t at = pools.indices[state.pools.size() + i];
    result.demands[at] = DemandOf(state, state.splits[i], pools);
    result.names[at] = state.splits[i].key;
  }
  return result;
}

}  // namespace

struct Builder::State {
  uint32_t generation = 0;
  // Empty before the first build.
  std::vector<uint8_t> hash_key;
  StableIndex<ListenerKey> listeners{SLUICE_LISTENERS, WhenGone::kRetire};
  StableIndex<std::string> pools{SLUICE_POOLS, WhenGone::kFree};
  StableIndex<BackendKey> backends{SLUICE_BACKENDS, WhenGone::kRetire};
  MaglevSet maglev;
  AccessTrees access;

  absl::Status Check(const BuildInput& input) const;
  absl::StatusOr<TablesPlan> Plan(const Keys& keys, absl::Span<const uint8_t> key) const;
};

absl::Status Builder::State::Check(const BuildInput& input) const {
  if (generation == UINT32_MAX) return absl::ResourceExhaustedError("the last generation is built; restart sluiced");
  if (input.ports.size() > SLUICE_PORTS) {
    return absl::InvalidArgumentError(
        absl::StrCat("the engine has ", input.ports.size(), " ports; at most ", SLUICE_PORTS, " are possible"));
  }
  if (!hash_key.empty() &&
      !std::equal(hash_key.begin(), hash_key.end(), input.hash_key.begin(), input.hash_key.end())) {
    return absl::FailedPreconditionError(
        "engine.hash_key has changed, and every flow would be lost; restart sluiced to change it");
  }
  return absl::OkStatus();
}

absl::StatusOr<TablesPlan> Builder::State::Plan(const Keys& keys, absl::Span<const uint8_t> key) const {
  const absl::StatusOr<FlowHashKey> flow_key = DeriveFlowHashKey(key);
  if (!flow_key.ok()) return flow_key.status();
  std::optional<IndexPlan> listener_plan = listeners.Assign(keys.listeners);
  std::optional<IndexPlan> pool_plan = pools.Assign(keys.pools);
  if (!listener_plan.has_value() || !pool_plan.has_value()) {
    return absl::ResourceExhaustedError(absl::StrCat(keys.listeners.size(), " listeners and ", keys.pools.size(),
                                                     " pools; at most ", SLUICE_LISTENERS, " and ", SLUICE_POOLS,
                                                     " are possible"));
  }
  std::optional<IndexPlan> backend_plan = backends.Assign(keys.backends);
  if (!backend_plan.has_value()) {
    return absl::ResourceExhaustedError(
        absl::StrCat(keys.backends.size(), " backends, beside ", backends.Retired().size(),
                     " removed ones that may have flows; at most ", SLUICE_BACKENDS,
                     " together are possible: remove some, or wait for idle_timeout and try again"));
  }
  TablesPlan plan{
      generation + 1, *flow_key, *std::move(listener_plan), *std::move(pool_plan), *std::move(backend_plan), {}, {}};
  for (const auto& [index, gone] : listeners.Absent(plan.listeners)) {
    plan.gone_listeners.push_back({index, gone.address});
  }
  for (const auto& [index, gone] : backends.Absent(plan.backends)) {
    plan.gone_backends.push_back({index, gone.address});
  }
  return plan;
}

Builder::Builder() : state_(std::make_unique<State>()) {}
Builder::~Builder() = default;

absl::StatusOr<std::shared_ptr<const Tables>> Builder::Build(const BuildInput& input) {
  const absl::Status status = state_->Check(input);
  if (!status.ok()) return status;
  absl::StatusOr<DesiredState> desired = ReadDesiredState(input);
  if (!desired.ok()) return desired.status();
  const Keys keys = ReadKeys(*desired);
  const absl::StatusOr<TablesPlan> plan = state_->Plan(keys, input.hash_key);
  if (!plan.ok()) return plan.status();
  const HugePages pages = PagesOf(input.config->engine());
  absl::StatusOr<ListenerIndex> index = BuildListenerIndex(*desired, plan->listeners.indices, pages);
  if (!index.ok()) return index.status();
  absl::StatusOr<AccessIndex> access =
      BuildAccessIndex(*desired, plan->listeners.indices, plan->listeners.size, state_->access, pages);
  if (!access.ok()) return access.status();
  AccessTrees trees = std::move(access->trees);
  Demands demands = ReadDemands(*desired, plan->pools, plan->backends);
  const std::span<const uint8_t, kMaglevHashKeySize> maglev_key(input.hash_key.data(), kMaglevHashKeySize);
  absl::StatusOr<MaglevSet> maglev =
      BuildMaglevSet(state_->maglev, std::move(demands.demands), demands.names, maglev_key, pages);
  if (!maglev.ok()) return maglev.status();
  absl::StatusOr<std::shared_ptr<const Tables>> tables = TablesWriter::Write(
      *plan, *std::move(desired), input.ports, *std::move(index), *std::move(access), *maglev, pages);
  if (!tables.ok()) return tables.status();

  // Nothing fails from here on.
  state_->generation = plan->generation;
  state_->hash_key.assign(input.hash_key.begin(), input.hash_key.end());
  state_->listeners.Commit(keys.listeners, plan->listeners);
  state_->pools.Commit(keys.pools, plan->pools);
  state_->backends.Commit(keys.backends, plan->backends);
  state_->maglev = *std::move(maglev);
  state_->access = std::move(trees);
  return tables;
}

std::vector<uint32_t> Builder::RetiredSlots() const {
  return state_->backends.Retired();
}

void Builder::ReleaseSlot(uint32_t slot) {
  state_->backends.Release(slot);
}

std::vector<uint32_t> Builder::RetiredListeners() const {
  return state_->listeners.Retired();
}

void Builder::ReleaseListener(uint32_t index) {
  state_->listeners.Release(index);
}

uint32_t Builder::pools_rebuilt() const {
  return state_->maglev.rebuilt;
}

}  // namespace sluice
