// Ends a flow from outside of the path.
//
// An entry is emptied by compare-and-swap, as the sweep does: the flow's next packet is decided on anew, as that of a
// flow that nobody knows. A session is marked: from then on its packets go nowhere, but what they acknowledge is noted.
// So a little later, when what was under way has been acknowledged, a RST to either end has a number that its receiver
// believes, and then the session's owner ends it.
//
// Thread-safety: the control thread's; no worker waits for it. Workers remain the only writers of sessions' words. One
// that has a packet of an entry's flow in its hands may write the entry back: who wants to be sure ends it again when
// that packet is gone.
#pragma once

#include <cstdint>
#include <functional>

#include "absl/types/span.h"
#include "engine/flow_reader.h"
#include "sluice/tables.h"

namespace sluice {

// Whether it was there still. FinishSession is to follow for a session.
bool EndFlow(const FlowRecord& flow);

// Ends an entry that was written back. A new flow in its place stays; so do sessions, which are never written back.
void EndFlowAgain(const FlowRecord& flow);

// Sends a frame from a port of the engine; false: not now.
using SendFrame = std::function<bool(absl::Span<const uint8_t> frame, uint16_t port)>;

// Tells the ends of a session that was ended, as far as they can be told and have not ended it themselves, and lets its
// owner end it. True also when it is over already, or another one has its record. False: not all could be sent; call it
// again.
bool FinishSession(sluice_session* record, const sluice_tables& tables, const SendFrame& send);

// The same without telling anybody.
void FinishSilently(sluice_session* record);

}  // namespace sluice
