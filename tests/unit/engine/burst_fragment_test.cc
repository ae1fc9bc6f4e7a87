// Packets without ports of their own: fragments, and ICMP errors that quote a flow.
#include "tests/unit/engine/burst_testbed.h"

namespace sluice {
namespace {

using BurstFragmentTest = BurstTest;

TEST_F(BurstFragmentTest, LaterFragmentFollowsTheFirstInOneBurst) {
  const std::vector<Outcome> outcomes = Send({FirstFragment(9, 77), LaterFragment(9, 77)});
  EXPECT_EQ(outcomes[0].slot(), 1u);
  EXPECT_EQ(outcomes[1].verdict, "forwarded");
  EXPECT_EQ(outcomes[1].slot(), 1u);
  // The flow's entry, and the datagram's.
  EXPECT_EQ(Entries().size(), 2u);
  EXPECT_EQ(BackendTraffic(1).packets, 2u);
  EXPECT_EQ(BackendTraffic(1).new_flows, 1u);
}

TEST_F(BurstFragmentTest, LaterFragmentBeforeItsFirstIsUnknown) {
  const std::vector<Outcome> outcomes = Send({LaterFragment(9, 77), FirstFragment(9, 77), LaterFragment(9, 77)});
  EXPECT_EQ(outcomes[0].verdict, "unknown_fragment");
  EXPECT_EQ(outcomes[1].verdict, "forwarded");
  EXPECT_EQ(outcomes[2].verdict, "forwarded");
  EXPECT_EQ(SendOne(LaterFragment(9, 78)).verdict, "unknown_fragment");
}

TEST_F(BurstFragmentTest, LaterFragmentOnAnotherWorkerFollows) {
  SendOne(FirstFragment(9, 77), 0);
  tables_.Prefer(0, 2);
  EXPECT_EQ(SendOne(LaterFragment(9, 77), 1).slot(), 1u);
  EXPECT_TRUE(Entries(1).empty());
}

TEST_F(BurstFragmentTest, FirstFragmentFollowsItsFlowFromAnotherWorker) {
  Send({Udp(9), Udp(9)}, 0);
  tables_.Prefer(0, 2);
  const std::vector<Outcome> outcomes = Send({FirstFragment(9, 77), LaterFragment(9, 77)}, 1);
  EXPECT_EQ(outcomes[0].slot(), 1u);
  EXPECT_EQ(outcomes[1].slot(), 1u);
}

// Many clients behind one address come round the 16 bits of identification within the minute that fragments live.
TEST_F(BurstFragmentTest, IdentificationUsedAgainByAnotherFlowInOneBurst) {
  SendOne(FirstFragment(9, 77));
  tables_.Prefer(0, 2);
  const std::vector<Outcome> outcomes = Send({FirstFragment(10, 77), LaterFragment(10, 77)});
  EXPECT_EQ(outcomes[0].slot(), 2u);
  EXPECT_EQ(outcomes[1].slot(), 2u);
  EXPECT_EQ(Entries().size(), 3u);
}

TEST_F(BurstFragmentTest, FragmentsAreForgottenAfterAMinute) {
  SendOne(FirstFragment(9, 77));
  now_ += SLUICE_FRAGMENT_TICKS * kTickNs;
  EXPECT_EQ(SendOne(LaterFragment(9, 77)).verdict, "forwarded");
  now_ += (SLUICE_FRAGMENT_TICKS + 1) * kTickNs;
  EXPECT_EQ(SendOne(LaterFragment(9, 77)).verdict, "unknown_fragment");
}

TEST_F(BurstFragmentTest, FragmentsOfARemovedBackendAreUnknown) {
  SendOne(FirstFragment(9, 77));
  tables_.backends[1].flags = 0;
  EXPECT_EQ(SendOne(LaterFragment(9, 77)).verdict, "unknown_fragment");
}

TEST_F(BurstFragmentTest, Ipv6FragmentsFollow) {
  const std::string ip = "eth/ipv6(src=2001:db8:f::1, dst=2001:db8::10)/";
  const std::string udp = "/udp(sport=9, dport=53)/payload(200)";
  const std::vector<Outcome> outcomes =
      Send({ip + "frag6(more, id=5)/slice(0, 104)" + udp, ip + "frag6(at=104, id=5)/slice(104, 104)" + udp});
  EXPECT_EQ(outcomes[0].verdict, "forwarded");
  EXPECT_EQ(outcomes[1].verdict, "forwarded");
}

TEST_F(BurstFragmentTest, IcmpErrorGoesToTheFlowsBackend) {
  Send({Tcp(1000, "syn"), Tcp(1000, "ack")});
  tables_.Prefer(0, 2);
  EXPECT_EQ(SendOne(IcmpError(1000), 0).slot(), 1u);
  EXPECT_EQ(SendOne(IcmpError(1000), 1).slot(), 1u);
  EXPECT_TRUE(Entries(1).empty());
}

TEST_F(BurstFragmentTest, IcmpErrorGoesWhereItsFlowIsSelectedInTheSameBurst) {
  const std::vector<Outcome> outcomes = Send({Tcp(1000, "syn"), IcmpError(1000)});
  EXPECT_EQ(outcomes[1].slot(), 1u);
  EXPECT_EQ(sluice_entry_state(Entries()[0]), SLUICE_STATE_NEW);
}

TEST_F(BurstFragmentTest, IcmpErrorKeepsNoFlowAlive) {
  SendOne(Tcp(1000, "syn"));
  const uint64_t before = Entries()[0];
  now_ += 10 * kTickNs;
  SendOne(IcmpError(1000));
  EXPECT_EQ(Entries()[0], before);
}

TEST_F(BurstFragmentTest, IcmpErrorForAnUnknownFlowMakesNoEntry) {
  EXPECT_EQ(SendOne(IcmpError(1000)).verdict, "forwarded");
  EXPECT_TRUE(Entries().empty());
  EXPECT_EQ(BackendTraffic(1).new_flows, 0u);
}

class BurstMovedTest : public BurstTest {
 protected:
  BurstMovedTest() : BurstTest(3) {}
};

// The flow's port is used again after RSS has moved it: the first worker remembers the old connection.
TEST_F(BurstMovedTest, OfSeveralPartitionsTheOneThatSawTheFlowLastKnows) {
  Send({Tcp(1000, "syn"), Tcp(1000, "ack")}, 0);
  now_ += 2 * kTickNs;
  tables_.Prefer(0, 2);
  Send({Tcp(1000, "syn"), Tcp(1000, "ack")}, 1);
  EXPECT_EQ(SendOne(Tcp(1000, "ack"), 2).slot(), 2u);
  EXPECT_EQ(SendOne(IcmpError(1000), 2).slot(), 2u);
}

}  // namespace
}  // namespace sluice
