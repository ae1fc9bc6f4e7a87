// What a builder makes of listeners whose flows are split among several pools.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/unit/tables/builder_input.h"

namespace sluice {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr char kHead[] =
    "engine: {interfaces: [{name: eth0}]}\n"
    "pools:\n"
    "  - {name: blue, health_check: {type: tcp, port: 1}, maglev_table_size: 251, backends: [{name: a, address: "
    "10.0.0.1}]}\n"
    "  - {name: green, health_check: {type: tcp, port: 1}, maglev_table_size: 251, backends: [{name: a, address: "
    "10.0.0.2}, "
    "{name: b, address: 10.0.0.3}]}\n"
    "  - {name: red, health_check: {type: tcp, port: 1}, forwarding: nat, maglev_table_size: 251, "
    "when_all_unhealthy: fail_closed, backends: [{name: a, address: 10.0.0.4, port: 8080}]}\n"
    "  - {name: grey, health_check: {type: tcp, port: 1}, forwarding: nat, maglev_table_size: 251, "
    "when_all_unhealthy: fail_closed, backends: [{name: a, address: 10.0.0.6}]}\n"
    "  - {name: white, health_check: {type: tcp, port: 1}, forwarding: nat, maglev_table_size: 251, "
    "when_all_unhealthy: fail_closed, backends: [{name: a, address: 10.0.0.5}]}\n"
    "listeners:\n";

class BuilderSplitTest : public ::testing::Test {
 protected:
  void Use(const std::string& pools, const std::string& more = "") {
    input_.Load(
        absl::StrCat(kHead, "  - {name: web, address: 203.0.113.10, ports: [80], protocol: tcp, ", pools, "}\n", more));
    input_.ResolveAll();
    Build();
  }
  void Build() { tables_ = input_.Build(builder_); }

  const sluice_pool& Split() const { return PoolOf(*tables_, "web"); }
  std::string NameAt(uint32_t place) const {
    return tables_->pool_names()[tables_->view().maglev[Split().offset + place]];
  }
  // The pool of each place.
  std::vector<std::string> Places() const {
    std::vector<std::string> places;
    for (uint32_t i = 0; i < Split().size; i++) places.push_back(NameAt(i));
    return places;
  }
  // Share of the places, per mille.
  std::map<std::string, int> Shares() const {
    std::map<std::string, int> counts;
    for (const std::string& name : Places()) counts[name]++;
    for (auto& [name, count] : counts) count = (count * 1000 + static_cast<int>(Split().size) / 2) / Split().size;
    return counts;
  }
  std::vector<std::string> Members() const {
    std::vector<std::string> members;
    for (uint32_t i = 0; i < Split().members; i++) members.push_back(NameAt(Split().size + i));
    return members;
  }

