// Health as an event of the controller: who gets new flows, and what is told of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "control/flow_view.h"
#include "tests/unit/control/controller_testbed.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kChecked[] =
    "pools: [{name: web, backends: [{name: a, address: 10.0.1.1}, {name: b, address: 10.0.1.2}], "
    "health_check: {type: tcp, interval: 1s, rise: 2, fall: 3}";

v1::Config Checked(const std::string& more = "") {
  return Load(std::string(kEngine) + kListener + kChecked + more + "}]\n");
}

class ControllerHealthTest : public ControllerTest {
 protected:
  std::set<std::string> Takers() const {
    const sluice_tables& view = engine_.published->view();
    const sluice_pool& pool = view.pools[view.listeners[0].pool];
    std::set<std::string> names;
    for (uint32_t i = 0; i < pool.size; i++) {
      names.insert(engine_.published->backend_names()[view.maglev[pool.offset + i]].backend);
    }
    return names;
  }
  bool Live(const std::string& name) const { return Backend(name).flags & SLUICE_BACKEND_LIVE; }
  BackendStatus Status(const std::string& name) const {
    return controller_.backend_states().Find("web", name).value_or(BackendStatus());
  }
};

// The latest check counts a quarter.
TEST_F(ControllerHealthTest, LeastTimeHearsOfTheMeanDuration) {
  Apply(Checked(", algorithm: least_time"));
  Run(1);
  ASSERT_EQ(engine_.latencies.size(), 2u);
  EXPECT_EQ(engine_.latencies[0].microseconds, 1000u);
  prober_.duration = absl::Milliseconds(5);
  down_.insert("10.0.1.2");
  Run(1);
  ASSERT_EQ(engine_.latencies.size(), 2u);
  for (const BackendLatency& latency : engine_.latencies) {
    // A check that fails says nothing about the time.
    EXPECT_EQ(latency.microseconds, latency.slot == SlotOf("a") ? 2000u : 1000u);
  }
  engine_.latencies.clear();
  Apply(Checked());
  Run(1);
  EXPECT_THAT(engine_.latencies, IsEmpty());
}

TEST_F(ControllerHealthTest, AllBackendsAreUsedUntilTheirFirstResult) {
  Apply(Checked());
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
  EXPECT_EQ(Status("a").state, BackendState::kInitial);
  EXPECT_EQ(Status("a").reason, "not checked yet");
}

TEST_F(ControllerHealthTest, AnUnhealthyBackendGetsNoNewFlowsUntilItIsBack) {
  Apply(Checked());
  Run(2);
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
  const uint32_t generation = controller_.generation();
  Run(10);
  // Nothing has changed.
  EXPECT_EQ(controller_.generation(), generation);
  down_ = {"10.0.1.1"};
  Run(4);
  EXPECT_THAT(Takers(), ElementsAre("b"));
  EXPECT_TRUE(Live("a"));
  EXPECT_EQ(controller_.generation(), generation + 1);
  EXPECT_EQ(Status("a").state, BackendState::kUnhealthy);
  EXPECT_THAT(Status("a").reason, HasSubstr("3 checks in a row have failed"));
  EXPECT_EQ(Status("a").last->outcome, CheckResult::Outcome::kFailed);
  EXPECT_EQ(Status("b").state, BackendState::kHealthy);
  down_.clear();
  Run(3);
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
  EXPECT_EQ(Status("a").state, BackendState::kHealthy);
}

TEST_F(ControllerHealthTest, ThatThePoolFailsOpenIsExplained) {
  Apply(Checked());
  down_ = {"10.0.1.1", "10.0.1.2"};
  Run(4);
  v1::FiveTuple flow;
  flow.set_source("192.0.2.7");
  flow.set_source_port(1000);
  flow.set_destination("203.0.113.10");
  flow.set_destination_port(80);
  std::vector<sluice_bucket> buckets(64);
  engine_.connections = {{buckets.data(), 64}};
  const absl::StatusOr<v1::Explanation> explanation = ExplainFlow(controller_, flow, 0);
  ASSERT_TRUE(explanation.ok()) << explanation.status();
  EXPECT_EQ(explanation->verdict(), "forwarded");
  EXPECT_EQ(explanation->steps(3).reason(),
            "by maglev, of 2 that take flows though unhealthy (when_all_unhealthy: fail_open)");
}

