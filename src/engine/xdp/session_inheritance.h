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

// Copies sessions into empty arrays, with the numbers that they have now; how many. Those whose backend, listener,
// address or port is gone stay behind, and all of them where flows are hashed by another key.
uint64_t CopySessions(const SessionInheritance& before, const Tables& tables, SessionArrays* to);

}  // namespace sluice
