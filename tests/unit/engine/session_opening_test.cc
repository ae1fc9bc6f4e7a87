// What workers count of handshakes, for whoever observes backends: flows that the server has answered, and that failed.
#include <string>

#include "tests/unit/engine/sim_testbed.h"

namespace sluice {
namespace {

class SessionOpeningTest : public SimTest {
 protected:
  SessionOpeningTest() {
    Publish(
        "engine: {interfaces: [{name: eth0}]}\n"
        "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp_udp, pool: nat}]\n"
        "pools: [{name: nat, forwarding: nat, backends: [{name: a, address: 10.0.1.11}]}]\n");
  }

  void FromClient(const std::string& transport) {
    EXPECT_EQ(Receive("eth/ipv4(src=192.0.2.7, dst=203.0.113.10)/" + transport), SLUICE_VERDICT_forwarded);
  }
  void FromServer(const std::string& transport) {
    EXPECT_EQ(Receive("eth/ipv4(src=10.0.1.11, dst=192.0.2.7)/" + transport), SLUICE_VERDICT_returned);
  }
  void Syn() { FromClient("tcp(sport=4000, dport=80, syn, seq=1000)"); }
  void SynAck() { FromServer("tcp(sport=80, dport=4000, syn, ack, acknr=1001, seq=5000)"); }
  void Reset() { FromServer("tcp(sport=80, dport=4000, rst, ack, acknr=1001)"); }

  void ExpectCounted(uint64_t answered, uint64_t failed) {
    uint64_t sums[2] = {0, 0};
    const EngineCounters counters = engine_->ReadCounters();
    for (const sluice_traffic& answers : counters.backend_answers) {
      sums[0] += answers.answered;
      sums[1] += answers.failed;
    }
    EXPECT_EQ(sums[0], answered);
    EXPECT_EQ(sums[1], failed);
  }
};

TEST_F(SessionOpeningTest, AFlowThatIsAnswered) {
  Syn();
  ExpectCounted(0, 0);
  SynAck();
  SynAck();
  FromClient("tcp(sport=4000, dport=80, ack, acknr=5001, seq=1001)");
  FromServer("tcp(sport=80, dport=4000, ack, acknr=1001, seq=5001)");
  FromServer("tcp(sport=80, dport=4000, rst, seq=5001)");
  ExpectCounted(1, 0);
}

TEST_F(SessionOpeningTest, EachFlowThatIsRefused) {
  for (uint64_t flows = 1; flows <= 3; flows++) {
    Syn();
    Reset();
    ExpectCounted(0, flows);
  }
}

TEST_F(SessionOpeningTest, AFlowWithoutAnAnswer) {
  Syn();
  Syn();
  ExpectCounted(0, 0);
  for (const uint32_t pause : {1, 1, 2}) {
    tick_ += pause;
    Syn();
    ExpectCounted(0, 1);
  }
  SynAck();
  ExpectCounted(0, 1);
}

TEST_F(SessionOpeningTest, DatagramsAreNeither) {
  for (int i = 0; i < 2; i++, tick_++) {
    FromClient("udp(sport=4000, dport=80)/payload(9)");
    FromServer("udp(sport=80, dport=4000)/payload(9)");
  }
  ExpectCounted(0, 0);
}

}  // namespace
}  // namespace sluice