  using Shared = std::map<std::string, int>;
  TestInput input_;
  Builder builder_;
  std::shared_ptr<const Tables> tables_;
};

TEST_F(BuilderSplitTest, PlacesAreInProportionToTheWeights) {
  Use("pools: [{name: blue, weight: 90}, {name: green, weight: 10}]");
  EXPECT_EQ(Split().algorithm, SLUICE_SPLIT);
  EXPECT_EQ(Shares(), (Shared{{"blue", 900}, {"green", 100}}));
  EXPECT_THAT(Members(), ElementsAre("blue", "green"));
  EXPECT_EQ(Split().takers, 2);
  // Each pool has a table of its own, as without the split.
  const sluice_backend& backend = tables_->view().backends[SlotOf(*tables_, "green", "b")];
  EXPECT_EQ(tables_->pool_names()[backend.pool], "green");
  EXPECT_EQ(tables_->view().pools[backend.pool].size, 251u);
  Use("pools: [{name: green}, {name: blue}]");
  EXPECT_EQ(Shares(), (Shared{{"blue", 500}, {"green", 500}}));
}

TEST_F(BuilderSplitTest, AWeightOfZeroIsAMemberWithoutPlaces) {
  Use("pools: [{name: blue, weight: 0}, {name: green, weight: 7}]");
  EXPECT_EQ(Shares(), (Shared{{"green", 1000}}));
  EXPECT_THAT(Members(), ElementsAre("green", "blue"));
  EXPECT_EQ(Split().takers, 1);
}

// The difference, to a place; and of two pools all that moves goes the same way. On the way there and back.
TEST_F(BuilderSplitTest, OtherWeightsMoveTheirDifferenceOfTwoPools) {
  std::vector<std::string> before;
  int green_before = 0;
  for (const int green : {0, 1, 5, 10, 20, 50, 90, 100, 50, 10, 0}) {
    Use(absl::StrCat("pools: [{name: blue, weight: ", 100 - green, "}, {name: green, weight: ", green, "}]"));
    const std::vector<std::string> places = Places();
    ASSERT_EQ(places.size(), Split().size);
    int moved = 0;
    for (size_t i = 0; i < before.size(); i++) {
      if (places[i] == before[i]) continue;
      moved++;
      ASSERT_EQ(places[i], green > green_before ? "green" : "blue");
    }
    if (!before.empty()) {
      EXPECT_NEAR(moved, std::abs(green - green_before) * 4099 / 100.0, 1) << green;
    }
    green_before = green;
    before = places;
  }
}

// Of three, some that leave one pool for another make room for those of a third: up to two fifths more, as seen.
TEST_F(BuilderSplitTest, OtherWeightsMoveHardlyMoreOfThreePools) {
  using Weights = std::array<int, 3>;
  Weights last{};
  std::vector<std::string> before;
  for (const Weights& weights : {Weights{80, 10, 10}, {70, 10, 20}, {60, 20, 20}, {65, 30, 5}, {60, 0, 40}}) {
    Use(absl::StrCat("pools: [{name: grey, weight: ", weights[0], "}, {name: red, weight: ", weights[1],
                     "}, {name: white, weight: ", weights[2], "}]"));
    const std::vector<std::string> places = Places();
    int moved = 0;
    for (size_t i = 0; i < before.size(); i++) moved += places[i] != before[i];
    int difference = 0;
    for (size_t i = 0; i < weights.size(); i++) difference += std::max(0, weights.at(i) - last.at(i));
    if (!before.empty()) {
      EXPECT_LT(moved, difference * 1.4 * 4099 / 100);
    }
    last = weights;
    before = places;
  }
}

TEST_F(BuilderSplitTest, APoolWithoutBackendsForNewFlowsLeavesItsShare) {
  Use("pools: [{name: grey, weight: 50}, {name: red, weight: 30}, {name: white, weight: 20}]");
  const std::vector<std::string> before = Places();
  // It fails closed.
  input_.unhealthy["grey"] = {"a"};
  Build();
  EXPECT_EQ(Shares(), (Shared{{"red", 600}, {"white", 400}}));
  EXPECT_THAT(Members(), ElementsAre("red", "white", "grey"));
  EXPECT_EQ(Split().takers, 2);
  int moved = 0;
  for (size_t i = 0; i < before.size(); i++) moved += before[i] != "grey" && Places()[i] != before[i];
  EXPECT_LT(moved, 4099 / 50) << "hardly anybody else's";
  // Nobody is left but a pool without weight: nothing, and all stay members.
  input_.unhealthy["red"] = {"a"};
  input_.next_hops.erase(TestInput::At("10.0.0.5"));
  Build();
  EXPECT_EQ(Split().size, 0u);
  EXPECT_EQ(Split().takers, 0);
  EXPECT_THAT(Members(), ElementsAre("grey", "red", "white"));
  input_.unhealthy.clear();
  input_.ResolveAll();
  Build();
  EXPECT_EQ(Places(), before);
}

TEST_F(BuilderSplitTest, FailingOpenIsTheLastResortOfAllPools) {
  Use("pools: [{name: blue}, {name: green}]");
  input_.unhealthy["green"] = {"a", "b"};
  Build();
  EXPECT_EQ(Shares(), (Shared{{"blue", 1000}}));
  input_.unhealthy["blue"] = {"a"};
  Build();
  EXPECT_EQ(Shares(), (Shared{{"blue", 500}, {"green", 500}}));
}

TEST_F(BuilderSplitTest, ListenersOfTheSamePoolsAndWeightsShareARecord) {
  Use("pools: [{name: blue, weight: 3}, {name: green}]",
      "  - {name: same, address: 203.0.113.11, ports: [80], protocol: udp, pools: [{name: blue, weight: 3}, {name: "
      "green}], idle_timeout: 1000s}\n"
      "  - {name: other, address: 203.0.113.12, ports: [80], protocol: tcp, pools: [{name: blue}, {name: green}]}\n"
      "  - {name: alone, address: 203.0.113.13, ports: [80], protocol: tcp, pool: blue}\n");
  EXPECT_EQ(&PoolOf(*tables_, "same"), &Split());
  EXPECT_NE(&PoolOf(*tables_, "other"), &Split());
  const uint32_t blue = tables_->view().listeners[ListenerOf(*tables_, "alone")].pool;
  EXPECT_EQ(tables_->pool_names()[blue], "blue");
  // What a sweep goes by: the longest of all that lead there.
  const uint16_t longest = tables_->view().listeners[ListenerOf(*tables_, "same")].idle;
  for (const char* pool : {"blue", "green"}) {
    EXPECT_EQ(tables_->view().backends[SlotOf(*tables_, pool, "a")].idle, longest);
  }
}

// An entry names a slot: it stays whatever the listener's pools become.
TEST_F(BuilderSplitTest, BackendsKeepTheirSlotsAndOnlyTheSplitIsMadeAnew) {
  Use("pool: blue");
  const uint32_t blue = SlotOf(*tables_, "blue", "a");
  const uint32_t green = SlotOf(*tables_, "green", "b");
  for (const char* pools : {"pools: [{name: blue}, {name: green}]", "pools: [{name: blue, weight: 7}, {name: green}]",
                            "pools: [{name: green}]"}) {
    Use(pools);
    EXPECT_EQ(SlotOf(*tables_, "blue", "a"), blue);
    EXPECT_EQ(SlotOf(*tables_, "green", "b"), green);
    EXPECT_EQ(builder_.pools_rebuilt(), 1u);
  }
  EXPECT_THAT(builder_.RetiredSlots(), IsEmpty());
}

TEST_F(BuilderSplitTest, AnswersAreKnownOfEveryPool) {
  Use("pools: [{name: red}, {name: white, weight: 0}]");
  EXPECT_TRUE(tables_->view().listeners[0].flags & SLUICE_LISTENER_SESSIONS);
  EXPECT_THAT(tables_->services(),
              ::testing::UnorderedElementsAre(Service{TestInput::At("10.0.0.4"), SLUICE_IP_TCP, 8080},
                                              Service{TestInput::At("10.0.0.5"), SLUICE_IP_TCP, 80}));
}

// Pools that know the source alone are split by it: a client has one backend.
TEST_F(BuilderSplitTest, TheSourceSplitsAmongPoolsThatGoByIt) {
  const auto by_source = [this](const std::string& algorithm) {
    Use("pools: [{name: blue}, {name: green}]");
    for (v1::Pool& pool : *input_.config.mutable_pools()) pool.set_algorithm(v1::Pool::SOURCE_HASH);
    if (algorithm == "mixed") input_.config.mutable_pools(0)->set_algorithm(v1::Pool::MAGLEV);
    Build();
    return (tables_->view().listeners[0].flags & SLUICE_LISTENER_BY_SOURCE) != 0;
  };
  EXPECT_TRUE(by_source("source_hash"));
  EXPECT_FALSE(by_source("mixed"));
}

}  // namespace
}  // namespace sluice
