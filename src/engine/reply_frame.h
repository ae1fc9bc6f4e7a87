// An answer of our own in place of the packet that asks (sluice/reply.h), with the room that a frame has.
//
// Thread-safety: pure but for the frame.
#pragma once

#include <cstdint>

#include "engine/burst.h"
#include "sluice/parse.h"
#include "sluice/tables.h"
#include "sluice/time.h"
#include "sluice/verdict.h"

namespace sluice {

// Writes `reply` (a replied_* verdict) into the frame, which leaves by the port that it came in by; `mtu` matters to
// replied_too_big only. Returns the reply, or no_headroom.
sluice_verdict ReplyInPlace(const sluice_tables& tables, uint16_t ingress, const sluice_packet& packet,
                            sluice_verdict reply, uint32_t mtu, Frame* frame);

// The same of one that refuses a new flow. ICMP errors are taken from `errors`; without one left, nothing is sent and
// the packet dropped.
sluice_verdict RefuseInPlace(const sluice_tables& tables, uint16_t ingress, const sluice_packet& packet,
                             sluice_verdict reply, uint64_t now, sluice_limiter* errors, Frame* frame);

}  // namespace sluice
