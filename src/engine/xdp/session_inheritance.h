// NAT sessions that an earlier instance's program has in the kernel, and what they become under other tables.
//
// Thread-safety: none; the control thread's.
#pragma once

#include <optional>
#include <vector>

#include "engine/xdp/session_arrays.h"
#include "sluice/tables.h"
#include "tables/tables.h"

namespace sluice {

struct SessionInheritance {
  SessionArrays arrays;
  // Their buckets say where an entry was emptied (SLUICE_MARKS_SESSIONS).
  bool marked = false;
  // So many of the partitions, the first ones, are those of workers in user space.
  uint32_t workers = 0;
  // What the records go by.
  sluice_settings settings{};
  std::vector<sluice_backend> backends;
  std::vector<sluice_session_terms> terms;
  std::vector<sluice_nat_address> nat_addresses;
  std::vector<sluice_port> ports;
};

// Those of `program`, one of ours. None when it has none, or is of another layout.
std::optional<SessionInheritance> InheritSessions(int program);

// Whether all that a record may name has the same number under `tables`.
bool HaveSameNumbers(const SessionInheritance& before, const Tables& tables);

// Makes each bucket one that may have been crowded: of arrays that are not marked. Others may read and write entries
// meanwhile.
void MarkCrowdedSessions(const SessionArrays& arrays);

// Copies sessions into empty arrays, of which `workers` are those of workers, with the numbers that they have now; how
// many. Those whose backend, listener, address or port is gone stay behind, and so do those for which there is no room.
uint64_t CopySessions(const SessionInheritance& before, const Tables& tables, uint32_t workers, SessionArrays* to);

}  // namespace sluice
