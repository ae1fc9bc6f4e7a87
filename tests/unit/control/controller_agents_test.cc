// What agents say as the tables and the status have it, as time goes by.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

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
using testing::Pair;
using Status = v1::BackendStatus;

class ControllerAgentsTest : public ControllerSharesTest {
 protected:
  static v1::Config Config(const std::string& keys = "", const std::vector<std::string>& backends = {kA, kB},
                           const std::string& agent = "agent: {port: 9000, interval: 1s}") {
    return Load(absl::StrCat(kEngine, kListener, "pools: [{name: web, backends: [", absl::StrJoin(backends, ", "),
                             "], ", agent, keys, "}]\n"));
  }
  // Seconds of ticks. Agents say what `says_` has for their address, those without do not answer; health checks pass.
  void Run(int seconds) {
    for (int tick = 0; tick < 100 * seconds; tick++) {
      prober_.now += absl::Milliseconds(10);
      controller_.Tick();
      for (const FakeProber::Started& one : std::exchange(prober_.started, {})) {
        CheckResult result{CheckResult::Outcome::kPassed, "as the test says", absl::Milliseconds(1), prober_.now};
        if (one.target.spec->type == CheckType::kAgent) Answer(one.target, &result);
        prober_.EndWith(one.number, result);
      }
    }
    controller_.Tick();
  }
  void Answer(const CheckTarget& target, CheckResult* result) {
    EXPECT_EQ(target.port, 9000);
    const auto said = says_.find(FormatAddress(target.address));
    if (said == says_.end()) {
      result->outcome = CheckResult::Outcome::kFailed;
      result->reason = "Connection refused";
      return;
    }
    result->agent = *ParseAgentAnswer(said->second);
    result->reason = absl::StrCat("says \"", said->second, "\"");
  }

  std::map<std::string, std::string> says_;
};

