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

// Of all listeners and pools where they are new, and of the backends of new pools.
struct Keys {
  std::vector<ListenerKey> listeners;
  std::vector<std::string> pools;
  std::vector<BackendKey> backends;
};

Keys ReadFrontKeys(const DesiredState& state) {
  Keys keys;
  for (const DesiredListener& listener : state.front->listeners) {
    keys.listeners.push_back({listener.config->name(), listener.address});
  }
  for (const std::shared_ptr<DesiredPool>& pool : state.pools) keys.pools.push_back(pool->config->name());
  for (const DesiredSplit& split : state.front->splits) keys.pools.push_back(split.key);
  return keys;
}

void ReadBackendKeys(const DesiredState& state, Keys& keys) {
  for (const uint32_t i : state.new_pools) {
    const v1::Pool& pool = *state.pools[i]->config;
    for (const DesiredBackend& backend : state.pools[i]->backends) {
      keys.backends.push_back({pool.name(), backend.config->name(), backend.address, pool.forwarding()});
    }
  }
}

void SetSlots(const std::vector<uint32_t>& slots, DesiredState& state) {
  size_t next = 0;
  for (const uint32_t i : state.new_pools) {
    for (DesiredBackend& backend : state.pools[i]->backends) backend.slot = slots[next++];
  }
}

void AddSlots(const DesiredPool& pool, std::vector<uint32_t>& slots) {
  for (const DesiredBackend& backend : pool.backends) slots.push_back(backend.slot);
}

// Whether listeners lead to the same servers as before, as far as these two are concerned.
bool HaveSameBackends(const DesiredPool& one, const DesiredPool& other) {
  return std::equal(one.backends.begin(), one.backends.end(), other.backends.begin(), other.backends.end(),
                    [](const auto& a, const auto& b) { return a.slot == b.slot && a.port == b.port; });
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
    demand.keys.push_back(state.pools[part.pool]->config->name());
    if (part.weight > 0) demand.size = kSplitPlaces;
  }
  return demand;
}

MaglevDemand DemandOf(const DesiredPool& pool) {
  MaglevDemand demand;
  demand.size = pool.config->maglev_table_size();
  for (const DesiredBackend& backend : pool.backends) {
    if (backend.TakesFlows()) {
      demand.members.push_back({backend.slot, backend.config->weight(), backend.address, backend.port});
    }
  }
  std::sort(demand.members.begin(), demand.members.end());
  demand.lists_members = HasLimits(*pool.config);
  if (!demand.members.empty() && IsSequence(AlgorithmOf(*pool.config))) MakeSequence(demand);
  return demand;
}

// Of what is new, by pool index; `all`: indices that nobody has need nothing.
std::vector<MaglevChange> ReadDemands(const DesiredState& state, const IndexPlan& pools, bool all) {
  std::vector<MaglevChange> changes;
  for (const uint32_t i : state.new_pools) {
    changes.push_back({pools.indices[i], state.pools[i]->config->name(), DemandOf(*state.pools[i])});
  }
  for (const uint32_t i : state.new_splits) {
    const DesiredSplit& split = *state.splits[i];
    changes.push_back({pools.indices[state.pools.size() + i], split.key, DemandOf(state, split, pools)});
  }
  std::vector<bool> used(pools.size);
  for (const uint32_t index : pools.indices) used[index] = true;
  for (uint32_t i = 0; i < pools.size && all; i++) {
    if (!used[i]) changes.push_back({i, "", {}});
  }
  std::sort(changes.begin(), changes.end(), [](const auto& a, const auto& b) { return a.index < b.index; });
  return changes;
}

// One build, until nothing can fail any more.
struct Draft {
  // It goes on from the generation before; else it is all new.
  bool follows = false;
  DesiredState desired;
  Keys keys;
  // Of the pools that new ones are in the place of.
  std::vector<uint32_t> slots_before;
  IndexPlan backends;
  TablesPlan plan;
  AccessTrees access;
  std::shared_ptr<const TablesFront> front;
  std::shared_ptr<const MaglevSet> maglev;
};

}  // namespace

struct Builder::State {
  uint32_t generation = 0;
  // Empty before the first build.
  std::vector<uint8_t> hash_key;
  StableIndex<ListenerKey> listeners{SLUICE_LISTENERS, WhenGone::kRetire};
  StableIndex<std::string> pools{SLUICE_POOLS, WhenGone::kFree};
  StableIndex<BackendKey> backends{SLUICE_BACKENDS, WhenGone::kRetire};
  AccessTrees access;
  std::shared_ptr<const MaglevSet> maglev = std::make_shared<const MaglevSet>();
  // Of the last build: what it was made of, and what came of it.
  const v1::Config* config = nullptr;
  std::vector<PortDescription> ports;
  DesiredState desired;
  IndexPlan listener_plan;
  IndexPlan pool_plan;
  std::shared_ptr<const Tables> tables;
  // Since then.
  std::vector<uint32_t> released_slots;
  bool released_listeners = false;

