#include "control/flow_kill.h"

#include <utility>

#include "control/flow_filter.h"
#include "engine/flow_end.h"

namespace sluice {
namespace {

// At a time.
constexpr uint64_t kFlows = 1'000;

class Killer {
 public:
  Killer(FlowEnder& ender, bool dry_run) : ender_(ender), dry_run_(dry_run) {}

  void Kill(const FlowRecord& flow) {
    if (!dry_run_ && !ender_.End(flow)) return;
    killed_.reply.set_killed(killed_.reply.killed() + 1);
    if (!dry_run_) killed_.flows.push_back(flow);
  }
  KilledFlows& killed() { return killed_; }

 private:
  FlowEnder& ender_;
  const bool dry_run_;
  KilledFlows killed_;
};

// The one flow, in whatever partitions it has been.
absl::Status KillOne(const Tables& tables, const FlowReader& reader, const v1::FiveTuple& wanted, Killer* killer) {
  const absl::StatusOr<sluice_flow> flow = ReadFlow(wanted);
  if (!flow.ok()) return flow.status();
  const FlowReader::Answer answer = reader.Explain(*flow);
  if (answer.listener == SLUICE_NO_LISTENER) return NoListener(tables, wanted);
  for (const FlowRecord& found : answer.found) killer->Kill(found);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<KilledFlows> KillFlows(const Controller& controller, const v1::KillFlowsRequest& request, uint64_t now) {
  const Tables* tables = controller.tables();
  if (tables == nullptr) return NoTablesYet();
  const bool filtered = !request.pool().empty() || !request.source().empty();
  if (request.has_flow() == filtered || (request.has_flow() && !request.backend().empty())) {
    return absl::InvalidArgumentError("which flows? Name a pool, a prefix of clients, or one flow alone");
  }
  const FlowReader reader(controller.engine(), tables->view(), now);
  Killer killer(controller.flow_ender(), request.dry_run());
  if (request.has_flow()) {
    const absl::Status status = KillOne(*tables, reader, request.flow(), &killer);
    return status.ok() ? absl::StatusOr<KilledFlows>(std::move(killer.killed())) : status;
  }
  const absl::StatusOr<FlowFilter> filter =
      FlowFilter::Make(controller, request.pool(), request.backend(), request.source());
  if (!filter.ok()) return filter.status();
  const uint64_t next = reader.Read(request.from(), kFlowPlaces, [&](const FlowRecord& flow) {
    if (filter->Fits(flow)) killer.Kill(flow);
    return killer.killed().reply.killed() < kFlows;
  });
  killer.killed().reply.set_next(next >= reader.places() ? 0 : next);
  return killer.killed();
}

void KillAgain(const KilledFlows& killed) {
  for (const FlowRecord& flow : killed.flows) EndFlowAgain(flow);
}

}  // namespace sluice
