// What workers count of handshakes, for whoever observes backends: flows that the server has answered, and that failed.
#include <string>

#include "engine/sim/sim_engine.h"
#include "gtest/gtest.h"
#include "tests/packet/notation.h"
#include "tests/unit/tables/builder_input.h"

namespace sluice {
namespace {

class SessionOpeningTest : public testing::Test {
 protected:
  SessionOpeningTest() {
    SimOptions options;
    options.max_sessions = 64;
    options.clock = [this] { return uint64_t{tick_} << SLUICE_TICK_SHIFT; };
    options.ports.push_back(
        {.name = "sim", .mac = TestInput().ports[0].mac, .mtu = 1500, .link_up = true, .mode = "sim"});
    absl::StatusOr<std::unique_ptr<SimEngine>> engine = SimEngine::Open(options);
    if (!engine.ok()) std::abort();
    engine_ = *std::move(engine);
    TestInput input;
    input.Load(
        "engine: {interfaces: [{name: eth0}]}\n"
        "listeners: [{name: web, address: 203.0.113.10, ports: [80], protocol: tcp_udp, pool: nat}]\n"
        "pools: [{name: nat, forwarding: nat, backends: [{name: a, address: 10.0.1.11}]}]\n");
    input.ResolveAll();
    EXPECT_TRUE(engine_->Publish(input.Build(builder_)).ok());
  }

  sluice_verdict Receive(const std::string& text) {
    const std::string bytes = packet_test::Packet(text);
    const std::vector<SimPacket> packets{{{bytes.begin(), bytes.end()}, 0}};
    return engine_->Receive(packets)[0].verdict;
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

  uint32_t tick_ = 1000;
  std::unique_ptr<SimEngine> engine_;
  Builder builder_;
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
