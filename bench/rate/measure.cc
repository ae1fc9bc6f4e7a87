#include "measure.h"

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <sched.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include "absl/strings/str_cat.h"
#include "balancer.h"
#include "cable.h"
#include "config/forwarding.h"
#include "engine/dpdk/eal.h"
#include "figure.h"
#include "floor.h"

namespace sluice::bench {
namespace {

// The engine's only worker is the first lcore. The floor runs on the CPU of the worker, which sleeps meanwhile.
constexpr unsigned kGeneratorLcore = 2;
constexpr unsigned kFloorLcore = 3;
constexpr std::chrono::milliseconds kLook(5);
constexpr uint32_t kPacketMemoryMib = 192;
// Of the run that says what a share of the balancer's rate is.
constexpr double kProbeSeconds = 0.1;
// New flows for each entry of a table, so that next to none is left empty: each may have but 16 of them.
constexpr uint64_t kFillings = 4;

// Two CPUs from here on, so that lcores 1 and 3 share the last one and the generator has the other.
absl::Status TakeCpus(Results* results) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  std::vector<int> cpus;
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return absl::InternalError("this process has no CPUs");
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  }
  if (cpus.size() < 2) {
    return absl::FailedPreconditionError(
        "a rate needs two CPUs, one for the generator and one for the balancer, and this process may use one");
  }
  results->generator_cpu = cpus[cpus.size() - 2];
  results->balancer_cpu = cpus.back();
  CPU_ZERO(&allowed);
  CPU_SET(static_cast<size_t>(results->generator_cpu), &allowed);
  CPU_SET(static_cast<size_t>(results->balancer_cpu), &allowed);
  if (sched_setaffinity(0, sizeof(allowed), &allowed) == 0) return absl::OkStatus();
  return absl::InternalError("this process may not choose its CPUs");
}

absl::Status StartLcores(HugePages huge_pages) {
  EalOptions options;
  options.workers = kFloorLcore;
  options.huge_pages = huge_pages;
  options.memory_mib = kPacketMemoryMib;
  // That they share CPUs is meant; what huge pages cost the engine says too.
  std::vector<std::string> notes;
  return StartEal(options, &notes);
}

int Call(void* work) {
  (*static_cast<std::function<void()>*>(work))();
  return 0;
}

absl::Status Launch(unsigned lcore, std::function<void()>* work) {
  if (rte_eal_remote_launch(Call, work, lcore) == 0) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("lcore ", lcore, " does not start"));
}

// DPDK's wait alone would spin, on one of the two CPUs that are measured.
void WaitFor(unsigned lcore) {
  while (rte_eal_get_lcore_state(lcore) == RUNNING) std::this_thread::sleep_for(kLook);
  rte_eal_wait_lcore(lcore);
}

absl::StatusOr<Run> OnGenerator(const std::function<Run()>& measure) {
  Run run;
  std::function<void()> work = [&] { run = measure(); };
  if (absl::Status status = Launch(kGeneratorLcore, &work); !status.ok()) return status;
  WaitFor(kGeneratorLcore);
  return run;
}

class Bench {
 public:
  using Ends = Generator::Ends;

  explicit Bench(const Settings& settings, const std::function<void(const std::string&)>& progress)
      : settings_(settings), progress_(progress) {}

  absl::Status Start(Results* results);
  absl::Status Measure(Results* results);

 private:
  enum Side : bool { kBalancer, kFloor };

  absl::Status OpenFlows();
  absl::Status FillTable();
  absl::StatusOr<Run> OnFloor(const std::function<Run()>& measure);
  absl::Status InTurns(
      const std::string& what, const std::function<absl::Status(Side)>& measure,
      const std::function<absl::Status()>& before = [] { return absl::OkStatus(); });
  absl::StatusOr<Run> On(Side side, const std::function<Run(const Ends&)>& measure);
  absl::Status MeasureRates(Results* results);
  absl::Status MeasureLatencies(Results* results);
  absl::Status MeasureThroughput(Results* results);
  Ends ToBalancer() const { return {balancer_cable_.to_device(), balancer_cable_.from_device()}; }

  const Settings& settings_;
  const std::function<void(const std::string&)>& progress_;
  Cable balancer_cable_;
  Cable floor_cable_;
  rte_ring* loop_ = nullptr;
  std::unique_ptr<Generator> generator_;
  std::unique_ptr<Balancer> balancer_;
  Floor floor_;
};

