// One call of sluicebench: the balancer's packet rate and the floor's over devices of the same kind, in turns.
//
// Thread-safety: the main thread; once a process, which the EAL takes hold of.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "config/sluice.pb.h"
#include "generator.h"
#include "traffic.h"

namespace sluice::bench {

struct Settings {
  TrafficOptions traffic;
  v1::Pool::Forwarding forwarding = v1::Pool::DSR_L2;
  // Flows that the tables hold.
  uint64_t room = 1;
  // Of each run.
  double seconds = 1;
  uint32_t repetitions = 7;
};

struct Results {
  // By repetition. `generator` is its rate alone, over a ring back to itself.
  std::vector<Run> balancer, floor, generator;
  // Packets of all runs that the balancer dropped or passed to the kernel, and their verdicts in words.
  uint64_t not_forwarded = 0;
  std::string other_verdicts;
  // Memory of all flows, and all that the process has in RAM with them, bytes.
  uint64_t table_bytes = 0;
  uint64_t resident_bytes = 0;
  // The CPUs: the balancer's and the floor's, the generator's.
  int balancer_cpu = 0;
  int generator_cpu = 0;
  // Sentences for people.
  std::vector<std::string> notes;
};

// `progress` hears of each step. Errors: fewer than two CPUs; no memory; flows that did not come through when they were
// opened.
absl::StatusOr<Results> MeasureRate(const Settings& settings, const std::function<void(const std::string&)>& progress);

}  // namespace sluice::bench
