// Slots and tables over long random sequences of changes, against an oracle that only remembers who had what.
#include <map>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "sluice/listener.h"
#include "tables/builder.h"
#include "tests/unit/tables/builder_input.h"

namespace sluice {
namespace {

// Pool, backend, address, forwarding: what makes a backend the same one.
using Identity = std::tuple<std::string, std::string, std::string, int>;
// What a pool's Maglev table follows from: backends that take flows, with weight and address.
using Members = std::map<std::string, uint32_t>;

constexpr int kPools = 5;

// A configuration that changes at random.
class World {
 public:
  explicit World(uint32_t seed) : random_(seed) {
    for (int i = 0; i < kPools; i++) {
      v1::Pool& pool = *input_.config.add_pools();
      pool.set_name(absl::StrCat("pool", i));
      pool.set_maglev_table_size(251);
      pool.set_forwarding(v1::Pool::DSR_L2);
      for (int j = 0; j < 4; j++) Add(pool);
    }
    input_.config.mutable_engine()->mutable_tunnel_source()->set_ipv4("198.51.100.2");
  }

  const TestInput& input() const { return input_; }

  void Change() {
    v1::Pool& pool = *input_.config.mutable_pools(Below(kPools));
    v1::Backend* backend = pool.backends_size() == 0 ? nullptr : pool.mutable_backends(Below(pool.backends_size()));
    switch (Below(8)) {
      case 0:
      case 1:
        return Add(pool);
      case 2:
        if (backend != nullptr) pool.mutable_backends()->DeleteSubrange(Below(pool.backends_size()), 1);
        return;
      case 3:
        if (backend != nullptr) backend->set_weight(static_cast<uint32_t>(Below(4)));
        return;
      case 4:
        if (backend != nullptr) backend->set_name(absl::StrCat("renamed", next_++));
        return;
      case 5:
        if (backend != nullptr) backend->set_address(FreshAddress());
        return;
      case 6:
        if (backend != nullptr && input_.next_hops.erase(TestInput::At(backend->address())) == 0) {
          input_.Resolve(backend->address());
        }
        return;
      default:
        if (Below(5) == 0) pool.set_forwarding(pool.forwarding() == v1::Pool::IPIP ? v1::Pool::DSR_L2 : v1::Pool::IPIP);
        input_.config.mutable_pools()->SwapElements(Below(kPools), Below(kPools));
    }
  }

  int Below(int limit) { return static_cast<int>(random_() % static_cast<uint32_t>(limit)); }

 private:
  // Of few names and addresses, so that backends come back.
  void Add(v1::Pool& pool) {
    const std::string name = absl::StrCat("b", Below(12));
    const std::string address = Below(3) == 0 ? FreshAddress() : absl::StrCat("10.0.0.", Below(12));
    if (AddBackend(pool, name, address) != nullptr && Below(2) == 0) input_.Resolve(address);
  }
  std::string FreshAddress() {
    next_++;
    return absl::StrCat("10.1.", next_ / 256 % 256, ".", next_ % 256);
  }

  std::mt19937 random_;
  TestInput input_;
  int next_ = 0;
};

std::set<Identity> Identities(const v1::Config& config) {
  std::set<Identity> all;
  for (const v1::Pool& pool : config.pools()) {
    for (const v1::Backend& backend : pool.backends()) {
      all.emplace(pool.name(), backend.name(), backend.address(), pool.forwarding());
    }
  }
  return all;
}

// Who owns which slot, live or retired, as a plain map.
class SlotOracle {
 public:
  void Check(const v1::Config& config, const Tables& tables, const Builder& builder) {
    const std::set<Identity> live = Identities(config);
    std::map<Identity, uint32_t> now;
    for (const Identity& identity : live) {
      now[identity] = SlotOf(tables, std::get<0>(identity), std::get<1>(identity));
      ASSERT_NE(now[identity], SLUICE_NO_BACKEND);
    }
    std::map<uint32_t, Identity> owners;
    for (const auto& [identity, slot] : now) {
      ASSERT_TRUE(owners.emplace(slot, identity).second) << "one owner a slot";
      const auto before = owned_.find(identity);
      if (before != owned_.end()) {
        ASSERT_EQ(before->second, slot) << "a slot stays";
      }
    }
    for (const auto& [identity, slot] : owned_) {
      const auto owner = owners.find(slot);
      if (owner != owners.end()) {
        ASSERT_EQ(owner->second, identity) << "given away before its release";
      }
    }
    for (const auto& [identity, slot] : now) owned_[identity] = slot;
    CheckRetired(tables, builder, live);
  }

  void Release(uint32_t slot) {
    std::erase_if(owned_, [&](const auto& entry) { return entry.second == slot; });
  }

