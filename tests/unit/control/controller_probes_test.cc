// Packets of checks that take the way of clients' packets, from wherever they come to the engine.
#include <gmock/gmock.h>

#include <deque>

#include "controller_testbed.h"
#include "tests/packet/notation.h"

namespace sluice {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr char kPacket[] = "ipv4(src=203.0.113.2, dst=203.0.113.10, ttl=3)/tcp(sport=40000, dport=80, syn)";

class FakeProbes : public ProbePackets {
 public:
  absl::Status Want(const ProbeFamilies& families) override {
    if (!answer.ok() && families.any()) return answer;
    wanted = families;
    return absl::OkStatus();
  }
  std::optional<ProbePacket> Take() override {
    if (packets.empty()) return std::nullopt;
    ProbePacket first = std::move(packets.front());
    packets.pop_front();
    return first;
  }
  void Add(const std::string& pool, const std::string& backend) {
    const std::string frame = packet_test::Packet(std::string("eth()/") + kPacket);
    const auto* bytes = reinterpret_cast<const uint8_t*>(frame.data());
    packets.push_back({pool, At(backend), *ReadOwnPacket(absl::MakeConstSpan(bytes, frame.size()).subspan(14))});
  }

  absl::Status answer;
  ProbeFamilies wanted;
  std::deque<ProbePacket> packets;
};

class ControllerProbesTest : public testing::Test {
 protected:
  ControllerProbesTest() {
    engine_.swept.flows_of_slot.resize(SLUICE_BACKENDS);
    next_hops_.Resolve(At("10.0.1.1"), Hop(1, 11));
    next_hops_.Resolve(At("10.0.1.2"), Hop(2, 12));
  }
  static NextHop Hop(uint8_t mac, int ifindex) {
    NextHop hop;
    hop.ifindex = ifindex;
    hop.source = {2, 0, 0, 0, 0, 1};
    hop.destination = {2, 0, 0, 0, 9, mac};
    hop.mtu = 1500;
    return hop;
  }
  static v1::Config Config(const std::string& keys, const std::string& of_b = "") {
    return Load(std::string(kEngine) + kListener + "pools: [{name: web, " + keys +
                ", backends: [{name: a, address: 10.0.1.1}, {name: b, address: 10.0.1.2" + of_b + "}]}]\n");
  }
  // What is sent on of one packet for each backend; they are "<port> <frame>".
  std::vector<std::string> Sent() {
    engine_.sent.clear();
    probes_.Add("web", "10.0.1.1");
    probes_.Add("web", "10.0.1.2");
    controller_.ForwardProbes();
    EXPECT_THAT(probes_.packets, IsEmpty());
    std::vector<std::string> sent;
    for (const auto& [frame, port] : engine_.sent) {
      sent.push_back(std::to_string(port) + " " + std::string(frame.begin(), frame.end()));
    }
    return sent;
  }
  static std::string Direct(int port, int mac) {
    return std::to_string(port) + " " +
           packet_test::Packet("eth(dst=02:00:00:00:09:0" + std::to_string(mac) + ", src=02:00:00:00:00:01)/" +
                               kPacket);
  }
  void Apply(const v1::Config& config) {
    const absl::StatusOr<uint32_t> generation = controller_.Apply(config);
    ASSERT_TRUE(generation.ok()) << generation.status();
    controller_.Tick();
  }

  FakeEngine engine_;
  FakeNextHops next_hops_;
  FakeProber prober_;
  HealthChecker health_{prober_.Options()};
  FakeProbes probes_;
  Controller controller_{{&engine_, &next_hops_, &health_, {1, 2, 3}, [this] { return prober_.now; }, &probes_}};
};

TEST_F(ControllerProbesTest, TheyAreWantedWhileAPoolAsksForThem) {
  Apply(Config("health_check: {type: tcp}"));
  EXPECT_FALSE(probes_.wanted.any());
  Apply(Config("health_check: {type: tcp, via: vip}"));
  EXPECT_TRUE(probes_.wanted.ipv4);
  EXPECT_FALSE(probes_.wanted.ipv6);
  Apply(Config("health_check: {type: tcp}"));
  EXPECT_FALSE(probes_.wanted.any());
}

TEST_F(ControllerProbesTest, WithoutThemTheChangeIsRefused) {
  Apply(Config("health_check: {type: tcp}"));
  const uint32_t before = controller_.generation();
  probes_.answer = absl::NotFoundError("no TUN");
  EXPECT_EQ(controller_.Apply(Config("health_check: {type: tcp, via: vip}")).status(), probes_.answer);
  EXPECT_EQ(controller_.config().pools(0).health_check().via(), v1::HealthCheck::BACKEND);
  EXPECT_EQ(controller_.generation(), before);
}

TEST_F(ControllerProbesTest, AChangeThatFailsLeavesThemAsTheyWere) {
  Apply(Config("health_check: {type: tcp}"));
  engine_.answer = absl::InternalError("no");
  EXPECT_FALSE(controller_.Apply(Config("health_check: {type: tcp, via: vip}")).ok());
  EXPECT_FALSE(probes_.wanted.any());
}

TEST_F(ControllerProbesTest, EachGoesToItsBackendByItsPort) {
  Apply(Config("health_check: {type: tcp, via: vip}"));
  EXPECT_THAT(Sent(), ElementsAre(Direct(0, 1), Direct(1, 2)));
}

TEST_F(ControllerProbesTest, ThePoolsWayOfForwardingIsTaken) {
  Apply(Config("forwarding: ipip, health_check: {type: tcp, via: vip}"));
  const std::vector<std::string> sent = Sent();
  ASSERT_EQ(sent.size(), 2u);
  EXPECT_EQ(sent[1], "1 " + packet_test::Packet("eth(dst=02:00:00:00:09:02, src=02:00:00:00:00:01)/"
                                                "ipv4(src=198.51.100.2, dst=10.0.1.2, df)/"
                                                "ipv4(src=203.0.113.2, dst=203.0.113.10, ttl=2)/"
                                                "tcp(sport=40000, dport=80, syn)"));
}

// Those that are in no table: they are to be found well again.
TEST_F(ControllerProbesTest, AlsoWhoTakesNoFlowsIsAsked) {
  Apply(Config("health_check: {type: tcp, via: vip}", ", state: disabled"));
  EXPECT_THAT(Sent(), ElementsAre(Direct(0, 1), Direct(1, 2)));
  Apply(Config("on_unhealthy: move, health_check: {type: tcp, via: vip, fall: 1}"));
  for (int tick = 0; tick < 500; tick++) {
    prober_.now += absl::Milliseconds(10);
    controller_.Tick();
    prober_.EndAll([](const CheckTarget& target) { return FormatAddress(target.address) != "10.0.1.2"; });
  }
  controller_.Tick();
  ASSERT_TRUE(controller_.backend_states().unhealthy().at("web").contains("b"));
  EXPECT_THAT(Sent(), ElementsAre(Direct(0, 1), Direct(1, 2)));
}

TEST_F(ControllerProbesTest, WhoHasNoNextHopOrNoPoolGetsNothing) {
  Apply(Config("health_check: {type: tcp, via: vip}"));
  probes_.Add("web", "10.0.1.9");
  probes_.Add("shop", "10.0.1.1");
  EXPECT_THAT(Sent(), ElementsAre(Direct(0, 1), Direct(1, 2)));
}

}  // namespace
}  // namespace sluice
