// What sluicebench is asked to measure, and what it has measured.
//
// Thread-safety: as of structs.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/region.h"
#include "config/sluice.pb.h"
#include "engine/engine.h"
#include "generator.h"
#include "throughput.h"
#include "traffic.h"

namespace sluice::bench {

struct Settings {
  // The xdp engine's program, under BPF_PROG_TEST_RUN; else the dpdk engine.
  bool kernel = false;
  // A device of DPDK that brings its own traffic; empty: the generator's.
  std::string device;
  // Of the balancer. More than one need a device with as many queues.
  uint32_t workers = 1;
  TrafficOptions traffic;
  v1::Pool::Forwarding forwarding = v1::Pool::DSR_L2;
  // Flows that the tables hold.
  uint64_t room = 1;
  // For tables and packets.
  HugePages huge_pages = HugePages::kPreferred;
  // At which latencies are taken: packets a second, in millions, or a share of the balancer's rate. Neither: they are
  // not.
  double offered_mpps = 0;
  double offered_share = 0;
  // Of the search for the highest rate without loss; no trial seconds: it is not searched.
  ThroughputOptions throughput;
  // Before anything is measured new flows fill the tables, so that each further one takes the place of another.
  bool full_table = false;
  // Of all packets, the share of a flood of SYNs, which comes beside the established flows in runs of its own; 0: none.
  double syn_flood = 0;
  // Of each run.
  double seconds = 1;
  uint32_t repetitions = 7;
};

struct Results {
  // By repetition. `generator` is its rate alone, over a ring back to itself. Of a device that brings its own traffic
  // there is neither that nor a floor.
  std::vector<Run> balancer, floor, generator;
  // The balancer's with the flood, right behind those without it.
  std::vector<Run> balancer_flooded;
  // At the offered rate.
  std::vector<Run> balancer_offered, floor_offered;
  // The highest rates without loss.
  std::vector<Throughput> balancer_throughput, floor_throughput;
  // Packets of all runs that the balancer dropped or passed to the kernel, and their verdicts in words.
  uint64_t not_forwarded = 0;
  std::string other_verdicts;
  // Entries that gave way to new flows in all of this, by what they were: empty ones, and established flows'.
  std::array<uint64_t, SLUICE_VICTIM_COUNT> gave_way{};
  // Memory of all flows, and all that the process has in RAM with them, bytes.
  uint64_t table_bytes = 0;
  uint64_t resident_bytes = 0;
  // Of the clock by which cycles are counted.
  uint64_t tsc_hz = 0;
  // The CPUs: the balancer's and the floor's, the generator's.
  int balancer_cpu = 0;
  int generator_cpu = 0;
  // Sentences for people.
  std::vector<std::string> notes;
};

// Tells of what has come between two readings and was not forwarded: packets of a rate are all to have the same fate.
void TellVerdicts(const EngineCounters& before, const EngineCounters& now, Results* results);
// What this process has in RAM.
uint64_t ResidentBytes();

}  // namespace sluice::bench
