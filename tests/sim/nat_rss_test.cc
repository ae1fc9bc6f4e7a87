// Where servers' answers arrive: at their worker when source ports are chosen by the devices' RSS, anywhere otherwise,
// and every one of them finds its session in any case.
#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include <memory>
#include <set>
#include <tuple>
#include <vector>

#include "config/load.h"
#include "control/controller.h"
#include "engine/sim/sim_engine.h"
#include "tests/sim/nat_churn_packet.h"
#include "tests/sim/nat_churn_site.h"
#include "tests/unit/control/fake_next_hops.h"
#include "tests/unit/health/fake_prober.h"

namespace sluice::sim_test {
namespace {

constexpr uint32_t kWorkers = 4;
constexpr uint32_t kFlows = 2000;
const Link kFromClients = {{2, 0, 0, 0, 0, 1}, {2, 9, 0, 0, 0, 1}, 0, 0};

// A flow as its server sees it.
struct Opened {
  uint8_t protocol = 0;
  Endpoint server;
  Endpoint source;
  const NatBackend* backend = nullptr;
  uint32_t worker = 0;
};

class NatRssTest : public testing::Test {
 protected:
  void Open(const SimRss& rss) {
    spdlog::set_level(spdlog::level::off);
    SimOptions options;
    options.workers = kWorkers;
    options.max_sessions = 65536;
    options.ports = {{"eth0", NatSite::PortMac(0), 1500, true, NatSite::kInterfaces[0], "sim"},
                     {"eth1", NatSite::PortMac(1), 1500, true, NatSite::kInterfaces[1], "sim"}};
    options.rss = rss;
    options.clock = [] { return 1'000'000'000'000ull; };
    absl::StatusOr<std::unique_ptr<SimEngine>> engine = SimEngine::Open(options);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    Controller::Options control;
    control.engine = engine_.get();
    control.next_hops = &next_hops_;
    control.health = &health_;
    controller_ = std::make_unique<Controller>(control);
    for (NatPool& pool : site_.pools()) {
      for (const NatBackend& backend : pool.backends) next_hops_.Resolve(backend.address, backend.hop);
    }
    const absl::StatusOr<LoadedConfig> loaded = LoadConfigText(site_.Yaml(), "rss.yaml");
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    const absl::StatusOr<uint32_t> generation = controller_->Apply(loaded->config);
    ASSERT_TRUE(generation.ok()) << generation.status();
    controller_->Tick();
  }

  SimResult Receive(const NatPacket& packet, const Link& link) {
    return engine_->Receive({{{FrameOf(packet, link), link.port}}})[0];
  }

  // A new flow of the client to the `listener` of full_nat.
  Opened OpenFlow(uint32_t client, const NatListener& listener, uint8_t protocol) {
    NatPacket packet;
    packet.protocol = protocol;
    packet.flags = kSyn;
    const char* network = listener.address.IsIpv4() ? "192.0.2.1" : "2001:db8:c::1";
    packet.source = {*ParseAddress(network), static_cast<uint16_t>(1024 + client)};
    packet.destination = {listener.address, listener.first_port};
    const SimResult result = Receive(packet, kFromClients);
    EXPECT_STREQ(sluice_verdict_name(result.verdict), "forwarded");
    const NatBackend* backend = site_.Recipient(result.out.bytes);
    EXPECT_NE(backend, nullptr);
    const Endpoint server = {backend->address, backend->port != 0 ? backend->port : listener.first_port};
    return {protocol, server, SourceOf(result.out.bytes), backend, result.worker};
  }

  // kFlows of TCP and UDP to listeners of either family; no two of them have the same source toward their server.
  void OpenFlows() {
    for (uint32_t i = 0; i < kFlows; i++) {
      const NatListener& listener = site_.listeners()[i % 2 == 0 ? 5 : 6];
      flows_.push_back(OpenFlow(next_client_++, listener, i % 4 < 2 ? SLUICE_IP_TCP : SLUICE_IP_UDP));
      const Opened& flow = flows_.back();
      EXPECT_TRUE(sources_.insert({flow.protocol, flow.server, flow.source}).second) << "port " << flow.source.port;
    }
  }

  // Answers all flows; how many answers came to another worker than the one that has opened the flow.
  uint32_t AnswerAll() {
    uint32_t elsewhere = 0;
    for (const Opened& flow : flows_) {
      NatPacket answer;
      answer.protocol = flow.protocol;
      answer.flags = kSyn | kAck;
      answer.source = flow.server;
      answer.destination = flow.source;
      const SimResult result = Receive(answer, flow.backend->link);
      EXPECT_STREQ(sluice_verdict_name(result.verdict), "returned");
      elsewhere += result.worker != flow.worker;
    }
    return elsewhere;
  }

  uint64_t LookedUp() { return engine_->ReadCounters().sessions.answers_elsewhere; }

  NatSite site_{kWorkers};
  std::unique_ptr<SimEngine> engine_;
  FakeNextHops next_hops_;
  FakeProber prober_;
  HealthChecker health_{prober_.Options()};
  std::unique_ptr<Controller> controller_;
  std::vector<Opened> flows_;
  std::set<std::tuple<uint8_t, Endpoint, Endpoint>> sources_;
  uint32_t next_client_ = 0;
};

TEST_F(NatRssTest, OfAKnownKeyEveryAnswerComesToItsWorker) {
  Open({.known = true});
  OpenFlows();
  EXPECT_EQ(AnswerAll(), 0u);
  EXPECT_EQ(LookedUp(), 0u);
}

TEST_F(NatRssTest, OfASymmetricKeyTheyDoAsWell) {
  SimRss rss{.known = true};
  for (size_t i = 0; i < rss.key.size(); i++) rss.key[i] = i % 2 == 0 ? 0x6d : 0x5a;
  Open(rss);
  OpenFlows();
  EXPECT_EQ(AnswerAll(), 0u);
  EXPECT_EQ(LookedUp(), 0u);
}

// Three of four, if nobody is lucky.
TEST_F(NatRssTest, OfAnUnknownKeyTheyAreLookedUp) {
  Open({});
  OpenFlows();
  const uint32_t elsewhere = AnswerAll();
  EXPECT_GT(elsewhere, kFlows / 2);
  EXPECT_EQ(LookedUp(), elsewhere);
}

TEST_F(NatRssTest, WhereAddressesAloneAreHashedTheyAreLookedUp) {
  Open({.with_ports = false, .known = true});
  OpenFlows();
  const uint32_t elsewhere = AnswerAll();
  EXPECT_GT(elsewhere, kFlows / 2);
  EXPECT_EQ(LookedUp(), elsewhere);
}

// The owners stay as they are, so ports are still nobody else's.
TEST_F(NatRssTest, WhenTheDevicesTableChangesTheyAreLookedUp) {
  Open({.known = true});
  OpenFlows();
  std::vector<uint32_t> table(128);
  for (uint32_t i = 0; i < table.size(); i++) table[i] = (i + 1) % kWorkers;
  engine_->SetRssIndirection(table);
  OpenFlows();
  EXPECT_EQ(AnswerAll(), 2 * kFlows);
  EXPECT_EQ(LookedUp(), 2 * kFlows);
  table.assign(table.size(), 2);
  engine_->SetRssIndirection(table);
  OpenFlows();
  EXPECT_GT(AnswerAll(), kFlows);
}

}  // namespace
}  // namespace sluice::sim_test
