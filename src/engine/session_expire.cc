// The end of sessions that nobody has used for too long, told to both of their ends where the listener wants it.
#include <optional>

#include "engine/session_path.h"
#include "engine/session_resets.h"
#include "engine/words.h"
#include "sluice/reset.h"

namespace sluice {
namespace {

// What one round of a worker looks at: some microseconds at most.
constexpr uint32_t kExpiredAtOnce = 16;

bool WantsReset(const sluice_tables& tables, const sluice_session& session) {
  if (session.protocol != SLUICE_IP_TCP) return false;
  // Whoever has ended it has told them.
  if (__atomic_load_n(&session.flags, __ATOMIC_RELAXED) & SLUICE_SESSION_ENDED) return false;
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

void SessionPath::ResetBothEnds(const sluice_tables& tables, const sluice_session& session, Outlet* outlet) {
  uint32_t sent = 0;
  for (const std::optional<SessionReset>& reset : {ResetOfClient(tables, session), ResetOfServer(tables, session)}) {
    if (reset.has_value()) sent += Send(outlet, reset->what, reset->egress);
  }
  Add(own_.counters().resets, sent);
}

}  // namespace sluice
