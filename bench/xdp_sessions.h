// The NAT sessions that the path has opened, for whoever else has to know them: the wrapper, which sends what servers
// answer, and the reference.
//
// Thread-safety: one thread.
#pragma once

#include <vector>

#include "absl/status/status.h"
#include "engine/session_tables.h"
#include "xdp_answer.h"

namespace sluice::bench {

// The flows of a session as either side sends them.
struct SessionFlows {
  sluice_flow forward;
  sluice_flow reverse;
};
SessionFlows FlowsOf(const sluice_session& session, const sluice_tables& tables);

// An answer of each session, in no order.
std::vector<wrapper_answer> MakeAnswers(const SessionPartition& partition, const sluice_tables& tables);

// Puts all of them into the reference's map, both sides of each.
absl::Status CopySessions(const SessionPartition& partition, const sluice_tables& tables, int map);

}  // namespace sluice::bench