  absl::Status Check(const BuildInput& input) const;
  bool Follows(const BuildInput& input) const;
  absl::Status Plan(const BuildInput& input, Draft& draft) const;
  absl::Status PlanFront(Draft& draft) const;
  absl::Status PlanBackends(Draft& draft) const;
  bool KeepsFront(const Draft& draft) const;
  absl::Status MakeFront(const BuildInput& input, Draft& draft) const;
  absl::Status MakeMaglev(const BuildInput& input, Draft& draft) const;
  void Commit(const BuildInput& input, Draft draft, std::shared_ptr<const Tables> built);
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

bool Builder::State::Follows(const BuildInput& input) const {
  return input.change != nullptr && tables != nullptr && input.config == config &&
         std::equal(ports.begin(), ports.end(), input.ports.begin(), input.ports.end());
}

absl::Status Builder::State::PlanFront(Draft& draft) const {
  if (draft.follows) {
    draft.plan.listeners = listener_plan;
    draft.plan.pools = pool_plan;
    return absl::OkStatus();
  }
  draft.keys = ReadFrontKeys(draft.desired);
  std::optional<IndexPlan> of_listeners = listeners.Assign(listener_plan.indices, draft.keys.listeners);
  std::optional<IndexPlan> of_pools = pools.Assign(pool_plan.indices, draft.keys.pools);
  if (!of_listeners.has_value() || !of_pools.has_value()) {
    return absl::ResourceExhaustedError(absl::StrCat(draft.keys.listeners.size(), " listeners and ",
                                                     draft.keys.pools.size(), " pools; at most ", SLUICE_LISTENERS,
                                                     " and ", SLUICE_POOLS, " are possible"));
  }
  draft.plan.listeners = *std::move(of_listeners);
  draft.plan.pools = *std::move(of_pools);
  return absl::OkStatus();
}

absl::Status Builder::State::PlanBackends(Draft& draft) const {
  if (draft.follows) {
    for (const uint32_t i : draft.desired.new_pools) AddSlots(*desired.pools[i], draft.slots_before);
  } else {
    for (const std::shared_ptr<DesiredPool>& pool : desired.pools) AddSlots(*pool, draft.slots_before);
  }
  ReadBackendKeys(draft.desired, draft.keys);
  std::optional<IndexPlan> plan = backends.Assign(draft.slots_before, draft.keys.backends);
  if (!plan.has_value()) {
    size_t count = 0;
    for (const std::shared_ptr<DesiredPool>& pool : draft.desired.pools) count += pool->backends.size();
    return absl::ResourceExhaustedError(absl::StrCat(
        count, " backends, beside ", backends.Retired().size(), " removed ones that may have flows; at most ",
        SLUICE_BACKENDS, " together are possible: remove some, or wait for idle_timeout and try again"));
  }
  draft.backends = *std::move(plan);
  SetSlots(draft.backends.indices, draft.desired);
  draft.plan.backend_slots = draft.backends.size;
  for (const auto& [index, gone] : backends.Absent(draft.slots_before, draft.backends)) {
    draft.plan.gone_backends.push_back({index, gone.address});
  }
  if (!draft.follows) return absl::OkStatus();
  draft.plan.left_slots = released_slots;
  draft.plan.left_slots.insert(draft.plan.left_slots.end(), draft.slots_before.begin(), draft.slots_before.end());
  return absl::OkStatus();
}

absl::Status Builder::State::Plan(const BuildInput& input, Draft& draft) const {
  const absl::StatusOr<FlowHashKey> flow_key = DeriveFlowHashKey(input.hash_key);
  if (!flow_key.ok()) return flow_key.status();
  draft.plan.generation = generation + 1;
  draft.plan.hash_key = *flow_key;
  if (absl::Status status = PlanFront(draft); !status.ok()) return status;
  if (absl::Status status = PlanBackends(draft); !status.ok()) return status;
  for (const auto& [index, gone] : listeners.Absent(listener_plan.indices, draft.plan.listeners)) {
    draft.plan.gone_listeners.push_back({index, gone.address});
  }
  TablesWriter::WriteTerms(draft.plan, draft.desired);
  return absl::OkStatus();
}

bool Builder::State::KeepsFront(const Draft& draft) const {
  return draft.follows && !released_listeners && draft.plan.backend_slots == tables->backend_slots() &&
         std::all_of(draft.desired.new_pools.begin(), draft.desired.new_pools.end(),
                     [&](uint32_t i) { return HaveSameBackends(*desired.pools[i], *draft.desired.pools[i]); });
}

absl::Status Builder::State::MakeFront(const BuildInput& input, Draft& draft) const {
  if (KeepsFront(draft)) {
    draft.access = access;
    draft.front = tables->front();
    return absl::OkStatus();
  }
  const HugePages pages = PagesOf(input.config->engine());
  const IndexPlan& plan = draft.plan.listeners;
  absl::StatusOr<ListenerIndex> index = BuildListenerIndex(draft.desired, plan.indices, pages);
  if (!index.ok()) return index.status();
  absl::StatusOr<AccessIndex> lists = BuildAccessIndex(draft.desired, plan.indices, plan.size, access, pages);
  if (!lists.ok()) return lists.status();
  draft.access = std::move(lists->trees);
  absl::StatusOr<std::shared_ptr<const TablesFront>> front =
      TablesWriter::WriteFront(draft.plan, draft.desired, input.ports, *std::move(index), *std::move(lists), pages);
  if (!front.ok()) return front.status();
  draft.front = *std::move(front);
  return absl::OkStatus();
}

absl::Status Builder::State::MakeMaglev(const BuildInput& input, Draft& draft) const {
  const std::span<const uint8_t, kMaglevHashKeySize> key(input.hash_key.data(), kMaglevHashKeySize);
  absl::StatusOr<MaglevSet> set =
      BuildMaglevSet(*maglev, draft.plan.pools.size, ReadDemands(draft.desired, draft.plan.pools, !draft.follows), key,
                     PagesOf(input.config->engine()));
  if (!set.ok()) return set.status();
  draft.maglev = std::make_shared<const MaglevSet>(*std::move(set));
  return absl::OkStatus();
}

void Builder::State::Commit(const BuildInput& input, Draft draft, std::shared_ptr<const Tables> built) {
  generation = draft.plan.generation;
  hash_key.assign(input.hash_key.begin(), input.hash_key.end());
  if (!draft.follows) {
    listeners.Commit(listener_plan.indices, draft.keys.listeners, draft.plan.listeners);
    pools.Commit(pool_plan.indices, draft.keys.pools, draft.plan.pools);
  }
  backends.Commit(draft.slots_before, draft.keys.backends, draft.backends);
  maglev = std::move(draft.maglev);
  access = std::move(draft.access);
  config = input.config;
  ports.assign(input.ports.begin(), input.ports.end());
  desired = std::move(draft.desired);
  listener_plan = std::move(draft.plan.listeners);
  pool_plan = std::move(draft.plan.pools);
  tables = std::move(built);
  released_slots.clear();
  released_listeners = false;
}

Builder::Builder() : state_(std::make_unique<State>()) {}
Builder::~Builder() = default;

absl::StatusOr<std::shared_ptr<const Tables>> Builder::Build(const BuildInput& input) {
  if (absl::Status status = state_->Check(input); !status.ok()) return status;
  Draft draft;
  draft.follows = state_->Follows(input);
  absl::StatusOr<DesiredState> desired = ReadDesiredState(input, draft.follows ? &state_->desired : nullptr);
  if (!desired.ok()) return desired.status();
  draft.desired = *std::move(desired);
  if (absl::Status status = state_->Plan(input, draft); !status.ok()) return status;
  if (absl::Status status = state_->MakeFront(input, draft); !status.ok()) return status;
  if (absl::Status status = state_->MakeMaglev(input, draft); !status.ok()) return status;
  absl::StatusOr<std::shared_ptr<const Tables>> tables =
      TablesWriter::Write(draft.plan, draft.desired, input.ports, draft.front, draft.maglev,
                          draft.follows ? state_->tables.get() : nullptr, PagesOf(input.config->engine()));
  if (!tables.ok()) return tables.status();
  // Nothing fails from here on.
  state_->Commit(input, std::move(draft), *tables);
  return tables;
}

std::vector<uint32_t> Builder::RetiredSlots() const {
  return state_->backends.Retired();
}

void Builder::ReleaseSlot(uint32_t slot) {
  if (state_->backends.Release(slot)) state_->released_slots.push_back(slot);
}

std::vector<uint32_t> Builder::RetiredListeners() const {
  return state_->listeners.Retired();
}

void Builder::ReleaseListener(uint32_t index) {
  if (state_->listeners.Release(index)) state_->released_listeners = true;
}

uint32_t Builder::pools_read() const {
  return static_cast<uint32_t>(state_->desired.new_pools.size());
}

uint32_t Builder::pools_rebuilt() const {
  return state_->maglev->rebuilt;
}

}  // namespace sluice
