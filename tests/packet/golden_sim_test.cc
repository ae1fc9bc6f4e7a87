// Golden packets through the sim engine.
#include "engine/sim/sim_engine.h"
#include "tests/packet/golden_runner.h"

namespace sluice::packet_test {
namespace {

class SimGolden : public GoldenEngine {
 public:
  absl::Status Open() {
    SimOptions options;
    options.max_sessions = 4096;
    options.clock = [this] { return now_; };
    for (const PortDescription& port : GoldenPorts()) {
      options.ports.push_back({.name = "sim", .mac = port.mac, .mtu = port.mtu, .link_up = true, .mode = "sim"});
    }
    absl::StatusOr<std::unique_ptr<SimEngine>> engine = SimEngine::Open(options);
    if (!engine.ok()) return engine.status();
    engine_ = *std::move(engine);
    return absl::OkStatus();
  }

  absl::Status Publish(std::shared_ptr<const Tables> tables) override { return engine_->Publish(std::move(tables)); }

  absl::StatusOr<Outcome> Process(const std::string& frame, uint16_t from) override {
    const std::vector<SimPacket> packets = {{.bytes = {frame.begin(), frame.end()}, .port = from}};
    const SimResult result = engine_->Receive(packets).at(0);
    return Outcome{sluice_verdict_name(result.verdict), std::string(result.out.bytes.begin(), result.out.bytes.end()),
                   result.out.port};
  }

  bool Wait(std::chrono::milliseconds time) override {
    now_ += static_cast<uint64_t>(std::chrono::nanoseconds(time).count());
    return true;
  }

 private:
  uint64_t now_ = uint64_t{1000} << SLUICE_TICK_SHIFT;
  std::unique_ptr<SimEngine> engine_;
};

}  // namespace
}  // namespace sluice::packet_test

int main(int argc, char** argv) {
  using sluice::packet_test::GoldenEngine;
  using sluice::packet_test::GoldenKind;
  return sluice::packet_test::RunGoldenCases(argc, argv, "sim", GoldenKind::kSimulated,
                                             []() -> absl::StatusOr<std::unique_ptr<GoldenEngine>> {
                                               auto engine = std::make_unique<sluice::packet_test::SimGolden>();
                                               if (const absl::Status status = engine->Open(); !status.ok())
                                                 return status;
                                               return engine;
                                             });
}
