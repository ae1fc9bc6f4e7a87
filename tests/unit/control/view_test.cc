// What runs, as it is told.
#include "control/view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/load.h"
#include "config/validate.h"
#include "tests/unit/control/fake_engine.h"
#include "tests/unit/control/fake_next_hops.h"
#include "tests/unit/health/fake_prober.h"

namespace sluice {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr char kConfig[] = R"(
engine: {interfaces: [{name: eth0}, {name: eth1}]}
listeners:
  - {name: web, address: 203.0.113.10, ports: [80, 8000-8099], protocol: tcp, pool: web}
  - {name: dns, address: 203.0.113.10, ports: [53], protocol: udp, pool: dns}
  - {name: limited, address: 203.0.113.10, ports: [443], protocol: tcp, pool: limited, max_connections: 1k}
pools:
  - name: web
    forwarding: nat
    backends:
      - {name: a, address: 10.0.1.1, weight: 5}
      - {name: b, address: 10.0.1.2, state: drain}
      - {name: c, address: 10.0.1.3, state: disabled}
      - {name: d, address: 10.0.1.4, weight: 0}
      - {name: e, address: 10.0.1.5}
  - {name: dns, backends: [{name: x, address: 10.0.1.6}]}
  - {name: limited, backends: [{name: y, address: 10.0.1.7}, {name: z, address: 10.0.1.8, state: drain}]}
)";

class ViewTest : public testing::Test {
 protected:
  ViewTest() : controller_({&engine_, &next_hops_, &health_, {1, 2, 3}}) {
    engine_.swept.flows_of_slot.resize(SLUICE_BACKENDS);
    engine_.swept.open_of_slot.resize(SLUICE_BACKENDS);
    for (const char* text : {"10.0.1.1", "10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.7", "10.0.1.8"}) Resolve(text);
    next_hops_.Fail(*ParseAddress("10.0.1.5"), "10.0.1.5 does not answer");
    EXPECT_TRUE(controller_.Apply(LoadConfigText(kConfig, "f.yaml")->config).ok());
    controller_.Tick();
    engine_.counters.listeners.resize(8);
    engine_.counters.backends.resize(8);
    engine_.counters.backend_answers.resize(8);
  }
  void Resolve(const char* address) {
    NextHop hop;
    hop.ifindex = 11;
    hop.mtu = 1500;
    next_hops_.Resolve(*ParseAddress(address), hop);
  }
  uint32_t SlotOf(const std::string& name) const {
    for (uint32_t i = 0; i < engine_.published->backend_slots(); i++) {
      if (engine_.published->backend_names()[i].backend == name) return i;
    }
    return SLUICE_NO_BACKEND;
  }

  FakeEngine engine_;
  FakeNextHops next_hops_;
  FakeProber prober_;
  HealthChecker health_{prober_.Options()};
  Controller controller_;
};

// Those of backends count that get no new ones.
TEST_F(ViewTest, ListenersWithALimitTellWhatCountsAgainstIt) {
  engine_.swept.active_of_slot.resize(SLUICE_BACKENDS);
  engine_.swept.active_of_slot[SlotOf("y")] = 30;
  engine_.swept.active_of_slot[SlotOf("z")] = 4;
  engine_.swept.active_of_slot[SlotOf("x")] = 500;
  const v1::Inventory inventory = ViewInventory(controller_);
  EXPECT_FALSE(inventory.listeners(1).has_max_connections());
  EXPECT_FALSE(inventory.listeners(1).has_active_flows());
  EXPECT_EQ(inventory.listeners(2).max_connections(), 1000u);
  EXPECT_EQ(inventory.listeners(2).active_flows(), 34u);
}

TEST_F(ViewTest, ABackendIsReadySinceItHasANextHopAgain) {
  const auto since = [this] {
    const v1::BackendStatus backend = ViewInventory(controller_).pools(0).backends(4);
    return std::pair(backend.condition(),
                     absl::FromUnixSeconds(backend.since().seconds()) + absl::Nanoseconds(backend.since().nanos()));
  };
  const auto [missing, missing_since] = since();
  EXPECT_EQ(missing, v1::BackendStatus::NO_NEXT_HOP);
  const absl::Time before = absl::Now();
  EXPECT_LE(missing_since, before);
  Resolve("10.0.1.5");
  controller_.Tick();
  const auto [ready, ready_since] = since();
  EXPECT_EQ(ready, v1::BackendStatus::READY);
  EXPECT_GE(ready_since, before);
}

