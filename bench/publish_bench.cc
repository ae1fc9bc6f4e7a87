// From a change to packets that meet it: what the control thread does between a health verdict and its acknowledgement
// by every worker of the dpdk engine (Publish returns then), or by the kernel; and what it does at start.
//
// Each iteration counts as a whole; of its parts, ms:
//   build     desired state to tables
//   publish   until all workers run them, and nobody reads the old ones; or until the kernel's packets meet them
//   grace     until nobody in the kernel reads the old ones any more, for which the next change waits, if it comes
//   earlier
//
// The rows of the kernel need root.
#include <benchmark/benchmark.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "builder_input.h"
#include "config/load.h"
#include "engine/dpdk/dpdk_engine.h"
#include "engine/xdp/kernel_connections.h"
#include "engine/xdp/kernel_path.h"

namespace sluice::bench {
namespace {

constexpr double kNsPerMs = 1e6;

bool Failed(benchmark::State& state, const absl::Status& status) {
  if (status.ok()) return false;
  state.SkipWithError(std::string(status.message()).c_str());
  return true;
}

// Adds up what the parts of the iterations took.
class Parts {
 public:
  void Begin() { begin_ = MonotonicNow(); }
  void Built() { built_ = MonotonicNow(); }
  void Published(benchmark::State& state) {
    const uint64_t now = MonotonicNow();
    build_ += built_ - begin_;
    publish_ += now - built_;
    state.SetIterationTime(static_cast<double>(now - begin_) / 1e9);
  }
  void Tell(benchmark::State& state) const {
    const benchmark::Counter::Flags mean = benchmark::Counter::kAvgIterations;
    state.counters["build"] = benchmark::Counter(static_cast<double>(build_) / kNsPerMs, mean);
    state.counters["publish"] = benchmark::Counter(static_cast<double>(publish_) / kNsPerMs, mean);
  }

 private:
  uint64_t begin_ = 0;
  uint64_t built_ = 0;
  uint64_t build_ = 0;
  uint64_t publish_ = 0;
};

// Its worker's port has no packets (null) or only ones that are dropped, and always a burst of them.
absl::StatusOr<std::unique_ptr<Engine>> OpenEngine(bool busy) {
  DpdkOptions options;
  options.interfaces = {{.device = absl::StrCat("net_null0,no-rx=", busy ? 0 : 1)}};
  options.max_connections = 100'000;
  options.huge_pages = HugePages::kOff;
  std::vector<std::string> notes;
  return OpenDpdkEngine(options, &notes);
}

// One change at a time: `publish` is given the tables and says how it went, and `settle` returns when the next one has
// to wait for nothing.
void ChangeHealth(benchmark::State& state, BuilderInput& input, Builder& builder, const auto& publish,
                  const auto& settle) {
  Parts parts;
  for (auto _ : state) {
    parts.Begin();
    input.ChangeHealth();
    const absl::StatusOr<std::shared_ptr<const Tables>> tables = builder.Build(input.changed_input());
    if (Failed(state, tables.status())) return;
    parts.Built();
    if (Failed(state, publish(*tables))) return;
    parts.Published(state);
    settle();
  }
  parts.Tell(state);
}

void HealthToWorkers(benchmark::State& state) {
  BuilderInput input;
  input.AddServices(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  const absl::StatusOr<std::unique_ptr<Engine>> engine = OpenEngine(state.range(2) != 0);
  if (Failed(state, engine.status())) return;
  Builder builder;
  const absl::StatusOr<std::shared_ptr<const Tables>> tables = builder.Build(input.input());
  if (Failed(state, tables.status()) || Failed(state, (*engine)->Publish(*tables))) return;
  ChangeHealth(
      state, input, builder, [&](const auto& next) { return (*engine)->Publish(next); }, [] {});
}
BENCHMARK(HealthToWorkers)
    ->ArgNames({"pools", "backends", "busy"})
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Args({1, 10, 1})
    ->Args({1000, 10, 1})
    ->Args({1000, 10, 0});

double GraceMs(const KernelPath& path) {
  constexpr int kTimes = 20;
  const uint64_t begin = MonotonicNow();
  for (int i = 0; i < kTimes; i++) path.WaitForPackets().IgnoreError();
  return static_cast<double>(MonotonicNow() - begin) / kTimes / kNsPerMs;
}

void HealthToKernel(benchmark::State& state) {
  if (geteuid() != 0) return state.SkipWithError("loading a BPF program needs root");
  BuilderInput input;
  input.AddServices(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  Builder builder;
  const absl::StatusOr<std::shared_ptr<const Tables>> tables = builder.Build(input.input());
  if (Failed(state, tables.status())) return;
  KernelPath::Options options;
  options.room = KernelRoom::For(**tables);
  options.buckets = 1u << 14;
  const absl::StatusOr<int> connections = MakeConnectionArray(options.buckets);
  if (Failed(state, connections.status())) return;
  options.connections = *connections;
  const absl::StatusOr<std::unique_ptr<KernelPath>> path = KernelPath::Load(options);
  close(*connections);
  if (Failed(state, path.status()) || Failed(state, (*path)->Publish(*tables))) return;
  // Two, as the first one may begin before the change's own.
  const auto settle = [&] {
    for (int i = 0; i < 2; i++) (*path)->WaitForPackets().IgnoreError();
  };
  ChangeHealth(
      state, input, builder, [&](const auto& next) { return (*path)->Publish(next); }, settle);
  state.counters["grace"] = GraceMs(**path);
}
BENCHMARK(HealthToKernel)
    ->ArgNames({"pools", "backends"})
    ->Unit(benchmark::kMillisecond)
    ->UseManualTime()
    ->Args({1, 10})
    ->Args({1000, 10});

std::string ManyListeners(int64_t listeners) {
  std::string text = "engine: {interfaces: [{device: net_null0}]}\nlisteners:\n";
  for (int64_t i = 0; i < listeners; i++) {
    absl::StrAppend(&text, "  - {name: l", i, ", address: 10.", i >> 16 & 255, ".", i >> 8 & 255, ".", i & 255,
                    ", ports: [80, 443], protocol: tcp, pool: web}\n");
  }
  return text + "pools:\n  - {name: web, forwarding: dsr_l2, backends: [{name: a, address: 192.0.2.1}]}\n";
}

// From the file's text to a worker that runs its tables; the engine is open. `build` has the reading in it.
void StartUp(benchmark::State& state) {
  const std::string text = ManyListeners(state.range(0));
  Parts parts;
  for (auto _ : state) {
    const absl::StatusOr<std::unique_ptr<Engine>> engine = OpenEngine(false);
    if (Failed(state, engine.status())) return;
    parts.Begin();
    const absl::StatusOr<LoadedConfig> loaded = LoadConfigText(text, "publish_bench");
    if (Failed(state, loaded.status())) return;
    BuilderInput input;
    input.config = loaded->config;
    Builder builder;
    const absl::StatusOr<std::shared_ptr<const Tables>> tables = builder.Build(input.input());
    if (Failed(state, tables.status())) return;
    parts.Built();
    if (Failed(state, (*engine)->Publish(*tables))) return;
    parts.Published(state);
  }
  parts.Tell(state);
}
BENCHMARK(StartUp)->ArgName("listeners")->Unit(benchmark::kMillisecond)->UseManualTime()->Arg(10'000);

}  // namespace
}  // namespace sluice::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  spdlog::set_level(spdlog::level::warn);
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