TEST_F(ControllerHealthTest, WithMoveItsFlowsAreSelectedAnew) {
  Apply(Checked(", on_unhealthy: move"));
  const uint32_t slot = SlotOf("a");
  down_ = {"10.0.1.1"};
  Run(4);
  EXPECT_FALSE(Live("a"));
  // Sweeps may go by: the slot stays its own.
  for (int i = 0; i < 3; i++) EndOfSweep();
  down_.clear();
  Run(4);
  EXPECT_TRUE(Live("a"));
  EXPECT_EQ(SlotOf("a"), slot);
}

TEST_F(ControllerHealthTest, AllUnhealthyFailsOpenOrClosed) {
  down_ = {"10.0.1.1", "10.0.1.2"};
  Apply(Checked());
  Run(4);
  EXPECT_EQ(Status("b").state, BackendState::kUnhealthy);
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
  Apply(Checked(", when_all_unhealthy: fail_closed"));
  EXPECT_THAT(Takers(), IsEmpty());
  down_ = {"10.0.1.1"};
  Run(4);
  EXPECT_THAT(Takers(), ElementsAre("b"));
}

class ControllerObserveTest : public ControllerHealthTest {
 protected:
  ControllerObserveTest() {
    engine_.counters.backends.resize(64);
    engine_.counters.backend_answers.resize(64);
    // Of before.
    for (sluice_traffic& answers : engine_.counters.backend_answers) answers.failed = 1000;
    v1::Config config = Checked(", forwarding: nat");
    config.mutable_pools(0)->mutable_health_check()->mutable_observe()->set_failed_percent(50);
    config.mutable_pools(0)->mutable_health_check()->mutable_observe()->set_minimum_failed(20);
    Apply(config);
    Run(3);
  }
  void Count(const std::string& name, uint64_t answered, uint64_t failed) {
    engine_.counters.backend_answers[SlotOf(name)].answered += answered;
    engine_.counters.backend_answers[SlotOf(name)].failed += failed;
  }
  void Wait(absl::Duration time) {
    for (absl::Duration waited; waited < time; waited += absl::Milliseconds(10)) {
      prober_.now += absl::Milliseconds(10);
      controller_.Tick();
    }
  }
};

TEST_F(ControllerObserveTest, FlowsThatFailTakeABackendDownUntilItsChecksPass) {
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
  Count("a", 3, 37);
  Count("b", 40, 39);
  Wait(absl::Milliseconds(250));
  EXPECT_THAT(Takers(), ElementsAre("b"));
  EXPECT_EQ(Status("a").state, BackendState::kUnhealthy);
  EXPECT_EQ(Status("a").reason, "observed: 37 of 40 new flows refused or not answered");
  EXPECT_EQ(Status("b").state, BackendState::kHealthy);
  Run(3);
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
  // What has failed before it came back is not held against it.
  Run(3);
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
}

TEST_F(ControllerObserveTest, ManySecondsAreNotOne) {
  for (int i = 0; i < 10; i++) {
    Count("a", 0, 9);
    Run(1);
  }
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
  // In two looks of one second.
  Count("a", 0, 9);
  Wait(absl::Milliseconds(300));
  Count("a", 0, 12);
  Wait(absl::Milliseconds(300));
  EXPECT_THAT(Takers(), ElementsAre("b"));
}

TEST_F(ControllerObserveTest, WithoutItNobodyCounts) {
  Apply(Checked(", forwarding: nat"));
  Run(1);
  Count("a", 0, 100);
  Run(2);
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
}