TEST_F(ViewTest, BackendsTellWhetherTheyTakeFlowsAndWhyNot) {
  const v1::Inventory inventory = ViewInventory(controller_);
  ASSERT_EQ(inventory.pools_size(), 3);
  std::vector<std::string> reasons;
  for (const v1::BackendStatus& backend : inventory.pools(0).backends()) {
    EXPECT_EQ(backend.condition() == v1::BackendStatus::READY, backend.reason().empty());
    reasons.push_back(backend.reason());
  }
  EXPECT_THAT(reasons,
              ElementsAre("", "drained", "disabled", "its weight is 0", "no next hop: 10.0.1.5 does not answer"));
  EXPECT_EQ(inventory.pools(0).backends(3).condition(), v1::BackendStatus::NO_WEIGHT);
  EXPECT_EQ(inventory.pools(0).backends(4).condition(), v1::BackendStatus::NO_NEXT_HOP);
  EXPECT_EQ(inventory.pools(1).backends(0).reason(), "its next hop is being looked for");
  EXPECT_EQ(inventory.pools(0).backends(0).weight(), 5u);
  EXPECT_EQ(inventory.pools(0).backends(1).wanted(), v1::Backend::DRAIN);
  EXPECT_EQ(inventory.generation(), controller_.generation());
}

TEST_F(ViewTest, TrafficIsThatOfTheName) {
  const uint32_t slot = SlotOf("b");
  engine_.counters.backends[slot] = {7, 700, 3};
  engine_.counters.backend_answers[slot] = {9, 900, 2, 1};
  engine_.swept.flows_of_slot[slot] = 3;
  engine_.swept.open_of_slot[slot] = 2;
  engine_.sessions.of_slot[slot] = 14;
  engine_.sessions.open_of_slot[slot] = 4;
  const v1::Inventory inventory = ViewInventory(controller_, "web");
  ASSERT_EQ(inventory.pools_size(), 1);
  ASSERT_EQ(inventory.listeners_size(), 1);
  const v1::BackendStatus& backend = inventory.pools(0).backends(1);
  EXPECT_EQ(backend.traffic().packets(), 7u);
  EXPECT_EQ(backend.traffic().bytes(), 700u);
  EXPECT_EQ(backend.traffic().new_flows(), 3u);
  EXPECT_EQ(backend.answers().bytes(), 900u);
  EXPECT_EQ(backend.answers().new_flows(), 0u);
  EXPECT_EQ(backend.answered_flows(), 2u);
  EXPECT_EQ(backend.failed_flows(), 1u);
  EXPECT_EQ(backend.active_flows(), 6u);
  EXPECT_EQ(backend.closed_flows(), 11u);
  // It has no slot, and nothing of others.
  EXPECT_EQ(inventory.pools(0).backends(2).traffic().packets(), 0u);
  EXPECT_EQ(ViewInventory(controller_, "none").pools_size(), 0);
  EXPECT_FALSE(ViewInventory(controller_, "dns").pools(0).backends(0).has_failed_flows());
}

TEST_F(ViewTest, TheStatusSaysWhatIsWrong) {
  v1::Status status = ViewStatus(controller_);
  EXPECT_THAT(status.problems(), ElementsAre("backend web/e: no next hop: 10.0.1.5 does not answer",
                                             "backend dns/x: its next hop is being looked for",
                                             HasSubstr("pool dns has no backend that takes flows")));
  engine_.engine_ports[1].link_up = false;
  engine_.news.ports_changed = true;
  controller_.Tick();
  status = ViewStatus(controller_);
  EXPECT_THAT(status.problems(0), HasSubstr("port eth1 has no link"));
  ASSERT_EQ(status.ports_size(), 2);
  EXPECT_EQ(status.ports(0).mac(), "02:00:00:00:00:01");
  EXPECT_EQ(status.build().count(), status.publish().count());
}