 private:
  void CheckRetired(const Tables& tables, const Builder& builder, const std::set<Identity>& live) {
    std::set<uint32_t> expected;
    for (const auto& [identity, slot] : owned_) {
      if (!live.contains(identity)) expected.insert(slot);
    }
    const std::vector<uint32_t> retired = builder.RetiredSlots();
    ASSERT_EQ(std::set<uint32_t>(retired.begin(), retired.end()), expected);
    size_t live_records = 0;
    for (uint32_t i = 0; i < tables.backend_slots(); i++) {
      live_records += tables.view().backends[i].flags & SLUICE_BACKEND_LIVE;
    }
    ASSERT_EQ(live_records, live.size());
    for (const uint32_t slot : expected) ASSERT_EQ(tables.view().backends[slot].flags, 0);
  }

  std::map<Identity, uint32_t> owned_;
};

TEST(Stability, SlotsStayOverRandomChanges) {
  for (uint32_t seed = 1; seed <= 5; seed++) {
    World world(seed);
    Builder builder;
    SlotOracle oracle;
    for (int step = 0; step < 400; step++) {
      const auto tables = world.input().Build(builder);
      ASSERT_NE(tables, nullptr);
      oracle.Check(world.input().config, *tables, builder);
      ASSERT_FALSE(HasFatalFailure()) << "seed " << seed << " step " << step;
      for (const uint32_t slot : builder.RetiredSlots()) {
        if (world.Below(10) != 0) continue;
        builder.ReleaseSlot(slot);
        oracle.Release(slot);
      }
      // Mistakes in between, after which everything is as it was.
      v1::Config broken = world.input().config;
      broken.mutable_pools(kPools - 1)->set_maglev_table_size(250);
      broken.mutable_pools(kPools - 1)->add_backends()->set_address("10.9.9.9");
      broken.mutable_pools(kPools - 1)->mutable_backends()->rbegin()->set_weight(1);
      TestInput input = world.input();
      input.config = broken;
      input.Resolve("10.9.9.9");
      ASSERT_FALSE(builder.Build(input.input()).ok());
      for (int changes = world.Below(4); changes >= 0; changes--) world.Change();
    }
  }
}

// By pool: what its table follows from. Slots of a pool change with names, so they are in it.
std::map<std::string, Members> Expected(const TestInput& input, const Tables& tables) {
  std::map<std::string, Members> expected;
  for (const v1::Pool& pool : input.config.pools()) {
    Members& members = expected[pool.name()];
    for (const v1::Backend& backend : pool.backends()) {
      if (backend.weight() == 0 || !input.next_hops.contains(TestInput::At(backend.address()))) continue;
      members[absl::StrCat(backend.address(), " ", SlotOf(tables, pool.name(), backend.name()))] = backend.weight();
    }
  }
  return expected;
}

// Every entry names a backend of the pool that takes flows, and each of those has one; the oracle for what is in it is
// a builder that has seen nothing else.
void CheckTables(const TestInput& input, const Tables& tables) {
  Builder fresh;
  const auto oracle = input.Build(fresh);
  for (const v1::Pool& pool : input.config.pools()) {
    if (pool.backends_size() == 0) continue;
    const std::string& any = pool.backends(0).name();
    const sluice_pool& record = tables.view().pools[tables.view().backends[SlotOf(tables, pool.name(), any)].pool];
    const sluice_pool& expected = oracle->view().pools[oracle->view().backends[SlotOf(*oracle, pool.name(), any)].pool];
    ASSERT_EQ(record.size, expected.size);
    for (uint32_t i = 0; i < record.size; i++) {
      const BackendName& name = tables.backend_names().at(tables.view().maglev[record.offset + i]);
      const BackendName& expected_name = oracle->backend_names().at(oracle->view().maglev[expected.offset + i]);
      ASSERT_EQ(name.pool, pool.name());
      ASSERT_EQ(name.backend, expected_name.backend);
    }
  }
}

TEST(Stability, OnlyChangedTablesAreRebuiltAndAllAreRight) {
  World world(7);
  Builder builder;
  std::map<std::string, Members> before;
  std::vector<std::shared_ptr<const Tables>> living;
  for (int step = 0; step < 400; step++) {
    const auto tables = world.input().Build(builder);
    ASSERT_NE(tables, nullptr);
    std::map<std::string, Members> now = Expected(world.input(), *tables);
    uint32_t changed = 0;
    for (const auto& [pool, members] : now) changed += !members.empty() && before[pool] != members;
    ASSERT_EQ(builder.pools_rebuilt(), changed) << "step " << step;
    before = std::move(now);
    CheckTables(world.input(), *tables);
    ASSERT_FALSE(HasFatalFailure()) << "step " << step;
    // Engines keep some generations for a while.
    living.push_back(tables);
    if (living.size() > 3) living.erase(living.begin() + world.Below(3));
    world.Change();
  }
}

}  // namespace
}  // namespace sluice
