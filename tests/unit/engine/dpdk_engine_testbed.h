// The dpdk engine over devices in memory, and the other side of their cables:
//
//   test <-- net_memif1 ==== net_memif0 --> engine        one queue a worker; queue q is worker q's
//
// The tables come from the real builder: 203.0.113.10:80 and [2001:db8::10]:80 are served by 10.9.0.11, .12, ... of
// which backend n has the MAC address 02:00:00:00:01:n.
#pragma once

#include <gmock/gmock.h>
#include <rte_alarm.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>

#include "absl/strings/str_cat.h"
#include "engine/dpdk/dpdk_engine.h"
#include "engine/dpdk/eal.h"
#include "engine/dpdk/ethdev_port.h"
#include "packet/notation.h"
#include "tests/unit/tables/builder_input.h"
#include "unit/engine/ethdev_testbed.h"

namespace sluice {

class DpdkEngineTest : public EthdevTestbed {
 protected:
  static constexpr uint32_t kWorkers = 2;

  static void SetUpTestSuite() {
    EalOptions options;
    options.workers = kWorkers;
    options.huge_pages = HugePages::kOff;
    options.memory_mib = 384;
    std::vector<std::string> notes;
    const absl::Status status = StartEal(options, &notes);
    ASSERT_TRUE(status.ok()) << status;
  }

  // An end of the last cable made.
  static std::string Memif(int number, const std::string& role) {
    return absl::StrCat("net_memif", number, ",role=", role, ",socket-abstract=yes,socket=dpdk_engine_test-", getpid(),
                        "-", cables_);
  }

  static DpdkOptions Options(uint32_t workers = 1) {
    DpdkOptions options;
    // A cable of its own each time: the driver goes on listening when the device is gone.
    cables_++;
    options.interfaces = {{.device = Memif(0, "server")}};
    options.workers = workers;
    options.max_connections = 100'000;
    options.huge_pages = HugePages::kOff;
    return options;
  }

  void Open(const DpdkOptions& options) {
    std::vector<std::string> notes;
    auto engine = OpenDpdkEngine(options, &notes);
    ASSERT_TRUE(engine.ok()) << engine.status();
    engine_ = *std::move(engine);
    input_.ports.clear();
    for (const EnginePort& port : engine_->ports()) input_.ports.push_back({port.mac, port.mtu});
    builder_ = std::make_unique<Builder>();
  }

  // The words of the refusal; empty when it was not refused.
  static std::string RefusalOf(const DpdkOptions& options) {
    std::vector<std::string> notes;
    const auto engine = OpenDpdkEngine(options, &notes);
    return engine.ok() ? "" : WordsOf(engine.status());
  }

  // Plugs the test's end of the cable in.
  void Connect(uint16_t workers = 1) {
    rte_mempool* pool = pool_ != nullptr ? pool_ : pool_ = MakePool();
    auto port = EthdevPort::Open({.device = Memif(1, "client"), .workers = workers});
    ASSERT_TRUE(port.ok()) << port.status();
    cable_ = *std::move(port);
    ASSERT_TRUE(cable_->Start(std::vector<rte_mempool*>(workers, pool)).ok());
    ASSERT_TRUE(Eventually([&] { return cable_->info().link_up && engine_->ports()[0].link_up; }));
    // It is this end that has the memory, and it offers some with the first look for packets.
    rte_mbuf* none = nullptr;
    for (uint16_t queue = 0; queue < workers; queue++) ASSERT_EQ(cable_->Receive(queue, &none, 1), 0);
  }

  // The driver's own thread takes an end down when the other one goes, and does not expect to be disturbed: the second
  // end is closed when that is over.
  void Unplug() {
    cable_.reset();
    EXPECT_TRUE(Eventually([&] { return !engine_->ports()[0].link_up; }));
    WaitForDriver();
  }
  void End() {
    engine_.reset();
    if (cable_ == nullptr) return WaitForDriver();
    EXPECT_TRUE(Eventually([&] { return !cable_->info().link_up; }));
    WaitForDriver();
    cable_.reset();
    WaitForDriver();
  }

  // The link is down before that thread is done with it. Alarms run in the same thread, one after the other.
  static void WaitForDriver() {
    static std::atomic<bool> done;
    done = false;
    if (rte_eal_alarm_set(
            1, [](void*) { done = true; }, nullptr) != 0)
      return;
    EXPECT_TRUE(Eventually([] { return done.load(); }));
  }