TEST_F(ControllerAgentsTest, APercentageIsAShareOfTheWeight) {
  Apply(Config());
  says_ = {{"10.0.1.1", "50%"}, {"10.0.1.2", "up"}};
  Run(4);
  EXPECT_THAT(Shares(), ElementsAre(Pair("a", 33), Pair("b", 67)));
  const Status status = StatusOf("a");
  EXPECT_EQ(status.condition(), Status::READY);
  EXPECT_EQ(status.weight(), 1u);
  EXPECT_THAT(status.reason(), HasSubstr("50 % of its weight by its agent: \"50%\" since 1970-01-01T00:16:"));
  EXPECT_EQ(status.agent().percent(), 50u);
  EXPECT_GE(status.agent().percent_since().seconds(), 1'000);
  EXPECT_EQ(status.agent().last().reason(), "says \"50%\"");
  EXPECT_EQ(StatusOf("b").reason(), "");
  says_["10.0.1.1"] = "100%";
  Run(3);
  EXPECT_THAT(Shares(), ElementsAre(Pair("a", 50), Pair("b", 50)));
  EXPECT_EQ(StatusOf("a").reason(), "");
  says_["10.0.1.1"] = "0% # full";
  Run(3);
  EXPECT_THAT(Shares(), ElementsAre(Pair("b", 100)));
  EXPECT_EQ(StatusOf("a").condition(), Status::NO_WEIGHT);
  EXPECT_EQ(StatusOf("a").reason(), "no weight by its agent: \"0% # full\"");
}

TEST_F(ControllerAgentsTest, DrainMaintAndDownAreWhatTheOperatorsAre) {
  Apply(Config());
  says_ = {{"10.0.1.1", "drain # backup"}, {"10.0.1.2", "up"}};
  Run(2);
  EXPECT_THAT(Shares(), ElementsAre(Pair("b", 100)));
  EXPECT_TRUE(Live("a"));
  EXPECT_EQ(StatusOf("a").condition(), Status::DRAIN);
  EXPECT_EQ(StatusOf("a").reason(), "drained by its agent: \"drain # backup\"");
  EXPECT_EQ(StatusOf("a").since().seconds(), StatusOf("a").agent().state_since().seconds());
  EXPECT_EQ(StatusOf("a").wanted(), v1::Backend::READY);
  EXPECT_EQ(StatusOf("a").agent().state(), v1::Backend::DRAIN);
  says_["10.0.1.1"] = "maint";
  Run(2);
  EXPECT_FALSE(Live("a"));
  EXPECT_EQ(StatusOf("a").condition(), Status::DISABLED);
  says_["10.0.1.1"] = "ready down # disk full";
  Run(2);
  EXPECT_TRUE(Live("a"));
  EXPECT_THAT(Shares(), ElementsAre(Pair("b", 100)));
  EXPECT_EQ(StatusOf("a").condition(), Status::UNHEALTHY);
  EXPECT_EQ(StatusOf("a").reason(), "down by its agent: \"ready down # disk full\"");
  EXPECT_TRUE(StatusOf("a").agent().down());
  // Only "up" takes it back.
  says_["10.0.1.1"] = "ready 100%";
  Run(2);
  EXPECT_EQ(StatusOf("a").condition(), Status::UNHEALTHY);
  says_["10.0.1.1"] = "up";
  Run(2);
  EXPECT_EQ(StatusOf("a").condition(), Status::READY);
  EXPECT_THAT(Shares(), ElementsAre(Pair("a", 50), Pair("b", 50)));
}

TEST_F(ControllerAgentsTest, AStateCountsAtOnceAndAWeightWithinASecond) {
  Apply(Config());
  says_ = {{"10.0.1.1", "drain"}, {"10.0.1.2", "up"}};
  Run(2);
  says_["10.0.1.1"] = "ready 30%";
  const uint32_t publishes = engine_.publishes;
  Run(2);
  EXPECT_THAT(Shares().at("a"), AllOf(Ge(22u), Le(24u)));
  EXPECT_LE(engine_.publishes - publishes, 2u);
}

TEST_F(ControllerAgentsTest, WeightsThatChangeAllTheTimePublishOnceASecond) {
  std::vector<std::string> backends;
  for (int i = 1; i <= 40; i++) {
    const std::string address = absl::StrCat("10.0.2.", i);
    next_hops_.Resolve(At(address), Hop(static_cast<uint8_t>(i)));
    backends.push_back(absl::StrCat("{name: n", i, ", address: ", address, "}"));
  }
  Apply(Config("", backends));
  const uint32_t publishes = engine_.publishes;
  for (int second = 0; second < 10; second++) {
    for (int i = 1; i <= 40; i++) says_[absl::StrCat("10.0.2.", i)] = absl::StrCat(50 + (second + i) % 7, "%");
    Run(1);
  }
  EXPECT_THAT(engine_.publishes - publishes, AllOf(Ge(8u), Le(12u)));
}

TEST_F(ControllerAgentsTest, WhatWasSaidLastCountsWhileTheAgentIsSilent) {
  Apply(Config());
  Run(5);
  EXPECT_THAT(Shares(), ElementsAre(Pair("a", 50), Pair("b", 50)));
  EXPECT_EQ(StatusOf("a").agent().last().reason(), "Connection refused");
  says_ = {{"10.0.1.1", "drain"}};
  Run(2);
  says_.clear();
  Run(30);
  EXPECT_EQ(StatusOf("a").condition(), Status::DRAIN);
  // A reload keeps it, too.
  Apply(Config(", on_unhealthy: move"));
  EXPECT_EQ(StatusOf("a").condition(), Status::DRAIN);
  EXPECT_THAT(Shares(), ElementsAre(Pair("b", 100)));
}

TEST_F(ControllerAgentsTest, WithoutAnAgentOrAtAnotherAddressNothingWasSaid) {
  Apply(Config());
  says_ = {{"10.0.1.1", "down"}, {"10.0.1.2", "maint"}};
  Run(2);
  Apply(Config("", {"{name: a, address: 10.0.1.3}", kB}));
  EXPECT_THAT(Shares(), ElementsAre(Pair("a", 100)));
  EXPECT_FALSE(Live("b"));
  Apply(Config("", {"{name: a, address: 10.0.1.3}", kB}, "when_all_unhealthy: fail_open"));
  EXPECT_THAT(Shares(), ElementsAre(Pair("a", 50), Pair("b", 50)));
  EXPECT_FALSE(StatusOf("b").has_agent());
  // Nor is it remembered.
  says_.clear();
  Apply(Config("", {"{name: a, address: 10.0.1.3}", kB}));
  Run(2);
  EXPECT_THAT(Shares(), ElementsAre(Pair("a", 50), Pair("b", 50)));
}

TEST_F(ControllerAgentsTest, TheStricterOfOperatorAndAgentCounts) {
  Apply(Config("", {"{name: a, address: 10.0.1.1, state: disabled}", "{name: b, address: 10.0.1.2, state: drain}"}));
  says_ = {{"10.0.1.1", "drain"}, {"10.0.1.2", "ready up"}};
  Run(2);
  EXPECT_EQ(StatusOf("a").reason(), "disabled");
  EXPECT_FALSE(Live("a"));
  EXPECT_EQ(StatusOf("b").reason(), "drained");
  says_["10.0.1.2"] = "maint";
  Run(2);
  EXPECT_FALSE(Live("b"));
}

TEST_F(ControllerAgentsTest, AHealthCheckAndAnAgentBothHaveToBeContent) {
  Apply(Config(", health_check: {type: tcp, interval: 1s}, when_all_unhealthy: fail_closed"));
  says_ = {{"10.0.1.1", "down"}, {"10.0.1.2", "down"}};
  Run(3);
  EXPECT_EQ(StatusOf("a").health().state(), v1::Health::HEALTHY);
  EXPECT_EQ(StatusOf("a").condition(), Status::UNHEALTHY);
  EXPECT_EQ(engine_.published->view().pools[engine_.published->view().listeners[0].pool].size, 0u);
  says_ = {{"10.0.1.1", "up"}};
  Run(2);
  EXPECT_THAT(Shares(), ElementsAre(Pair("a", 100)));
}

TEST_F(ControllerAgentsTest, ADrainByTheAgentHasItsTimeout) {
  Apply(Config(", drain_timeout: 30s"));
  says_ = {{"10.0.1.1", "drain"}, {"10.0.1.2", "up"}};
  Run(28);
  EXPECT_TRUE(Live("a"));
  Run(5);
  EXPECT_FALSE(Live("a"));
  says_["10.0.1.1"] = "ready";
  Run(2);
  EXPECT_TRUE(Live("a"));
  EXPECT_THAT(Shares(), ElementsAre(Pair("a", 50), Pair("b", 50)));
  // The next drain has all of its time.
  says_["10.0.1.1"] = "drain";
  Run(25);
  EXPECT_TRUE(Live("a"));
}

TEST_F(ControllerAgentsTest, ABackupStandsInForWhoIsDrainedByItsAgent) {
  Apply(Config("", {kA, "{name: b, address: 10.0.1.2, backup: true}"}));
  says_ = {{"10.0.1.1", "drain"}};
  Run(2);
  EXPECT_THAT(Shares(), ElementsAre(Pair("b", 100)));
  says_["10.0.1.1"] = "ready";
  Run(2);
  EXPECT_THAT(Shares(), ElementsAre(Pair("a", 100)));
}

}  // namespace
}  // namespace sluice