absl::Status Bench::Start(Results* results) {
  absl::StatusOr<Cable> balancer_cable = Cable::Make("balancer");
  if (!balancer_cable.ok()) return balancer_cable.status();
  balancer_cable_ = *balancer_cable;
  absl::StatusOr<Cable> floor_cable = Cable::Make("floor");
  if (!floor_cable.ok()) return floor_cable.status();
  floor_cable_ = *floor_cable;
  absl::StatusOr<rte_ring*> loop = MakeRing("loop");
  if (!loop.ok()) return loop.status();
  loop_ = *loop;
  absl::StatusOr<std::unique_ptr<Generator>> generator = Generator::Create(settings_.traffic);
  if (!generator.ok()) return generator.status();
  generator_ = *std::move(generator);
  if (absl::Status status = floor_.Start(floor_cable_.device(), generator_->pool()); !status.ok()) return status;
  BalancerOptions options{.device = balancer_cable_.device(),
                          .workers = settings_.workers,
                          .forwarding = settings_.forwarding,
                          .protocol = settings_.traffic.protocol,
                          .room = settings_.room,
                          .huge_pages = settings_.huge_pages};
  absl::StatusOr<std::unique_ptr<Balancer>> balancer = Balancer::Start(options, &results->notes);
  if (!balancer.ok()) return balancer.status();
  balancer_ = *std::move(balancer);
  results->table_bytes = balancer_->table_bytes();
  if (absl::Status status = OpenFlows(); !status.ok()) return status;
  return settings_.full_table ? FillTable() : absl::OkStatus();
}

absl::Status Bench::FillTable() {
  progress_("filling the table");
  const uint64_t flows = kFillings * balancer_->table_bytes() / sizeof(sluice_bucket) * SLUICE_BUCKET_ENTRIES;
  return OnGenerator([&] { return generator_->OpenNew(ToBalancer(), flows); }).status();
}

absl::Status Bench::OpenFlows() {
  progress_(absl::StrCat("opening ", settings_.traffic.flows, " flows"));
  const absl::StatusOr<Run> opened = OnGenerator([this] {
    return generator_->OpenFlows(ToBalancer(), settings_.traffic.flows, Translates(settings_.forwarding));
  });
  if (!opened.ok()) return opened.status();
  if (opened->lost == 0) return absl::OkStatus();
  return absl::InternalError(
      absl::StrCat("of the ", opened->sent, " packets that open the flows, ", opened->lost, " did not come through"));
}

absl::StatusOr<Run> Bench::OnFloor(const std::function<Run()>& measure) {
  std::function<void()> work = [this] { floor_.Run(); };
  if (absl::Status status = Launch(kFloorLcore, &work); !status.ok()) return status;
  absl::StatusOr<Run> run = OnGenerator(measure);
  floor_.Stop();
  WaitFor(kFloorLcore);
  return run;
}

