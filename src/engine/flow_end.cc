#include "engine/flow_end.h"

#include <array>
#include <optional>

#include "engine/session_resets.h"
#include "engine/words.h"
#include "sluice/connection.h"
#include "sluice/session.h"

namespace sluice {
namespace {

constexpr uint8_t kDone = SLUICE_SESSION_ENDED | SLUICE_SESSION_OVER;

// Of the same flow with the same backend, whenever it was seen.
bool IsSame(uint64_t a, uint64_t b) {
  return a >> SLUICE_ENTRY_TAG_SHIFT == b >> SLUICE_ENTRY_TAG_SHIFT && sluice_entry_slot(a) == sluice_entry_slot(b) &&
         !sluice_entry_is_empty(a);
}

// Its worker may note a packet meanwhile.
bool EndEntry(uint64_t* at, uint64_t value) {
  uint64_t entry = SLUICE_LOAD_ENTRY(at);
  while (IsSame(entry, value)) {
    if (sluice_entry_clear(at, entry)) return true;
    entry = SLUICE_LOAD_ENTRY(at);
  }
  return false;
}

// A record rests for a while before it is another session's, so what is compared is still so when it is marked.
bool EndSession(const FlowRecord& flow) {
  sluice_session& session = *flow.record;
  const sluice_flow& known = flow.session->flow;
  if (SLUICE_LOAD_ACQUIRE(&session.protocol) != known.protocol || SLUICE_LOAD(&session.ports) != known.ports) {
    return false;
  }
  if (SLUICE_LOAD(&session.backend) != flow.slot || (SLUICE_LOAD(&session.flags) & SLUICE_SESSION_ENDED)) return false;
  const enum sluice_session_state state =
      sluice_session_state(known.protocol, SLUICE_LOAD(&session.forward), SLUICE_LOAD(&session.reverse));
  // Those have told each other.
  SLUICE_SET_FLAG(&session.flags, state == SLUICE_SESSION_CLOSED ? kDone : SLUICE_SESSION_ENDED);
  return true;
}

bool SendReset(const std::optional<SessionReset>& reset, const SendFrame& send) {
  if (!reset.has_value()) return true;
  std::array<uint8_t, SLUICE_RESET_BYTES> frame{};
  const uint32_t length = sluice_write_reset(frame.data(), &reset->what);
  return send(absl::MakeConstSpan(frame).first(length), reset->egress);
}

// Nor is anybody who has a new connection with the same addresses by now.
bool TellsNobody(const sluice_session& session) {
  return session.protocol != SLUICE_IP_TCP || (session.flags & SLUICE_SESSION_REPLACED);
}

}  // namespace

bool EndFlow(const FlowRecord& flow) {
  return flow.session.has_value() ? EndSession(flow) : EndEntry(flow.entry, flow.value);
}

// One that was written back was seen in its old state; one that begins anew is NEW.
void EndFlowAgain(const FlowRecord& flow) {
  if (flow.session.has_value() || sluice_entry_state(SLUICE_LOAD_ENTRY(flow.entry)) == SLUICE_STATE_NEW) return;
  EndEntry(flow.entry, flow.value);
}

bool FinishSession(sluice_session* record, const sluice_tables& tables, const SendFrame& send) {
  const sluice_session session = LoadWords(record);
  if (session.protocol == 0 || (session.flags & kDone) != SLUICE_SESSION_ENDED) return true;
  if (!TellsNobody(session)) {
    if (!(session.forward & SLUICE_WORD_RESET) && !SendReset(ResetOfClient(tables, session), send)) return false;
    if (!(session.reverse & SLUICE_WORD_RESET) && !SendReset(ResetOfServer(tables, session), send)) return false;
  }
  FinishSilently(record);
  return true;
}

void FinishSilently(sluice_session* record) {
  if (SLUICE_LOAD(&record->flags) & SLUICE_SESSION_ENDED) SLUICE_SET_FLAG(&record->flags, SLUICE_SESSION_OVER);
}

}  // namespace sluice
