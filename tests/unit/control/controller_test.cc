// Desired state to published generations, over an engine that does what the test says.
#include "control/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/sim/sim_engine.h"
#include "tests/unit/control/controller_testbed.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST_F(ControllerTest, AppliesWatchesAndAnnounces) {
  const absl::StatusOr<uint32_t> generation = controller_.Apply(Usual());
  ASSERT_TRUE(generation.ok()) << generation.status();
  EXPECT_EQ(*generation, 1u);
  EXPECT_EQ(engine_.published->generation(), 1u);
  EXPECT_THAT(next_hops_.watched(), ElementsAre(At("10.0.1.1"), At("10.0.1.2")));
  EXPECT_THAT(engine_.announced, ElementsAre("203.0.113.10"));
  EXPECT_FALSE(HasNextHop("a"));
  EXPECT_FALSE(controller_.settled());
}

TEST_F(ControllerTest, NextHopsArePublishedTogether) {
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  controller_.Tick();
  EXPECT_EQ(engine_.publishes, 2u);
  EXPECT_EQ(controller_.generation(), 2u);
  EXPECT_TRUE(HasNextHop("a"));
  EXPECT_TRUE(HasNextHop("b"));
  EXPECT_EQ(Backend("b").destination_mac[5], 2);
  EXPECT_TRUE(controller_.settled());
  controller_.Tick();
  EXPECT_EQ(engine_.publishes, 2u);
  EXPECT_EQ(engine_.sweeps, 2u);
}

TEST_F(ControllerTest, AChangedMacIsPublished) {
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  controller_.Tick();
  next_hops_.Resolve(At("10.0.1.1"), Hop(77, 12));
  controller_.Tick();
  EXPECT_EQ(Backend("a").destination_mac[5], 77);
  EXPECT_EQ(Backend("a").port, 1);
  EXPECT_EQ(controller_.generation(), 3u);
  // The same again is no change.
  next_hops_.Resolve(At("10.0.1.1"), Hop(77, 12));
  controller_.Tick();
  EXPECT_EQ(controller_.generation(), 3u);
}

TEST_F(ControllerTest, ALostNextHopIsPublishedAndFoundAgain) {
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  controller_.Tick();
  next_hops_.Fail(At("10.0.1.1"), "10.0.1.1 does not answer");
  controller_.Tick();
  EXPECT_FALSE(HasNextHop("a"));
  EXPECT_TRUE(HasNextHop("b"));
  EXPECT_TRUE(controller_.settled());
  next_hops_.Resolve(At("10.0.1.1"), Hop(1));
  controller_.Tick();
  EXPECT_TRUE(HasNextHop("a"));
}

TEST_F(ControllerTest, ARouteThroughAnotherInterfaceIsNone) {
  next_hops_.Resolve(At("10.0.1.1"), Hop(1, 99));
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  controller_.Tick();
  EXPECT_FALSE(HasNextHop("a"));
  EXPECT_TRUE(controller_.settled());
  EXPECT_EQ(controller_.backend_states().WhyMissing(At("10.0.1.1")),
            "the kernel's route leads through eth99, which is not of engine.interfaces");
}

TEST_F(ControllerTest, RefusesWhatOnlyARestartChangesByName) {
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  v1::Config other = Usual();
  other.mutable_engine()->set_workers(7);
  other.mutable_engine()->mutable_interfaces(1)->set_name("eth2");
  other.mutable_engine()->mutable_tunnel_source()->set_ipv4("198.51.100.3");
  const absl::Status status = controller_.Apply(other).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("engine.workers, engine.interfaces cannot change"));
  EXPECT_THAT(std::string(status.message()), Not(HasSubstr("tunnel_source")));
  EXPECT_EQ(engine_.publishes, 1u);
}

TEST_F(ControllerTest, EveryFieldOfTheEngineIsRefusedButTheTunnelSource) {
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  const auto refused = [this](const std::string& name, auto change) {
    v1::Config other = Usual();
    change(*other.mutable_engine());
    EXPECT_THAT(std::string(controller_.Apply(other).status().message()), HasSubstr("engine." + name)) << name;
  };
  refused("type", [](v1::Engine& engine) { engine.set_type(v1::Engine::DPDK); });
  refused("max_connections", [](v1::Engine& engine) { engine.set_max_connections(5); });
  refused("hash_key", [](v1::Engine& engine) { engine.set_hash_key(std::string(32, 'k')); });
  refused("huge_pages", [](v1::Engine& engine) { engine.set_huge_pages(v1::Engine::OFF); });
  refused("idle", [](v1::Engine& engine) { engine.set_idle(v1::Engine::SPIN); });
  v1::Config other = Usual();
  other.mutable_engine()->mutable_tunnel_source()->set_ipv4("198.51.100.3");
  EXPECT_TRUE(controller_.Apply(other).ok());
}

TEST_F(ControllerTest, OnlyNewAddressesAreAnnounced) {
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  v1::Config more = Usual();
  v1::Listener* added = more.add_listeners();
  *added = more.listeners(0);
  added->set_name("more");
  added->set_address("203.0.113.11");
  v1::Listener* routed = more.add_listeners();
  *routed = more.listeners(0);
  routed->set_name("routed");
  routed->set_address("203.0.113.12");
  routed->set_announce(v1::Listener::NONE);
  ASSERT_TRUE(controller_.Apply(more).ok());
  EXPECT_THAT(engine_.announced, ElementsAre("203.0.113.10", "203.0.113.11"));
}