  // Both families, with backends 1 ... `count` of 10.9.0.0/24 and 2001:db8:9::/64.
  std::shared_ptr<const Tables> Build(int count) {
    std::string four, six;
    for (int i = 1; i <= count; i++) {
      absl::StrAppend(&four, "{name: b", i, ", address: 10.9.0.", 10 + i, "},");
      absl::StrAppend(&six, "{name: b", i, ", address: '2001:db8:9::", i, "'},");
    }
    input_.Load(
        absl::StrCat("engine: {interfaces: [{device: net_memif0}]}\nlisteners:\n",
                     "- {name: web, address: 203.0.113.10, ports: [80], protocol: tcp, pool: web}\n",
                     "- {name: web6, address: '2001:db8::10', ports: [80], protocol: tcp, pool: web6}\npools:\n",
                     "- {name: web, maglev_table_size: 251, backends: [", four, "]}\n",
                     "- {name: web6, maglev_table_size: 251, backends: [", six, "]}\n"));
    for (int i = 1; i <= count; i++) {
      const BackendNextHop hop{
          .source = input_.ports[0].mac, .destination = {2, 0, 0, 0, 1, static_cast<uint8_t>(i)}, .mtu = 1500};
      input_.next_hops[TestInput::At(absl::StrCat("10.9.0.", 10 + i))] = hop;
      input_.next_hops[TestInput::At(absl::StrCat("2001:db8:9::", i))] = hop;
    }
    return input_.Build(*builder_);
  }

  void Publish(int count) {
    const absl::Status status = engine_->Publish(Build(count));
    ASSERT_TRUE(status.ok()) << status;
  }

  // A client's packet; flows differ by their source port.
  static Frame FromClient(int flow, const char* flags = "syn") {
    return AsFrame(packet_test::Packet(absl::StrCat("eth/ipv4(src=192.0.2.7, dst=203.0.113.10)/tcp(sport=", 1024 + flow,
                                                    ", dport=80, ", flags, ")/payload(20)")));
  }
  static Frame AsFrame(const std::string& bytes) { return Frame(bytes.begin(), bytes.end()); }

  void Send(const Frame& frame, uint16_t queue = 0) {
    rte_mbuf* packet = MakePacket(pool_, frame);
    ASSERT_EQ(cable_->Transmit(queue, &packet, 1), 1);
  }

  // The next frame that the engine sent; nothing after 20 seconds without one.
  std::optional<Frame> Next(uint16_t queue = 0) {
    rte_mbuf* packet = nullptr;
    if (!Eventually([&] { return cable_->Receive(queue, &packet, 1) == 1; })) return std::nullopt;
    Frame frame = BytesOf(packet);
    rte_pktmbuf_free(packet);
    return frame;
  }

  // Which backend it was sent to, by its MAC address.
  static int BackendOf(const Frame& frame) { return frame.size() < 6 || frame[4] != 1 ? -1 : frame[5]; }

  void TearDown() override {
    End();
    EthdevTestbed::TearDown();
  }

  TestInput input_;
  std::unique_ptr<Builder> builder_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<EthdevPort> cable_;
  rte_mempool* pool_ = nullptr;

 private:
  static inline int cables_ = 0;
};

// The thread of a worker, as the kernel sees it.
class WorkerThread {
 public:
  explicit WorkerThread(uint32_t worker) {
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      std::string name;
      std::getline(std::ifstream(task.path() / "comm"), name);
      if (name == absl::StrCat("rte-worker-", worker + 1)) path_ = task.path();
    }
    EXPECT_FALSE(path_.empty()) << "no thread of worker " << worker;
  }

  // CPU time, ns (Documentation/scheduler/sched-stats.rst of Linux).
  uint64_t CpuTime() const {
    uint64_t ns = 0;
    std::ifstream(path_ / "schedstat") >> ns;
    return ns;
  }

  // How often it went to sleep.
  uint64_t Sleeps() const {
    std::ifstream file(path_ / "status");
    for (std::string word; file >> word;) {
      uint64_t count = 0;
      if (word == "voluntary_ctxt_switches:" && file >> count) return count;
    }
    ADD_FAILURE() << "the kernel does not count switches";
    return 0;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace sluice
