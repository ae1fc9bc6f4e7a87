// The dpdk engine as tests drive it: its ports are shared-memory cables (net_memif) whose other ends the test holds.
//
//   test: net_memif2 ==== net_memif0 :port 0
//   test: net_memif3 ==== net_memif1 :port 1
#include <rte_mbuf.h>
#include <rte_mempool.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>
#include <thread>

#include "absl/strings/str_cat.h"
#include "engine/dpdk/dpdk_engine.h"
#include "engine/dpdk/ethdev_port.h"
#include "tests/packet/tested_engine.h"

namespace sluice::packet_test {
namespace {

constexpr uint32_t kMbufs = 4095;
constexpr auto kPatience = std::chrono::seconds(20);

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
    // One for all cables and engines: memory without huge pages is scarce, and does not come back whole.
    static rte_mempool* const pool =
        rte_pktmbuf_pool_create("cables", kMbufs, 0, 0, port_->pool_data_room(), SOCKET_ID_ANY);
    if (pool == nullptr) return absl::ResourceExhaustedError("no memory for the test's packets");
    pool_ = pool;
    return port_->Start({&pool_, 1});
  }

  bool link_up() { return port_->info().link_up; }

  absl::Status Send(absl::Span<const std::string> frames) {
    std::vector<rte_mbuf*> packets(frames.size());
    if (rte_pktmbuf_alloc_bulk(pool_, packets.data(), static_cast<uint32_t>(packets.size())) != 0) {
      return absl::ResourceExhaustedError("no memory for the test's packets");
    }
    for (size_t i = 0; i < frames.size(); i++) {
      char* data = rte_pktmbuf_append(packets[i], static_cast<uint16_t>(frames[i].size()));
      if (data == nullptr) return absl::InvalidArgumentError(absl::StrCat(frames[i].size(), " bytes are too long"));
      std::copy(frames[i].begin(), frames[i].end(), data);
    }
    size_t sent = 0;
    const bool all = Eventually([&] {
      sent += port_->Transmit(0, packets.data() + sent, static_cast<uint16_t>(packets.size() - sent));
      return sent == packets.size();
    });
    return all ? absl::OkStatus() : absl::DeadlineExceededError("packets were not taken");
  }

  // Adds what has come.
  void Receive(std::vector<std::string>* frames) {
    std::array<rte_mbuf*, SLUICE_BURST> packets{};
    const uint16_t count = port_->Receive(0, packets.data(), packets.size());
    for (uint16_t i = 0; i < count; i++) {
      frames->emplace_back(rte_pktmbuf_mtod(packets[i], const char*), packets[i]->data_len);
      rte_pktmbuf_free(packets[i]);
    }
  }

 private:
  std::unique_ptr<EthdevPort> port_;
  rte_mempool* pool_ = nullptr;
};

uint64_t Verdicts(const EngineCounters& counters, uint32_t end) {
  return std::accumulate(counters.verdicts.begin(), counters.verdicts.begin() + end, uint64_t{0});
}

class TestedDpdk : public TestedEngine {
 public:
  absl::Status Open(const TestedOptions& tested) {
    static int number = 0;
    const std::string run = absl::StrCat(getpid(), "-", number++);
    const auto cable = [&run](int id) {
      return absl::StrCat(",id=", id, ",socket-abstract=yes,socket=tested-", run, "-", id);
    };
    DpdkOptions options;
    options.max_connections = tested.max_connections;
    options.max_sessions = tested.max_sessions;
    options.huge_pages = HugePages::kOff;
    for (int port = 0; port < kTestedPorts; port++) {
      options.interfaces.push_back(
          {.device = absl::StrCat("net_memif", port, ",role=server,mac=02:00:00:00:00:0", port + 1, cable(port))});
    }
    std::vector<std::string> notes;
    absl::StatusOr<std::unique_ptr<Engine>> engine = OpenDpdkEngine(options, &notes);
    if (!engine.ok()) return engine.status();
    engine_ = *std::move(engine);
    for (int port = 0; port < kTestedPorts; port++) {
      const absl::Status status =
          cables_[port].Open(absl::StrCat("net_memif", kTestedPorts + port, ",role=client", cable(port)));
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

  absl::StatusOr<Sent> Process(absl::Span<const std::string> frames, uint16_t from) override {
    Sent sent;
    // This end of a cable gives the other one its buffers when it asks for packets.
    Receive(&sent);
    if (Count(sent) != 0) return absl::InternalError("a packet too many has left");
    const EngineCounters before = engine_->ReadCounters();
    if (absl::Status status = cables_.at(from).Send(frames); !status.ok()) return status;
    EngineCounters now;
    const bool counted = Eventually([&] {
      Receive(&sent);
      now = engine_->ReadCounters();
      return Verdicts(now, SLUICE_VERDICT_COUNT) - Verdicts(before, SLUICE_VERDICT_COUNT) >= frames.size();
    });
    if (!counted) return absl::DeadlineExceededError("packets got no verdict");
    const uint64_t leave = Verdicts(now, SLUICE_VERDICT_pass_not_ip) - Verdicts(before, SLUICE_VERDICT_pass_not_ip);
    const bool left = Eventually([&] {
      Receive(&sent);
      return Count(sent) >= leave;
    });
    if (left) return sent;
    now = engine_->ReadCounters();
    return absl::DeadlineExceededError(
        absl::StrCat("of ", leave, " packets ", Count(sent), " left: ", now.transmit_full - before.transmit_full,
                     " found the queue full, ", now.port_transmit_dropped, " dropped by a port"));
  }

  EngineCounters ReadCounters() override { return engine_->ReadCounters(); }
  Flows CountFlows(uint32_t slots) override { return CountFlowsOf(*engine_, slots); }

 private:
  static size_t Count(const Sent& sent) { return sent[0].size() + sent[1].size(); }
  void Receive(Sent* sent) {
    for (size_t port = 0; port < kTestedPorts; port++) cables_[port].Receive(&(*sent)[port]);
  }

  std::unique_ptr<Engine> engine_;
  std::array<Cable, kTestedPorts> cables_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TestedEngine>> OpenTestedDpdk(const TestedOptions& options) {
  auto engine = std::make_unique<TestedDpdk>();
  if (absl::Status status = engine->Open(options); !status.ok()) return status;
  return std::unique_ptr<TestedEngine>(std::move(engine));
}

}  // namespace sluice::packet_test
