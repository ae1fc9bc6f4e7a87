#include "tests/packet/tested_engine.h"

#include <optional>

#include "absl/strings/str_cat.h"

namespace sluice::packet_test {

std::vector<PortDescription> TestedPorts() {
  return {{Mac{2, 0, 0, 0, 0, 1}, 1500}, {Mac{2, 0, 0, 0, 0, 2}, 9000}};
}

absl::StatusOr<Outcome> ProcessOne(TestedEngine& engine, const std::string& frame, uint16_t from) {
  const EngineCounters before = engine.ReadCounters();
  absl::StatusOr<TestedEngine::Sent> sent = engine.Process({&frame, 1}, from);
  if (!sent.ok()) return sent.status();
  const EngineCounters after = engine.ReadCounters();
  std::optional<uint32_t> verdict;
  for (uint32_t i = 0; i < SLUICE_VERDICT_COUNT; i++) {
    if (after.verdicts[i] != before.verdicts[i]) verdict = i;
  }
  if (!verdict.has_value()) return absl::InternalError("no verdict was counted");
  Outcome outcome{.verdict = sluice_verdict_name(*verdict), .out = "", .by = 0};
  size_t left = 0;
  for (uint16_t port = 0; port < kTestedPorts; port++) {
    for (std::string& out : (*sent)[port]) {
      outcome.out = std::move(out);
      outcome.by = port;
      left++;
    }
  }
  if (left == (sluice_verdict_kind(*verdict) == SLUICE_KIND_TRANSMIT ? 1 : 0)) return outcome;
  return absl::InternalError(absl::StrCat("verdict ", outcome.verdict, ", and ", left, " frames left"));
}

// The sweep that is under way has begun with other tables.
TestedEngine::Flows CountFlowsOf(Engine& engine, uint32_t slots) {
  const uint64_t connections = engine.occupancy().sweeps + 2;
  const uint64_t sessions = engine.session_occupancy().sweeps + 2;
  while (engine.occupancy().sweeps < connections || engine.session_occupancy().sweeps < sessions) engine.Sweep();
  TestedEngine::Flows flows{engine.occupancy().flows_of_slot, engine.session_occupancy().of_slot};
  flows.connections.resize(slots);
  flows.sessions.resize(slots);
  return flows;
}

}  // namespace sluice::packet_test
