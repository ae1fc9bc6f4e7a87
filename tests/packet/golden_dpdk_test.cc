// Golden packets through the dpdk engine: its ports are shared-memory cables (net_memif) whose other ends the test
// holds.
//
//   test: net_memif2 ==== net_memif0 :port 0
//   test: net_memif3 ==== net_memif1 :port 1
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <functional>
#include <thread>

#include "absl/strings/str_cat.h"
#include "engine/dpdk/dpdk_engine.h"
#include "engine/dpdk/ethdev_port.h"
#include "tests/packet/golden_runner.h"

namespace sluice::packet_test {
namespace {

constexpr uint32_t kMbufs = 4095;
constexpr auto kPatience = std::chrono::seconds(5);

bool Eventually(const std::function<bool()>& done) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!done()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// The test's end of a cable.
class Cable {
 public:
  absl::Status Open(const std::string& device) {
    absl::StatusOr<std::unique_ptr<EthdevPort>> port = EthdevPort::Open({.device = device});
    if (!port.ok()) return port.status();
    port_ = *std::move(port);
    // One for all cables and cases: memory without huge pages is scarce, and does not come back whole.
    static rte_mempool* const pool =
        rte_pktmbuf_pool_create("golden", kMbufs, 0, 0, port_->pool_data_room(), SOCKET_ID_ANY);
    if (pool == nullptr) return absl::ResourceExhaustedError("no memory for the test's packets");
    pool_ = pool;
    return port_->Start({&pool_, 1});
  }

  bool link_up() { return port_->info().link_up; }

  bool Send(const std::string& frame) {
    rte_mbuf* packet = rte_pktmbuf_alloc(pool_);
    if (packet == nullptr) return false;
    std::copy(frame.begin(), frame.end(), rte_pktmbuf_append(packet, static_cast<uint16_t>(frame.size())));
    return Eventually([&] { return port_->Transmit(0, &packet, 1) == 1; });
  }

  // Empty when nothing has come.
  std::string Receive() {
    rte_mbuf* packet = nullptr;
    if (port_->Receive(0, &packet, 1) == 0) return "";
    std::string frame(rte_pktmbuf_mtod(packet, const char*), packet->data_len);
    rte_pktmbuf_free(packet);
    return frame;
  }

 private:
  std::unique_ptr<EthdevPort> port_;
  rte_mempool* pool_ = nullptr;
};

class DpdkGolden : public GoldenEngine {
 public:
  ~DpdkGolden() override {
    if (engine_) engine_->Close();
  }

  absl::Status Open() {
    static int number = 0;
    const std::string run = absl::StrCat(getpid(), "-", number++);
    const auto cable = [&run](int id) {
      return absl::StrCat(",id=", id, ",socket-abstract=yes,socket=golden-", run, "-", id);
    };
    DpdkOptions options;
    options.max_connections = 65536;
    options.max_sessions = 4096;
    options.huge_pages = HugePages::kOff;
    for (int port = 0; port < 2; port++) {
      options.interfaces.push_back(
          {.device = absl::StrCat("net_memif", port, ",role=server,mac=02:00:00:00:00:0", port + 1, cable(port))});
    }
    std::vector<std::string> notes;
    absl::StatusOr<std::unique_ptr<Engine>> engine = OpenDpdkEngine(options, &notes);
    if (!engine.ok()) return engine.status();
    engine_ = *std::move(engine);
    for (int port = 0; port < 2; port++) {
      const absl::Status status = cables_[port].Open(absl::StrCat("net_memif", port + 2, ",role=client", cable(port)));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Publish(std::shared_ptr<const Tables> tables) override {
    if (absl::Status status = engine_->Publish(std::move(tables)); !status.ok()) return status;
    if (!Eventually([this] { return cables_[0].link_up() && cables_[1].link_up(); })) {
      return absl::DeadlineExceededError("the cables have no link");
    }
    return absl::OkStatus();
  }

  // The verdict is the one whose counter has gone up.
  absl::StatusOr<Outcome> Process(const std::string& frame, uint16_t from) override {
    // This end of a cable gives the other one its buffers when it asks for packets.
    for (Cable& cable : cables_) {
      if (!cable.Receive().empty()) return absl::InternalError("a packet too many has left");
    }
    const EngineCounters before = engine_->ReadCounters();
    if (!cables_.at(from).Send(frame)) return absl::DeadlineExceededError("the packet was not taken");
    Outcome outcome;
    uint32_t verdict = SLUICE_VERDICT_COUNT;
    const bool counted = Eventually([&] {
      const EngineCounters now = engine_->ReadCounters();
      for (uint32_t i = 0; i < SLUICE_VERDICT_COUNT; i++) {
        if (now.verdicts[i] != before.verdicts[i]) verdict = i;
      }
      return verdict != SLUICE_VERDICT_COUNT;
    });
    if (!counted) return absl::DeadlineExceededError("the packet got no verdict");
    outcome.verdict = sluice_verdict_name(verdict);
    if (sluice_verdict_kind(verdict) != SLUICE_KIND_TRANSMIT) return outcome;
    const bool left = Eventually([&] {
      for (uint16_t port = 0; port < cables_.size() && outcome.out.empty(); port++) {
        outcome.out = cables_[port].Receive();
        outcome.by = port;
      }
      return !outcome.out.empty();
    });
    if (!left) {
      const EngineCounters now = engine_->ReadCounters();
      return absl::DeadlineExceededError(
          absl::StrCat("the packet did not leave: ", now.transmit_full - before.transmit_full,
                       " found the queue full, ", now.port_transmit_dropped, " dropped by a port"));
    }
    return outcome;
  }

  bool Wait(std::chrono::milliseconds) override { return false; }

 private:
  std::unique_ptr<Engine> engine_;
  std::array<Cable, 2> cables_;
};

}  // namespace
}  // namespace sluice::packet_test

int main(int argc, char** argv) {
  using sluice::packet_test::GoldenEngine;
  using sluice::packet_test::GoldenKind;
  return sluice::packet_test::RunGoldenCases(argc, argv, "dpdk", GoldenKind::kReal,
                                             []() -> absl::StatusOr<std::unique_ptr<GoldenEngine>> {
                                               auto engine = std::make_unique<sluice::packet_test::DpdkGolden>();
                                               if (const absl::Status status = engine->Open(); !status.ok())
                                                 return status;
                                               return engine;
                                             });
}
