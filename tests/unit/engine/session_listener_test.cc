// Established flows are not looked for in the listener index: that they end with their listener all the same, with the
// port that it gives up, and with its pool.
#include <string>

#include "tests/unit/engine/sim_testbed.h"

namespace sluice {
namespace {

constexpr char kClient[] = "eth/ipv4(src=192.0.2.7, dst=203.0.113.10)/tcp(sport=4000, dport=";
constexpr char kServer[] = "eth/ipv4(src=10.0.1.11, dst=192.0.2.7)/tcp(dport=4000, sport=";

class SessionListenerTest : public SimTest {
 protected:
  // The listener that all is about, if any, beside another one.
  void PublishWith(const std::string& listener) {
    Publish(
        "engine: {interfaces: [{name: eth0}]}\n"
        "listeners:\n"
        "- {name: other, address: 203.0.113.20, ports: [80], protocol: tcp, pool: nat}\n" +
        listener +
        "pools:\n"
        "- {name: nat, forwarding: nat, backends: [{name: a, address: 10.0.1.11}]}\n"
        "- {name: nat2, forwarding: nat, backends: [{name: b, address: 10.0.1.12}]}\n"
        "- {name: direct, backends: [{name: a, address: 10.0.1.11}]}\n");
  }
  static std::string Listener(const std::string& ports, const std::string& pool) {
    return "- {name: web, address: 203.0.113.10, ports: " + ports + ", protocol: tcp, pool: " + pool + "}\n";
  }

  sluice_verdict FromClient(uint32_t port, const std::string& flags) {
    return Receive(kClient + std::to_string(port) + ", " + flags + ")");
  }
  // An established flow to the port.
  void Open(uint32_t port) {
    ASSERT_EQ(FromClient(port, "syn, seq=1000"), SLUICE_VERDICT_forwarded);
    ASSERT_EQ(Receive(kServer + std::to_string(port) + ", syn, ack, acknr=1001, seq=5000)"), SLUICE_VERDICT_returned);
    for (int i = 0; i < 2; i++) ASSERT_EQ(FromClient(port, "ack, acknr=5001, seq=1001"), SLUICE_VERDICT_forwarded);
  }
};

TEST_F(SessionListenerTest, OfAListenerThatIsGone) {
  PublishWith(Listener("[80]", "nat"));
  Open(80);
  PublishWith("");
  EXPECT_EQ(FromClient(80, "ack, acknr=5001, seq=1001"), SLUICE_VERDICT_pass_not_virtual);
  // It is another one that comes again, and does not know the flow.
  PublishWith(Listener("[80]", "nat2"));
  EXPECT_EQ(FromClient(80, "ack, acknr=5001, seq=1001"), SLUICE_VERDICT_no_session);
}

TEST_F(SessionListenerTest, OfAPortThatIsGivenUp) {
  PublishWith(Listener("[80, 81]", "nat"));
  Open(80);
  Open(81);
  PublishWith(Listener("[80]", "nat"));
  tick_++;
  EXPECT_EQ(FromClient(80, "ack, acknr=5001, seq=1001"), SLUICE_VERDICT_forwarded);
  EXPECT_EQ(FromClient(81, "ack, acknr=5001, seq=1001"), SLUICE_VERDICT_no_listener);
}

TEST_F(SessionListenerTest, OfAListenerWithAnotherPool) {
  PublishWith(Listener("[80]", "nat"));
  Open(80);
  PublishWith(Listener("[80]", "nat2"));
  EXPECT_EQ(FromClient(80, "ack, acknr=5001, seq=1001"), SLUICE_VERDICT_no_session);
}

TEST_F(SessionListenerTest, OfAListenerThatTranslatesNoMore) {
  PublishWith(Listener("[80]", "nat"));
  Open(80);
  PublishWith(Listener("[80]", "direct"));
  const EngineCounters before = engine_->ReadCounters();
  EXPECT_EQ(FromClient(80, "ack, acknr=5001, seq=1001"), SLUICE_VERDICT_forwarded);
  const EngineCounters after = engine_->ReadCounters();
  EXPECT_EQ(after.received - before.received, 1u);
  EXPECT_EQ(after.verdicts[SLUICE_VERDICT_forwarded] - before.verdicts[SLUICE_VERDICT_forwarded], 1u);
  // Directly: to the virtual address.
  const std::string bytes = packet_test::Packet(std::string(kClient) + "80, ack, acknr=5001, seq=1001)");
  const std::vector<SimPacket> packets{{{bytes.begin(), bytes.end()}, 0}};
  const SimResult result = engine_->Receive(packets)[0];
  ASSERT_GE(result.out.bytes.size(), 34u);
  EXPECT_EQ(std::string(result.out.bytes.begin() + 30, result.out.bytes.begin() + 34), bytes.substr(30, 4));
}

}  // namespace
}  // namespace sluice