TEST_F(ViewTest, AListenerIsShownWithEachOfItsPools) {
  v1::Config config = LoadConfigText(kConfig, "f.yaml")->config;
  config.mutable_pools(0)->set_forwarding(v1::Pool::DSR_L2);
  v1::Listener& listener = *config.mutable_listeners(0);
  listener.clear_pool();
  for (const char* name : {"web", "dns"}) {
    v1::WeightedPool& pool = *listener.add_pools();
    pool.set_name(name);
    pool.set_weight(3);
  }
  ASSERT_TRUE(controller_.Apply(config).ok());
  const v1::Inventory inventory = ViewInventory(controller_, "web");
  ASSERT_EQ(inventory.listeners_size(), 1);
  EXPECT_EQ(inventory.listeners(0).pool(), "");
  ASSERT_EQ(inventory.listeners(0).pools_size(), 2);
  EXPECT_EQ(inventory.listeners(0).pools(1).name(), "dns");
  EXPECT_EQ(inventory.listeners(0).pools(1).weight(), 3u);
  EXPECT_EQ(ViewInventory(controller_, "dns").listeners_size(), 2);
  // Its flows have nowhere else to go from the other listener, from this one they have.
  EXPECT_THAT(ViewStatus(controller_).problems(), Contains(HasSubstr("pool dns has no backend that takes flows; new")));
  config.mutable_listeners()->DeleteSubrange(1, 1);
  ASSERT_TRUE(controller_.Apply(config).ok());
  EXPECT_THAT(
      ViewStatus(controller_).problems(),
      Contains("pool dns has no backend for new flows; they go to the other pools of its listeners, where those "
               "have one"));
}

TEST_F(ViewTest, HealthIsTold) {
  v1::Config config = LoadConfigText(kConfig, "f.yaml")->config;
  v1::HealthCheck& check = *config.mutable_pools(0)->mutable_health_check();
  check.set_type(v1::HealthCheck::TCP);
  config::Report report;
  ValidateConfig(config, report);
  ASSERT_TRUE(report.ok()) << report.ToStatus();
  ASSERT_TRUE(controller_.Apply(config).ok());
  EXPECT_EQ(ViewInventory(controller_).pools(0).backends(0).health().state(), v1::Health::INITIAL);
  EXPECT_EQ(ViewInventory(controller_).pools(1).backends(0).health().state(), v1::Health::UNCHECKED);
  for (int tick = 0; tick < 1'000; tick++) {
    prober_.now += absl::Milliseconds(10);
    controller_.Tick();
    prober_.EndAll([](const CheckTarget& target) { return FormatAddress(target.address) != "10.0.1.1"; });
  }
  controller_.Tick();
  const v1::Inventory inventory = ViewInventory(controller_);
  const v1::BackendStatus& down = inventory.pools(0).backends(0);
  EXPECT_EQ(down.condition(), v1::BackendStatus::UNHEALTHY);
  EXPECT_THAT(down.reason(), HasSubstr("unhealthy: as the test says"));
  EXPECT_EQ(down.health().state(), v1::Health::UNHEALTHY);
  EXPECT_GE(down.health().since().seconds(), 1'000);
  EXPECT_EQ(down.health().last().outcome(), v1::CheckReport::FAILED);
  EXPECT_EQ(down.health().last().duration().nanos(), 1'000'000);
  EXPECT_GE(down.health().last().at().seconds(), down.health().since().seconds());
  // Drained, and well.
  EXPECT_EQ(inventory.pools(0).backends(1).condition(), v1::BackendStatus::DRAIN);
  EXPECT_EQ(inventory.pools(0).backends(1).health().state(), v1::Health::HEALTHY);
  const v1::Status status = ViewStatus(controller_);
  EXPECT_THAT(status.problems(0), HasSubstr("backend web/a: unhealthy: as the test says"));
  EXPECT_THAT(status.problems(), Contains(HasSubstr("pool web has no healthy backend; the unhealthy ones are used")));
}

TEST_F(ViewTest, TotalsHaveEveryVerdict) {
  engine_.counters.verdicts[SLUICE_VERDICT_no_listener] = 3;
  engine_.counters.transmit_full = 2;
  const v1::Status status = ViewStatus(controller_);
  ASSERT_GT(status.totals_size(), SLUICE_VERDICT_COUNT);
  EXPECT_EQ(status.totals(SLUICE_VERDICT_no_listener).name(), "no_listener");
  EXPECT_EQ(status.totals(SLUICE_VERDICT_no_listener).kind(), v1::Total::DROP);
  EXPECT_EQ(status.totals(SLUICE_VERDICT_no_listener).value(), 3u);
  EXPECT_EQ(status.totals(SLUICE_VERDICT_forwarded).kind(), v1::Total::TRANSMIT);
  EXPECT_EQ(status.totals(SLUICE_VERDICT_COUNT).name(), "transmit_full");
  EXPECT_EQ(status.totals(SLUICE_VERDICT_COUNT).value(), 2u);
}

}  // namespace
}  // namespace sluice
