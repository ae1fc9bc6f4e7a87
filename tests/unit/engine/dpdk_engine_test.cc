// The dpdk engine: packets in and out, publishing, counters, announcements, links, refusals, the end.
#include "engine/dpdk/dpdk_engine.h"

#include "dpdk_engine_testbed.h"

namespace sluice {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;

uint64_t SumOfVerdicts(const EngineCounters& counters) {
  uint64_t sum = 0;
  for (const uint64_t count : counters.verdicts) sum += count;
  return sum;
}

TEST_F(DpdkEngineTest, ForwardsToABackend) {
  Open(Options());
  Connect();
  Publish(1);
  Send(FromClient(1));
  std::optional<Frame> sent = Next();
  ASSERT_TRUE(sent.has_value());
  // Only the MAC addresses differ.
  Frame expected = FromClient(1);
  const Mac source = engine_->ports()[0].mac;
  const Mac destination{2, 0, 0, 0, 1, 1};
  std::copy(destination.begin(), destination.end(), expected.begin());
  std::copy(source.begin(), source.end(), expected.begin() + 6);
  EXPECT_EQ(*sent, expected);
}

TEST_F(DpdkEngineTest, CountersAddUp) {
  Open(Options());
  Connect();
  Publish(1);
  const Frame other = AsFrame(packet_test::Packet("eth/ipv4(src=192.0.2.7, dst=203.0.113.10)/tcp(dport=81, syn)"));
  const Frame pass = AsFrame(packet_test::Packet("eth/ipv4(src=192.0.2.7, dst=198.51.100.1)/tcp(syn)"));
  for (int i = 0; i < 10; i++) Send(FromClient(i));
  for (int i = 0; i < 5; i++) Send(other);
  for (int i = 0; i < 3; i++) Send(pass);
  for (int i = 0; i < 10; i++) ASSERT_TRUE(Next().has_value());
  ASSERT_TRUE(Eventually([&] { return engine_->ReadCounters().received == 18; }));
  ASSERT_TRUE(Eventually([&] { return SumOfVerdicts(engine_->ReadCounters()) == 18; }));
  const EngineCounters counters = engine_->ReadCounters();
  EXPECT_EQ(counters.verdicts[SLUICE_VERDICT_forwarded], 10u);
  EXPECT_EQ(counters.verdicts[SLUICE_VERDICT_no_listener], 5u);
  EXPECT_EQ(counters.verdicts[SLUICE_VERDICT_pass_not_virtual], 3u);
  EXPECT_EQ(counters.bytes, 10 * FromClient(0).size() + 5 * other.size() + 3 * pass.size());
  EXPECT_EQ(counters.listeners[0].packets, 10u);
  EXPECT_EQ(counters.listeners[0].new_flows, 10u);
  EXPECT_EQ(counters.backends[0].packets + counters.backends[1].packets, 10u);
  EXPECT_EQ(counters.transmit_full + counters.port_receive_dropped + counters.port_transmit_dropped, 0u);
}

TEST_F(DpdkEngineTest, EachWorkerServesItsQueueOfTheSameTables) {
  Open(Options(2));
  Connect(2);
  Publish(2);
  for (uint16_t queue = 0; queue < 2; queue++) {
    for (int flow = 0; flow < 20; flow++) {
      Send(FromClient(flow), queue);
      const std::optional<Frame> sent = Next(queue);
      ASSERT_TRUE(sent.has_value()) << "queue " << queue << " flow " << flow;
      EXPECT_GE(BackendOf(*sent), 1);
    }
  }
  // The second worker found the flows of the first: none is new twice.
  EXPECT_EQ(engine_->ReadCounters().verdicts[SLUICE_VERDICT_forwarded], 40u);
}

TEST_F(DpdkEngineTest, NothingIsForwardedBeforeTheFirstTables) {
  Open(Options());
  Connect();
  Send(FromClient(1));
  EXPECT_EQ(engine_->ReadCounters().received, 0u);
  EXPECT_TRUE(engine_->ReadCounters().listeners.empty());
  // It waits in the queue for them.
  Publish(1);
  ASSERT_TRUE(Next().has_value());
}

TEST_F(DpdkEngineTest, AnOldGenerationIsFreeWhenPublishReturns) {
  Open(Options(2));
  Publish(1);
  std::weak_ptr<const Tables> before;
  for (int i = 0; i < 100; i++) {
    std::shared_ptr<const Tables> tables = Build(1 + i % 3);
    const std::weak_ptr<const Tables> now = tables;
    ASSERT_TRUE(engine_->Publish(std::move(tables)).ok());
    EXPECT_TRUE(before.expired()) << i;
    EXPECT_FALSE(now.expired());
    before = now;
  }
  engine_->Close();
  engine_.reset();
  // The builder would go on from it.
  builder_.reset();
  EXPECT_TRUE(before.expired());
}

TEST_F(DpdkEngineTest, OpensAgainAfterItsEnd) {
  for (int i = 0; i < 4; i++) {
    const uint32_t workers = 1 + i % 2;
    Open(Options(workers));
    Connect(static_cast<uint16_t>(workers));
    Publish(1);
    Send(FromClient(i));
    ASSERT_TRUE(Next().has_value()) << i;
    Unplug();
    engine_->Close();
  }
}

TEST_F(DpdkEngineTest, EndsWithPacketsInHand) {
  Open(Options());
  Connect();
  Publish(1);
  const Address address = TestInput::At("203.0.113.10");
  for (int i = 0; i < 100; i++) Send(FromClient(i));
  engine_->Announce(std::vector<Address>(500, address));
  // The pools are freed with everything in them, or the next finds their names taken.
  End();
  Open(Options());
}

TEST_F(DpdkEngineTest, ClosedItRefusesTablesAndToleratesTheRest) {
  Open(Options());
  Publish(1);
  std::shared_ptr<const Tables> tables = Build(2);
  engine_->Close();
  engine_->Close();
  const absl::Status status = engine_->Publish(tables);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(WordsOf(status), HasSubstr("closed"));
  EXPECT_TRUE(engine_->ports().empty());
  engine_->Announce(std::vector<Address>{TestInput::At("203.0.113.10")});
  engine_->Sweep();
  engine_->ReadCounters();
  EXPECT_FALSE(engine_->Poll().ports_changed);
  EXPECT_EQ(engine_->occupancy().sweeps, 0u);
}

TEST_F(DpdkEngineTest, NeverPublishedItCloses) {
  Open(Options(2));
  engine_->Close();
}

TEST_F(DpdkEngineTest, AnnouncesOnItsPorts) {
  Open(Options());
  Connect();
  // Before there are workers: kept for them.
  engine_->Announce(std::vector<Address>{TestInput::At("203.0.113.10"), TestInput::At("2001:db8::10")});
  Publish(1);
  engine_->Poll();
  const std::string mac = FormatMac(engine_->ports()[0].mac);
  EXPECT_EQ(Next(), AsFrame(packet_test::Packet(absl::StrCat("eth(dst=ff:ff:ff:ff:ff:ff, src=", mac, ")/arp(smac=", mac,
                                                             ", sip=203.0.113.10, tip=203.0.113.10)"))));
  const std::optional<Frame> six = Next();
  ASSERT_TRUE(six.has_value());
  EXPECT_EQ(Frame(six->begin(), six->begin() + 6), (Frame{0x33, 0x33, 0, 0, 0, 1}));
}

// More than the worker takes at a time, and than there is packet memory for.
TEST_F(DpdkEngineTest, ThousandsOfAnnouncementsLeave) {
  Open(Options());
  Connect();
  Publish(1);
  std::vector<Address> addresses;
  for (int i = 0; i < 10'000; i++) addresses.push_back(TestInput::At(absl::StrCat("10.", i / 100, ".", i % 100, ".1")));
  engine_->Announce(addresses);
  std::set<std::string> seen;
  const bool all = Eventually([&] {
    engine_->Poll();
    rte_mbuf* packet = nullptr;
    while (cable_->Receive(0, &packet, 1) == 1) {
      const Frame frame = BytesOf(packet);
      seen.emplace(frame.begin(), frame.end());
      rte_pktmbuf_free(packet);
    }
    // This end of the cable may be too slow for some.
    return seen.size() + engine_->ReadCounters().transmit_full == addresses.size();
  });
  EXPECT_TRUE(all) << seen.size();
  EXPECT_GT(seen.size(), 4096u);
}

TEST_F(DpdkEngineTest, TellsOfLinks) {
  Open(Options());
  EXPECT_FALSE(engine_->ports()[0].link_up);
  const auto told = [&](const std::string& words, std::vector<std::string> EngineNews::*lines = &EngineNews::messages) {
    return Eventually([&] {
      const EngineNews news = engine_->Poll();
      for (const std::string& line : news.*lines) {
        if (line.find(words) != std::string::npos) return news.ports_changed;
      }
      return false;
    });
  };
  Connect();
  EXPECT_TRUE(told("link up"));
  Unplug();
  EXPECT_TRUE(told("link down", &EngineNews::warnings));
  EXPECT_FALSE(engine_->Poll().ports_changed);
  // And serves when it is back.
  Publish(1);
  Connect();
  EXPECT_TRUE(told("link up"));
  Send(FromClient(1));
  EXPECT_TRUE(Next().has_value());
}

TEST_F(DpdkEngineTest, RefusesInWords) {
  DpdkOptions options = Options(2);
  options.interfaces = {{.device = "net_pcap0,tx_pcap=/dev/null,rx_pcap=/dev/null"}};
  EXPECT_NE(RefusalOf(options), "");
  options.interfaces = {{.device = "net_nonsense0"}};
  EXPECT_THAT(RefusalOf(options), HasSubstr("no driver"));
  options.interfaces.clear();
  EXPECT_THAT(RefusalOf(options), HasSubstr("engine.interfaces"));
  options = Options();
  options.interfaces.push_back({.name = "lo"});
  EXPECT_THAT(RefusalOf(options), HasSubstr("cannot be mixed"));
  options = Options(0);
  EXPECT_THAT(RefusalOf(options), HasSubstr("engine.workers"));
  options = Options(kWorkers + 1);
  EXPECT_THAT(RefusalOf(options), AllOf(HasSubstr("2 workers"), HasSubstr("restart")));
}

TEST_F(DpdkEngineTest, RefusesADeviceWithTooFewQueues) {
  const Frame frame = FromClient(0);
  DpdkOptions options = Options(2);
  options.interfaces = {{.device = "net_pcap0,rx_iface=lo,tx_pcap=/dev/null"}};
  EXPECT_THAT(RefusalOf(options), AllOf(HasSubstr("too few queues"), HasSubstr("workers: 1")));
}

// The second port fails when the first is open and running: all of it goes again.
TEST_F(DpdkEngineTest, AFailedStartLeavesNothingOpen) {
  const auto descriptors = [] {
    size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) count++;
    return count;
  };
  DpdkOptions options = Options();
  options.interfaces = {{.device = "net_null0"}, {.device = "net_nonsense0"}};
  EXPECT_NE(RefusalOf(options), "");
  const size_t before = descriptors();
  for (int i = 0; i < 3; i++) {
    EXPECT_NE(RefusalOf(options), "");
    // Late: no memory for connections.
    DpdkOptions late = Options();
    late.interfaces = {{.device = "net_null0"}};
    late.max_connections = uint64_t{1} << 50;
    EXPECT_THAT(RefusalOf(late), HasSubstr("no memory"));
  }
  EXPECT_EQ(descriptors(), before);
  options.interfaces = {{.device = "net_null0"}};
  Open(options);
}

}  // namespace
}  // namespace sluice
