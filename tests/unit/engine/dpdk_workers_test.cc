// The workers of the dpdk engine over time: tables that change under traffic, sleep, the kernel's side of a port.
#include <algorithm>
#include <atomic>
#include <map>
#include <thread>

#include "dpdk_engine_testbed.h"
#include "unit/neighbor/network_namespace.h"

namespace sluice {
namespace {

// Clients that send as fast as they get answers: at most kWindow packets are on their way, so that no queue overflows.
// On a thread of its own from Start to Stop.
class Traffic {
 public:
  static constexpr int kFlows = 64;
  static constexpr uint64_t kWindow = 256;

  Traffic(EthdevPort* cable, rte_mempool* pool, uint16_t queues, std::vector<Frame> frames)
      : cable_(cable), pool_(pool), queues_(queues), frames_(std::move(frames)) {}

  void Start() {
    thread_ = std::thread([this] { Run(); });
  }
  // When everything that was sent has come back, or does not any more.
  void Stop() {
    stop_ = true;
    thread_.join();
  }

  uint64_t sent() const { return sent_; }
  uint64_t received() const { return received_; }
  // By the flow's source port, the backends that it was sent to.
  const std::map<int, std::set<int>>& backends() const { return backends_; }

 private:
  void Run() {
    while (!stop_) {
      if (sent_ - received_ < kWindow) SendOne();
      Collect();
    }
    Eventually([&] {
      Collect();
      return sent_ == received_;
    });
  }

  void SendOne() {
    const auto flow = static_cast<int>(sent_ % frames_.size());
    rte_mbuf* packet = rte_pktmbuf_alloc(pool_);
    const Frame& frame = frames_[flow];
    std::memcpy(rte_pktmbuf_append(packet, static_cast<uint16_t>(frame.size())), frame.data(), frame.size());
    // A flow stays on one queue, as with RSS.
    if (cable_->Transmit(static_cast<uint16_t>(flow % queues_), &packet, 1) == 1) {
      sent_++;
    } else {
      rte_pktmbuf_free(packet);
    }
  }

  void Collect() {
    for (uint16_t queue = 0; queue < queues_; queue++) {
      rte_mbuf* packets[32];
      const uint16_t count = cable_->Receive(queue, packets, 32);
      for (uint16_t i = 0; i < count; i++) {
        const auto* data = rte_pktmbuf_mtod(packets[i], const uint8_t*);
        backends_[data[34] << 8 | data[35]].insert(data[4] == 1 ? data[5] : -1);
        rte_pktmbuf_free(packets[i]);
      }
      received_ += count;
    }
  }

  EthdevPort* cable_;
  rte_mempool* pool_;
  uint16_t queues_;
  std::vector<Frame> frames_;
  std::atomic<bool> stop_ = false;
  std::atomic<uint64_t> sent_ = 0;
  std::atomic<uint64_t> received_ = 0;
  std::map<int, std::set<int>> backends_;
  std::thread thread_;
};

class DpdkWorkersTest : public DpdkEngineTest {
 protected:
  static constexpr uint64_t kLeastSent = 1000;

  // Flows that are known to the engine with backends 1 and 2.
  std::vector<Frame> Establish(uint16_t queues) {
    std::vector<Frame> frames;
    for (int flow = 0; flow < Traffic::kFlows; flow++) {
      const auto queue = static_cast<uint16_t>(flow % queues);
      for (const char* flags : {"syn", "ack"}) {
        Send(FromClient(flow, flags), queue);
        EXPECT_TRUE(Next(queue).has_value());
      }
      frames.push_back(FromClient(flow, "ack"));
    }
    return frames;
  }

  void PublishUnderTraffic(uint16_t workers, int publishes) {
    Open(Options(workers));
    Connect(workers);
    Publish(2);
    Traffic traffic(cable_.get(), pool_, workers, Establish(workers));
    traffic.Start();
    const auto enough = [&traffic, publishes](int published) {
      return published >= publishes && (traffic.sent() > kLeastSent || published >= 20 * publishes);
    };
    // Longer where the thread that sends has had no CPU.
    for (int i = 0; !enough(i); i++) {
      // Old tables are unmapped when they are left, so who reads on falls.
      std::shared_ptr<const Tables> tables = Build(2 + i % 3);
      const absl::Status status = engine_->Publish(std::move(tables));
      if (!status.ok()) ADD_FAILURE() << status;
      engine_->Sweep();
    }
    traffic.Stop();
    EXPECT_GT(traffic.sent(), kLeastSent);
    EXPECT_EQ(traffic.received(), traffic.sent()) << "packets are lost";
    EXPECT_EQ(traffic.backends().size(), static_cast<size_t>(Traffic::kFlows));
    for (const auto& [port, backends] : traffic.backends()) {
      EXPECT_EQ(backends.size(), 1u) << "the flow from port " << port << " changed its backend";
      EXPECT_THAT(*backends.begin(), ::testing::AnyOf(1, 2));
    }
    const EngineCounters counters = engine_->ReadCounters();
    EXPECT_EQ(counters.verdicts[SLUICE_VERDICT_forwarded], traffic.sent() + 2 * Traffic::kFlows);
    EXPECT_EQ(counters.transmit_full, 0u);
    for (const std::string& warning : engine_->Poll().warnings) EXPECT_EQ(warning.find("hangs"), std::string::npos);
  }

