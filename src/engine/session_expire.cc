// The end of sessions that nobody has used for too long, told to both of their ends where the listener wants it.
#include "engine/session_path.h"
#include "engine/words.h"
#include "sluice/client_address.h"
#include "sluice/reset.h"

namespace sluice {
namespace {

// What one round of a worker looks at: some microseconds at most.
constexpr uint32_t kExpiredAtOnce = 16;

bool WantsReset(const sluice_tables& tables, const sluice_session& session) {
  if (session.protocol != SLUICE_IP_TCP) return false;
  if (!(tables.session_terms[session.listener].flags & SLUICE_TERMS_RESET_ON_IDLE)) return false;
  const uint64_t forward = __atomic_load_n(&session.forward, __ATOMIC_RELAXED);
  const uint64_t reverse = __atomic_load_n(&session.reverse, __ATOMIC_RELAXED);
  const enum sluice_session_state state = sluice_session_state(session.protocol, forward, reverse);
  return state == SLUICE_SESSION_ESTABLISHED || state == SLUICE_SESSION_HALF_CLOSED;
}

bool Send(Outlet* outlet, const sluice_reset& reset, uint16_t egress) {
  Frame* frame = outlet->Take();
  if (frame == nullptr) return false;
  frame->length = sluice_write_reset(frame->data, &reset);
  frame->egress = egress;
  outlet->Send(frame);
  return true;
}

}  // namespace

void SessionPath::EndExpired(const sluice_tables& tables, uint32_t tick, Outlet* outlet) {
  uint32_t budget = kExpiredAtOnce;
  while (const std::optional<uint32_t> index = own_.NextExpired(tables, tick, &budget)) {
    const sluice_session& session = partition_.sessions[*index];
    if (WantsReset(tables, session)) ResetBothEnds(tables, session, outlet);
    own_.Expire(tables, *index);
  }
}

// Each from the address that it talks to, with the numbers that it has acknowledged and been acknowledged.
void SessionPath::ResetBothEnds(const sluice_tables& tables, const sluice_session& session, Outlet* outlet) {
  const uint64_t forward = __atomic_load_n(&session.forward, __ATOMIC_RELAXED);
  const uint64_t reverse = __atomic_load_n(&session.reverse, __ATOMIC_RELAXED);
  const auto of_client = static_cast<uint32_t>(forward >> SLUICE_WORD_NUMBER_SHIFT);
  const auto of_server = static_cast<uint32_t>(reverse >> SLUICE_WORD_NUMBER_SHIFT);
  const sluice_backend& backend = tables.backends[session.backend];
  const sluice_port& port = tables.ports[session.client_egress];
  uint32_t sent = 0;
  if (sluice_reset_possible(forward)) {
    const sluice_reset to_client = {session.client_mac,
                                    port.mac,
                                    &tables.session_terms[session.listener].address,
                                    &session.client,
                                    session.ports >> 16 | session.ports << 16,
                                    of_client,
                                    of_server,
                                    session.client_vlan};
    sent += Send(outlet, to_client, session.client_egress);
  }
  if (sluice_reset_possible(reverse) && (backend.flags & SLUICE_BACKEND_NEXT_HOP)) {
    const sluice_reset to_server = {backend.destination_mac,
                                    backend.source_mac,
                                    sluice_session_source(&tables, &session),
                                    &backend.destination,
                                    sluice_ports(session.source_port, session.server_port),
                                    of_server + sluice_proxied_ahead(&session),
                                    of_client,
                                    backend.vlan};
    sent += Send(outlet, to_server, backend.port);
  }
  Add(own_.counters().resets, sent);
}

}  // namespace sluice
