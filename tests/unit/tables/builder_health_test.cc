// What a builder makes of backends that are unhealthy.
#include <cstring>
#include <set>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/tables/builder_input.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kHead[] =
    "engine: {interfaces: [{name: eth0}]}\n"
    "listeners:\n"
    "  - {name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}\n"
    "  - {name: other, address: 203.0.113.11, ports: [80], protocol: tcp, pool: other}\n"
    "pools:\n"
    "  - {name: other, health_check: {type: tcp}, maglev_table_size: 251, backends: [{name: a, address: 10.0.1.1}]}\n"
    "  - {name: web, health_check: {type: tcp}, maglev_table_size: 251, backends: [{name: a, address: 10.0.0.1}, "
    "{name: b, address: 10.0.0.2}, {name: c, address: 10.0.0.3, weight: 0}]";

class BuilderHealthTest : public ::testing::Test {
 protected:
  void Use(const std::string& keys) {
    input_.Load(kHead + keys + "}\n");
    input_.ResolveAll();
  }
  void Build() { tables_ = input_.Build(builder_); }
  // Those of `web` that new flows go to.
  std::set<std::string> Takers() const {
    const sluice_pool& pool = PoolOf(*tables_, "web");
    std::set<std::string> names;
    for (uint32_t i = 0; i < pool.size; i++) {
      names.insert(tables_->backend_names()[tables_->view().maglev[pool.offset + i]].backend);
    }
    return names;
  }
  const sluice_backend& Record(const std::string& name) const {
    return tables_->view().backends[SlotOf(*tables_, "web", name)];
  }
  bool Live(const std::string& name) const { return Record(name).flags & SLUICE_BACKEND_LIVE; }

  TestInput input_;
  Builder builder_;
  std::shared_ptr<const Tables> tables_;
};

TEST_F(BuilderHealthTest, AnUnhealthyBackendTakesNoNewFlowsAndKeepsItsOwn) {
  Use("");
  Build();
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
  input_.unhealthy["web"] = {"a", "nobody"};
  input_.unhealthy["nowhere"] = {"b"};
  Build();
  EXPECT_THAT(Takers(), ElementsAre("b"));
  EXPECT_TRUE(Live("a"));
  EXPECT_TRUE(Record("a").flags & SLUICE_BACKEND_NEXT_HOP);
  EXPECT_TRUE(Record("a").flags & SLUICE_BACKEND_UNHEALTHY);
  EXPECT_FALSE(Record("b").flags & SLUICE_BACKEND_UNHEALTHY);
  // Only its own pool is made anew, and is as before when it is back.
  EXPECT_EQ(builder_.pools_rebuilt(), 1u);
  input_.unhealthy.clear();
  Build();
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
}

TEST_F(BuilderHealthTest, WithMoveItsFlowsMissItAndItsSlotStaysItsOwn) {
  Use(", on_unhealthy: move");
  Build();
  const uint32_t slot = SlotOf(*tables_, "web", "a");
  input_.unhealthy["web"] = {"a"};
  Build();
  EXPECT_THAT(Takers(), ElementsAre("b"));
  EXPECT_FALSE(Live("a"));
  EXPECT_EQ(std::memcmp(&Record("a").destination, TestInput::At("10.0.0.1").bytes.data(), 16), 0);
  EXPECT_EQ(SlotOf(*tables_, "web", "a"), slot);
  EXPECT_THAT(builder_.RetiredSlots(), IsEmpty());
  input_.unhealthy.clear();
  Build();
  EXPECT_TRUE(Live("a"));
  EXPECT_EQ(SlotOf(*tables_, "web", "a"), slot);
}

TEST_F(BuilderHealthTest, WithResetItsSessionsAreToEndWhileOthersTakeNewOnes) {
  Use(", forwarding: nat, on_unhealthy: reset");
  Build();
  EXPECT_THAT(tables_->reset_slots(), IsEmpty());
  input_.unhealthy["web"] = {"a"};
  Build();
  EXPECT_THAT(tables_->reset_slots(), ElementsAre(SlotOf(*tables_, "web", "a")));
  EXPECT_THAT(Takers(), ElementsAre("b"));
  EXPECT_TRUE(Live("a"));
  // c has no weight: it is no help.
  input_.unhealthy["web"] = {"a", "b"};
  Build();
  EXPECT_THAT(tables_->reset_slots(), IsEmpty());
}

TEST_F(BuilderHealthTest, WithoutAnyHealthyOneAllAreUsed) {
  for (const char* keys : {"", ", on_unhealthy: move"}) {
    Use(keys);
    // c has no weight: it is no help.
    input_.unhealthy["web"] = {"a", "b"};
    Build();
    EXPECT_THAT(Takers(), ElementsAre("a", "b")) << keys;
    EXPECT_TRUE(Live("a"));
  }
}

TEST_F(BuilderHealthTest, WithoutAnyHealthyOneThatCanBeReachedTheOthersAreUsed) {
  Use("");
  input_.next_hops.erase(TestInput::At("10.0.0.1"));
  input_.unhealthy["web"] = {"b"};
  Build();
  EXPECT_THAT(Takers(), ElementsAre("b"));
}

TEST_F(BuilderHealthTest, ClosedItHasNoBackendWithoutAHealthyOne) {
  Use(", when_all_unhealthy: fail_closed");
  input_.unhealthy["web"] = {"a", "b"};
  Build();
  EXPECT_EQ(PoolOf(*tables_, "web").size, 0u);
  EXPECT_GT(PoolOf(*tables_, "other").size, 0u);
  EXPECT_TRUE(Live("a"));
  input_.unhealthy["web"] = {"a"};
  Build();
  EXPECT_THAT(Takers(), ElementsAre("b"));
}

}  // namespace
}  // namespace sluice
