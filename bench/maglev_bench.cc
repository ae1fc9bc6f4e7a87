// How long the control thread takes for one pool's table. The paper, for 1,000 backends: 1.8 ms at 65,537 entries
// and 22.9 ms at 655,373 (NSDI 2016, section 5.3).
#include <benchmark/benchmark.h>

#include <array>
#include <string>
#include <vector>

#include "tables/maglev.h"

namespace sluice {
namespace {

// weights: how many different ones there are; each costs a place in the order of turns.
void BuildTable(benchmark::State& state) {
  const auto size = static_cast<uint32_t>(state.range(0));
  const auto count = static_cast<uint32_t>(state.range(1));
  const auto weights = static_cast<uint32_t>(state.range(2));
  std::vector<std::string> keys;
  std::vector<MaglevBackend> backends;
  for (uint32_t i = 0; i < count; i++)
    keys.push_back("10.0." + std::to_string(i / 256) + "." + std::to_string(i % 256));
  for (uint32_t i = 0; i < count; i++) backends.push_back({.key = keys[i], .weight = 1 + i % weights});
  const std::array<uint8_t, kMaglevHashKeySize> hash_key = {};
  for (auto _ : state) {
    auto table = BuildMaglev(backends, size, hash_key);
    if (!table.ok()) state.SkipWithError("no table");
    benchmark::DoNotOptimize(table->data());
  }
}
BENCHMARK(BuildTable)
    ->ArgNames({"entries", "backends", "weights"})
    ->Unit(benchmark::kMillisecond)
    ->Args({65537, 10, 1})
    ->Args({65537, 1000, 1})
    ->Args({65537, 1000, 100})
    ->Args({65537, 1000, 1000})
    ->Args({655373, 1000, 1})
    ->Args({655373, 1000, 1000})
    ->Args({655373, 10000, 1})
    ->Args({655373, 10000, 100});

}  // namespace
}  // namespace sluice

BENCHMARK_MAIN();
