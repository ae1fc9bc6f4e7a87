// How the benchmarks of the path are timed: only the stage itself (the burst's packets are laid out between), one
// reading of the clock before a burst and one behind it.
//
// Thread-safety: one thread.
#pragma once

#include <benchmark/benchmark.h>
#include <valgrind/callgrind.h>

#include <chrono>
#include <vector>

#include "absl/strings/str_cat.h"
#include "path_fixture.h"
#include "sluice/parse.h"

namespace sluice::bench {

// Runs `prepare` untimed and `work` timed, and reports ns a packet. Callgrind (tools/checks/instructions.py) counts
// what is timed, each pass for itself; without it the requests are a few instructions outside of the time.
template <typename Prepare, typename Work>
void Measure(benchmark::State& state, Prepare prepare, Work work) {
  CALLGRIND_ZERO_STATS;
  for (auto _ : state) {
    prepare();
    CALLGRIND_TOGGLE_COLLECT;
    const std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
    work();
    const std::chrono::steady_clock::time_point end = std::chrono::steady_clock::now();
    CALLGRIND_TOGGLE_COLLECT;
    state.SetIterationTime(std::chrono::duration<double>(end - start).count());
  }
  CALLGRIND_DUMP_STATS_AT(absl::StrCat(state.iterations(), " iterations").c_str());
  state.counters["ns/packet"] = benchmark::Counter(static_cast<double>(state.iterations()) * SLUICE_BURST * 1e-9,
                                                   benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// The burst that is laid out.
inline std::vector<sluice_packet> Parsed(Packets& packets) {
  std::vector<sluice_packet> parsed(SLUICE_BURST);
  for (uint32_t i = 0; i < SLUICE_BURST; i++) {
    const Frame& frame = packets.frames()[i];
    sluice_parse(frame.data, frame.data + frame.length, &parsed[i]);
  }
  return parsed;
}

// The next one.
inline std::vector<sluice_packet> NextParsed(Packets& packets) {
  packets.Next();
  return Parsed(packets);
}

}  // namespace sluice::bench
