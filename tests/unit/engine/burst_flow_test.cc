// Which backend a packet of a flow goes to, and what becomes of the flow's entry.
#include <map>

#include "sluice/reply.h"
#include "tests/unit/engine/burst_testbed.h"

namespace sluice {
namespace {

using BurstFlowTest = BurstTest;

TEST_F(BurstFlowTest, NewFlowIsSelectedAndRemembered) {
  const Outcome outcome = SendOne(Tcp(1000, "syn"));
  EXPECT_EQ(outcome.verdict, "forwarded");
  EXPECT_EQ(outcome.slot(), 1u);
  EXPECT_EQ(outcome.egress, 0);
  ASSERT_EQ(Entries().size(), 1u);
  EXPECT_EQ(sluice_entry_slot(Entries()[0]), 1u);
  EXPECT_EQ(sluice_entry_state(Entries()[0]), SLUICE_STATE_NEW);
  EXPECT_EQ(sluice_entry_seen(Entries()[0]), sluice_tick(now_));
  EXPECT_EQ(counters().inserted_over[SLUICE_VICTIM_EMPTY], 1u);
}

TEST_F(BurstFlowTest, SecondPacketInTheSameBurstFindsWhatTheFirstMade) {
  const std::vector<Outcome> outcomes = Send({Tcp(1000, "syn"), Tcp(1000, "ack"), Udp(7), Udp(7), Tcp(1000, "ack")});
  for (const Outcome& outcome : outcomes) EXPECT_EQ(outcome.slot(), 1u);
  EXPECT_EQ(Entries().size(), 2u);
  for (const uint64_t entry : Entries()) EXPECT_EQ(sluice_entry_state(entry), SLUICE_STATE_CONFIRMED);
  EXPECT_EQ(BackendTraffic(1).packets, 5u);
  EXPECT_EQ(BackendTraffic(1).new_flows, 2u);
}

TEST_F(BurstFlowTest, EstablishedFlowStaysWhenSelectionChanges) {
  SendOne(Tcp(1000, "syn"));
  tables_.Prefer(0, 2);
  const std::vector<Outcome> outcomes = Send({Tcp(1001, "syn"), Tcp(1000, "ack"), Tcp(1001, "ack")});
  EXPECT_EQ(outcomes[0].slot(), 2u);
  EXPECT_EQ(outcomes[1].slot(), 1u);
  EXPECT_EQ(outcomes[2].slot(), 2u);
}

TEST_F(BurstFlowTest, RepeatedSynStaysNewAndWithItsBackend) {
  SendOne(Tcp(1000, "syn"));
  tables_.Prefer(0, 2);
  EXPECT_EQ(SendOne(Tcp(1000, "syn")).slot(), 1u);
  EXPECT_EQ(sluice_entry_state(Entries()[0]), SLUICE_STATE_NEW);
}

TEST_F(BurstFlowTest, ClosingFlowFollowsUntilASynSelectsAnew) {
  Send({Tcp(1000, "syn"), Tcp(1000, "ack"), Tcp(1000, "fin, ack")});
  tables_.Prefer(0, 2);
  EXPECT_EQ(SendOne(Tcp(1000, "ack")).slot(), 1u);
  ASSERT_EQ(Entries().size(), 1u);
  EXPECT_EQ(sluice_entry_state(Entries()[0]), SLUICE_STATE_CLOSING);
  EXPECT_EQ(SendOne(Tcp(1000, "syn")).slot(), 2u);
  ASSERT_EQ(Entries().size(), 1u);
  EXPECT_EQ(sluice_entry_state(Entries()[0]), SLUICE_STATE_NEW);
  EXPECT_EQ(SendOne(Tcp(1000, "ack")).slot(), 2u);
}

TEST_F(BurstFlowTest, FlowOfARemovedBackendSelectsAnewInPlace) {
  Send({Tcp(1000, "syn"), Tcp(1000, "ack")});
  tables_.backends[1].flags = 0;
  tables_.Prefer(0, 2);
  EXPECT_EQ(SendOne(Tcp(1000, "ack")).slot(), 2u);
  ASSERT_EQ(Entries().size(), 1u);
  EXPECT_EQ(sluice_entry_slot(Entries()[0]), 2u);
  EXPECT_EQ(BackendTraffic(1).packets, 2u);
}

TEST_F(BurstFlowTest, FlowOfAnotherPoolSelectsAnew) {
  SendOne(Tcp(1000, "syn"));
  tables_.listeners[0].pool = 1;
  EXPECT_EQ(SendOne(Tcp(1000, "ack")).slot(), 5u);
  EXPECT_EQ(Entries().size(), 1u);
}

TEST_F(BurstFlowTest, FlowIsForgottenAfterItsIdleTimeAndNotBefore) {
  SendOne(Tcp(1000, "syn"));
  tables_.Prefer(0, 2);
  now_ += kIdle * kTickNs;
  EXPECT_EQ(SendOne(Tcp(1000, "ack")).slot(), 1u);
  now_ += (kIdle + 1) * kTickNs;
  EXPECT_EQ(SendOne(Tcp(1000, "ack")).slot(), 2u);
  EXPECT_EQ(Entries().size(), 1u);
  EXPECT_EQ(counters().inserted_over[SLUICE_VICTIM_EXPIRED], 1u);
}

TEST_F(BurstFlowTest, ClosingFlowIsForgottenSooner) {
  Send({Tcp(1000, "syn"), Tcp(1000, "fin, ack")});
  tables_.Prefer(0, 2);
  now_ += SLUICE_CLOSING_TICKS * kTickNs;
  EXPECT_EQ(SendOne(Tcp(1000, "ack")).slot(), 1u);
  now_ += (SLUICE_CLOSING_TICKS + 1) * kTickNs;
  EXPECT_EQ(SendOne(Tcp(1000, "ack")).slot(), 2u);
}

TEST_F(BurstFlowTest, TicksGoRound) {
  now_ = 4094 * kTickNs;
  SendOne(Tcp(1000, "syn"));
  tables_.Prefer(0, 2);
  now_ += kIdle * kTickNs;
  EXPECT_EQ(SendOne(Tcp(1000, "ack")).slot(), 1u);
}

TEST_F(BurstFlowTest, APacketThatOnlyEndsAFlowMakesNoEntry) {
  EXPECT_EQ(SendOne(Tcp(1000, "rst")).verdict, "forwarded");
  EXPECT_TRUE(Entries().empty());
  EXPECT_EQ(BackendTraffic(1).packets, 1u);
  EXPECT_EQ(BackendTraffic(1).new_flows, 0u);
}

TEST_F(BurstFlowTest, AnotherWorkerFollowsAndRemembers) {
  Send({Tcp(1000, "syn"), Tcp(1000, "ack")}, 0);
  tables_.Prefer(0, 2);
  EXPECT_EQ(SendOne(Tcp(1000, "ack"), 1).slot(), 1u);
  ASSERT_EQ(Entries(1).size(), 1u);
  EXPECT_EQ(sluice_entry_state(Entries(1)[0]), SLUICE_STATE_CONFIRMED);
  EXPECT_EQ(BackendTraffic(1, 1).new_flows, 0u);
}

TEST_F(BurstFlowTest, ASynIsNotLookedUpElsewhere) {
  SendOne(Tcp(1000, "syn"), 0);
  tables_.Prefer(0, 2);
  EXPECT_EQ(SendOne(Tcp(1000, "syn"), 1).slot(), 2u);
  EXPECT_EQ(BackendTraffic(2, 1).new_flows, 1u);
}

TEST_F(BurstFlowTest, PoolWithoutBackends) {
  SendOne(Tcp(1000, "syn"));
  tables_.Prefer(0, SLUICE_NO_BACKEND);
  EXPECT_EQ(SendOne(Tcp(1001, "syn")).verdict, "no_backend");
  EXPECT_EQ(SendOne(Tcp(1000, "ack")).verdict, "forwarded");
  EXPECT_EQ(Entries().size(), 1u);
}

TEST_F(BurstFlowTest, FlowWaitsForTheNextHopOfItsBackend) {
  SendOne(Tcp(1000, "syn"));
  tables_.backends[1].flags = SLUICE_BACKEND_LIVE;
  tables_.Prefer(0, 2);
  EXPECT_EQ(SendOne(Tcp(1000, "ack")).verdict, "no_next_hop");
  tables_.backends[1].flags |= SLUICE_BACKEND_NEXT_HOP;
  EXPECT_EQ(SendOne(Tcp(1000, "ack")).slot(), 1u);
}

TEST_F(BurstFlowTest, BadSourcesGetNoFlow) {
  for (const char* source : {"0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "203.0.113.10"}) {
    EXPECT_EQ(SendOne(std::string("eth/ipv4(src=") + source + ", dst=203.0.113.10)/tcp(syn)").verdict, "bad_source");
  }
  EXPECT_EQ(SendOne("eth/ipv6(src=ff02::1, dst=2001:db8::10)/tcp(syn)").verdict, "bad_source");
  EXPECT_TRUE(Entries().empty());
}

class BurstAccessTest : public BurstTest {
 protected:
  // Listener 0 is tcp 80, 1 udp 53.
  void Deny(uint16_t flags = 0) {
    for (const uint32_t listener : {0u, 1u}) tables_.Deny(listener, "10.0.0.0", "10.0.0.9", flags);
  }
};

TEST_F(BurstAccessTest, OnlyNewFlowsAreRefused) {
  SendOne(Tcp(1000, "syn"));
  Deny();
  EXPECT_EQ(SendOne(Tcp(1000, "ack")).slot(), 1u);
  EXPECT_EQ(SendOne(Tcp(1001, "syn")).verdict, "source_denied");
  EXPECT_EQ(SendOne(Tcp(1002, "ack")).verdict, "source_denied");
  EXPECT_EQ(SendOne(Udp(1000)).verdict, "source_denied");
  EXPECT_EQ(SendOne(IcmpError(1003)).verdict, "source_denied");
  EXPECT_EQ(SendOne(IcmpError(1000)).verdict, "forwarded");
  EXPECT_EQ(SendOne("eth/ipv4(src=10.0.0.10, dst=203.0.113.10)/tcp(syn)").verdict, "forwarded");
  EXPECT_EQ(Entries().size(), 2u);
  EXPECT_EQ(counters().verdicts[SLUICE_VERDICT_source_denied], 4u);
}

TEST_F(BurstAccessTest, AFlowThatChangesItsQueueIsNotNew) {
  SendOne(Tcp(1000, "syn"), 0);
  Deny();
  EXPECT_EQ(SendOne(Tcp(1000, "ack"), 1).slot(), 1u);
  EXPECT_EQ(SendOne(Tcp(1001, "ack"), 1).verdict, "source_denied");
}

TEST_F(BurstAccessTest, LaterFragmentsHaveNoFirst) {
  Deny();
  const std::vector<Outcome> outcomes = Send({FirstFragment(1000, 7), LaterFragment(1000, 7)});
  EXPECT_EQ(outcomes[0].verdict, "source_denied");
  EXPECT_EQ(outcomes[1].verdict, "unknown_fragment");
}

TEST_F(BurstAccessTest, ClientsAreTold) {
  Deny(SLUICE_ACCESS_TELLS);
  const Outcome reset = SendOne(Tcp(1000, "syn"));
  EXPECT_EQ(reset.verdict, "replied_source_denied");
  EXPECT_EQ(reset.egress, 1u);
  EXPECT_EQ(reset.bytes, packet_test::Packet("eth(dst=02:00:00:00:00:aa, src=02:00:00:00:00:02)/"
                                             "ipv4(src=203.0.113.10, dst=10.0.0.1, df)/"
                                             "tcp(sport=80, dport=1000, acknr=1, window=0, rst, ack)"));
  EXPECT_EQ(SendOne(Tcp(1000, "rst")).verdict, "source_denied");
  EXPECT_EQ(SendOne(Tcp(1000, "fin, ack")).verdict, "source_denied");
  EXPECT_EQ(SendOne(IcmpError(1000)).verdict, "source_denied");
  EXPECT_TRUE(Entries().empty());
}

TEST_F(BurstAccessTest, IcmpErrorsAreFew) {
  Deny(SLUICE_ACCESS_TELLS);
  int told = 0;
  for (int i = 0; i < 80; i++) told += SendOne(Udp(1000)).verdict == "replied_source_denied" ? 1 : 0;
  EXPECT_EQ(told, static_cast<int>(SLUICE_ERROR_BURST));
  EXPECT_EQ(counters().verdicts[SLUICE_VERDICT_source_denied], 80 - SLUICE_ERROR_BURST);
  EXPECT_EQ(SendOne(Tcp(1000, "syn")).verdict, "replied_source_denied");
  now_ += SLUICE_ERROR_INTERVAL;
  EXPECT_EQ(SendOne(Udp(1000)).verdict, "replied_source_denied");
}

TEST_F(BurstAccessTest, ASourceHasItsRateOverAllWorkers) {
  tables_.Limit(0, 5);
  int begun = 0;
  for (uint32_t port = 1000; port < 1020; port++) begun += SendOne(Tcp(port, "syn"), port % 2).verdict == "forwarded";
  EXPECT_EQ(begun, 5);
  EXPECT_EQ(SendOne(Tcp(1000, "ack"), 0).verdict, "forwarded");
  EXPECT_EQ(SendOne(Tcp(1000, "syn"), 0).verdict, "forwarded") << "a SYN of a flow that is there is no new one";
  EXPECT_EQ(SendOne(Tcp(1019, "syn"), 1).verdict, "source_over_rate");
  EXPECT_EQ(SendOne("eth/ipv4(src=10.0.0.2, dst=203.0.113.10)/tcp(syn)").verdict, "forwarded");
  now_ += uint64_t{2} << SLUICE_WINDOW_SHIFT;
  EXPECT_EQ(SendOne(Tcp(1019, "syn"), 1).verdict, "forwarded");
}

TEST_F(BurstAccessTest, ALimitOfActiveFlowsHoldsWithinABurst) {
  tables_.LimitActive(0);
  paths_[0].loaded().listener_loads[0].told = sluice_listener_told(2, 5);
  std::vector<std::string> syns;
  for (uint32_t port = 1000; port < 1009; port++) syns.push_back(Tcp(port, "syn"));
  // Of another listener, in between.
  syns.insert(syns.begin() + 2, Udp(1000));
  syns.push_back(Tcp(1000, "syn"));
  int begun = 0;
  for (const Outcome& outcome : Send(syns)) begun += outcome.verdict == "forwarded";
  EXPECT_EQ(begun, 3 + 2);
  EXPECT_EQ(counters().verdicts[SLUICE_VERDICT_listener_full], 6u);
  EXPECT_EQ(ListenerTraffic(0).new_flows, 3u);
  EXPECT_EQ(ListenerTraffic(1).new_flows, 1u);
  EXPECT_EQ(SendOne(Tcp(2000, "ack")).verdict, "forwarded") << "in the midst of what has begun elsewhere";
  EXPECT_EQ(ListenerTraffic(0).new_flows, 4u);
  Send({Tcp(1000, "fin, ack"), Tcp(1001, "rst"), Tcp(1000, "fin, ack")});
  EXPECT_EQ(ListenerTraffic(0).ended, 2u);
  const std::vector<Outcome> outcomes = Send({Tcp(1007, "syn"), Tcp(1008, "syn")});
  EXPECT_EQ(outcomes[0].verdict, "forwarded");
  EXPECT_EQ(outcomes[1].verdict, "listener_full");
}

// The last of eight flows in a table of one bucket's room has nowhere to go but over another.
class BurstFullTest : public BurstTest {
 protected:
  BurstFullTest() : BurstTest(1, 1) {}
  bool Remembers(uint32_t port) {
    const std::string frame = packet_test::Packet(Tcp(port, "ack"));
    sluice_packet packet{};
    const auto* data = reinterpret_cast<const uint8_t*>(frame.data());
    sluice_parse(data, data + frame.size(), &packet);
    return sluice_bucket_find(memory_[0].data(), sluice_packet_hash(&tables_.settings, &packet)) != nullptr;
  }
};

TEST_F(BurstFullTest, NewFlowsGiveWayBeforeConfirmedOnes) {
  for (uint32_t port = 1; port <= 7; port++) Send({Tcp(port, "syn"), Tcp(port, "ack")});
  for (uint32_t port = 100; port < 200; port++) SendOne(Tcp(port, "syn"));
  for (uint32_t port = 1; port <= 7; port++) EXPECT_TRUE(Remembers(port)) << port;
  EXPECT_EQ(counters().inserted_over[SLUICE_VICTIM_NEW], 99u);
  EXPECT_EQ(counters().inserted_over[SLUICE_VICTIM_CONFIRMED], 0u);
}

// SYNs and what follows them are forwarded, in a pool that goes by turns too, and none is counted as a flow.
TEST_F(BurstFullTest, AFloodTakesNoEntryOfAnEstablishedFlow) {
  tables_.TakeTurns(0, 1, 2);
  for (uint32_t port = 1; port <= 8; port++) Send({Tcp(port, "syn"), Tcp(port, "ack")});
  const uint64_t opened = ListenerTraffic(0).new_flows;
  std::map<uint32_t, uint32_t> flows_of;
  for (uint32_t port = 100; port < 200; port++) {
    const uint32_t slot = SendOne(Tcp(port, "syn")).slot();
    for (const Outcome& next : Send({Tcp(port, "ack"), Tcp(port, "ack"), IcmpError(port), Tcp(port, "fin, ack")})) {
      EXPECT_EQ(next.verdict, "forwarded");
      EXPECT_EQ(next.slot(), slot) << port;
    }
    flows_of[slot]++;
  }
  for (const uint32_t slot : {1, 2}) EXPECT_GT(flows_of[slot], 20u);
  for (uint32_t port = 1; port <= 8; port++) EXPECT_TRUE(Remembers(port)) << port;
  EXPECT_EQ(counters().inserted_over[SLUICE_VICTIM_NONE], 300u);
  EXPECT_EQ(counters().inserted_over[SLUICE_VICTIM_CONFIRMED], 0u);
  EXPECT_EQ(ListenerTraffic(0).new_flows, opened);
  EXPECT_EQ(ListenerTraffic(0).ended, 0u);
  now_ += 16 * kTickNs;
  SendOne(Tcp(200, "syn"));
  EXPECT_TRUE(Remembers(200)) << "those that were silent for half a minute give way";
  EXPECT_EQ(counters().inserted_over[SLUICE_VICTIM_CONFIRMED], 1u);
}

// Where they are counted, what can't be is refused.
TEST_F(BurstFullTest, AFloodDoesNotPassALimit) {
  for (uint32_t port = 1; port <= 8; port++) Send({Tcp(port, "syn"), Tcp(port, "ack")});
  tables_.LimitActive(0);
  paths_[0].loaded().listener_loads[0].told = sluice_listener_told(0, 1000);
  EXPECT_EQ(SendOne(Tcp(100, "syn")).verdict, "listener_full");
  EXPECT_EQ(SendOne(Tcp(100, "ack")).verdict, "forwarded");
  EXPECT_EQ(counters().verdicts[SLUICE_VERDICT_listener_full], 1u);
}

// The later pieces of a datagram whose first has found no place are nobody's.
TEST_F(BurstFullTest, AFloodOfFragmentsTakesNoEntryOfAnEstablishedFlow) {
  for (uint32_t port = 1; port <= 8; port++) Send({Tcp(port, "syn"), Tcp(port, "ack")});
  EXPECT_EQ(SendOne(FirstFragment(9, 77)).verdict, "forwarded");
  EXPECT_EQ(SendOne(LaterFragment(9, 77)).verdict, "unknown_fragment");
  for (uint32_t port = 1; port <= 8; port++) EXPECT_TRUE(Remembers(port)) << port;
}

TEST_F(BurstFullTest, ClosingFlowsGiveWayBeforeNewOnes) {
  for (uint32_t port = 1; port <= 7; port++) SendOne(Tcp(port, "syn"));
  Send({Tcp(8, "syn"), Tcp(8, "rst")});
  SendOne(Tcp(9, "syn"));
  for (const uint32_t port : {1, 2, 3, 4, 5, 6, 7, 9}) EXPECT_TRUE(Remembers(port)) << port;
  EXPECT_FALSE(Remembers(8));
  EXPECT_EQ(counters().inserted_over[SLUICE_VICTIM_CLOSING], 1u);
}

// Both flows' entries have expired. The first packet, of a flow that is in no table, takes the place of the second's
// entry; the second must not take it back, but another.
TEST_F(BurstFullTest, AnExpiredEntryThatAnotherPacketOfTheBurstTookIsNotTakenBack) {
  for (uint32_t port = 1; port <= 8; port++) Send({Tcp(port, "syn"), Tcp(port, "ack")});
  now_ += (kIdle + 1) * kTickNs;
  std::vector<std::string> burst;
  for (uint32_t port = 101; port <= 104; port++) burst.push_back(Tcp(port, "syn"));
  for (uint32_t port = 1; port <= 4; port++) burst.push_back(Tcp(port, "ack"));
  for (uint32_t port = 8; port > 4; port--) burst.push_back(Tcp(port, "ack"));
  burst.resize(8);
  Send(burst);
  for (const uint32_t port : {101, 102, 103, 104, 1, 2, 3, 4}) EXPECT_TRUE(Remembers(port)) << port;
}

}  // namespace
}  // namespace sluice