TEST_F(ControllerHealthTest, AReloadKeepsWhatIsKnown) {
  down_ = {"10.0.1.1"};
  Apply(Checked());
  Run(4);
  const absl::Time since = Status("a").since;
  const uint32_t publishes = engine_.publishes;
  // Another check, and another backend beside them.
  v1::Config more = Checked();
  more.mutable_pools(0)->mutable_health_check()->set_fall(5);
  v1::Backend* added = more.mutable_pools(0)->add_backends();
  *added = more.pools(0).backends(0);
  added->set_name("c");
  added->set_address("10.0.1.3");
  next_hops_.Resolve(At("10.0.1.3"), Hop(3));
  Apply(more);
  EXPECT_THAT(Takers(), ElementsAre("b", "c"));
  EXPECT_EQ(Status("a").since, since);
  EXPECT_EQ(Status("c").state, BackendState::kInitial);
  // The change, and the next hop.
  EXPECT_EQ(engine_.publishes, publishes + 2);
}

TEST_F(ControllerHealthTest, AnotherAddressOrNoCheckIsUsedAtOnce) {
  down_ = {"10.0.1.1", "10.0.1.9"};
  Apply(Checked());
  Run(4);
  ASSERT_THAT(Takers(), ElementsAre("b"));
  v1::Config moved = Checked();
  moved.mutable_pools(0)->mutable_backends(0)->set_address("10.0.1.9");
  next_hops_.Resolve(At("10.0.1.9"), Hop(9));
  Apply(moved);
  EXPECT_EQ(Status("a").state, BackendState::kInitial);
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
  Run(4);
  ASSERT_THAT(Takers(), ElementsAre("b"));
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  controller_.Tick();
  controller_.Tick();
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
  EXPECT_EQ(Status("a").state, BackendState::kUnchecked);
}

TEST_F(ControllerHealthTest, ARefusedConfigurationChangesNoCheck) {
  Apply(Checked());
  v1::Config broken = Checked();
  broken.mutable_pools(0)->mutable_health_check()->set_type(v1::HealthCheck::HTTPS);
  broken.mutable_pools(0)->mutable_health_check()->set_ca_file("/nowhere/ca.pem");
  EXPECT_THAT(std::string(controller_.Apply(broken).status().message()), HasSubstr("/nowhere/ca.pem"));
  engine_.answer = absl::InternalError("no");
  EXPECT_FALSE(controller_.Apply(Usual()).ok());
  engine_.answer = absl::OkStatus();
  EXPECT_EQ(Status("a").state, BackendState::kInitial);
  down_ = {"10.0.1.1"};
  Run(4);
  EXPECT_EQ(Status("a").state, BackendState::kUnhealthy);
}

TEST_F(ControllerHealthTest, WithoutANextHopThatIsTheState) {
  next_hops_.Fail(At("10.0.1.1"), "10.0.1.1 does not answer");
  Apply(Checked());
  Run(2);
  EXPECT_EQ(Status("a").state, BackendState::kNoNextHop);
  EXPECT_EQ(Status("a").reason, "10.0.1.1 does not answer");
  EXPECT_TRUE(Status("a").last.has_value());
  next_hops_.Resolve(At("10.0.1.1"), Hop(1));
  controller_.Tick();
  EXPECT_EQ(Status("a").state, BackendState::kHealthy);
  EXPECT_FALSE(controller_.backend_states().Find("web", "nobody").has_value());
  EXPECT_FALSE(controller_.backend_states().Find("nowhere", "a").has_value());
}

TEST_F(ControllerHealthTest, AChangeThatCouldNotBePublishedIsTriedAgain) {
  Apply(Checked());
  Run(2);
  engine_.answer = absl::InternalError("not now");
  down_ = {"10.0.1.1"};
  Run(4);
  EXPECT_THAT(Takers(), ElementsAre("a", "b"));
  engine_.answer = absl::OkStatus();
  EndOfSweep();
  EXPECT_THAT(Takers(), ElementsAre("b"));
}

}  // namespace
}  // namespace sluice
