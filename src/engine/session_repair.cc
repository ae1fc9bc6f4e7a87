#include "engine/session_repair.h"

#include <cstdint>
#include <vector>

#include "sluice/session.h"
#include "sluice/words.h"

namespace sluice {
namespace {

// The records that are not in use are the free ones.
void ListFree(const SessionPartition& partition) {
  sluice_session_owner& state = *partition.state;
  state.free_head = 0;
  state.free_count = 0;
  for (uint32_t i = 0; i < partition.session_count; i++) {
    if (partition.sessions[i].protocol == 0) partition.free[state.free_count++] = i;
  }
}

// By session, the kinds of entries that name it; entries of none, and second ones of the same, are taken away.
std::vector<uint8_t> CountEntries(const SessionPartition& partition) {
  std::vector<uint8_t> kinds(partition.session_count);
  for (uint32_t i = 0; i < partition.bucket_count; i++) {
    for (uint64_t& place : partition.buckets[i].entries) {
      const uint64_t entry = SLUICE_LOAD_ENTRY(&place);
      if (sluice_entry_is_empty(entry)) continue;
      const auto index = static_cast<uint32_t>(entry);
      const auto kind = static_cast<uint8_t>(sluice_entry_state(entry));
      const bool known = index < kinds.size() && partition.sessions[index].protocol != 0;
      if (!known || (kinds[index] & kind)) {
        SLUICE_STORE_ENTRY(&place, SLUICE_ENTRY_VACATED);
      } else {
        kinds[index] |= kind;
      }
    }
  }
  return kinds;
}

}  // namespace

void RepairSessions(const SessionPartition& partition) {
  const std::vector<uint8_t> kinds = CountEntries(partition);
  for (uint32_t i = 0; i < partition.session_count; i++) {
    sluice_session& session = partition.sessions[i];
    const bool replaced = session.flags & SLUICE_SESSION_REPLACED;
    const uint8_t wanted = SLUICE_ENTRY_REVERSE | (replaced ? 0 : SLUICE_ENTRY_FORWARD);
    if (session.protocol != 0 && (kinds[i] & wanted) != wanted) SLUICE_STORE(&session.protocol, uint8_t{0});
  }
  // Of those that have just ended.
  CountEntries(partition);
  ListFree(partition);
}

void EndEnded(const SessionPartition& partition) {
  for (uint32_t i = 0; i < partition.session_count; i++) {
    uint8_t* flags = &partition.sessions[i].flags;
    if (SLUICE_LOAD(flags) & SLUICE_SESSION_ENDED) SLUICE_SET_FLAG(flags, SLUICE_SESSION_OVER);
  }
}

}  // namespace sluice
