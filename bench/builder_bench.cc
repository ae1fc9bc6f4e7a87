// How long a change takes from configuration to tables, on the control thread.
#include <benchmark/benchmark.h>

#include <array>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "tables/builder.h"

namespace sluice {
namespace {

struct Input {
  v1::Config config;
  std::array<uint8_t, 32> hash_key{};
  absl::flat_hash_map<Address, BackendNextHop> next_hops;
  std::array<PortDescription, 1> ports{{{Mac{2}, 1500}}};

  BuildInput input() const { return {&config, hash_key, &next_hops, ports}; }

  void AddPool(int backends) {
    v1::Pool& pool = *config.add_pools();
    const int index = config.pools_size();
    pool.set_name(absl::StrCat("pool", index));
    pool.set_forwarding(v1::Pool::DSR_L2);
    pool.set_maglev_table_size(65537);
    for (int i = 0; i < backends; i++) {
      v1::Backend& backend = *pool.add_backends();
      backend.set_name(absl::StrCat("backend", i));
      backend.set_address(absl::StrCat("10.", index, ".", i / 256, ".", i % 256));
      backend.set_weight(1);
      next_hops[ParseAddress(backend.address()).value()] = {.mtu = 1500};
    }
  }

  void AddListener(int index, const std::string& pool) {
    v1::Listener& listener = *config.add_listeners();
    listener.set_name(absl::StrCat("listener", index));
    listener.set_address(absl::StrCat("192.168.", index / 256, ".", index % 256));
    listener.set_protocol(v1::Listener::TCP);
    listener.set_pool(pool);
    listener.mutable_idle_timeout()->set_seconds(350);
    for (const uint32_t port : {80, 443}) {
      v1::PortRange& range = *listener.add_ports();
      range.set_first(port);
      range.set_last(port);
    }
  }
};

void Build(benchmark::State& state, Builder& builder, const Input& input, std::shared_ptr<const Tables>& tables) {
  absl::StatusOr<std::shared_ptr<const Tables>> next = builder.Build(input.input());
  if (!next.ok()) return state.SkipWithError(std::string(next.status().message()).c_str());
  tables = *std::move(next);
}

void ManyListeners(benchmark::State& state) {
  Input input;
  input.AddPool(10);
  for (int i = 0; i < state.range(0); i++) input.AddListener(i, "pool1");
  Builder builder;
  std::shared_ptr<const Tables> tables;
  for (auto _ : state) Build(state, builder, input, tables);
}
BENCHMARK(ManyListeners)->Unit(benchmark::kMillisecond)->Arg(100)->Arg(10000)->Arg(65000);

// One backend of one pool loses and gets back its weight; the other pools keep their tables.
void OneBackendChanges(benchmark::State& state) {
  Input input;
  for (int i = 0; i < state.range(0); i++) {
    input.AddPool(static_cast<int>(state.range(1)));
    input.AddListener(i, absl::StrCat("pool", i + 1));
  }
  Builder builder;
  std::shared_ptr<const Tables> tables;
  Build(state, builder, input, tables);
  uint32_t weight = 0;
  for (auto _ : state) {
    input.config.mutable_pools(0)->mutable_backends(0)->set_weight(weight ^= 1);
    Build(state, builder, input, tables);
  }
  state.counters["rebuilt"] = builder.pools_rebuilt();
}
BENCHMARK(OneBackendChanges)
    ->ArgNames({"pools", "backends"})
    ->Unit(benchmark::kMillisecond)
    ->Args({1, 1000})
    ->Args({100, 10})
    ->Args({100, 1000});

// The first generation: every pool's table.
void FromNothing(benchmark::State& state) {
  Input input;
  for (int i = 0; i < state.range(0); i++) input.AddPool(static_cast<int>(state.range(1)));
  for (auto _ : state) {
    Builder builder;
    std::shared_ptr<const Tables> tables;
    Build(state, builder, input, tables);
  }
}
BENCHMARK(FromNothing)->ArgNames({"pools", "backends"})->Unit(benchmark::kMillisecond)->Args({100, 1000});

}  // namespace
}  // namespace sluice

BENCHMARK_MAIN();