  // How much of a CPU the worker takes while it goes to sleep a hundred times.
  static double IdleShare(const WorkerThread& thread) {
    const auto begin = std::chrono::steady_clock::now();
    const uint64_t cpu = thread.CpuTime();
    const uint64_t sleeps = thread.Sleeps();
    EXPECT_TRUE(Eventually([&] {
      usleep(1000);
      return thread.Sleeps() >= sleeps + 100;
    })) << "it does not sleep";
    const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - begin;
    return static_cast<double>(thread.CpuTime() - cpu) / time.count();
  }
};

TEST_F(DpdkWorkersTest, PublishingUnderTrafficLosesNothingWithOneWorker) {
  PublishUnderTraffic(1, 2000);
}

TEST_F(DpdkWorkersTest, PublishingUnderTrafficLosesNothingWithTwoWorkers) {
  PublishUnderTraffic(2, 2000);
}

TEST_F(DpdkWorkersTest, AnIdleWorkerSleepsAndWakesForAPacketAndForTables) {
  Open(Options());
  Connect();
  Publish(1);
  const WorkerThread thread(0);
  EXPECT_LT(IdleShare(thread), 0.3);
  for (int i = 0; i < 100; i++) {
    Send(FromClient(i));
    ASSERT_TRUE(Next().has_value()) << i;
  }
  EXPECT_LT(IdleShare(thread), 0.3);
  // Nobody waits for a sleeper; in the best of three, as a machine may do something else for a while.
  const auto publish = [this] {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < 100; i++) Publish(1 + i % 2);
    return std::chrono::steady_clock::now() - begin;
  };
  EXPECT_LT(std::min({publish(), publish(), publish()}), std::chrono::seconds(2));
  Send(FromClient(1000));
  ASSERT_TRUE(Next().has_value());
  // And its end does not wait either.
  engine_->Close();
}

TEST_F(DpdkWorkersTest, AWorkerThatSpinsDoesNotSleep) {
  DpdkOptions options = Options();
  options.spin = true;
  Open(options);
  Connect();
  Publish(1);
  const WorkerThread thread(0);
  const uint64_t cpu = thread.CpuTime();
  const uint64_t sleeps = thread.Sleeps();
  ASSERT_TRUE(Eventually([&] {
    usleep(1000);
    return thread.CpuTime() > cpu + 50'000'000;
  })) << "it does not spin";
  // It would have slept a hundred times. Now and then the kernel has something of its own to wait for.
  EXPECT_LT(thread.Sleeps(), sleeps + 10);
  for (int i = 0; i < 20; i++) Publish(1 + i % 2);
  Send(FromClient(1));
  EXPECT_TRUE(Next().has_value());
}

//   test <== cable ==> engine <-- worker, thread --> tap: the kernel, 10.9.0.1/24
TEST_F(DpdkWorkersTest, WhatIsNotVirtualGoesToTheKernelAndItsAnswersComeBack) {
  if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: needs root (network namespaces)";
  const testing::NetworkNamespace place;
  const testing::NetworkNamespace::Entered here = place.Enter();
  DpdkOptions options = Options();
  options.interfaces[0].tap = "engine0";
  const absl::StatusOr<Prefix> prefix = ParsePrefix("10.9.0.1/24");
  ASSERT_TRUE(prefix.ok());
  options.interfaces[0].addresses = {*prefix};
  Open(options);
  EXPECT_NE(engine_->ports()[0].kernel_ifindex, 0);
  Connect();
  // The kernel answers on an interface that has its link.
  ASSERT_TRUE(Eventually([&] { return engine_->Poll().ports_changed; }));
  Publish(1);
  const Frame ask = AsFrame(packet_test::Packet(
      "eth(dst=ff:ff:ff:ff:ff:ff, src=02:00:00:00:00:99)/arp(smac=02:00:00:00:00:99, sip=10.9.0.9, tip=10.9.0.1)"));
  const std::string mac = FormatMac(engine_->ports()[0].mac);
  const Frame wanted =
      AsFrame(packet_test::Packet(absl::StrCat("eth(dst=02:00:00:00:00:99, src=", mac, ")/arp(op=2, smac=", mac,
                                               ", sip=10.9.0.1, tmac=02:00:00:00:00:99, tip=10.9.0.9)")));
  // The kernel may have something to say of its own before, and drops answers until it has seen that there is a link,
  // which it looks for once a second.
  uint64_t asked = 0;
  auto next = std::chrono::steady_clock::now();
  ASSERT_TRUE(Eventually([&] {
    if (const auto now = std::chrono::steady_clock::now(); now >= next) {
      Send(ask);
      asked++;
      next = now + std::chrono::milliseconds(500);
    }
    rte_mbuf* packet = nullptr;
    if (cable_->Receive(0, &packet, 1) == 0) return false;
    const Frame got = BytesOf(packet);
    rte_pktmbuf_free(packet);
    return got == wanted;
  }));
  EXPECT_TRUE(Eventually([&] { return engine_->ReadCounters().verdicts[SLUICE_VERDICT_pass_not_virtual] == asked; }));
  EXPECT_EQ(engine_->ReadCounters().kernel_dropped, 0u);
  engine_->Close();
  EXPECT_FALSE(std::filesystem::exists("/proc/sys/net/ipv4/conf/engine0"));
}

}  // namespace
}  // namespace sluice
