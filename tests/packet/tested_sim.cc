// The sim engine as tests drive it.
#include <utility>

#include "engine/sim/sim_engine.h"
#include "tests/packet/tested_engine.h"

namespace sluice::packet_test {
namespace {

class TestedSim : public TestedEngine {
 public:
  absl::Status Open(const TestedOptions& tested, std::function<uint64_t()> clock) {
    own_clock_ = clock == nullptr;
    SimOptions options;
    options.max_connections = tested.max_connections;
    options.max_sessions = tested.max_sessions;
    options.clock = own_clock_ ? [this] { return now_; } : std::move(clock);
    for (const PortDescription& port : TestedPorts()) {
      options.ports.push_back({.name = "sim", .mac = port.mac, .mtu = port.mtu, .link_up = true, .mode = "sim"});
    }
    absl::StatusOr<std::unique_ptr<SimEngine>> engine = SimEngine::Open(options);
    if (!engine.ok()) return engine.status();
    engine_ = *std::move(engine);
    return absl::OkStatus();
  }

  absl::Status Publish(std::shared_ptr<const Tables> tables) override { return engine_->Publish(std::move(tables)); }

  absl::StatusOr<Sent> Process(absl::Span<const std::string> frames, uint16_t from) override {
    std::vector<SimPacket> packets;
    packets.reserve(frames.size());
    for (const std::string& frame : frames) packets.push_back({.bytes = {frame.begin(), frame.end()}, .port = from});
    Sent sent;
    for (const SimResult& result : engine_->Receive(packets)) {
      if (sluice_verdict_kind(result.verdict) != SLUICE_KIND_TRANSMIT) continue;
      sent.at(result.out.port).emplace_back(result.out.bytes.begin(), result.out.bytes.end());
    }
    return sent;
  }

  EngineCounters ReadCounters() override { return engine_->ReadCounters(); }
  Flows CountFlows(uint32_t slots) override { return CountFlowsOf(*engine_, slots); }

  bool Wait(std::chrono::milliseconds time) override {
    now_ += static_cast<uint64_t>(std::chrono::nanoseconds(time).count());
    return own_clock_;
  }

 private:
  bool own_clock_ = true;
  uint64_t now_ = uint64_t{1000} << SLUICE_TICK_SHIFT;
  std::unique_ptr<SimEngine> engine_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<TestedEngine>> OpenTestedSim(const TestedOptions& options,
                                                            std::function<uint64_t()> clock) {
  auto engine = std::make_unique<TestedSim>();
  if (absl::Status status = engine->Open(options, std::move(clock)); !status.ok()) return status;
  return std::unique_ptr<TestedEngine>(std::move(engine));
}

}  // namespace sluice::packet_test