// Each is the first one in turn, so that what drifts (heat, neighbours) falls on both. `before` comes before each turn.
absl::Status Bench::InTurns(const std::string& what, const std::function<absl::Status(Side)>& measure,
                            const std::function<absl::Status()>& before) {
  for (uint32_t i = 0; i < settings_.repetitions; i++) {
    progress_(absl::StrCat(what, ", run ", i + 1, " of ", settings_.repetitions));
    if (absl::Status status = before(); !status.ok()) return status;
    for (const Side side : {i % 2 == 0 ? kFloor : kBalancer, i % 2 == 0 ? kBalancer : kFloor}) {
      if (absl::Status status = measure(side); !status.ok()) return status;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Run> Bench::On(Side side, const std::function<Run(const Ends&)>& measure) {
  const Cable& cable = side == kFloor ? floor_cable_ : balancer_cable_;
  const std::function<Run()> run = [&] { return measure({cable.to_device(), cable.from_device()}); };
  return side == kFloor ? OnFloor(run) : OnGenerator(run);
}

absl::Status Bench::MeasureRates(Results* results) {
  const auto measure = [this](const Ends& ends) { return generator_->Measure(ends, settings_.seconds); };
  const absl::Status status = InTurns("rate", [&](Side side) {
    const absl::StatusOr<Run> run = On(side, measure);
    if (run.ok()) (side == kFloor ? results->floor : results->balancer).push_back(*run);
    if (!run.ok() || side == kFloor || settings_.syn_flood == 0) return run.status();
    const absl::StatusOr<Run> flooded =
        OnGenerator([&] { return generator_->MeasureFlood(ToBalancer(), settings_.syn_flood, settings_.seconds); });
    if (flooded.ok()) results->balancer_flooded.push_back(*flooded);
    return flooded.status();
  });
  if (!status.ok()) return status;
  for (uint32_t i = 0; i < settings_.repetitions; i++) {
    progress_(absl::StrCat("the generator alone, run ", i + 1, " of ", settings_.repetitions));
    const absl::StatusOr<Run> alone = OnGenerator([&] { return measure({loop_, loop_}); });
    if (!alone.ok()) return alone.status();
    results->generator.push_back(*alone);
  }
  return absl::OkStatus();
}

// A share is of what the balancer does at the time: on a machine whose speed changes from minute to minute half of an
// earlier rate may be more than all of this one, and a latency that of a queue which is always full.
absl::Status Bench::MeasureLatencies(Results* results) {
  double mpps = settings_.offered_mpps;
  if (mpps == 0 && settings_.offered_share == 0) return absl::OkStatus();
  const auto probe = [&]() -> absl::Status {
    if (settings_.offered_share == 0) return absl::OkStatus();
    const double seconds = std::min(settings_.seconds, kProbeSeconds);
    const absl::StatusOr<Run> run = On(kBalancer, [&](const Ends& ends) { return generator_->Measure(ends, seconds); });
    if (run.ok()) mpps = settings_.offered_share * run->mpps();
    return run.status();
  };
  const auto offer = [&](Side side) {
    const absl::StatusOr<Run> run =
        On(side, [&](const Ends& ends) { return generator_->Offer(ends, mpps, settings_.seconds); });
    if (run.ok()) (side == kFloor ? results->floor_offered : results->balancer_offered).push_back(*run);
    return run.status();
  };
  return InTurns("latency", offer, probe);
}

absl::Status Bench::MeasureThroughput(Results* results) {
  const ThroughputOptions& options = settings_.throughput;
  if (options.trial_seconds == 0) return absl::OkStatus();
  return InTurns("highest rate without loss", [&](Side side) {
    const auto trial = [&](double mpps) -> absl::StatusOr<Trial> {
      const absl::StatusOr<Run> run =
          On(side, [&](const Ends& ends) { return generator_->Offer(ends, mpps, options.trial_seconds); });
      if (!run.ok()) return run.status();
      return Trial{run->offered_mpps(), run->loss()};
    };
    const double begin = FigureOf(side == kFloor ? results->floor : results->balancer, &Run::mpps).median;
    const absl::StatusOr<Throughput> found = FindThroughput(options, begin, trial);
    if (found.ok()) (side == kFloor ? results->floor_throughput : results->balancer_throughput).push_back(*found);
    return found.status();
  });
}

absl::Status Bench::Measure(Results* results) {
  const EngineCounters before = balancer_->ReadCounters();
  if (absl::Status status = MeasureRates(results); !status.ok()) return status;
  if (absl::Status status = MeasureThroughput(results); !status.ok()) return status;
  if (absl::Status status = MeasureLatencies(results); !status.ok()) return status;
  const EngineCounters now = balancer_->ReadCounters();
  TellVerdicts(before, now, results);
  for (size_t i = 0; i < now.inserted_over.size(); i++) {
    results->gave_way[i] = now.inserted_over[i] - before.inserted_over[i];
  }
  results->resident_bytes = ResidentBytes();
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Results> MeasureRate(const Settings& settings, const std::function<void(const std::string&)>& progress) {
  Results results;
  if (absl::Status status = TakeCpus(&results); !status.ok()) return status;
  if (absl::Status status = StartLcores(settings.huge_pages); !status.ok()) return status;
  results.tsc_hz = rte_get_tsc_hz();
  Bench bench(settings, progress);
  if (absl::Status status = bench.Start(&results); !status.ok()) return status;
  if (absl::Status status = bench.Measure(&results); !status.ok()) return status;
  return results;
}

}  // namespace sluice::bench
