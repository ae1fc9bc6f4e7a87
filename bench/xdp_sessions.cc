#include "xdp_sessions.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>

#include "engine/xdp/bpf_status.h"
#include "sluice/session.h"

namespace sluice::bench {
namespace {

template <typename Visit>
void ForEach(const SessionPartition& partition, Visit visit) {
  for (uint32_t i = 0; i < partition.session_count; i++) {
    if (partition.sessions[i].protocol != 0) visit(partition.sessions[i]);
  }
}

uint64_t LastHalf(const sluice_address& address) {
  uint64_t half = 0;
  std::memcpy(&half, address.words + 2, sizeof(half));
  return half;
}

}  // namespace

SessionFlows FlowsOf(const sluice_session& session, const sluice_tables& tables) {
  const sluice_address& server = tables.backends[session.backend].destination;
  return {sluice_session_forward_flow(&session, &tables.session_terms[session.listener].address),
          sluice_session_reverse_flow(&session, &server, sluice_session_source(&tables, &session))};
}

std::vector<wrapper_answer> MakeAnswers(const SessionPartition& partition, const sluice_tables& tables) {
  std::vector<wrapper_answer> answers;
  ForEach(partition, [&](const sluice_session& session) {
    const sluice_flow flow = FlowsOf(session, tables).reverse;
    answers.push_back({LastHalf(flow.source), LastHalf(flow.destination), flow.ports, 0});
  });
  // The same in each run.
  std::shuffle(answers.begin(), answers.end(), std::mt19937{1});
  return answers;
}

absl::Status CopySessions(const SessionPartition& partition, const sluice_tables& tables, int map) {
  absl::Status status;
  ForEach(partition, [&](const sluice_session& session) {
    const SessionFlows flows = FlowsOf(session, tables);
    for (const sluice_flow* key : {&flows.forward, &flows.reverse}) {
      if (bpf_map_update_elem(map, key, &session, BPF_ANY) != 0)
        status = BpfStatus(errno, "giving the reference a session");
    }
  });
  return status;
}

}  // namespace sluice::bench
