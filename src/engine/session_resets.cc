#include "engine/session_resets.h"

#include "sluice/client_address.h"
#include "sluice/session.h"
#include "sluice/words.h"

namespace sluice {
namespace {

uint32_t NumberOf(uint64_t word) {
  return static_cast<uint32_t>(word >> SLUICE_WORD_NUMBER_SHIFT);
}

}  // namespace

std::optional<SessionReset> ResetOfClient(const sluice_tables& tables, const sluice_session& session) {
  const uint64_t forward = SLUICE_LOAD(&session.forward);
  if (!sluice_reset_possible(forward)) return std::nullopt;
  const sluice_reset what = {session.client_mac,
                             tables.ports[session.client_egress].mac,
                             &tables.session_terms[session.listener].address,
                             &session.client,
                             session.ports >> 16 | session.ports << 16,
                             NumberOf(forward),
                             NumberOf(SLUICE_LOAD(&session.reverse)),
                             session.client_vlan};
  return SessionReset{what, session.client_egress};
}

std::optional<SessionReset> ResetOfServer(const sluice_tables& tables, const sluice_session& session) {
  const sluice_backend& backend = tables.backends[session.backend];
  const uint64_t reverse = SLUICE_LOAD(&session.reverse);
  if (!sluice_reset_possible(reverse) || !(backend.flags & SLUICE_BACKEND_NEXT_HOP)) return std::nullopt;
  const sluice_reset what = {backend.destination_mac,
                             backend.source_mac,
                             sluice_session_source(&tables, &session),
                             &backend.destination,
                             sluice_ports(session.source_port, session.server_port),
                             NumberOf(reverse) + sluice_proxied_ahead(&session),
                             NumberOf(SLUICE_LOAD(&session.forward)),
                             backend.vlan};
  return SessionReset{what, backend.port};
}

}  // namespace sluice