TEST_F(ControllerTest, AFailedPublishLeavesTheStateAsItWas) {
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  controller_.Tick();
  const uint32_t slot = SlotOf("b");
  engine_.answer = absl::InternalError("no");
  EXPECT_EQ(controller_.Apply(WithoutB()).status(), engine_.answer);
  EXPECT_EQ(controller_.generation(), 2u);
  EXPECT_EQ(next_hops_.watched().size(), 2u);
  // Sweeps go by, and the engine still runs the old tables: the slot is not given away.
  engine_.answer = absl::OkStatus();
  for (int i = 0; i < 5; i++) EndOfSweep();
  next_hops_.Resolve(At("10.0.1.1"), Hop(5));
  controller_.Tick();
  EXPECT_EQ(SlotOf("b"), slot);
  EXPECT_TRUE(HasNextHop("b"));
}

TEST_F(ControllerTest, ANextHopThatCouldNotBePublishedIsTriedAgain) {
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  engine_.answer = absl::InternalError("not now");
  controller_.Tick();
  engine_.answer = absl::OkStatus();
  EndOfSweep();
  EXPECT_TRUE(HasNextHop("a"));
}

TEST_F(ControllerTest, AConfigurationThatCannotBeBuiltChangesNothing) {
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  v1::Config broken = Usual();
  broken.mutable_pools(0)->set_forwarding(v1::Pool::IPIP);
  broken.mutable_engine()->clear_tunnel_source();
  EXPECT_FALSE(controller_.Apply(broken).ok());
  EXPECT_EQ(engine_.publishes, 1u);
  EXPECT_EQ(controller_.generation(), 1u);
}

TEST_F(ControllerTest, ARetiredSlotIsFreeAfterTheSecondSweepWithoutAnEntry) {
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  const uint32_t slot = SlotOf("b");
  ASSERT_TRUE(controller_.Apply(WithoutB()).ok());
  const auto slot_of_next = [this] {
    v1::Config next = WithoutB();
    v1::Backend* added = next.mutable_pools(0)->add_backends();
    *added = next.pools(0).backends(0);
    static int number = 10;
    added->set_name("next" + std::to_string(++number));
    added->set_address("10.0.1." + std::to_string(number));
    EXPECT_TRUE(controller_.Apply(next).ok());
    return SlotOf(added->name());
  };
  EXPECT_NE(slot_of_next(), slot);
  EndOfSweep();
  EXPECT_NE(slot_of_next(), slot);
  // The sweep that began after the retirement still found one.
  engine_.swept.flows_of_slot[slot] = 1;
  EndOfSweep();
  EXPECT_NE(slot_of_next(), slot);
  engine_.swept.flows_of_slot[slot] = 0;
  EndOfSweep();
  EXPECT_EQ(slot_of_next(), slot);
}

TEST_F(ControllerTest, ABackendThatComesBackHasItsSlotAgainAndKeepsIt) {
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  const uint32_t slot = SlotOf("b");
  ASSERT_TRUE(controller_.Apply(WithoutB()).ok());
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  EXPECT_EQ(SlotOf("b"), slot);
  for (int i = 0; i < 3; i++) EndOfSweep();
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  EXPECT_EQ(SlotOf("b"), slot);
}

TEST_F(ControllerTest, ChangedPortsArePublishedAndAnnouncedOn) {
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  controller_.Tick();
  engine_.announced.clear();
  engine_.engine_ports[0].mtu = 1400;
  engine_.news.ports_changed = true;
  controller_.Tick();
  EXPECT_EQ(Backend("a").mtu, 1400);
  EXPECT_EQ(engine_.published->view().ports[0].mtu, 1400);
  EXPECT_THAT(engine_.announced, IsEmpty());
  engine_.engine_ports[1].mac = {2, 0, 0, 0, 0, 9};
  engine_.news.ports_changed = true;
  controller_.Tick();
  EXPECT_EQ(engine_.published->view().ports[1].mac[5], 9);
  EXPECT_THAT(engine_.announced, ElementsAre("203.0.113.10"));
}

TEST_F(ControllerTest, ALinkThatComesUpHearsTheAddresses) {
  ASSERT_TRUE(controller_.Apply(Usual()).ok());
  engine_.announced.clear();
  for (const bool up : {false, true}) {
    engine_.engine_ports[0].link_up = up;
    engine_.news.ports_changed = true;
    controller_.Tick();
    EXPECT_EQ(engine_.announced.size(), up ? 1u : 0u);
  }
}

// The whole of it over the sim engine: a packet goes where the configuration says.
TEST(ControllerOverSimTest, PacketsFollowTheConfiguration) {
  uint64_t now = 1;
  SimOptions options;
  options.workers = 2;
  options.ports = {{"eth0", Mac{2, 0, 0, 0, 0, 1}, 1500, true, 11, "sim"}};
  options.clock = [&now] { return now; };
  absl::StatusOr<std::unique_ptr<SimEngine>> engine = SimEngine::Open(options);
  ASSERT_TRUE(engine.ok()) << engine.status();
  FakeNextHops next_hops;
  FakeProber prober;
  HealthChecker health(prober.Options());
  Controller controller({engine->get(), &next_hops, &health, {1, 2, 3}});
  ASSERT_TRUE(controller.Apply(WithoutB()).ok());
  EXPECT_EQ((*engine)->TakeAnnouncements().size(), 1u);
  NextHop hop;
  hop.ifindex = 11;
  hop.destination = {2, 0, 0, 0, 9, 1};
  hop.mtu = 1500;
  next_hops.Resolve(At("10.0.1.1"), hop);
  controller.Tick();
  (*engine)->Close();
  EXPECT_FALSE(controller.Apply(WithoutB()).ok());
  EXPECT_EQ(controller.generation(), 2u);
}

}  // namespace
}  // namespace sluice
