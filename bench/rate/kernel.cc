#include "kernel.h"

#include <rte_cycles.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "base/clock.h"
#include "sluice/types.h"
#include "xdp_fixture.h"

namespace sluice::bench {
namespace {

// What the kernel repeats by itself; of established flows as many as there are, so that all of them have their turn.
constexpr uint64_t kFewestPackets = 200'000;
static_assert(kKernelFrame == kPacketBytes + 4, "with the check sequence");
// That side is not measured.
constexpr uint32_t kReferenceRoom = 1'000;

class Kernel {
 public:
  explicit Kernel(const Settings& settings)
      : settings_(settings), next_(static_cast<uint32_t>(settings.traffic.flows)) {}

  absl::Status Start();
  absl::StatusOr<Run> Measure(Side side);
  uint64_t table_bytes() const { return fixture_->table_bytes(); }

 private:
  absl::Status Turn(Side side, Run* run);

  const Settings& settings_;
  std::unique_ptr<XdpFixture> fixture_;
  // Of flows that have not been before.
  uint32_t next_;
};

absl::Status Kernel::Start() {
  XdpTraffic traffic;
  traffic.forwarding = absl::AsciiStrToLower(v1::Pool::Forwarding_Name(settings_.forwarding));
  traffic.ipv6 = settings_.traffic.family == 6;
  traffic.udp = settings_.traffic.protocol == SLUICE_IP_UDP;
  absl::StatusOr<std::unique_ptr<XdpFixture>> fixture = XdpFixture::Open(traffic, settings_.room, kReferenceRoom);
  if (!fixture.ok()) return fixture.status();
  fixture_ = *std::move(fixture);
  if (absl::Status status = fixture_->Establish(next_); !status.ok()) return status;
  return fixture_->Check(Side::kPath, false);
}

absl::Status Kernel::Turn(Side side, Run* run) {
  const auto flows = static_cast<uint32_t>(settings_.traffic.flows);
  const uint64_t all = std::max<uint64_t>(flows, kFewestPackets);
  const auto opening = static_cast<uint32_t>(settings_.traffic.new_flows * static_cast<double>(all));
  const auto established = static_cast<uint32_t>(all - opening);
  double ns = 0;
  if (established > 0) {
    const absl::StatusOr<double> took = fixture_->RunRandom(side, established, flows);
    if (!took.ok()) return took.status();
    ns += *took;
  }
  if (opening > 0) {
    const absl::StatusOr<double> took = fixture_->RunEach(side, opening, next_, true);
    if (!took.ok()) {
      return absl::Status(took.status().code(),
                          absl::StrCat(took.status().message(), "; new sessions need --room, which they had not"));
    }
    ns += *took;
    if (side == Side::kPath) next_ += opening;
  }
  run->sent += all;
  run->packets += all;
  run->seconds += ns / 1e9;
  return absl::OkStatus();
}

absl::StatusOr<Run> Kernel::Measure(Side side) {
  Run run;
  while (run.seconds < settings_.seconds) {
    if (absl::Status status = Turn(side, &run); !status.ok()) return status;
  }
  return run;
}

// The last CPU, as the worker of the dpdk engine.
absl::StatusOr<int> TakeCpu() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0) return absl::InternalError("this process has no CPUs");
  int last = 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (CPU_ISSET(cpu, &allowed)) last = cpu;
  }
  CPU_ZERO(&allowed);
  CPU_SET(static_cast<size_t>(last), &allowed);
  if (sched_setaffinity(0, sizeof(allowed), &allowed) == 0) return last;
  return absl::InternalError("this process may not choose its CPU");
}

}  // namespace

absl::StatusOr<Results> MeasureKernel(const Settings& settings,
                                      const std::function<void(const std::string&)>& progress) {
  if (geteuid() != 0) return absl::PermissionDeniedError("--engine=xdp loads BPF programs, which needs root; use sudo");
  Results results;
  const absl::StatusOr<int> cpu = TakeCpu();
  if (!cpu.ok()) return cpu.status();
  results.balancer_cpu = results.generator_cpu = *cpu;
  progress(absl::StrCat("opening ", settings.traffic.flows, " flows"));
  Kernel kernel(settings);
  if (absl::Status status = kernel.Start(); !status.ok()) return status;
  const uint64_t begin = MonotonicNow();
  const uint64_t cycles = rte_rdtsc();
  for (uint32_t i = 0; i < settings.repetitions; i++) {
    progress(absl::StrCat("rate, run ", i + 1, " of ", settings.repetitions));
    // Each is the first one in turn.
    for (const Side side : {i % 2 == 0 ? Side::kFloor : Side::kPath, i % 2 == 0 ? Side::kPath : Side::kFloor}) {
      const absl::StatusOr<Run> run = kernel.Measure(side);
      if (!run.ok()) return run.status();
      (side == Side::kFloor ? results.floor : results.balancer).push_back(*run);
    }
  }
  const double seconds = static_cast<double>(MonotonicNow() - begin) / 1e9;
  results.tsc_hz = static_cast<uint64_t>(static_cast<double>(rte_rdtsc() - cycles) / seconds);
  results.table_bytes = kernel.table_bytes();
  results.resident_bytes = ResidentBytes();
  results.notes.push_back(
      "either rate has in it that a program writes each packet before, in place of a device and on the same CPU; time "
      "is "
      "this thread's own");
  return results;
}

}  // namespace sluice::bench
