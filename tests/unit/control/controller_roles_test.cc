// Backups, zones, slow start and drains as the tables have them, as time goes by.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "tests/unit/control/controller_testbed.h"

namespace sluice {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::Ge;
using testing::HasSubstr;
using testing::Le;

constexpr char kSpare[] = "{name: spare, address: 10.0.1.3, backup: true}";

class ControllerRolesTest : public ControllerSharesTest {
 protected:
  static v1::Config Config(const std::string& keys, const std::vector<std::string>& backends) {
    return Load(absl::StrCat(kEngine, kListener, "pools: [{name: web, backends: [", absl::StrJoin(backends, ", "),
                             "], health_check: {type: tcp, interval: 1s, rise: 2, fall: 3}", keys, "}]\n"));
  }
  std::vector<std::string> Takers() const {
    std::vector<std::string> names;
    for (const auto& [name, count] : Shares()) names.push_back(name);
    return names;
  }
};

TEST_F(ControllerRolesTest, ABackupIsUsedWhileAllOthersAreDown) {
  Apply(Config("", {kA, kB, kSpare}));
  Run(2);
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
  EXPECT_EQ(StatusOf("spare").condition(), v1::BackendStatus::BACKUP);
  EXPECT_THAT(StatusOf("spare").reason(), HasSubstr("a backup"));
  EXPECT_GT(StatusOf("spare").since().seconds(), 0);
  EXPECT_EQ(StatusOf("spare").weight(), 1u);
  down_ = {"10.0.1.1", "10.0.1.2"};
  Run(5);
  EXPECT_THAT(Takers(), ElementsAre("spare"));
  EXPECT_EQ(StatusOf("spare").condition(), v1::BackendStatus::READY);
  down_ = {"10.0.1.1"};
  Run(4);
  EXPECT_THAT(Takers(), ElementsAre("b"));
  down_ = {"10.0.1.1", "10.0.1.2", "10.0.1.3"};
  Run(5);
  // Fail open, backups among them.
  EXPECT_THAT(Takers(), ElementsAre("a", "b", "spare"));
}

TEST_F(ControllerRolesTest, ABackupIsUsedForThoseThatCannotBeReached) {
  next_hops_.Fail(At("10.0.1.1"), "10.0.1.1 does not answer");
  Apply(Config("", {kA, kSpare}));
  EXPECT_THAT(Takers(), ElementsAre("spare"));
  next_hops_.Resolve(At("10.0.1.1"), Hop(1));
  controller_.Tick();
  EXPECT_THAT(Takers(), ElementsAre("a"));
}

TEST_F(ControllerRolesTest, ABackendThatComesBackStartsSlowly) {
  Apply(Config(", slow_start: 20s", {kA, kB}));
  Run(2);
  EXPECT_EQ(Shares().at("a"), 50u);
  down_ = {"10.0.1.1"};
  Run(4);
  EXPECT_THAT(Takers(), ElementsAre("b"));
  down_.clear();
  const uint32_t publishes = engine_.publishes;
  Run(3);
  EXPECT_THAT(Shares().at("a"), AllOf(Ge(8u), Le(17u)));
  EXPECT_THAT(StatusOf("a").reason(), HasSubstr("it starts slowly"));
  uint32_t before = 0;
  for (int i = 0; i < 9; i++) {
    EXPECT_GE(Shares().at("a"), before);
    before = Shares().at("a");
    Run(2);
  }
  EXPECT_EQ(Shares().at("a"), 50u);
  EXPECT_EQ(StatusOf("a").reason(), "");
  EXPECT_THAT(engine_.publishes - publishes, AllOf(Ge(10u), Le(12u)));
  const uint32_t settled = engine_.publishes;
  Run(20);
  EXPECT_EQ(engine_.publishes, settled);
}

TEST_F(ControllerRolesTest, ANewBackendStartsSlowlyAndAReloadDoesNotBeginAnew) {
  Apply(Config(", slow_start: 100s", {kA}));
  Run(2);
  EXPECT_EQ(Shares().at("a"), 100u);
  Apply(Config(", slow_start: 100s", {kA, kB}));
  EXPECT_EQ(Shares().at("b"), 9u);
  Run(45);
  const uint32_t half = Shares().at("b");
  EXPECT_THAT(half, AllOf(Ge(30u), Le(36u)));
  Apply(Config(", slow_start: 100s, when_all_unhealthy: fail_closed", {kA, kB}));
  EXPECT_EQ(Shares().at("b"), half);
}

TEST_F(ControllerRolesTest, ManySlowStartsPublishOnceASecondAtMost) {
  std::vector<std::string> backends;
  for (int i = 1; i <= 40; i++) {
    const std::string address = absl::StrCat("10.0.2.", i);
    next_hops_.Resolve(At(address), Hop(static_cast<uint8_t>(i)));
    backends.push_back(absl::StrCat("{name: n", i, ", address: ", address, "}"));
  }
  Apply(Config(", slow_start: 10s", {kA}));
  // Each at a moment of its own.
  std::vector<std::string> some = {kA};
  for (const std::string& one : backends) {
    some.push_back(one);
    Apply(Config(", slow_start: 10s", some));
    for (int i = 0; i < 3; i++) {
      prober_.now += absl::Milliseconds(10);
      controller_.Tick();
    }
  }
  // The first checks settle states, which publishes by itself.
  Run(2);
  const uint32_t publishes = engine_.publishes;
  Run(10);
  EXPECT_THAT(engine_.publishes - publishes, AllOf(Ge(6u), Le(11u)));
}

TEST_F(ControllerRolesTest, ARemovedBackendKeepsItsFlowsUntilTheTimeout) {
  Apply(Config(", drain_timeout: 30s", {kA, kB}));
  Run(2);
  const uint32_t slot = SlotOf("b");
  Apply(Config(", drain_timeout: 30s", {kA}));
  Run(20);
  EXPECT_THAT(Takers(), ElementsAre("a"));
  EXPECT_EQ(SlotOf("b"), slot);
  EXPECT_TRUE(Live("b"));
  EXPECT_TRUE(HasNextHop("b"));
  EXPECT_EQ(StatusOf("b").condition(), v1::BackendStatus::DRAIN);
  EXPECT_THAT(StatusOf("b").reason(), HasSubstr("removed"));
  // A change of something else does not give it more time.
  Apply(Config(", drain_timeout: 30s, when_all_unhealthy: fail_closed", {kA}));
  Run(11);
  EXPECT_FALSE(Live("b"));
  EXPECT_EQ(StatusOf("b").name(), "");
  EXPECT_EQ(ViewInventory(controller_, "").pools(0).backends_size(), 1);
}

TEST_F(ControllerRolesTest, WhoComesBackInTimeHasItsFlows) {
  Apply(Config(", drain_timeout: 30s", {kA, kB}));
  const uint32_t slot = SlotOf("b");
  Apply(Config(", drain_timeout: 30s", {kA}));
  Run(5);
  Apply(Config(", drain_timeout: 30s", {kA, kB}));
  EXPECT_EQ(SlotOf("b"), slot);
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
  Run(40);
  EXPECT_TRUE(Live("b"));
}

TEST_F(ControllerRolesTest, WithoutATimeoutARemovedBackendIsGoneAndADrainedOneStays) {
  Apply(Config("", {kA, kB}));
  Apply(Config("", {kA}));
  EXPECT_FALSE(Live("b"));
  Apply(Config("", {kA, "{name: b, address: 10.0.1.2, state: drain}"}));
  Run(40);
  EXPECT_TRUE(Live("b"));
  EXPECT_THAT(Takers(), ElementsAre("a"));
}

TEST_F(ControllerRolesTest, ADrainedBackendIsDoneWithAtItsTimeout) {
  Apply(Config(", drain_timeout: 30s", {kA, "{name: b, address: 10.0.1.2, state: drain}"}));
  Run(29);
  EXPECT_TRUE(Live("b"));
  Run(2);
  EXPECT_FALSE(Live("b"));
  EXPECT_EQ(StatusOf("b").condition(), v1::BackendStatus::DRAIN);
}

}  // namespace
}  // namespace sluice
