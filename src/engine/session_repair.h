// Sessions whose worker ended between any two of its stores, and which another one is to go on with.
//
// Thread-safety: belongs to whoever is to own the partition. Others may look for sessions meanwhile, and note what
// their packets say.
#pragma once

#include "engine/session_tables.h"

namespace sluice {

// Makes the partition whole: sessions that are not found from both sides end, entries of no session go, and records
// that no session has are free.
void RepairSessions(const SessionPartition& partition);

// Lets those end that were ended by an instance that is no more, and has perhaps not come to tell their ends.
void EndEnded(const SessionPartition& partition);

}  // namespace sluice
