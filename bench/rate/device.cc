#include "device.h"

#include <rte_cycles.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "balancer.h"
#include "base/clock.h"

namespace sluice::bench {
namespace {

// Until the flows are established and the tables are warm: packets of each.
constexpr uint64_t kPacketsOfFlow = 3;
constexpr uint64_t kPatienceNs = 30'000'000'000;
constexpr uint64_t kPatienceNsOfFlow = 10'000;

absl::Status WaitForFlows(Balancer& balancer, const Settings& settings) {
  const uint64_t patience = kPatienceNs + kPatienceNsOfFlow * settings.traffic.flows;
  const uint64_t deadline = MonotonicNow() + patience;
  while (balancer.ReadCounters().received < kPacketsOfFlow * settings.workers * settings.traffic.flows) {
    if (MonotonicNow() > deadline) {
      return absl::DeadlineExceededError(absl::StrCat(
          "after ", patience / 1'000'000'000, " s the device has brought fewer packets than ", kPacketsOfFlow,
          " of each of ", settings.traffic.flows, " flows; is there a generator, and is --flows right?"));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return absl::OkStatus();
}

Run MeasureOnce(Balancer& balancer, double seconds) {
  const EngineCounters before = balancer.ReadCounters();
  const uint64_t begin = MonotonicNow();
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  const EngineCounters now = balancer.ReadCounters();
  Run run;
  run.seconds = static_cast<double>(MonotonicNow() - begin) / 1e9;
  const uint64_t received = now.received - before.received;
  const uint64_t missed = now.port_receive_dropped - before.port_receive_dropped;
  const uint64_t stayed = now.transmit_full - before.transmit_full;
  run.sent = received + missed;
  const uint64_t forwarded = now.verdicts[SLUICE_VERDICT_forwarded] - before.verdicts[SLUICE_VERDICT_forwarded];
  run.packets = forwarded - std::min(forwarded, stayed);
  run.lost = missed + stayed;
  return run;
}

}  // namespace

absl::StatusOr<Results> MeasureDevice(const Settings& settings,
                                      const std::function<void(const std::string&)>& progress) {
  Results results;
  BalancerOptions options{.device = settings.device,
                          .workers = settings.workers,
                          .forwarding = settings.forwarding,
                          .protocol = settings.traffic.protocol,
                          .room = settings.room,
                          .huge_pages = settings.huge_pages};
  // That driver keeps the file in packets.
  if (absl::StrContains(settings.device, "infinite_rx=1")) options.kept_packets = settings.traffic.flows;
  // That one has no larger ones.
  if (absl::StartsWith(settings.device, "net_memif")) options.mtu = 1500;
  absl::StatusOr<std::unique_ptr<Balancer>> balancer = Balancer::Start(options, &results.notes);
  if (!balancer.ok()) return balancer.status();
  results.tsc_hz = rte_get_tsc_hz();
  if (absl::Status status = WaitForFlows(**balancer, settings); !status.ok()) return status;
  const EngineCounters before = (*balancer)->ReadCounters();
  for (uint32_t i = 0; i < settings.repetitions; i++) {
    progress(absl::StrCat("run ", i + 1, " of ", settings.repetitions));
    results.balancer.push_back(MeasureOnce(**balancer, settings.seconds));
  }
  TellVerdicts(before, (*balancer)->ReadCounters(), &results);
  results.table_bytes = (*balancer)->table_bytes();
  results.resident_bytes = ResidentBytes();
  return results;
}

}  // namespace sluice::bench
