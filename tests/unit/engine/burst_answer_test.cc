// What does not reach a backend as it came: packets that are answered, dropped or passed, and the books.
#include "sluice/reply.h"
#include "tests/packet/bytes.h"
#include "tests/unit/engine/burst_testbed.h"

namespace sluice {
namespace {

using packet_test::WordAt;

class BurstAnswerTest : public BurstTest {
 protected:
  BurstAnswerTest() { tables_.MakeIpip(1, "198.51.100.2", "10.0.1.11"); }

  static std::string Sized(uint32_t payload) {
    return "eth/ipv4(src=10.0.0.1, dst=203.0.113.10, df)/tcp(sport=9, dport=80, ack)/payload(" +
           std::to_string(payload) + ")";
  }
};

TEST_F(BurstAnswerTest, TunnelNeedsRoomInFront) {
  headroom_ = 19;
  const Outcome outcome = SendOne(Tcp(1, "syn"));
  EXPECT_EQ(outcome.verdict, "no_headroom");
  EXPECT_EQ(outcome.bytes, packet_test::Packet(Tcp(1, "syn")));
  headroom_ = 20;
  EXPECT_EQ(SendOne(Tcp(1, "ack")).verdict, "forwarded");
  EXPECT_EQ(BackendTraffic(1).packets, 1u);
}

TEST_F(BurstAnswerTest, AdvertisementNeedsRoomBehind) {
  const std::string ask = "eth/ipv6(src=fe80::1, dst=ff02::1:ff00:10, hop=255)/ns(target=2001:db8::10)";
  tailroom_ = 7;
  EXPECT_EQ(SendOne(ask).verdict, "no_headroom");
  tailroom_ = 8;
  EXPECT_EQ(SendOne(ask).verdict, "replied_neighbor");
}

TEST_F(BurstAnswerTest, TunnelTakesAHopAndDsrDoesNot) {
  const std::string packet = "eth/ipv4(src=10.0.0.1, dst=203.0.113.10, ttl=1)/tcp(sport=1, syn)";
  EXPECT_EQ(SendOne(packet).verdict, "ttl_expired");
  EXPECT_EQ(BackendTraffic(1).packets, 0u);
  tables_.AddBackend(1, 0, kIdle);
  EXPECT_EQ(SendOne(packet).verdict, "forwarded");
}

TEST_F(BurstAnswerTest, TooBigIsSaidToTheClient) {
  EXPECT_EQ(SendOne(Sized(1440)).verdict, "forwarded");
  const Outcome outcome = SendOne(Sized(1441));
  EXPECT_EQ(outcome.verdict, "replied_too_big");
  // Back by the port that it came in by, in 576 bytes; type 3, code 4, with the MTU that would have passed.
  EXPECT_EQ(outcome.egress, 1);
  ASSERT_EQ(outcome.bytes.size(), 14u + 576u);
  EXPECT_EQ(WordAt(outcome.bytes, 14 + 20), 0x0304u);
  EXPECT_EQ(WordAt(outcome.bytes, 14 + 26), 1480u);
  EXPECT_EQ(outcome.bytes.substr(0, 6), packet_test::Packet(Sized(0)).substr(6, 6));
  EXPECT_EQ(BackendTraffic(1).packets, 1u);
}

TEST_F(BurstAnswerTest, TooBigIsSaidSoManyTimesAtOnceAndThenAThousandASecond) {
  uint32_t said = 0;
  for (int i = 0; i < 80; i++) said += SendOne(Sized(1441)).verdict == "replied_too_big" ? 1 : 0;
  EXPECT_EQ(said, SLUICE_ERROR_BURST);
  EXPECT_EQ(SendOne(Sized(1441)).verdict, "too_big");
  now_ += SLUICE_ERROR_INTERVAL;
  EXPECT_EQ(SendOne(Sized(1441)).verdict, "replied_too_big");
  EXPECT_EQ(SendOne(Sized(1441)).verdict, "too_big");
  // Every worker has its own measure.
  EXPECT_EQ(Send({Sized(1441)}, 1)[0].verdict, "replied_too_big");
}

TEST_F(BurstAnswerTest, AnErrorIsNotAnsweredWithAnError) {
  tables_.backends[1].mtu = 70;
  EXPECT_EQ(SendOne(IcmpError(1000)).verdict, "too_big");
}

TEST_F(BurstAnswerTest, EchoIsAnsweredWhereItCameFrom) {
  const Outcome outcome =
      SendOne("eth/ipv4(src=10.0.0.1, dst=203.0.113.10, ttl=3)/icmp(type=8, id=1, seq=2)/payload(9)");
  EXPECT_EQ(outcome.verdict, "replied_echo");
  EXPECT_EQ(outcome.egress, 1);
  EXPECT_EQ(outcome.bytes, packet_test::Packet("eth(dst=02:00:00:00:00:aa, src=02:00:00:00:00:02)/"
                                               "ipv4(src=203.0.113.10, dst=10.0.0.1)/icmp(id=1, seq=2)/payload(9)"));
}

TEST_F(BurstAnswerTest, ArpIsAnswered) {
  const Outcome outcome = SendOne("eth(dst=ff:ff:ff:ff:ff:ff)/arp(sip=203.0.113.1, tip=203.0.113.10)");
  EXPECT_EQ(outcome.verdict, "replied_arp");
  EXPECT_EQ(outcome.bytes,
            packet_test::Packet("eth(dst=02:00:00:00:00:aa, src=02:00:00:00:00:02)/arp(op=2, smac=02:00:00:00:00:02, "
                                "sip=203.0.113.10, tmac=02:00:00:00:00:aa, tip=203.0.113.1)"));
}

TEST_F(BurstAnswerTest, VirtualAddressesDifferInWhatTheyAnswer) {
  tables_.AddVirtual("203.0.113.20", 0);
  EXPECT_EQ(SendOne("eth/ipv4(src=10.0.0.1, dst=203.0.113.20)/icmp(type=8)").verdict, "echo_off");
  EXPECT_EQ(SendOne("eth/arp(sip=203.0.113.1, tip=203.0.113.20)").verdict, "pass_not_virtual");
  EXPECT_EQ(SendOne("eth/arp(sip=203.0.113.1, tip=203.0.113.99)").verdict, "pass_not_virtual");
  EXPECT_EQ(SendOne("eth/arp(sip=203.0.113.10, tip=203.0.113.10)").verdict, "address_conflict");
}

TEST_F(BurstAnswerTest, PacketsForNobodyHereStayAsTheyAre) {
  const std::string packet = "eth/vlan(3)/ipv4(src=10.0.0.1, dst=203.0.113.99)/tcp(syn)";
  const Outcome outcome = SendOne(packet);
  EXPECT_EQ(outcome.verdict, "pass_not_virtual");
  EXPECT_EQ(outcome.bytes, packet_test::Packet(packet));
  EXPECT_EQ(SendOne("eth/ipv4(src=10.0.0.1, dst=203.0.113.10)/tcp(dport=81, syn)").verdict, "no_listener");
}

TEST_F(BurstAnswerTest, EveryPacketIsInTheBooks) {
  const std::vector<std::string> burst = {Tcp(1, "syn"),
                                          Tcp(1, "ack"),
                                          Sized(1441),
                                          IcmpError(1),
                                          FirstFragment(9, 77),
                                          LaterFragment(9, 77),
                                          LaterFragment(9, 78),
                                          "eth/ipv4(src=10.0.0.1, dst=203.0.113.10)/icmp(type=8)",
                                          "eth/payload(3)/cut(9)"};
  uint64_t bytes = 0;
  for (const std::string& text : burst) bytes += packet_test::Packet(text).size();
  Send(burst);
  EXPECT_EQ(counters().received, burst.size());
  EXPECT_EQ(counters().bytes, bytes);
  uint64_t verdicts = 0;
  for (const uint64_t count : counters().verdicts) verdicts += count;
  EXPECT_EQ(verdicts, burst.size());
  EXPECT_EQ(counters().verdicts[SLUICE_VERDICT_forwarded], 5u);
  EXPECT_EQ(BackendTraffic(1).packets, 5u);
  // As the client sent them: without the tunnel.
  EXPECT_EQ(BackendTraffic(1).bytes, 40u + 40u + 56u + 124u + 124u);
  EXPECT_EQ(ListenerTraffic(0).packets, 4u);
  // The flow whose first packet was too big is none yet.
  EXPECT_EQ(ListenerTraffic(0).new_flows, 1u);
  // Later fragments have no listener.
  EXPECT_EQ(ListenerTraffic(1).packets, 1u);
}

TEST_F(BurstAnswerTest, AFullBurst) {
  std::vector<std::string> burst;
  for (uint32_t port = 1; port <= SLUICE_BURST; port++) burst.push_back(Tcp(port, "syn"));
  for (const Outcome& outcome : Send(burst)) EXPECT_EQ(outcome.verdict, "forwarded");
  EXPECT_EQ(Entries().size(), size_t{SLUICE_BURST});
  EXPECT_TRUE(Send({}).empty());
}

}  // namespace
}  // namespace sluice
