// How long a change takes from configuration to tables, on the control thread.
#include <benchmark/benchmark.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "builder_input.h"

namespace sluice {
namespace {

using Input = bench::BuilderInput;

void Build(benchmark::State& state, Builder& builder, const BuildInput& input, std::shared_ptr<const Tables>& tables) {
  absl::StatusOr<std::shared_ptr<const Tables>> next = builder.Build(input);
  if (!next.ok()) return state.SkipWithError(std::string(next.status().message()).c_str());
  tables = *std::move(next);
}

void ManyListeners(benchmark::State& state) {
  Input input;
  input.AddPool(10);
  for (int i = 0; i < state.range(0); i++) input.AddListener(i, "pool1");
  Builder builder;
  std::shared_ptr<const Tables> tables;
  for (auto _ : state) Build(state, builder, input.input(), tables);
}
BENCHMARK(ManyListeners)->Unit(benchmark::kMillisecond)->Arg(100)->Arg(10000)->Arg(65000);

// A health verdict about one backend of one pool; the other pools keep their tables.
void OneBackendChanges(benchmark::State& state) {
  Input input;
  input.AddServices(static_cast<int>(state.range(0)), static_cast<int>(state.range(1)));
  Builder builder;
  std::shared_ptr<const Tables> tables;
  Build(state, builder, input.input(), tables);
  for (auto _ : state) {
    input.ChangeHealth();
    Build(state, builder, input.changed_input(), tables);
  }
  state.counters["rebuilt"] = builder.pools_rebuilt();
}
BENCHMARK(OneBackendChanges)
    ->ArgNames({"pools", "backends"})
    ->Unit(benchmark::kMillisecond)
    ->Args({1, 1000})
    ->Args({100, 10})
    ->Args({1000, 10})
    ->Args({100, 1000});

// The first generation: every pool's table.
void FromNothing(benchmark::State& state) {
  Input input;
  for (int i = 0; i < state.range(0); i++) input.AddPool(static_cast<int>(state.range(1)));
  for (auto _ : state) {
    Builder builder;
    std::shared_ptr<const Tables> tables;
    Build(state, builder, input.input(), tables);
  }
}
BENCHMARK(FromNothing)->ArgNames({"pools", "backends"})->Unit(benchmark::kMillisecond)->Args({100, 1000});

}  // namespace
}  // namespace sluice

BENCHMARK_MAIN();
