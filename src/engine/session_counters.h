// What a worker counts of sessions, nearly all of it of those that it owns.
//
// Thread-safety: one writer, the worker; readers see each number whole.
#pragma once

#include <cstdint>

namespace sluice {

struct SessionCounters {
  uint64_t opened = 0;
  // Over by timeout, or because backend or listener are gone.
  uint64_t expired = 0;
  // RSTs sent to ends of expired sessions.
  uint64_t resets = 0;
  // Given up for a new one before their time, by what they were.
  uint64_t evicted_closed = 0;
  uint64_t evicted_handshake = 0;
  // Closed sessions whose port was wanted before its quarantine was over.
  uint64_t ports_taken_early = 0;
  // Not of its own: servers' packets that it has got, and whose session another worker has.
  uint64_t answers_elsewhere = 0;
  // Whoever owns them (sluice/client_address.h): servers that have acknowledged the header with their client's address;
  // packets without room for the option, or in pieces.
  uint64_t proxy_acknowledged = 0;
  uint64_t toa_left_out = 0;
};

}  // namespace sluice
