// What a worker counts of sessions.
//
// Thread-safety: one writer, the worker; readers see each number whole.
#pragma once

#include "sluice/counters.h"

namespace sluice {

using SessionCounters = sluice_session_counters;

}  // namespace sluice
