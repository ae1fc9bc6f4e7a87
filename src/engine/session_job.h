// One packet on its way through the stages of the translated path (session_path.h), and what they read and write of it.
//
// Thread-safety: a job is its worker's; the words of a session have one writer each.
#pragma once

#include <cstdint>

#include "engine/burst.h"
#include "engine/job.h"
#include "engine/words.h"
#include "sluice/parse.h"
#include "sluice/select.h"
#include "sluice/tables.h"

namespace sluice {

// What is the same for all packets of a burst.
struct SessionBurst {
  const sluice_tables& tables;
  uint64_t now;
  uint32_t tick;
  uint16_t ingress;
  const sluice_selector& selector;
  // Of backends, by slot.
  sluice_traffic* answers;
};

// Behind an address that is translated these are flows, with their identifier for a port.
inline bool IsEcho(const sluice_packet& packet) {
  return packet.kind == SLUICE_PACKET_ECHO || packet.kind == SLUICE_PACKET_ECHO_REPLY;
}

inline void NoteWord(Word* word, uint64_t before, uint64_t after) {
  if (after != before) __atomic_store_n(word, after, __ATOMIC_RELAXED);
}

// The word of the direction.
inline uint64_t* WordOf(sluice_session* session, bool reverse) {
  return reverse ? &session->reverse : &session->forward;
}

// Whether the packet may not go on: its TTL or hop limit is used up.
SLUICE_HOT bool LastHop(const uint8_t* l3, const sluice_packet& packet) {
  if (packet.flags & SLUICE_PACKET_IPV6) return SLUICE_UNLIKELY(l3[7] <= 1);
  return SLUICE_UNLIKELY(l3[8] <= 1);
}

inline const uint8_t* Transport(const Job& job) {
  return job.frame->data + job.packet.l4_offset;
}

}  // namespace sluice
