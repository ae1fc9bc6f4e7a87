// Bursts where some listeners translate and others don't: each packet is counted once, whoever it goes to.
#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include "engine/sim/sim_engine.h"
#include "gtest/gtest.h"
#include "tests/packet/notation.h"
#include "tests/unit/tables/builder_input.h"

namespace sluice {
namespace {

// A UDP listener that translates, another one that does not, and the same server behind both.
class MixedBurst : public testing::Test {
 protected:
  MixedBurst() {
    TestInput input;
    input.Load(
        "engine: {interfaces: [{name: eth0}]}\n"
        "listeners:\n"
        "- {name: nat, address: 203.0.113.10, ports: [53], protocol: udp, pool: nat}\n"
        "- {name: direct, address: 203.0.113.20, ports: [53], protocol: udp, pool: direct}\n"
        "pools:\n"
        "- {name: nat, forwarding: nat, backends: [{name: a, address: 10.0.1.11}]}\n"
        "- {name: direct, backends: [{name: a, address: 10.0.1.11}]}\n");
    input.ResolveAll();
    SimOptions options;
    options.max_sessions = 64;
    options.clock = [] { return uint64_t{1000} << SLUICE_TICK_SHIFT; };
    options.ports.push_back({.name = "sim", .mac = input.ports[0].mac, .mtu = 1500, .link_up = true, .mode = "sim"});
    absl::StatusOr<std::unique_ptr<SimEngine>> engine = SimEngine::Open(options);
    if (!engine.ok()) std::abort();
    engine_ = *std::move(engine);
    EXPECT_TRUE(engine_->Publish(input.Build(builder_)).ok());
  }

  // As one burst.
  void Receive(const std::vector<const char*>& texts) {
    std::vector<SimPacket> packets;
    for (const char* text : texts) {
      const std::string bytes = packet_test::Packet(text);
      packets.push_back({{bytes.begin(), bytes.end()}, 0});
    }
    engine_->Receive(packets);
  }
  // Each packet has one verdict.
  EngineCounters Counters() const {
    const EngineCounters counters = engine_->ReadCounters();
    EXPECT_EQ(std::accumulate(counters.verdicts.begin(), counters.verdicts.end(), uint64_t{0}), counters.received);
    return counters;
  }

  Builder builder_;
  std::unique_ptr<SimEngine> engine_;
};

TEST_F(MixedBurst, AnAnswerIsNotCountedAsForwarded) {
  Receive({"eth/ipv4(src=192.0.2.7, dst=203.0.113.10)/udp(sport=4000, dport=53)"});
  Receive({"eth/ipv4(src=10.0.1.11, dst=192.0.2.7)/udp(sport=53, dport=4000)",
           "eth/ipv4(src=10.0.1.11, dst=192.0.2.7)/udp(sport=53, dport=4000)",
           "eth/vlan(5)/ipv4(src=10.0.1.11, dst=192.0.2.7)/udp(sport=53, dport=4000)"});
  const EngineCounters counters = Counters();
  EXPECT_EQ(counters.verdicts[SLUICE_VERDICT_forwarded], 1u);
  EXPECT_EQ(counters.verdicts[SLUICE_VERDICT_returned], 3u);
}

TEST_F(MixedBurst, ALaterFragmentThatNoSessionKnowsIsCountedOnce) {
  Receive({"eth/ipv4(src=192.0.2.7, dst=203.0.113.10, id=1, frag=24, proto=17)/payload(24)",
           "eth/ipv4(src=192.0.2.7, dst=203.0.113.20, id=2, mf)/slice(0, 24)/udp(dport=53)/payload(40)",
           "eth/ipv4(src=192.0.2.7, dst=203.0.113.20, id=2, frag=24, proto=17)/payload(24)",
           "eth/ipv4(src=192.0.2.7, dst=203.0.113.10, id=3, mf)/slice(0, 24)/udp(dport=53)/payload(40)",
           "eth/ipv4(src=192.0.2.7, dst=203.0.113.10, id=3, frag=24, proto=17)/payload(24)"});
  const EngineCounters counters = Counters();
  EXPECT_EQ(counters.verdicts[SLUICE_VERDICT_forwarded], 4u);
  EXPECT_EQ(counters.verdicts[SLUICE_VERDICT_unknown_fragment], 1u);
}

}  // namespace
}  // namespace sluice
